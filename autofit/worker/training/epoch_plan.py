"""Plans which samples a pass over the data visits, in which order and in which batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from autofit.config.batch_schedule import BatchSchedule, batch_bounds
from autofit.dataset import ImageIndex
from autofit.input.batch_loader import Group
from autofit.input.epoch_order import epoch_order
from autofit.protocol.job import TrainingPlan, TrainJob
from autofit.storage.run_directory import RunDirectory


def index_of(work: TrainJob, files: RunDirectory) -> ImageIndex:
    """The images of a stage: a refit trains on those for validation too."""
    index = ImageIndex.read_csv(files.samples, work.data_root, tuple(work.class_names))
    return index.without_validation() if work.stage == "refit" else index


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """The batches of one pass over samples: an epoch of the training, a part of one, or a validation.

    Attributes:
        first: the first of the samples.
        count: the number of samples.
        batch_size: samples a batch; the last batch may have fewer.
        order: (seed, epoch) of the order; None for the order of the index.
        position: the position in the order at which the pass begins.
        end: the position at which it ends; None for the end of the order.
    """

    first: int
    count: int
    batch_size: int
    order: tuple[int, int] | None = None
    position: int = 0
    end: int | None = None

    def bounds(self) -> list[tuple[int, int]]:
        """The `(start, stop)` of each batch in the order."""
        return list(batch_bounds(self.count if self.end is None else self.end, self.batch_size, self.position))

    @property
    def epoch(self) -> int | None:
        """The epoch whose order the pass has; None for the validation."""
        return self.order[1] if self.order else None

    def groups(self) -> Iterator[Group]:
        """The samples of each batch."""
        order = np.arange(self.count) if self.order is None else epoch_order(self.count, *self.order)
        return (self.first + order[start:stop] for start, stop in self.bounds())


class EpochPlans:
    """The passes of a training, one after another.

    Args:
        index: the images; those for training come first.
        plan: epochs, batch sizes and seed.
        recalibrates: whether BatchNormalization is recalibrated before each validation.
    """

    def __init__(self, index: ImageIndex, plan: TrainingPlan, *, recalibrates: bool = False) -> None:
        self._train_count, self._validation_count = index.train_count, index.validation_count
        self._epochs, self._seed = plan.epochs, plan.seed
        self._recalibration_images = plan.recalibration_images if recalibrates else 0
        self._schedule = BatchSchedule(plan.first_batch_size, plan.last_batch_size, plan.epochs)

    def training(self, epoch: int, position: int = 0) -> EpochPlan:
        """An epoch of the training, from a position in its order on."""
        return EpochPlan(0, self._train_count, self._schedule.batch_size(epoch), (self._seed, epoch), position)

    def recalibration(self, epoch: int) -> EpochPlan | None:
        """A pass over the first images of an epoch, in whole batches; None without a recalibration."""
        if not self._recalibration_images:
            return None
        whole = self.training(epoch)
        images = min(self._recalibration_images, self._train_count)
        return replace(whole, end=images // whole.batch_size * whole.batch_size or images)

    def validation(self, epoch: int) -> EpochPlan:
        """The validation after an epoch."""
        return EpochPlan(self._train_count, self._validation_count, self._schedule.batch_size(epoch))

    def after_training(self, epoch: int) -> EpochPlan | None:
        """The pass that follows the training of an epoch; None after the last."""
        return self.recalibration(epoch) or self.after_recalibration(epoch)

    def after_recalibration(self, epoch: int) -> EpochPlan | None:
        """The pass that follows the recalibration after an epoch; None after the last."""
        return self.validation(epoch) if self._validation_count else self.after_validation(epoch)

    def after_validation(self, epoch: int) -> EpochPlan | None:
        """The pass that follows the validation of an epoch; None after the last."""
        return self.training(epoch + 1) if epoch + 1 < self._epochs else None
