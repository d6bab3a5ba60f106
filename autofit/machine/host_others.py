"""Other programs that may have taken the host's memory: large ones that were started after a given moment."""

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
