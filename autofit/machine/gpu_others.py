"""How much of a GPU's memory other processes hold, which is read repeatedly during a measurement."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence

import psutil

from autofit.machine.nvml import GpuProcess, gpu_processes


def bytes_of_others(processes: Sequence[GpuProcess], own: Collection[int], known: Collection[int]) -> int:
    """The bytes that other processes hold.

    In a container the driver may report process ids of the host, in which this process cannot recognize its own. Only
    if the driver reports one of `own`, all other ids are those of other processes. Otherwise only the processes in
    `known` count.

    Args:
        processes: all processes on the GPU, as the driver reports them.
        own: the ids of this process and its descendants.
        known: the ids of the other processes, as the driver reported them before this process used the GPU.
    """
    same_numbers = any(process.pid in own for process in processes)
    others = [p for p in processes if (p.pid not in own if same_numbers else p.pid in known)]
    return sum(process.bytes or 0 for process in others)


def others_reader(known: Sequence[GpuProcess]) -> Callable[[], int]:
    """Make a function that asks the driver how many bytes other processes hold now; 0 if it does not tell."""
    pids = {process.pid for process in known}
    return lambda: bytes_of_others(gpu_processes(), own_pids(), pids)


def own_pids() -> set[int]:
    """The ids of this process and its descendants."""
    return {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
