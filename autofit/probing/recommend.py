"""The batch to train with, which is a fast one and rarely the largest; and the order of a sweep, by speed. Pure.

Frozen MobileNetV2 at 160 px on two cores ran 149 images/s at batch 32 and 120 at 256.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from autofit.probing.records import ProbeReport
from autofit.protocol.messages import Trial, Verdict

AS_FAST_AS_THE_BEST = {"cpu": 0.95, "gpu": 0.97}
"""A speed of at least this share of the best counts as equally fast: two timings of the same size differ by as much.
On a GPU they differ less, since nothing else runs there. Of equally fast batches, the smaller leaves more memory free.
"""
AS_FAST_AS_THE_NEXT = 1.15  # a size larger by at most this factor has the same images/s, even if it no longer fits


def recommended_batch(
    trials: Sequence[Trial], largest: int, *, device: Literal["cpu", "gpu"] = "cpu", keep_below_bytes: float = math.inf
) -> int:
    """The smallest batch as fast as the best: within 5 % of its images/s, on a GPU within 3 %; 0 if none fits.

    Args:
        trials: all trials, also those of a profile; only those that fit count.
        largest: the answer of the probe. If it was not timed, the speed of a slightly larger size, such as a
            profile's, counts for it.
        device: the kind of device that was timed.
        keep_below_bytes: sizes that take more memory are not recommended, unless all sizes take more.
    """
    fitting = [t for t in trials if t.verdict is Verdict.FITS and is_timed_by(min(t.batch_size, largest), t)]
    fitting = [trial for trial in fitting if trial.memory_bytes <= keep_below_bytes] or fitting
    best = max((trial.images_per_second for trial in fitting), default=0.0)
    fast = [t.batch_size for t in fitting if t.images_per_second >= AS_FAST_AS_THE_BEST[device] * best]
    return min(largest, *fast) if fast else 0


def is_timed_by(size: int, trial: Trial) -> bool:
    """Whether a trial tells how fast this size is: it ran the same size or a slightly larger one."""
    return size <= trial.batch_size <= AS_FAST_AS_THE_NEXT * size


def recommended_speed(probe: ProbeReport) -> float:
    """The images a second of the recommended batch; 0.0 if neither it nor a slightly larger size was timed."""
    return speed_of(probe.recommended_batch, probe.trials)


def speed_of(size: int, trials: Sequence[Trial]) -> float:
    """The images a second of a size; the best, if it ran more than once.

    If it was not timed, the speed of the next slightly larger size counts for it, as in `recommended_batch`. 0.0 if
    there is none.
    """
    timed = [t for t in trials if t.verdict is Verdict.FITS and t.images_per_second > 0 and is_timed_by(size, t)]
    return max(((-t.batch_size, t.images_per_second) for t in timed), default=(0, 0.0))[1]


def sweep_order(probes: Sequence[ProbeReport]) -> list[ProbeReport]:
    """The probes by the speed of their recommended batch, the fastest first; those that fit no image come last."""
    fitting = [probe for probe in probes if probe.largest_feasible_batch]
    nothing_fits = [probe for probe in probes if not probe.largest_feasible_batch]
    return [*sorted(fitting, key=recommended_speed, reverse=True), *nothing_fits]
