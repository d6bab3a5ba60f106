"""Which other programs have taken the host's memory since a moment: those that began after it and are large."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import psutil

from autofit.machine.cgroups import PROC, read_text
from autofit.machine.gpu_others import own_pids
from autofit.printable import one_line


@dataclass(frozen=True, slots=True)
class HostProcess:
    """A process on this machine, and the memory that it has resident."""

    pid: int
    name: str
    resident_bytes: int


def begun_since(known: Collection[int], least_bytes: int, *, in_our_group: bool = False) -> list[HostProcess]:
    """The processes of at least so many bytes that have begun since, the largest first; none of our own.

    A container shows its own processes only.

    Args:
        known: the numbers of all processes at that moment (`psutil.pids()`).
        least_bytes: of resident memory.
        in_our_group: only those in the cgroups of this process: no other can have taken what a cgroup limits.
    """
    found: list[HostProcess] = []
    ours = read_text(PROC / "self" / "cgroup")
    for pid in set(psutil.pids()) - set(known) - own_pids():
        if in_our_group and read_text(PROC / str(pid) / "cgroup") != ours:
            continue
        try:
            process = psutil.Process(pid)
            one = HostProcess(pid, one_line(process.name()), process.memory_info().rss)
        except (psutil.Error, OSError):  # it has ended, or is not ours to look at
            continue
        if one.resident_bytes >= least_bytes:
            found.append(one)
    return sorted(found, key=lambda process: -process.resident_bytes)
