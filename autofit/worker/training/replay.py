"""What a replay takes from the run that it repeats: the micro-batch sizes, and the last step."""

from __future__ import annotations

from pathlib import Path

from autofit.protocol.job import TrainingPlan
from autofit.worker.training.audit_log import read_micro_batch_sizes
from autofit.worker.training.train_state import TrainingProgress


class Replay:
    """Reads the audit log of the run that a plan names; without one nothing is repeated.

    Raises:
        UserError: the log cannot be read.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self._sizes = read_micro_batch_sizes(Path(plan.replay)) if plan.replay else {}
        self._ends_with_ledger = plan.ends_with_ledger

    def __bool__(self) -> bool:
        return bool(self._sizes)

    def size(self, progress: TrainingProgress, otherwise: int) -> int:
        """The micro-batch size of the next step, if the run made that step."""
        return self._sizes.get((progress.epoch, progress.step), otherwise)

    def is_over(self, progress: TrainingProgress) -> bool:
        """Whether the run ended before the next step because its time was up; always false without a time budget."""
        return self._ends_with_ledger and (progress.epoch, progress.step) not in self._sizes
