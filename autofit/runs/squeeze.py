"""What is done where another program took memory of the GPU or the host in the middle of a run. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from autofit.machine.memory_policy import usable_bytes, usable_gpu_bytes
from autofit.probing.gpu_search import headroom_bytes
from autofit.probing.memory_model import MAX_RELATIVE_ERROR
from autofit.probing.records import ProbeReport


@dataclass(frozen=True, slots=True)
class Squeeze:
    """Another program has taken memory.

    Attributes:
        words: who took how much.
        limit_bytes: what a worker may take of what is free now.
        size: the most images at once that this holds, by what the probe has measured; None if it says nothing.
    """

    words: str
    limit_bytes: int
    size: int | None = None


def squeeze(words: str, free_bytes: int, limit_bytes: int, probe: ProbeReport | None) -> Squeeze:
    """What is left of the GPU, and for how many images.

    Args:
        words: who took how much.
        free_bytes: of the device, now that no worker runs.
        limit_bytes: what a worker might take until now.
        probe: of the stage; None without one.
    """
    left = min(limit_bytes, usable_gpu_bytes(free_bytes))
    return Squeeze(words, left, _size_within(left, headroom_bytes(left), probe) if probe else None)


def host_squeeze(words: str, available_bytes: int, limit_bytes: int, probe: ProbeReport | None) -> Squeeze | None:
    """What is left of the host's memory, and for how many images; None if it is no less than a worker might take.

    The limit stays: a worker looks itself, when it starts, how much of it the host has (`tf_settings.py`), and finds
    more again when the others have ended.

    Args:
        words: who took how much.
        available_bytes: of the host, now that no worker runs.
        limit_bytes: what a worker might take until now.
        probe: of the stage; None without one.
    """
    left = usable_bytes(available_bytes)
    if left >= limit_bytes:
        return None
    return Squeeze(words, limit_bytes, _size_within(left, probe.headroom_bytes, probe) if probe else None)


def _size_within(limit_bytes: int, headroom_bytes: float, probe: ProbeReport) -> int | None:
    """The most images at once below a limit by the probe's line, with the headroom that a training keeps.

    A line through a single size is none, and counts all bytes as images: then no more is said than at that size.
    """
    line = probe.memory_model
    if line is None or line.bytes_per_image <= 0 or line.max_relative_error > MAX_RELATIVE_ERROR:
        return None
    room = limit_bytes - headroom_bytes - line.base_bytes
    return max(1, min(probe.largest_feasible_batch, int(room // line.bytes_per_image)))
