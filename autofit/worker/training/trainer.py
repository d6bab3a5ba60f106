"""The training loop: autofit's own, around Keras's callbacks, metrics and optimizers.

On plain data its history equals `model.fit`'s. Unlike `fit` it can change the batch size between epochs, resume inside
one, and repeat a batch that ran out of memory. Callbacks see one `on_train_begin` an attempt.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np

from autofit.cache.identity import Identities, identities_of
from autofit.cache.store import CacheStore
from autofit.config.batch_schedule import BatchSchedule, steps_per_epoch
from autofit.dataset import ImageIndex
from autofit.errors import UserError
from autofit.input.bad_images import BadImages
from autofit.input.batch_loader import BatchLoader
from autofit.input.predecode import PredecodedImages
from autofit.input.sample_reader import SampleReader
from autofit.input.views import ViewIndex
from autofit.protocol.job import CacheJob, Event, Job, TrainJob
from autofit.protocol.messages import BadImage, EpochEnd, OomEvent, Phase
from autofit.protocol.payload import Payload
from autofit.storage.checkpoints import Checkpoint, CheckpointStore
from autofit.storage.records import write_atomically
from autofit.storage.run_directory import RunDirectory
from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.execution.session import Session
from autofit.worker.execution.steps import tensors_of
from autofit.worker.features.extraction import ExtractionPass, Views
from autofit.worker.model.weights import weights_sha256
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.stop_conditions import StopConditions
from autofit.worker.training.audit_log import AuditLog, read_micro_batch_sizes
from autofit.worker.training.batch_sources import CachedFeatures, DecodedImages, EpochPlan, Samples, Source
from autofit.worker.training.export import class_weights, save_model, write_history
from autofit.worker.training.train_state import TrainingProgress, TrainState, set_states, states_of


class Trainer:
    """One attempt at a run: from its newest checkpoint to the last epoch."""

    def __init__(
        self,
        job: Job,
        work: TrainJob,
        session: Session,
        heartbeat: Heartbeat,
        departure: StopConditions,
        payload: Payload | None,
        early: PredecodedImages | None = None,
    ) -> None:
        self._early = early
        self._job, self._work, self._plan = job, work, work.plan
        self._session, self._heartbeat, self._departure = session, heartbeat, departure
        self._files = RunDirectory(Path(work.run_dir))
        self._index = ImageIndex.read_csv(self._files.samples, work.data_root, tuple(work.class_names))
        self._labels = np.asarray(self._index.labels, np.int64)
        self._schedule = BatchSchedule(work.plan.first_batch_size, work.plan.last_batch_size, work.plan.epochs)
        self._class_weights = (
            class_weights(self._index.class_counts()) if work.plan.class_weight == "balanced" else None
        )
        self._store = CheckpointStore(self._files.checkpoints)
        self._state = TrainState(session)
        self._checkpoint: Checkpoint | None = self._store.latest()
        self._standing = self._restored()
        self._replay = read_micro_batch_sizes(Path(work.plan.replay)) if work.plan.replay else {}
        self._ledger = AuditLog(self._files.audit if work.plan.audit else None, self._standing.ledger_bytes)
        self._micro = MicroBatcher(self._standing.micro_batch_size, self._note_training_shrink)
        self._validation_micro = MicroBatcher(self._standing.validation_micro_batch_size, self._note_shrink)
        if work.micro_batch_size < work.plan.micro_batch_size and not self._replay:
            self._note_another_result()
        self._callbacks = keras.callbacks.CallbackList(
            list(payload.callbacks) if payload else [],
            add_history=True,
            model=session.built.model,
            epochs=work.plan.epochs,
            steps=steps_per_epoch(self._index.train_count, self._schedule.batch_size(0)),
            verbose=0,
        )
        session.built.model.stop_training = False  # what a callback sets to end the training, as in model.fit
        session.built.model.optimizer = session.objective.optimizer  # where callbacks look for the learning rate
        self._seen_first_step = False
        self._last_commit = time.monotonic()
        self._steps_since_commit = 0
        self._quarantine = BadImages(len(self._index.paths), work.plan.max_bad_images)
        self._images_per_second = 0.0

    def run(self) -> str:
        """Train to the end, save the best epoch's model, and return the SHA-256 of the last epoch's weights."""
        size = self._job.source.spec.image_size if self._job.source else (0, 0)
        memory = self._job.memory
        loader = BatchLoader(
            self._index.path,
            size,
            threads=self._plan.threads,
            buffer_bytes=max(1, memory.buffer_bytes - self._plan.schedule.largest * math.prod(size) * 3),
            threads_bytes=memory.threads_bytes,
        )
        augments = self._plan.augment == "light"
        pictures = SampleReader(self._index, size, self._plan.seed, augments=augments, predecoded=self._early)
        with closing(pictures), loader, closing(self._make_source(loader, pictures)) as self._source:
            self._callbacks.on_train_begin()
            self._take_up()
            while self._goes_on():
                self._epoch()
            self._callbacks.on_train_end()
        self._ledger.close()
        return self._finish()

    def _make_source(self, loader: BatchLoader, pictures: SampleReader) -> Source[Any]:
        """Kept features, where the job has a cache and there is room in it; else the images themselves."""
        if self._work.cache and self._goes_on():
            images = identities_of(
                map(self._index.path, range(len(self._index.paths))), self._work.cache.by, self._heartbeat.beat
            )
            if self._plan.pixel_cache:
                self._keep_pixels(self._work.cache, pictures, images)
            if self._plan.feature_cache and self._state.frozen_sha256:
                kept = self._kept_features(self._work.cache, loader, pictures, images, self._state.frozen_sha256)
                if kept is not None:
                    return kept
        return DecodedImages(self._session, loader, pictures, self._micro, self._validation_micro, self._say_phase)

    def _keep_pixels(self, cache: CacheJob, pictures: SampleReader, images: Identities) -> None:
        pictures.use_cache(CacheStore(Path(cache.folder), cache.limit_bytes), images)
        self._heartbeat.event(Event(message=pictures.cache_message()))

    def _kept_features(
        self, cache: CacheJob, loader: BatchLoader, pictures: SampleReader, images: Identities, backbone_sha256: str
    ) -> CachedFeatures | None:
        slots = ViewIndex(self._index.train_count, self._index.validation_count, self._plan.feature_views)
        of_slots = slots.identities(images)
        extraction = ExtractionPass(
            self._job,
            self._session,
            backbone_sha256,
            Views(slots, of_slots, pictures.of_views(slots, of_slots)),
            self._heartbeat,
            self._departure,
            on_unreadable=self._set_aside,
            on_shrink=self._note_shrink,
        )
        rows = extraction.run(cache, loader)
        pictures.drop_predecoded()
        if rows is None:
            return None
        return CachedFeatures(self._session, rows, slots, extraction.unreadable, self._say_phase)

    def _say_phase(self, phase: Phase) -> None:
        self._say(phase=phase)

    def _goes_on(self) -> bool:
        """Whether there is an epoch to finish or to begin."""
        is_inside = self._standing.position > 0
        return is_inside or (self._standing.epoch < self._plan.epochs and not self._standing.stopped)

    def _take_up(self) -> None:
        """Set everything to what the checkpoint holds, once the callbacks know that the training or its epoch begins.

        What they do to the model then (a learning rate) is in the checkpoint already and must not be done twice, and
        some start their own state anew.
        """
        if self._checkpoint is not None:
            self._state.restore(self._checkpoint, self._standing)
            set_states(self._callbacks.callbacks, self._standing.callbacks)

    # An epoch ------------------------------------------------------------------------------------------------------

    def _epoch(self) -> None:
        epoch = self._standing.epoch
        if self._standing.position == 0:
            self._session.objective.reset()
        self._callbacks.on_epoch_begin(epoch)
        if self._standing.position > 0:
            self._take_up()
        self._checkpoint = None
        logs = self._train_epoch(epoch)
        if self._index.validation_count:
            logs = {**logs, **{f"val_{name}": value for name, value in self._validate().items()}}
        self._close_epoch(epoch, logs)

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        logs = {name: float(value) for name, value in self._session.objective.results().items()}
        if self._standing.stopped:
            return logs
        stretch = self._epoch_stretch(epoch, self._standing.position)
        bounds = stretch.bounds()
        steps = self._standing.step + len(bounds)
        batches = self._source.batches(stretch, self._after_epoch(epoch))
        for (_, stop), batch in zip(bounds, batches, strict=True):
            self._set_aside(batch.skipped)
            if len(batch.samples):
                logs = self._train_batch(batch, steps)
            self._standing = self._standing.moved(
                position=stop,
                step=self._standing.step + bool(len(batch.samples)),
                stopped=bool(self._session.built.model.stop_training),
            )
            self._between_steps(trained=len(batch.samples) > 0)
            if self._standing.stopped:
                break
        if self._standing.step == 0 and not self._standing.stopped:
            self._give_up(self._quarantine.nothing_left("training"))
        return logs

    def _train_batch(self, batch: Samples, steps: int) -> dict[str, float]:
        epoch, step = self._standing.epoch, self._standing.step
        self._micro.size = self._replay.get((epoch, step), self._micro.size)
        self._say(epoch=epoch, step=step, steps=steps, micro_batch_size=self._micro.size)
        self._callbacks.on_train_batch_begin(step)
        began = time.monotonic()
        labels = self._labels[batch.samples]
        logs = self._source.train(batch, labels, self._weights_of(labels))
        self._ledger.write(
            attempt=self._job.attempt,
            epoch=epoch,
            step=step,
            micro_batch_size=self._micro.size,
            samples=batch.samples.tolist(),
            skipped=[sample for sample, _ in batch.skipped],
        )
        self._note_speed(len(labels), time.monotonic() - began)
        self._say(step=step + 1, metrics=logs, micro_batch_size=self._micro.size)
        self._callbacks.on_train_batch_end(step, logs)
        return logs

    def _weights_of(self, labels: np.ndarray) -> np.ndarray:
        if self._class_weights is None:
            return np.ones(len(labels), np.float32)
        return self._class_weights[labels]

    def _validate(self) -> dict[str, float]:
        self._say(phase=Phase.VALIDATE)
        self._callbacks.on_test_begin()
        trained = tensors_of(self._session.evaluate_step.variables)
        values = self._session.fresh_metric_values()
        self._session.results_of(trained)  # a checkpoint from inside the validation holds the training's metrics
        seen = 0
        epoch = self._standing.epoch
        for step, batch in enumerate(
            self._source.batches(self._validation_stretch(epoch), self._after_validation(epoch))
        ):
            self._set_aside(batch.skipped)
            seen += len(batch.samples)
            if len(batch.samples):
                self._callbacks.on_test_batch_begin(step)
                values = self._source.evaluate(batch, self._labels[batch.samples], values)
                self._callbacks.on_test_batch_end(step)
            self._say()
            self._depart_if_asked()
        if not seen:  # a loss of nothing is 0, and no epoch would ever be better
            self._give_up(self._quarantine.nothing_left("validation"))
        results = self._session.results_of(values)
        self._callbacks.on_test_end(results)
        return results

    def _epoch_stretch(self, epoch: int, position: int) -> EpochPlan:
        size, order = self._schedule.batch_size(epoch), (self._plan.seed, epoch)
        return EpochPlan(0, self._index.train_count, size, order, position)

    def _validation_stretch(self, epoch: int) -> EpochPlan:
        return EpochPlan(self._index.train_count, self._index.validation_count, self._schedule.batch_size(epoch))

    def _after_epoch(self, epoch: int) -> EpochPlan | None:
        return self._validation_stretch(epoch) if self._index.validation_count else self._after_validation(epoch)

    def _after_validation(self, epoch: int) -> EpochPlan | None:
        return self._epoch_stretch(epoch + 1, 0) if epoch + 1 < self._plan.epochs else None

    def _close_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        history = {name: [*self._standing.history.get(name, []), value] for name, value in logs.items()}
        value = logs.get("val_loss", logs["loss"])
        standing = self._standing.moved(epoch=epoch + 1, position=0, step=0, history=history)
        if standing.is_better(value):
            self._state.best = self._state.weights()
            standing = standing.moved(best_epoch=epoch, best_value=value, waited_epochs=0)
        else:
            standing = standing.moved(waited_epochs=standing.waited_epochs + 1)
        self._callbacks.on_epoch_end(epoch, logs)
        patience = self._plan.early_stopping
        out_of_patience = patience is not None and standing.waited_epochs >= patience
        asked_to_stop = self._standing.stopped or bool(self._session.built.model.stop_training)
        self._standing = standing.moved(stopped=out_of_patience or asked_to_stop)
        write_history(self._files.history, history)
        self._commit()
        self._heartbeat.event(Event(epoch_end=EpochEnd(epoch=epoch, metrics=logs)))
        if self._goes_on():
            self._depart_if_asked()

    # Between steps ------------------------------------------------------------------------------------------------

    def _between_steps(self, *, trained: bool) -> None:
        self._steps_since_commit += 1
        self._say()  # also of a batch in which nothing was readable: silence would be taken for a hang
        if trained and not self._seen_first_step:
            self._seen_first_step = True
            self._heartbeat.event(Event(seconds_to_first_step=time.monotonic() - self._work.launched_at))
            self._departure.measure_rest()
        self._depart_if_asked()
        seconds, steps = self._plan.checkpoint_seconds, self._plan.checkpoint_steps
        if (steps is not None and self._steps_since_commit >= steps) or (
            seconds is not None and time.monotonic() - self._last_commit >= seconds
        ):
            self._commit()

    def _depart_if_asked(self) -> None:
        if self._departure.is_asked():
            self.commit_if_whole()
            self._departure.leave()

    def commit_if_whole(self) -> None:
        """Save what is applied, on the way out of an attempt that cannot go on."""
        if self._steps_since_commit:
            self._commit()

    def _commit(self) -> None:
        self._say(phase=Phase.SAVE)
        self._standing = self._standing.moved(
            micro_batch_size=self._micro.size,
            validation_micro_batch_size=self._validation_micro.size,
            ledger_bytes=self._ledger.commit(),
            frozen_sha256=self._state.frozen_sha256,
            callbacks=states_of(self._callbacks.callbacks),
        )
        self._store.save(self._state.groups(), self._standing.model_dump(mode="json"))
        self._last_commit, self._steps_since_commit = time.monotonic(), 0

    def _restored(self) -> TrainingProgress:
        fresh = TrainingProgress(
            micro_batch_size=self._work.micro_batch_size, validation_micro_batch_size=self._work.micro_batch_size
        )
        checkpoint = self._checkpoint
        if checkpoint is None:
            return fresh
        for name in checkpoint.set_aside:
            self._heartbeat.event(
                Event(message=f"checkpoint {name} is damaged and was set aside; using the one before")
            )
        standing = TrainingProgress.model_validate(checkpoint.state)
        self._state.restore(checkpoint, standing)
        return standing.moved(
            micro_batch_size=self._work.micro_batch_size,
            validation_micro_batch_size=min(standing.validation_micro_batch_size, self._work.micro_batch_size),
        )

    # What is noted ------------------------------------------------------------------------------------------------

    def _say(self, **state: Any) -> None:
        self._heartbeat.beat(images_per_second=self._images_per_second, **state)

    def _note_speed(self, images: int, seconds: float) -> None:
        """A moving average; the first step, which traces, tells nothing of speed."""
        if not self._seen_first_step:
            return
        now = images / max(seconds, 1e-9)
        self._images_per_second = 0.8 * self._images_per_second + 0.2 * now if self._images_per_second else now

    def _note_training_shrink(self, shrink: Shrink) -> None:
        """Save first: so close to the limit, native code may end the process instead of raising on the next try."""
        phase = self._heartbeat.current_phase
        self._note_shrink(shrink)
        self._say(micro_batch_size=shrink.after)
        self._note_another_result()
        self.commit_if_whole()
        self._say(phase=phase)

    def _note_shrink(self, shrink: Shrink) -> None:
        self._heartbeat.event(
            Event(
                oom=OomEvent(
                    attempt=self._job.attempt,
                    epoch=self._standing.epoch,
                    step=self._standing.step,
                    phase=self._heartbeat.current_phase,
                    micro_batch_size_before=shrink.before,
                    micro_batch_size_after=shrink.after,
                    seconds_lost=shrink.seconds,
                )
            )
        )

    def _note_another_result(self) -> None:
        """Say so where a smaller micro-batch than the plan's is part of the mathematics."""
        if self._session.micro_decides and not self._standing.result_changed:
            self._standing = self._standing.moved(result_changed=True)
            self._heartbeat.event(
                Event(result_changed=True, message=f"the result changes: {self._session.micro_decides}")
            )

    def _set_aside(self, skipped: Sequence[tuple[int, str]]) -> None:
        """Name what could not be read.

        Raises:
            UserError: it is more than the run may have; what was trained is committed.
        """
        for sample, reason in skipped:
            if self._quarantine.add(sample, self._index.paths[sample], reason):
                entry = BadImage(path=self._index.path(sample), reason=reason)
                self._heartbeat.event(Event(quarantined=entry))
        if skipped and self._quarantine.is_too_full():
            self._give_up(self._quarantine.complaint())

    def _give_up(self, why: str) -> NoReturn:
        """End here for a reason that the user can put right: an epoch that has trained nothing begins anew then."""
        if self._standing.step == 0 and not self._standing.stopped:
            self._standing = self._standing.moved(position=0)
        self._commit()
        raise UserError(why)

    # The end ------------------------------------------------------------------------------------------------------

    def _finish(self) -> str:
        self._say(phase=Phase.SAVE)
        sha256 = weights_sha256(self._session.built.model)
        self._state.show_best()
        if not self._session.built.compiled:
            del self._session.built.model.optimizer  # it was there for the callbacks; its state would treble the file
        save_model(self._session.built.model, self._files.model)
        labels = {"schema": "autofit/labels/1", "labels": self._work.class_names}
        write_atomically(self._files.labels, (json.dumps(labels, indent=2) + "\n").encode())
        return sha256
