"""The memory that a run took over time, from the heartbeats of its attempts: a bounded number of samples."""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from autofit.protocol.job import Job
from autofit.protocol.messages import OUT_OF_MEMORY, OomEvent, Progress
from autofit.runs.collect_result import records_in
from autofit.runs.result_record import ResultRecord
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from autofit.storage.safe_files import open_plain

MOST_POINTS = 500
MOST_ATTEMPTS = 50
"""The number of attempts, the newest ones, whose memory is shown."""

WHOLE_BYTES = 2**20
"""A heartbeat file up to this size, which is an hour and a half, is read whole. Of a larger one, parts are read."""

MOST_SECONDS = 1e10
"""The largest time that is believed, 300 years: the file may come from an untrusted source."""

WINDOWS, WINDOW_BYTES = 256, 2**12
"""The number and the size of the parts that are read of a large file, spread evenly over it."""


class MemoryPoint(NamedTuple):
    """The bytes that were in use: by tensors on the device, and resident in the worker and its children.

    `seconds` is the time for which workers had run, without the time between two attempts.
    """

    seconds: float
    host_bytes: int
    device_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryHistory:
    """The memory of a run over time.

    Attributes:
        points: at most `MOST_POINTS` samples, by time; of several close samples the one with the most memory.
        restarts: when the attempts after the first began, in the same seconds as the points.
        out_of_memory: when memory ran out, in the same seconds.
        limit_bytes: the limit of the last attempt; 0 if unknown.
        device: the device. On a CPU the limit is one of resident memory, on a GPU one of tensors.
        stage_seconds: the name of each stage and the time for which it ran, with the extraction of its features.
    """

    points: tuple[MemoryPoint, ...] = ()
    restarts: tuple[float, ...] = ()
    out_of_memory: tuple[float, ...] = ()
    limit_bytes: int = 0
    device: Literal["cpu", "gpu"] = "cpu"
    stage_seconds: tuple[tuple[str, float], ...] = ()


def memory_history(files: RunDirectory, result: ResultRecord) -> MemoryHistory:
    """Read the heartbeats of a run; what cannot be read, or is no heartbeat, is left out."""
    attempts = files.attempts()
    verdicts = [attempt.verdict for attempt in result.attempts]
    points: list[MemoryPoint] = []
    restarts: list[float] = []
    marks: list[float] = []
    spent: defaultdict[str, float] = defaultdict(float)
    shown = list(enumerate(attempts))[-MOST_ATTEMPTS:]
    begin = 0.0
    for place, attempt in shown:
        lines = _lines(attempt.progress)
        if not lines:
            continue
        first, last = lines[0].monotonic_seconds, lines[-1].monotonic_seconds
        timed = [(begin + line.monotonic_seconds - first, line) for line in lines]
        restarts += [begin] if begin else []
        points += _thinned(_points(timed), MOST_POINTS // len(shown))
        number = int(attempt.path.name)
        marks += _marks([event for event in result.oom_events if event.attempt == number], timed)
        begin += last - first
        marks += [begin] if verdicts[place : place + 1] and verdicts[place] in OUT_OF_MEMORY else []
        _add_stages(spent, lines)
    limit, device = _limit([attempt for _, attempt in shown])
    return MemoryHistory(tuple(points), tuple(restarts), tuple(marks), limit, device, tuple(spent.items()))


def _lines(path: Path) -> list[Progress]:
    """The heartbeats of an attempt, by time; of a long attempt only some, evenly spread."""
    try:
        with open_plain(path, follow_links=False) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size <= WHOLE_BYTES:
                return _by_time(records_in(stream.read(WHOLE_BYTES), Progress))
            lines: list[Progress] = []
            for window in range(WINDOWS):
                offset = window * (size - WINDOW_BYTES) // (WINDOWS - 1)
                stream.seek(offset)
                text = stream.read(WINDOW_BYTES)
                lines += records_in(text if not offset else text.partition(b"\n")[2], Progress)
            return _by_time(lines)
    except OSError:  # it does not exist, or is no regular file
        return []


def _by_time(lines: Iterable[Progress]) -> list[Progress]:
    timed = (line for line in lines if 0 < line.monotonic_seconds < MOST_SECONDS)
    return sorted(timed, key=lambda line: line.monotonic_seconds)


def _points(timed: Iterable[tuple[float, Progress]]) -> list[MemoryPoint]:
    return [MemoryPoint(seconds, line.host_bytes, line.device_bytes) for seconds, line in timed if line.host_bytes > 0]


def _thinned(points: Sequence[MemoryPoint], most: int) -> list[MemoryPoint]:
    """At most `most` points: of each group of neighbours, the one with the most memory."""
    width = -(-len(points) // max(most, 1)) or 1
    runs = (points[start : start + width] for start in range(0, len(points), width))
    return [max(run, key=lambda point: (point.device_bytes, point.host_bytes)) for run in runs]


def _marks(events: Iterable[OomEvent], timed: Sequence[tuple[float, Progress]]) -> list[float]:
    """When the out-of-memories of an attempt happened: when it first had the smaller micro-batch of the event."""
    found: list[float] = []
    for event in events:
        after = (seconds for seconds, line in timed if 0 < line.micro_batch_size <= event.micro_batch_size_after)
        found.append(next(after, timed[-1][0]))
    return found


def _add_stages(spent: defaultdict[str, float], lines: Sequence[Progress]) -> None:
    """Add the time from each heartbeat to the next to the stage of the later one."""
    for line, following in itertools.pairwise(lines):
        spent[following.stage] += following.monotonic_seconds - line.monotonic_seconds


def _limit(attempts: Sequence[AttemptDirectory]) -> tuple[int, Literal["cpu", "gpu"]]:
    for attempt in reversed(attempts):
        if (job := Job.load_or_none(attempt.job)) is not None:
            return job.memory.limit_bytes, job.memory.device
    return 0, "cpu"
