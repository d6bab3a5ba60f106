"""Which batch to train with: the fastest, which is rarely the largest.

Frozen MobileNetV2 at 160 px on two cores ran 149 images/s at batch 32 and 120 at 256.
"""

from __future__ import annotations

from collections.abc import Sequence

from autofit.probing.records import ProbeReport
from autofit.protocol.messages import Trial, Verdict

AS_FAST_AS_THE_BEST = 0.95  # closer than two timings of one size; the smaller batch leaves more memory free
AS_FAST_AS_THE_NEXT = 1.15  # a size that is larger by no more runs as many images/s, also where it no longer fits


def recommended_batch(trials: Sequence[Trial], largest: int) -> int:
    """The smallest batch within 5 % of the best images/s; 0 where none fits.

    Args:
        trials: those that fit are considered.
        largest: the answer of the probe. A slightly larger size that was timed, as a profile's may be, speaks for it.
    """
    fitting = [t for t in trials if t.verdict is Verdict.FITS and speaks_for(t, min(t.batch_size, largest))]
    best = max((trial.images_per_second for trial in fitting), default=0.0)
    fast = [t.batch_size for t in fitting if t.images_per_second >= AS_FAST_AS_THE_BEST * best]
    return min(largest, *fast) if fast else 0


def speaks_for(trial: Trial, size: int) -> bool:
    """Whether a trial of the same or a slightly larger size tells how fast this one is."""
    return size <= trial.batch_size <= AS_FAST_AS_THE_NEXT * size


def sweep_order(probes: Sequence[ProbeReport]) -> list[ProbeReport]:
    """The fastest at its recommended batch first; those of which not one image fits last, in the order they came."""
    fitting = [probe for probe in probes if probe.largest_feasible_batch]
    nothing = [probe for probe in probes if not probe.largest_feasible_batch]
    return [*sorted(fitting, key=recommended_speed, reverse=True), *nothing]


def recommended_speed(probe: ProbeReport) -> float:
    """Images a second at the recommended batch, the best where it ran more than once; 0.0 where it was not timed."""
    speeds = [
        trial.images_per_second
        for trial in probe.trials
        if trial.verdict is Verdict.FITS and trial.batch_size == probe.recommended_batch
    ]
    return max(speeds, default=0.0)
