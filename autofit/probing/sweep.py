"""In which order the probes of a sweep stand: by what the machine can do. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from autofit.probing.records import ProbeReport
from autofit.process.messages import Verdict


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
