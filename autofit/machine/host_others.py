"""Other programs that may have taken the host's memory: how much, and large ones that were started since."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

import psutil

from autofit.machine.cgroups import PROC, MemoryLeft, memory_left_reader, read_text
from autofit.machine.gpu_others import own_pids
from autofit.printable import one_line

MUCH_BYTES = 500 * 10**6
"""What is free changes from moment to moment; from this amount on another program has taken it."""


@dataclass(frozen=True, slots=True)
class HostProcess:
    """A process on this machine, and the memory that it has resident."""

    pid: int
    name: str
    resident_bytes: int


def begun_since(known: Collection[int], least_bytes: int, *, in_our_group: bool = False) -> list[HostProcess]:
    """The large processes that were started since a given moment, the largest first, without our own.

    In a container only its own processes can be seen.

    Args:
        known: the ids of all processes at that moment (`psutil.pids()`).
        least_bytes: the resident memory from which a process counts as large.
        in_our_group: whether only processes in this process's cgroups count: no others take memory that a cgroup
            limits.
    """
    found: list[HostProcess] = []
    ours = read_text(PROC / "self" / "cgroup")
    for pid in set(psutil.pids()) - set(known) - own_pids():
        if in_our_group and read_text(PROC / str(pid) / "cgroup") != ours:
            continue
        try:
            process = psutil.Process(pid)
            one = HostProcess(pid, one_line(process.name()), process.memory_info().rss)
        except (psutil.Error, OSError):  # it has ended, or this user may not see it
            continue
        if one.resident_bytes >= least_bytes:
            found.append(one)
    return sorted(found, key=lambda process: -process.resident_bytes)


def taken_reader(available_bytes: int, left: Callable[[], MemoryLeft] | None = None) -> Callable[[], int]:
    """Make a function that tells how much of the memory other programs have taken since; 0 if it is little.

    Args:
        available_bytes: the host's memory that is free at this moment.
        left: reads what is left of it; by default that of this machine.
    """
    read_left, had = left or memory_left_reader(), _held_by_us()

    def read() -> int:
        taken = available_bytes + had - read_left().bytes - _held_by_us()
        return taken if taken >= MUCH_BYTES else 0

    return read


def _held_by_us() -> int:
    """The resident memory of this process and its descendants, in bytes; what they share counts for each."""
    held = 0
    for pid in own_pids():
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            held += psutil.Process(pid).memory_info().rss
    return held
