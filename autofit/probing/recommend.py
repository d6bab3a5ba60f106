"""Which batch to train with: the fastest, which is rarely the largest.

Frozen MobileNetV2 at 160 px on two cores ran 149 images/s at batch 32 and 120 at 256.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from autofit.process.messages import Trial, Verdict

AS_FAST_AS_THE_BEST = 0.95  # closer than two timings of one size; the smaller batch leaves more memory free
SMALLEST_SIZE_TO_TIME = 8
MOST_SIZES_TO_TIME = 3


def recommended_batch(trials: Sequence[Trial]) -> int:
    """The smallest batch within 5 % of the best images/s among the trials that fit; 0 where none fits."""
    fitting = [trial for trial in trials if trial.verdict is Verdict.FITS]
    best = max((trial.images_per_second for trial in fitting), default=0.0)
    fast = [t.batch_size for t in fitting if t.images_per_second >= AS_FAST_AS_THE_BEST * best]
    return min(fast, default=0)


def sizes_to_time(answer: int, tried: Collection[int]) -> list[int]:
    """The sizes to run after a search that found `answer`, so that the speeds of small batches are known too.

    Powers of two from 8 to the answer that were not tried, at most three, the smallest first: the search itself runs
    the large ones.
    """
    powers = (1 << exponent for exponent in range(answer.bit_length()))
    untried = [size for size in powers if SMALLEST_SIZE_TO_TIME <= size <= answer and size not in tried]
    return untried[:MOST_SIZES_TO_TIME]
