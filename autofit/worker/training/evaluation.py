"""The passes that follow the training of an epoch: the recalibration of BatchNormalization, and the validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from autofit.protocol.messages import Phase
from autofit.storage.probabilities import MOST_VALUES
from autofit.worker.execution.microbatch import MicroBatcher
from autofit.worker.execution.session import Session
from autofit.worker.execution.steps import Tally, tensors_of
from autofit.worker.model.outputs import class_count, probabilities_of
from autofit.worker.training.batch_sources import Source
from autofit.worker.training.bn_recalibration import BatchNormRecalibration
from autofit.worker.training.callbacks import Callbacks
from autofit.worker.training.epoch_plan import EpochPlan, EpochPlans
from autofit.worker.training.run_events import RunEvents
from autofit.worker.training.targets import Targets
from autofit.worker.training.train_state import Arrays, TrainState
from autofit.worker.training.training_progress import TrainingProgress

Skipped = Sequence[tuple[int, str]]
Probabilities = NDArray[np.float32]


def in_place(rows: NDArray[Any], places: NDArray[np.int64], count: int) -> Probabilities:
    """An array (count, classes), float32, with rows (k, classes) at the given places and NaN in all others."""
    placed = np.full((count, rows.shape[1]), np.nan, np.float32)
    placed[places] = rows
    return placed


class Evaluation:
    """Recalibrates and validates a network.

    Args:
        session: the network.
        epoch_plans: which samples the passes visit.
        targets: of all samples.
        recalibration: of BatchNormalization; None if it does not train.
        micro: the micro-batches of a recalibration.
        events: reports the progress.
        callbacks: they are told of a validation.
        after_batch: called with (sample, reason) of the images of a batch that could not be read; it may raise.

    Attributes:
        probabilities: of the last validation, float32 (images, classes), NaN for an image that could not be read; None
            before it, or if they are too many to be kept.
        weights: of the last validation, where callbacks may have set others for it; else None.
    """

    def __init__(
        self,
        session: Session,
        epoch_plans: EpochPlans,
        targets: Targets,
        recalibration: BatchNormRecalibration | None,
        micro: MicroBatcher,
        events: RunEvents,
        callbacks: Callbacks,
        after_batch: Callable[[Skipped], None],
    ) -> None:
        self._session, self._epoch_plans, self._targets = session, epoch_plans, targets
        self._recalibration, self._micro = recalibration, micro
        self._events, self._callbacks, self._after_batch = events, callbacks, after_batch
        self.probabilities: Probabilities | None = None
        self.weights: Arrays | None = None

    def recalibrate(self, source: Source[Any], epoch: int) -> None:
        """Set the averages of trained BatchNormalization to the statistics of some training images."""
        epoch_plan = self._epoch_plans.recalibration(epoch)
        if self._recalibration is None or epoch_plan is None:
            return
        self._begin()
        self._recalibration.begin()
        for batch in source.batches(epoch_plan, self._epoch_plans.after_recalibration(epoch)):
            self._recalibration.add(batch.images, self._micro)
            self._after_batch(batch.skipped)
        self._recalibration.finish()

    def validate(self, source: Source[Any], epoch: int) -> dict[str, float] | None:
        """The metrics on the validation images; None if none of these can be read."""
        following = self._epoch_plans.after_validation(epoch)
        return self._validated(source, epoch, following, self._callbacks.list)

    def of_best(self, progress: TrainingProgress, state: TrainState, source: Source[Any]) -> TrainingProgress:
        """Predict the validation images by the best epoch's weights, where these were chosen after the last epoch.

        The callbacks were told of the end, and hear nothing of it. The model keeps the weights that it has.

        Args:
            progress: with the best epoch.
            state: with its weights; takes what they say of the validation images.
            source: of the images.

        Returns:
            The progress, with how often each class was predicted.
        """
        if progress.best_epoch is None or not self._epoch_plans.validation(progress.best_epoch).count:
            return progress
        now = state.weights()
        state.show_best()
        try:
            results = self._validated(source, progress.best_epoch, None, keras.callbacks.CallbackList())
        finally:
            state.show(now)
        if results is None:
            return progress
        state.probabilities = self.probabilities
        return progress.moved(best_predicted=self._session.predicted)

    def _validated(
        self, source: Source[Any], epoch: int, following: EpochPlan | None, callbacks: keras.callbacks.CallbackList
    ) -> dict[str, float] | None:
        self._begin()
        callbacks.on_test_begin()
        trained = tensors_of(self._session.evaluate_step.variables)
        epoch_plan = self._epoch_plans.validation(epoch)
        tally = self._session.fresh_tally(keeps_outputs=self._keeps_outputs(epoch_plan.count))
        self._session.results_of(trained)  # a checkpoint from inside the validation holds the training's metrics
        seen: list[NDArray[np.int64]] = []
        for step, batch in enumerate(source.batches(epoch_plan, following)):
            if len(batch.samples):
                seen.append(batch.samples)
                callbacks.on_test_batch_begin(step)
                source.evaluate(batch, self._targets.labels(batch.samples), tally)
                are_read = callbacks is self._callbacks.list and self._callbacks.read_test_logs
                callbacks.on_test_batch_end(step, self._so_far(tally, trained) if are_read else None)
            self._after_batch(batch.skipped)
        if not seen:  # a loss of nothing is 0, and no epoch would ever be better
            return None
        results = self._session.results_of(tally.values)
        if tally.outputs:
            outputs = np.concatenate([keras.ops.convert_to_numpy(part) for part in tally.outputs])
            found = probabilities_of(outputs, self._session.built.outputs)
            self.probabilities = in_place(found, np.concatenate(seen) - epoch_plan.first, epoch_plan.count)
        self.weights = self._callbacks.weights_in_validation()
        callbacks.on_test_end(results)
        return results

    def _so_far(self, tally: Tally, trained: list[tf.Tensor]) -> dict[str, float]:
        """The metrics of the batches so far; after it the metrics are those of the training again."""
        results = self._session.results_of(tally.values)
        self._session.results_of(trained)
        return results

    def _keeps_outputs(self, images: int) -> bool:
        return images * class_count(self._session.built.model, self._session.built.outputs) <= MOST_VALUES

    def _begin(self) -> None:
        self._events.phase(Phase.VALIDATE)
        self._events.pause()
