"""The training loop: autofit's own, with Keras's callbacks, metrics and optimizers.

On the same batches its history equals that of `model.fit`, except for the validation metrics of a network whose
BatchNormalization trains. Unlike `fit` it can change the batch size between epochs, resume inside an epoch, and repeat
a batch that ran out of memory. Callbacks see one `on_train_begin` in each attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

from autofit.config.batch_schedule import steps_per_epoch
from autofit.errors import UserError
from autofit.input.predecode import PredecodedImages
from autofit.protocol.job import Job, TrainJob
from autofit.protocol.messages import Phase
from autofit.protocol.payload import Payload
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.execution.session import Session
from autofit.worker.model.weights import weights_sha256
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.stop_conditions import StopConditions
from autofit.worker.training.audit_log import AuditLog
from autofit.worker.training.batch_sources import CachedFeatures, Samples, Source
from autofit.worker.training.best_model import with_best_before, with_best_kept
from autofit.worker.training.bn_recalibration import recalibration_for
from autofit.worker.training.calibration import Calibrator
from autofit.worker.training.callbacks import Callbacks
from autofit.worker.training.commits import Commits
from autofit.worker.training.divergence import dropped_if_diverged, require_convergence
from autofit.worker.training.epoch_plan import EpochPlans, index_of
from autofit.worker.training.evaluation import Evaluation
from autofit.worker.training.export import write_best, write_history
from autofit.worker.training.head_stage import HeadStage, SolvedHead, solvable
from autofit.worker.training.replay import Replay
from autofit.worker.training.run_events import RunEvents
from autofit.worker.training.source_opener import SourceOpener
from autofit.worker.training.stage_clock import epochs_done, stage_clock
from autofit.worker.training.targets import Targets
from autofit.worker.training.train_state import TrainState
from autofit.worker.training.unread_images import UnreadImages


class Trainer:
    """One attempt at a run: from its newest checkpoint to the last epoch."""

    def __init__(
        self,
        job: Job,
        work: TrainJob,
        session: Session,
        heartbeat: Heartbeat,
        stop_conditions: StopConditions,
        payload: Payload | None,
        predecoded: PredecodedImages | None = None,
    ) -> None:
        self._job, self._work, self._plan = job, work, work.plan
        self._session, self._heartbeat, self._stop_conditions = session, heartbeat, stop_conditions
        self._predecoded, self._files = predecoded, RunDirectory(Path(work.run_dir))
        self._index = index_of(work, self._files)
        self._targets = Targets(self._index, work.plan.class_weight)
        recalibration = recalibration_for(session.built, work.plan)
        self._epoch_plans = EpochPlans(self._index, work.plan, recalibrates=recalibration is not None)
        self._events = RunEvents(heartbeat, job.attempt, work.stage, work.launched_at, self._files.attempts())
        self._state = TrainState(session)
        self._commits = Commits(CheckpointStore(self._files.checkpoints), self._state, work.plan, stop_conditions)
        begins = work.stage, work.micro_batch_size, self._events.damaged_checkpoint, work.after
        self._progress = self._commits.begin(*begins, is_timed=work.time is not None or work.plan.ends_with_ledger)
        self._events.stage_begins_at(self._progress.first_epoch)
        self._clock, self._replay = stage_clock(job, work, self._progress.epoch), Replay(work.plan, work.stage)
        audited = self._files.audit if work.plan.audit else None
        self._audit_log = AuditLog(audited, self._progress.ledger_bytes, work.stage)
        self._micro = MicroBatcher(self._progress.micro_batch_size, self._note_training_shrink, pads=session.pads)
        of_validation = self._progress.validation_micro_batch_size
        self._validation_micro = MicroBatcher(of_validation, self._note_shrink, pads=session.pads)
        if not self._replay and (work.plan.micro_batch_is_cut or work.micro_batch_size < work.plan.micro_batch_size):
            self._progress = self._events.micro_batch_made_smaller(self._progress, session.micro_decides)
        steps = steps_per_epoch(self._index.train_count, work.plan.first_batch_size)
        of_training = session, self._state, self._events, work.plan.epochs, steps, work.plan.monitor, work.stage
        self._callbacks = Callbacks(payload.callbacks if payload else (), *of_training)
        self._bad_images = UnreadImages(self._index, work.plan.max_bad_images, self._events)
        of_passes = session, self._epoch_plans, self._targets, recalibration, self._micro
        self._evaluation = Evaluation(*of_passes, self._events, self._callbacks, self._goes_on)
        self._calibrator = Calibrator(work.plan, session.built, *self._targets.judged_from(self._index.train_count))
        self._progress = self._calibrator.begun(self._progress, self._state.probabilities)

    def run(self) -> str:
        """Train to the end, save the best epoch's model, and return the SHA-256 of the last epoch's weights."""
        attempt = (self._job, self._work, self._session, self._heartbeat, self._stop_conditions)
        opener = SourceOpener(*attempt, self._index, self._predecoded, self._stop_if_asked)
        if self._progress.stages and not self._progress.position and not self._clock.has_time_for_epoch():
            self._end_stage()  # the model of the stage before may be handed over as it is
        with opener, closing(self._open_source(opener)) as self._source:
            self._begin_callbacks()
            if self._progress.stages and isinstance(self._source, CachedFeatures) and self._source.has_left_out:
                self._end_stage()
            if self._plan.head == "solve" and self._has_epochs_left() and self._progress.is_at_stage_start:
                self._solve_head()
            with dropped_if_diverged(self._work.stage, self._state, self._events, self._end_stage):
                while self._has_epochs_left() and not self._replay.is_over(self._progress):
                    self._epoch()
            self._end_stage()
            self._end_callbacks()
        self._audit_log.close()
        self._events.phase(Phase.SAVE)
        sha256 = weights_sha256(self._session.built.model)
        self._callbacks.detach()
        self._write_best()
        return sha256

    def _open_source(self, opener: SourceOpener) -> Source[Any]:
        sizes, on_phase = (self._micro, self._validation_micro), self._events.phase
        notes = self._note_bad_images, self._note_shrink
        cached = opener.cached(self._state.frozen_sha256, *notes, *sizes, on_phase) if self._has_epochs_left() else None
        return cached or opener.decoded(*sizes, on_phase)

    def _has_epochs_left(self) -> bool:
        """Whether there is an epoch to finish or to begin."""
        return self._progress.position > 0 or (self._progress.epoch < self._plan.epochs and not self._progress.stopped)

    def _end_stage(self, diverged: str = "") -> None:
        """Record the stage as finished if it has epochs left: there is no time for them, or it has `diverged`."""
        if self._has_epochs_left():
            why = {"cut_short": epochs_done(self._progress, self._plan.epochs), "diverged": diverged}
            ended = self._progress.moved(stopped=True, position=0, step=0).after_stage(None, **why)
            self._progress = with_best_before(ended, self._plan.monitor) if diverged else ended
            self._commit()

    def _begin_callbacks(self) -> None:
        """Tell the callbacks that the training begins, unless they have seen its end."""
        if self._has_epochs_left() or not self._progress.callbacks_ended:
            self._progress = self._callbacks.begin(self._progress, begins_stage=self._commits.newest is None)
            self._restore()
            if self._commits.newest is None and self._callbacks.append_to_files:
                self._commit()

    def _end_callbacks(self) -> None:
        """Tell the callbacks that the training has ended, and commit what they change then: once in a stage."""
        if self._callbacks.have_begun:
            chosen = self._progress.best_epoch
            self._progress = self._callbacks.end(self._progress)
            if self._progress.best_epoch != chosen:
                self._progress = self._evaluation.of_best(self._progress, self._state, self._source)
            self._progress = self._calibrator.noted(self._progress, self._state.probabilities)
            if self._callbacks.are_given:
                self._commit()

    def _write_best(self, *, must: bool = True) -> None:
        write_best(self._state, self._session.built, self._files, self._index, self._progress, must=must)

    # Checkpoints --------------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        """Restore the checkpoint, after the callbacks were told that the training or its epoch begins.

        What they change in the model then (a learning rate) is in the checkpoint already and must not be changed twice;
        some also reset their own state then.
        """
        if self._commits.newest is not None:
            self._commits.restore()
            self._progress = self._callbacks.restore(self._progress)

    def commit_if_behind(self) -> None:
        """Commit the updates that the newest checkpoint does not hold, before an attempt that cannot go on ends."""
        if self._commits.is_behind:
            self._commit()

    def _commit(self) -> None:
        self._events.phase(Phase.SAVE)
        self._events.pause()
        self._progress = self._progress.moved(
            micro_batch_size=self._micro.size,
            validation_micro_batch_size=self._validation_micro.size,
            ledger_bytes=self._audit_log.commit(),
            **self._state.hashes(),
            callbacks=self._callbacks.states() if self._callbacks.have_begun else self._progress.callbacks,
        )
        self._commits.save(self._progress)

    def _stop_if_asked(self) -> None:
        if self._stop_conditions.is_met():
            self.commit_if_behind()
            if self._stop_conditions.ends_run:
                self._callbacks.detach()
                self._write_best(must=False)
            self._stop_conditions.stop()

    # An epoch -----------------------------------------------------------------------------------------------------

    def _epoch(self) -> None:
        epoch = self._progress.epoch
        self._clock.epoch_begins()
        if self._progress.position == 0:
            self._session.objective.reset()
        self._callbacks.list.on_epoch_begin(epoch)
        if self._progress.position > 0:
            self._restore()
        self._commits.release_newest()
        self._train_epoch(epoch)
        logs = {**self._session.metrics(), **self._progress.skipped_logs()}
        self._require_convergence(logs["loss"])
        self._evaluation.recalibrate(self._source, epoch)
        if self._index.validation_count:
            self._callbacks.before_validation(self.commit_if_behind)
            if (validation := self._evaluation.validate(self._source, epoch)) is None:
                self._give_up(self._bad_images.nothing_left("validation"))
            logs = {**logs, **{f"val_{name}": value for name, value in validation.items()}}
        self._close_epoch(epoch, logs)

    def _solve_head(self) -> None:
        """Solve the head on cached features, which is the stage's only epoch; if that cannot be, train it by epochs."""
        source = solvable(self._source, self._index, self._plan, self._job.memory, self._heartbeat)
        if isinstance(source, str):
            if self._work.stage == "views":
                self._end_stage()
            else:
                self._events.message_once(f"{source}: the head is trained by epochs")
            return
        self._events.phase(Phase.SOLVE)
        work = self._index, self._plan, self._targets, self._goes_on, self._clock
        stage = HeadStage(source, *work, self._work.stage)
        if stage.empty_split:
            self._give_up(self._bad_images.nothing_left(stage.empty_split))
        solved, epoch = stage.solve(self._files.doubts), self._progress.epoch
        self._write_audit(epoch, 0, self._index.train_count, stage.used.tolist(), stage.unused.tolist())
        self._commits.note_step()
        self._events.note_first_step()
        self._progress = self._progress.moved(stopped=True)
        self._close_epoch(epoch, solved.metrics, solved)

    def _goes_on(self, skipped: Sequence[tuple[int, str]] = ()) -> None:
        """Note images that could not be read, report progress and heed requests to stop; called outside of steps."""
        self._note_bad_images(skipped)
        self._events.beat()
        self._stop_if_asked()

    def _train_epoch(self, epoch: int) -> None:
        """Train on what is left of an epoch, until its end or until a callback or the time stops the training."""
        if self._progress.stopped:
            return
        epoch_plan = self._epoch_plans.training(epoch, self._progress.position)
        bounds = epoch_plan.bounds()
        steps = self._progress.step + len(bounds)
        batches = self._source.batches(epoch_plan, self._epoch_plans.after_training(epoch))
        for (_, stop), batch in zip(bounds, batches, strict=True):
            if self._replay.is_over(self._progress):
                self._progress = self._progress.moved(stopped=True)
                return
            self._note_bad_images(batch.skipped)
            if has_samples := len(batch.samples) > 0:
                self._train_batch(batch, steps)
            self._progress = self._progress.moved(
                position=stop,
                step=self._progress.step + has_samples,
                stopped=self._callbacks.have_stopped_training or (stop < bounds[-1][1] and self._clock.is_over()),
            )
            self._between_steps(trained=has_samples)
            if self._progress.stopped:
                return
        if self._progress.step == 0:
            self._give_up(self._bad_images.nothing_left("training"))

    def _train_batch(self, batch: Samples, steps: int) -> None:
        epoch, step = self._progress.epoch, self._progress.step
        self._micro.size = self._replay.size(self._progress, self._micro.size)
        self._events.step_begins(epoch=epoch, step=step, steps=steps, micro_batch_size=self._micro.size)
        self._callbacks.list.on_train_batch_begin(step)
        labels = self._targets.labels(batch.samples)
        logs = self._source.train(batch, labels, self._targets.weights(batch.samples))
        self._write_audit(epoch, step, self._micro.size, batch.samples.tolist(), [one for one, _ in batch.skipped])
        self._progress = self._progress.after_update(self._session.train_step)
        self._events.step_ended(len(labels), logs, step=step + 1, micro_batch_size=self._micro.size)
        self._callbacks.train_batch_ended(step, logs)

    def _write_audit(self, epoch: int, step: int, size: int, samples: list[int], skipped: list[int]) -> None:
        at = {"attempt": self._job.attempt, "epoch": epoch, "step": step, "micro_batch_size": size}
        self._audit_log.write(**at, samples=samples, skipped=skipped, applied=not self._session.train_step.is_skipped)

    def _between_steps(self, *, trained: bool) -> None:
        self._commits.note_step()
        self._events.beat()  # also after a batch without any readable image: silence would be taken for a hang
        if trained and self._events.note_first_step():
            self._stop_conditions.measure_non_allocator_bytes()
            self._clock.epoch_begins()  # the first step, which traces, says nothing about the next epoch
        self._stop_if_asked()
        if self._commits.is_due:
            self._require_convergence(self._session.metrics()["loss"])
            self._commit()

    def _close_epoch(self, epoch: int, logs: dict[str, float], solved: SolvedHead | None = None) -> None:
        """Keep the best weights, write the history, commit, and report; a solved head is an epoch of its own."""
        record = solved.record if solved else None
        shown = self._callbacks.history_logs(logs, self._progress.history)
        progress = self._calibrator.after_epoch(self._progress, epoch, shown, self._evaluation.probabilities)
        is_refit = self._work.stage == "refit"
        is_torn = self._progress.stopped and (is_refit or 0 < self._progress.position < self._index.train_count)
        is_refitted = is_refit and progress.epoch == self._plan.epochs and not is_torn
        evaluation = self._evaluation if self._index.validation_count else None
        progress = with_best_kept(progress, self._state, self._session, evaluation, solved, is_refitted=is_refitted)
        self._callbacks.epoch_ended(epoch, logs)
        ends_itself = progress.has_waited(self._plan.early_stopping) or self._callbacks.have_stopped_training
        out_of_time = not self._clock.epoch_ended() and (is_torn or not ends_itself)
        self._progress = progress.stopped_if(self._plan.epochs, ends_itself=ends_itself, out_of_time=out_of_time)
        if not self._has_epochs_left():
            is_short = out_of_time or (is_refit and not is_refitted)
            cut_short = epochs_done(self._progress, self._plan.epochs, is_torn=is_torn) if is_short else ""
            self._progress = self._progress.after_stage(record, cut_short=cut_short)
        write_history(self._files.history, progress)
        self._commit()
        self._events.epoch_ended(epoch, logs, record, self._source.limit_words(), is_best=progress.best_epoch == epoch)
        if self._has_epochs_left():
            self._stop_if_asked()

    # What goes wrong ----------------------------------------------------------------------------------------------

    def _note_shrink(self, shrink: Shrink) -> None:
        self._events.out_of_memory(shrink, self._progress)

    def _note_training_shrink(self, shrink: Shrink) -> None:
        """Report the shrink, and commit before the next try: native code may end the process instead of raising."""
        phase = self._heartbeat.current_phase
        self._note_shrink(shrink)
        self._events.beat(micro_batch_size=shrink.after)
        self._progress = self._events.micro_batch_made_smaller(self._progress, self._session.micro_decides)
        self.commit_if_behind()
        self._events.phase(phase)

    def _note_bad_images(self, skipped: Sequence[tuple[int, str]]) -> None:
        """Report the images that could not be read; raise UserError, after a commit, if these are too many."""
        if complaint := self._bad_images.note(skipped):
            self._give_up(complaint)

    def _require_convergence(self, loss: float) -> None:
        """Raise UserError, without a commit, if the training has diverged, unless a callback has already stopped it."""
        if not self._callbacks.have_stopped_training:
            of_run = self._session, self._job.source, self._targets.mean_weight, self._state.damaged
            require_convergence([*self._progress.losses_of_stage(), loss], *of_run)

    def _give_up(self, why: str) -> NoReturn:
        """Commit and raise UserError, for a reason that the user can mend; an epoch without a step begins anew then."""
        if self._progress.step == 0 and not self._progress.stopped:
            self._progress = self._progress.moved(position=0)
        self._commit()
        raise UserError(why)
