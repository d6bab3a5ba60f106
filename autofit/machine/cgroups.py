"""The memory and processor limits of the cgroups that this process is in, versions 1 and 2.

psutil reports the whole host. In a container, a batch job or a notebook service, the limit at which the kernel kills a
process is the smallest one along the process's own cgroup path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import psutil

from autofit.errors import UserError
from autofit.storage.system_errors import explained

PROC = Path("/proc")
CGROUP_ROOT = Path("/sys/fs/cgroup")
HOST_MEMORY = "host memory"
"""The words for the limit of a process whose memory no cgroup limits."""

CGROUP_LIMIT = "cgroup limit"
"""The words before the name of a cgroup whose limit applies."""


@dataclass(frozen=True, slots=True)
class MemoryLeft:
    """The memory that this process can still get before the kernel kills it.

    Attributes:
        bytes: how much.
        of: the words for the limit that is nearest.
        share: the least share that is left of any of the limits.
    """

    bytes: int
    of: str
    share: float = field(default=1.0, compare=False)


def memory_left_reader(*, proc: Path = PROC, cgroup_root: Path = CGROUP_ROOT) -> Callable[[], MemoryLeft]:
    """Make a function that reads how much host memory is left: the minimum over the machine and each cgroup.

    The function is called several times a second, so the cgroups are found once; their limits, which may change, are
    read each time. A call takes 0.1 ms if no cgroup has a limit, and 0.1 ms more for each that has one. Swap does not
    count: a training that swaps is slower than one with smaller batches.
    """
    cgroups = list(cgroups_of_process(proc, cgroup_root, "memory"))

    def read() -> MemoryLeft:
        bounds = list(memory_bounds(cgroups))
        nearest = min(bounds, key=lambda one: one.left_bytes)
        share = min(max(one.left_bytes, 0) / max(one.limit_bytes, 1) for one in bounds)
        return MemoryLeft(max(nearest.left_bytes, 0), nearest.whose, share)

    return read


def oom_kills(*, proc: Path = PROC, cgroup_root: Path = CGROUP_ROOT) -> int | None:
    """How often the kernel's OOM killer has killed a process in this process's cgroup; None if that is not counted."""
    return oom_kill_counter(proc=proc, cgroup_root=cgroup_root)()


def oom_kill_counter(
    pid: int | None = None, *, proc: Path = PROC, cgroup_root: Path = CGROUP_ROOT
) -> Callable[[], int | None]:
    """Make a function that reads how often the kernel's OOM killer has killed in the cgroup of process `pid`.

    The function returns None if the kernel does not count. The kernel counts a kill in the victim's own cgroup,
    whichever cgroup's limit was hit, and in version 2 in the cgroups above it as well. The cgroup is found now, so that
    it can be read after the process has ended. Without `pid`, it is that of this process.
    """
    for cgroup in cgroups_of_process(proc, cgroup_root, "memory", "self" if pid is None else str(pid)):
        counts = cgroup.folder / ("memory.events" if cgroup.v2 else "memory.oom_control")
        if "oom_kill" in _fields(counts):
            return lambda: _fields(counts).get("oom_kill")
    return lambda: None


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A cgroup that contains this process. `name` is its path below the root."""

    folder: Path
    name: str
    v2: bool


@dataclass(frozen=True, slots=True)
class MemoryBounds:
    """A memory limit, how much is left below it, and the machine or cgroup whose limit it is, in words."""

    limit_bytes: int
    left_bytes: int
    whose: str


def memory_bounds(cgroups: Iterable[Cgroup]) -> Iterator[MemoryBounds]:
    """The bounds of the machine's memory, then of each cgroup with a lower limit.

    "No limit" is `max` in version 2, and a number beyond any machine's memory in version 1. `memory.high` is not read:
    it only slows a process down.
    """
    memory = _machine_memory()
    yield MemoryBounds(memory.total, memory.available, HOST_MEMORY)
    for cgroup in cgroups:
        limit = _number(cgroup.folder / ("memory.max" if cgroup.v2 else "memory.limit_in_bytes"))
        if limit is not None and limit < memory.total:
            yield MemoryBounds(limit, limit - _used_bytes(cgroup), f"{CGROUP_LIMIT} {cgroup.name}")


def _machine_memory() -> Any:
    """The machine's memory, as `psutil.virtual_memory` gives it.

    Raises:
        UserError: the system does not tell.
    """
    try:
        return psutil.virtual_memory()
    except OSError as error:
        raise UserError(explained(error, "/proc/meminfo cannot be read")) from error


def _used_bytes(cgroup: Cgroup) -> int:
    """The memory that a cgroup uses, in bytes, without the file cache that the kernel drops before it kills a process.

    Mapped files, such as the code of libraries, are counted as used although they are part of the file cache: a machine
    that drops these and reads them again, over and over, makes no progress.
    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
    """
    if cgroup.v2:
        usage, prefix, mapped = "memory.current", "", "file_mapped"
    else:
        usage, prefix, mapped = "memory.usage_in_bytes", "total_", "total_mapped_file"
    stat = _fields(cgroup.folder / "memory.stat")
    cache = stat.get(f"{prefix}inactive_file", 0) + stat.get(f"{prefix}active_file", 0) - stat.get(mapped, 0)
    return max((_number(cgroup.folder / usage) or 0) - max(cache, 0), 0)


def cpu_quota(cgroup: Cgroup) -> float | None:
    """How many cores a cgroup may use on average; None if it has no quota (`max` in version 2, -1 in version 1)."""
    if cgroup.v2:
        quota, _, period = read_text(cgroup.folder / "cpu.max").partition(" ")
    else:
        quota, period = (read_text(cgroup.folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    with suppress(ValueError, ZeroDivisionError):
        return int(quota) / int(period) if int(quota) > 0 else None
    return None


def cgroups_of_process(proc: Path, cgroup_root: Path, controller: str, pid: str = "self") -> Iterator[Cgroup]:
    """The cgroups that a process is in, its own first, in every hierarchy that has the controller or may have it.

    In a container the path can be the host's, which is not mounted there, or lead above the root (`/../..`): only
    folders that exist are taken, and nothing outside the root is read.
    """
    for line in read_text(proc / pid / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            bases = [cgroup_root / "unified", cgroup_root]  # hybrid, and version 2 alone
        elif controller in controllers.split(","):
            bases = [cgroup_root / controllers, cgroup_root / controller]
        else:
            continue
        base = next((base for base in bases if _is_folder(base)), cgroup_root)
        parts = [part for part in PurePosixPath(path).parts if part not in {"/", ".."}]
        for length in range(len(parts), -1, -1):
            folder = base.joinpath(*parts[:length])
            if _is_folder(folder):
                yield Cgroup(folder, "/" + "/".join(parts[:length]), v2=not controllers)


def _is_folder(path: Path) -> bool:
    """Whether there is such a folder, as far as this process may see it."""
    with suppress(OSError):
        return path.is_dir()
    return False


def read_text(path: Path) -> str:
    """A small file's text; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = read_text(path)
    return int(text) if text.isdecimal() else None


def _fields(path: Path) -> dict[str, int]:
    """The numbers in a file of lines `key number`."""
    pairs = (line.split(" ", 1) for line in read_text(path).splitlines() if " " in line)
    return {name: int(value) for name, value in pairs if value.isdecimal()}
