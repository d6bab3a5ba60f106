"""What a replay takes from the run that it repeats: the micro-batch sizes, and the last step."""

from __future__ import annotations

from pathlib import Path

from autofit.protocol.job import TrainingPlan
from autofit.protocol.messages import StageName
from autofit.worker.training.audit_log import read_micro_batch_sizes
from autofit.worker.training.training_progress import TrainingProgress


class Replay:
    """Reads the audit log of the run that a plan names, for one stage; without one nothing is repeated.

    Raises:
        UserError: the log cannot be read.
    """

    def __init__(self, plan: TrainingPlan, stage: StageName) -> None:
        sizes = read_micro_batch_sizes(Path(plan.replay)) if plan.replay else {}
        self._sizes = {(_alone_or_not(named), epoch, step): size for (named, epoch, step), size in sizes.items()}
        self._stage = _alone_or_not(stage) if any(named for named, _, _ in self._sizes) else ""
        self._ends_with_ledger = plan.ends_with_ledger

    def __bool__(self) -> bool:
        return bool(self._sizes)

    def size(self, progress: TrainingProgress, otherwise: int) -> int:
        """The micro-batch size of the next step, if the run made that step."""
        return self._sizes.get(self._next_step(progress), otherwise)

    def is_over(self, progress: TrainingProgress) -> bool:
        """Whether the run ended before the next step because its time was up; always false without a time budget."""
        return self._ends_with_ledger and self._next_step(progress) not in self._sizes

    def _next_step(self, progress: TrainingProgress) -> tuple[str, int, int]:
        return self._stage, progress.epoch, progress.step


def _alone_or_not(stage: str) -> str:
    """One name for a first stage: a head whose fine-tuning was left out is `training` in the replay."""
    return "training" if stage == "head" else stage
