"""The memory limit and the sizes after another program took memory of the GPU or the host during a run. Pure."""

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
        words: which program took how much.
        limit_bytes: the memory that a worker may take from now on.
        size: the largest micro-batch that fits now, by the probe's measurements; None if these do not tell.
    """

    words: str
    limit_bytes: int
    size: int | None = None


def squeeze(
    words: str, free_bytes: int, limit_bytes: int, probe: ProbeReport | None, compute_major: int | None
) -> Squeeze:
    """What is left of a GPU's memory, and how many images fit.

    Args:
        words: which program took how much.
        free_bytes: the free memory of the device, while no worker runs.
        limit_bytes: the memory that a worker could take until now.
        probe: the report of the stage's probe; None if there was none.
        compute_major: the major version of the device's compute capability; None if it is unknown.
    """
    left = min(limit_bytes, usable_gpu_bytes(free_bytes, compute_major))
    return Squeeze(words, left, _size_within(left, headroom_bytes(left), probe) if probe else None)


def host_squeeze(words: str, available_bytes: int, limit_bytes: int, probe: ProbeReport | None) -> Squeeze | None:
    """What is left of the host's memory, and how many images fit; None if there is still enough for a worker's limit.

    The limit stays as it is: when a worker starts, it determines itself how much of its limit the host has free
    (`tf_settings.py`), and finds more again after the other programs have ended.

    Args:
        words: which program took how much.
        available_bytes: the available memory of the host, while no worker runs.
        limit_bytes: the memory that a worker could take until now.
        probe: the report of the stage's probe; None if there was none.
    """
    left = usable_bytes(available_bytes)
    if left >= limit_bytes:
        return None
    return Squeeze(words, limit_bytes, _size_within(left, probe.headroom_bytes, probe) if probe else None)


def _size_within(limit_bytes: int, headroom_bytes: float, probe: ProbeReport) -> int | None:
    """The largest micro-batch below a limit by the probe's line, with the headroom left free; at least 1.

    None if the line does not tell. It is never more than the probe's largest feasible batch.
    """
    line = probe.memory_model
    if line is None or line.bytes_per_image <= 0 or line.max_relative_error > MAX_RELATIVE_ERROR:
        return None
    room = limit_bytes - headroom_bytes - line.base_bytes
    return max(1, min(probe.largest_feasible_batch, int(room // line.bytes_per_image)))
