"""The search that measures only the line of memory, and no limit: a few small sizes in one process, for an estimate."""

from __future__ import annotations

from autofit.probing.search import GROWTH, SAFE_SHARE, BatchSearch, NextTrial

MOST_IMAGES = 128
"""The largest size. The peaks of some networks grow less than linearly from somewhere between 64 and 128 images on, as
those of MobileNetV2."""

ENOUGH_SIZES = 3
LONG_STEP_SECONDS = 4.0
"""After `ENOUGH_SIZES`, a size whose step would take longer than this is not tried: a trial runs some five steps."""


class LineSearch(BatchSearch):
    """The same ask/tell search as `BatchSearch`, for 4, 16, 32, 64 and 128 images, as far as this machine has room."""

    _used_may_fail = False  # if the process has no room for a further size, the line is known well enough

    def ask(self) -> NextTrial | None:
        """The next size; None once the line is known as well as small sizes can tell."""
        evidence = self._evidence
        fits = evidence.largest_fitting
        if not fits:
            return None if 1 in evidence.failed_sizes else self._begin()
        if evidence.failed_sizes:
            return NextTrial(2, fresh=True) if fits == 1 and evidence.ceiling > 1 else None
        size = self._second_size(GROWTH) if evidence.line is None else 2 * fits
        return NextTrial(size, fresh=False) if size <= MOST_IMAGES and self._is_affordable(size) else None

    def _is_affordable(self, size: int) -> bool:
        """Whether a size fits here by the line so far and, once there are enough sizes, does not take too long."""
        evidence, line = self._evidence, self._evidence.line
        if line is None:
            return True
        if line.predict(size) > SAFE_SHARE * evidence.limit_bytes:
            return False
        slowest = max(trial.step_seconds / trial.batch_size for trial in evidence.fitting)
        return len(evidence.points) < ENOUGH_SIZES or slowest * size < LONG_STEP_SECONDS
