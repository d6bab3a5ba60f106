"""The search for a size that fits, where only some sizes matter: the largest of interest, or a half of it, and so on.

It is for a stage whose batch is small. The sizes are those that an out-of-memory in the step would come to, and each
trial has a process of its own, so that the first that fits is the answer: mostly the very first.
"""

from __future__ import annotations

from autofit.config.batch_schedule import shrink
from autofit.probing.search import BatchSearch, NextTrial


class HalvingSearch(BatchSearch):
    """The same ask/tell search as `BatchSearch`, from above."""

    def ask(self) -> NextTrial | None:
        """The largest size of interest, then half of what failed; None once a size fits, or one image did not."""
        evidence = self._evidence
        if evidence.answer:
            return None
        if not evidence.failed_sizes:
            return NextTrial(evidence.max_batch, fresh=True)
        smallest = min(evidence.failed_sizes)
        return NextTrial(shrink(smallest), fresh=True) if smallest > 1 else None
