"""Which batch to train with: the fastest, which is rarely the largest.

Frozen MobileNetV2 at 160 px on two cores ran 149 images/s at batch 32 and 120 at 256.
"""

from __future__ import annotations

from collections.abc import Sequence

from autofit.process.messages import Trial, Verdict

AS_FAST_AS_THE_BEST = 0.95  # closer than two timings of one size; the smaller batch leaves more memory free


def recommended_batch(trials: Sequence[Trial]) -> int:
    """The smallest batch within 5 % of the best images/s among the trials that fit; 0 where none fits."""
    fitting = [trial for trial in trials if trial.verdict is Verdict.FITS]
    best = max((trial.images_per_second for trial in fitting), default=0.0)
    fast = [t.batch_size for t in fitting if t.images_per_second >= AS_FAST_AS_THE_BEST * best]
    return min(fast, default=0)
