"""Where the seconds of a probe went: process starts, first steps, steady steps, all else. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from autofit.probing.records import TimeSpent
from autofit.protocol.messages import Trial


def start_seconds(waited_seconds: float, trial: Trial) -> float:
    """The time of a process's start, by the wait for its first trial; 0 if that did not report its own time."""
    return max(0.0, waited_seconds - trial.seconds) if trial.seconds else 0.0


def time_spent(trials: Sequence[Trial], process_starts_seconds: float, wall_seconds: float) -> TimeSpent:
    """The parts of a probe's time.

    Args:
        trials: the trials that ran in this probe.
        process_starts_seconds: the time in which the probe only waited for a process to start.
        wall_seconds: the time of the whole probe.
    """
    first = sum(trial.first_steps_seconds for trial in trials)
    steady = sum(trial.steady_steps_seconds for trial in trials)
    return TimeSpent(
        process_starts_seconds=process_starts_seconds,
        first_steps_seconds=first,
        steady_steps_seconds=steady,
        other_seconds=max(0.0, wall_seconds - process_starts_seconds - first - steady),
    )
