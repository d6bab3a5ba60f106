"""Decides when a training commits its progress, writes the checkpoints, and begins from the newest one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from autofit.errors import TrainingFailedError
from autofit.protocol.job import TrainingPlan
from autofit.protocol.messages import LATER_STAGES, StageName
from autofit.storage.checkpoints import Checkpoint, CheckpointStore
from autofit.worker.model.finite_weights import first_not_finite
from autofit.worker.training.best_model import as_built, is_unseen
from autofit.worker.training.train_state import TrainState
from autofit.worker.training.training_progress import TrainingProgress

OnDamaged = Callable[[str, bool], None]
"""Called with the name of a checkpoint that cannot be used, and whether another one is used in its place."""


class CommitRequests(Protocol):
    """Tells whether somebody wants a checkpoint now."""

    def take_commit(self) -> bool:
        """Whether one was asked for, since the last call."""


class Commits:
    """The checkpoints of one attempt: it begins with the newest one, and writes new ones.

    Args:
        store: where the checkpoints are.
        state: the arrays that a checkpoint holds.
        plan: how often to commit, in seconds or in steps.
        requests: tells whether somebody asks for a checkpoint besides those of the plan; None if nobody can.
        clock: in seconds.

    Attributes:
        newest: the checkpoint that the attempt begins with; None if there is none, or after `release_newest`.
        progress: the progress of that checkpoint; None likewise.
    """

    def __init__(
        self,
        store: CheckpointStore,
        state: TrainState,
        plan: TrainingPlan,
        requests: CommitRequests | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._state, self._plan, self._clock = store, state, plan, clock
        self._requests = requests
        self.newest: Checkpoint | None = store.latest(state.most_checkpoint_bytes())
        self.progress = TrainingProgress.model_validate(self.newest.state) if self.newest else None
        self._last = clock()
        self._steps = 0

    def begin(
        self,
        stage: StageName,
        micro_batch_size: int,
        on_damaged: OnDamaged,
        after: StageName | None = None,
        *,
        is_timed: bool = False,
    ) -> TrainingProgress:
        """Set the model to the newest checkpoint; returns its progress, with the micro-batch that the attempt may use.

        Args:
            stage: of the attempt. It begins with the head of the stage before, if the checkpoint is of that one.
            micro_batch_size: samples on the device at once.
            on_damaged: called with the name of each checkpoint that could not be used, and whether another one is.
            after: the stage before; None if any will do.
            is_timed: whether a time budget ends the stage, or that of a run that is replayed.

        Raises:
            TrainingFailedError: the stage needs a checkpoint from the end of the stage before, and that is damaged.
        """
        self._state.damaged = first_not_finite(self._state.changeable)
        size, checkpoint, progress = micro_batch_size, self.newest, self.progress
        if checkpoint is None or progress is None:
            for name in self._store.all_damaged:
                on_damaged(name, False)
            if stage in LATER_STAGES:
                raise TrainingFailedError("no checkpoint of the stage before can be used: resume to train it again")
            return TrainingProgress(stage=stage, micro_batch_size=size, validation_micro_batch_size=size)
        for name in checkpoint.set_aside:
            on_damaged(name, True)
        if stage in LATER_STAGES and progress.stage != stage and _ended(progress, after) is None:
            raise TrainingFailedError(
                "the checkpoint from the end of the stage before cannot be used: resume to go on from an earlier one"
            )
        keeps_before = is_unseen(stage, progress)
        if progress.stages and progress.stage != stage:
            self._state.begin_stage(checkpoint, stage, progress.stages, progress.frozen_sha256)
            self._state.before = self._state.best if keeps_before else {}
            self.release_newest()
            return progress.in_stage(stage).moved(micro_batch_size=size, validation_micro_batch_size=size)
        if keeps_before:
            self._state.before = as_built(self._state, checkpoint.groups.get("head", {}))
        self.restore()
        validation_size = min(progress.validation_micro_batch_size, size)
        sizes = {"micro_batch_size": size, "validation_micro_batch_size": validation_size}
        now = progress.planned_anew(self._plan.epochs, is_timed=is_timed).moved(**sizes)
        if len(now.stages) > len(progress.stages):
            self.save(now)  # no epoch follows, at whose end the stage would be recorded as finished
        return now

    def restore(self) -> None:
        """Set the model, the optimizer and the metrics to the newest checkpoint, if there is one.

        Raises:
            TrainingFailedError: it belongs to another network, or the frozen backbone was built with other weights.
        """
        if self.newest is not None and self.progress is not None:
            self._state.restore(self.newest, self.progress)

    def release_newest(self) -> None:
        """Free the arrays of the checkpoint that the attempt began with, which take as much memory as the state."""
        self.newest = None

    def note_step(self) -> None:
        """Count a batch that the newest checkpoint does not hold."""
        self._steps += 1

    @property
    def is_due(self) -> bool:
        """Whether the plan or a person asks for a checkpoint now."""
        seconds, steps = self._plan.checkpoint_seconds, self._plan.checkpoint_steps
        return (
            (self._requests is not None and self._requests.take_commit())
            or (steps is not None and self._steps >= steps)
            or (seconds is not None and self._clock() - self._last >= seconds)
        )

    @property
    def is_behind(self) -> bool:
        """Whether there are batches that the newest checkpoint does not hold."""
        return self._steps > 0

    def save(self, progress: TrainingProgress) -> None:
        """Write a checkpoint of the state and this progress.

        Raises:
            OSError: it cannot be written; the checkpoint before it stays.
        """
        self._store.save(self._state.groups(), progress.model_dump(mode="json"))
        self._last, self._steps = self._clock(), 0


def _ended(progress: TrainingProgress, wanted: StageName | None) -> StageName | None:
    """The stage that has ended with this progress, if it is the one that is wanted."""
    ended = progress.stages[-1].name if progress.stages else None
    return ended if ended == progress.stage and wanted in {None, ended} else None
