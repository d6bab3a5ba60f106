"""How much of a GPU's memory other processes hold, read again and again while something is measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence

import psutil

from autofit.machine.nvml import GpuProcess, gpu_processes


def bytes_of_others(processes: Sequence[GpuProcess], own: Collection[int], known: Collection[int]) -> int:
    """The bytes that others hold.

    In a container the driver may number processes as the host does. Only if it names one of our own by the number that
    we know are all the rest others; else those are that were there before ours began.

    Args:
        processes: all on the GPU.
        own: the numbers of this process and its descendants.
        known: the numbers of the others, as the driver gave them before any of ours used the GPU.
    """
    same_numbers = any(process.pid in own for process in processes)
    others = [p for p in processes if (p.pid not in own if same_numbers else p.pid in known)]
    return sum(process.bytes or 0 for process in others)


def others_reader(known: Sequence[GpuProcess]) -> Callable[[], int]:
    """A function that asks the driver how much memory others hold now, in bytes; 0 where it does not say."""
    pids = {process.pid for process in known}
    return lambda: bytes_of_others(gpu_processes(), own_pids(), pids)


def own_pids() -> set[int]:
    """The numbers of this process and its descendants."""
    return {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
