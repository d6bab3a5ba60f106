"""Where the seconds of a run went, by the last heartbeat of each attempt. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from autofit.protocol.messages import OomEvent, Phase, Progress
from autofit.runs.result_record import RunTimeSpent

PARTS = {
    Phase.START: "starts_seconds",
    Phase.WEIGHTS: "starts_seconds",
    Phase.BUILD: "starts_seconds",
    Phase.TRACE: "starts_seconds",
    Phase.EXTRACT: "extraction_seconds",
    Phase.SOLVE: "solving_seconds",
    Phase.TRAIN: "training_seconds",
    Phase.VALIDATE: "validation_seconds",
    Phase.SAVE: "saving_seconds",
}


def spent_seconds(line: Progress) -> float:
    """How long an attempt had run by this heartbeat, from its launch on; 0 if the heartbeat does not tell."""
    return sum(line.phase_seconds.values()) + line.first_steps_seconds


def run_time_spent(
    last_lines: Iterable[Progress], oom_events: Sequence[OomEvent], wall_seconds: float
) -> RunTimeSpent | None:
    """The parts of a run's time; None if no heartbeat has them, as in earlier versions.

    Args:
        last_lines: the last heartbeat of each attempt.
        oom_events: the out-of-memories, whose lost time is counted apart from the phase that it was lost in.
        wall_seconds: the time of the whole run.
    """
    parts: defaultdict[str, float] = defaultdict(float)
    for line in last_lines:
        if not line.phase_seconds:
            continue
        parts["first_steps_seconds"] += line.first_steps_seconds
        for phase, seconds in line.phase_seconds.items():
            parts[PARTS.get(phase, "other_seconds")] += seconds
    if not parts:
        return None
    for event in oom_events:
        part = PARTS.get(event.phase, "other_seconds")
        lost = min(max(event.seconds_lost, 0.0), parts[part])
        parts["out_of_memory_seconds"] += lost
        parts[part] -= lost
    known = sum(parts.values()) - parts["other_seconds"]
    return RunTimeSpent(**{**parts, "other_seconds": max(0.0, wall_seconds - known)})
