"""The search for a size that fits among a few: the largest of interest, a half of it, a quarter, and so on.

It is for a stage whose batch is small. Its sizes are those that the training would use after out-of-memories in a step.
Each trial has a fresh process, so the first size that fits is the answer; mostly that is the very first.
"""

from __future__ import annotations

from autofit.config.batch_schedule import shrink
from autofit.probing.search import BatchSearch, NextTrial


class HalvingSearch(BatchSearch):
    """The same ask/tell search as `BatchSearch`, from the largest size down."""

    def ask(self) -> NextTrial | None:
        """The largest size of interest, then half of what failed; None once a size has fitted, or one image has not."""
        evidence = self._evidence
        if evidence.answer:
            return None
        if not evidence.failed_sizes:
            return NextTrial(evidence.max_batch, fresh=True)
        smallest = min(evidence.failed_sizes)
        return NextTrial(shrink(smallest), fresh=True) if smallest > 1 else None
