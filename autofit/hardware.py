"""What this machine is, and which memory limit counts: NVML for the GPU, cgroups and psutil for the host.

psutil reports the whole host. In a container, a batch job or a notebook service the limit that kills is a cgroup's:
the smallest along the process's own path, in version 1, 2 or both. Nothing here imports TensorFlow or starts CUDA.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import platform
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Literal, TypeVar

import psutil

from autofit.records import Record

PROC = Path("/proc")
CGROUP_ROOT = Path("/sys/fs/cgroup")

MEMORY_STEP_BYTES = 2**28
"""So far apart may the memories of equal machines be: what the firmware and the kernel keep differs a little."""

SHARE_OF_MACHINE = 0.9
"""Where no limit is given: the share of the available host memory that a worker may take."""

LEAST_TO_LEAVE_AT_BYTES = 64 * 2**20
MOST_TO_LEAVE_AT_BYTES = 10**9
"""A commit copies what is trained, its optimizer's state and the best weights, and packs the largest of them. Measured
with Adam: next to nothing for a head, 40 to 60 MB for a whole MobileNetV2, 650 MB for a whole ResNet50."""

T = TypeVar("T")


class GpuProcess(Record):
    """Another process on the GPU. `bytes` is None where the driver does not say, as in many containers."""

    pid: int
    name: str
    bytes: int | None


class Hardware(Record):
    """One machine as one process sees it. `device_…` is the GPU that counts, or the CPU with no memory of its own."""

    device: Literal["cpu", "gpu"]
    device_name: str
    device_memory_bytes: int | None
    device_free_bytes: int | None
    other_gpu_processes: list[GpuProcess]
    driver_version: str | None
    compute_capability: str | None
    cpu_model: str
    cores: int
    host_memory_bytes: int
    host_limit_bytes: int
    host_available_bytes: int
    limited_by: str
    tensorflow_version: str | None
    keras_version: str | None
    python_version: str


def detect(
    *, inline: bool = False, proc: Path = PROC, cgroup_root: Path = CGROUP_ROOT, nvml: ModuleType | None = None
) -> Hardware:
    """Look at this machine.

    Args:
        inline: the worker will run in this very process, so what that holds of the GPU is the worker's to use. Else it
            is one of the others.
        proc: where the process file system is mounted.
        cgroup_root: where the cgroup file systems are mounted.
        nvml: what stands in for the module `pynvml`, which is else imported if a GPU may be used.
    """
    tensorflow, cpu_only = _tensorflow()
    gpu = None if cpu_only else _gpu(nvml, inline=inline)
    cpu_model = _cpu_model(proc)
    host = _host(proc, cgroup_root)
    return Hardware(
        device="gpu" if gpu else "cpu",
        device_name=gpu.name if gpu else cpu_model,
        device_memory_bytes=gpu.memory_bytes if gpu else None,
        device_free_bytes=gpu.free_bytes if gpu else None,
        other_gpu_processes=gpu.others if gpu else [],
        driver_version=gpu.driver if gpu else None,
        compute_capability=gpu.compute_capability if gpu else None,
        cpu_model=cpu_model,
        cores=_cores(proc, cgroup_root),
        host_memory_bytes=host.memory_bytes,
        host_limit_bytes=host.limit_bytes,
        host_available_bytes=host.available_bytes,
        limited_by="GPU memory" if gpu else host.limited_by,
        tensorflow_version=tensorflow,
        keras_version=installed_version("keras"),
        python_version=platform.python_version(),
    )


def fingerprint(hardware: Hardware) -> str:
    """Sixteen hexadecimal digits that two machines share if they are alike in speed and memory.

    Memory counts in steps of 256 MiB: what the firmware and the kernel keep differs a little between equal machines.
    """
    step = MEMORY_STEP_BYTES
    decisive = [
        hardware.device,
        hardware.device_name,
        round((hardware.device_memory_bytes or 0) / step),
        hardware.compute_capability,
        hardware.driver_version,
        hardware.cpu_model,
        hardware.cores,
        round(hardware.host_limit_bytes / step),
        hardware.tensorflow_version,
        hardware.keras_version,
    ]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]


def usable_bytes(available_bytes: int) -> int:
    """What a worker may take of the memory that is available, where no limit is given."""
    return int(SHARE_OF_MACHINE * available_bytes)


def bytes_to_leave_at(available_bytes: int) -> int:
    """With how little left a worker commits and leaves; `available_bytes` is what there was when it started.

    Half of what a plan leaves free: a worker that takes all it may never comes near, only growth nobody planned does.
    """
    half = (available_bytes - usable_bytes(available_bytes)) // 2
    return max(LEAST_TO_LEAVE_AT_BYTES, min(half, MOST_TO_LEAVE_AT_BYTES))


def usable_gpu_bytes(free_bytes: int) -> int:
    """What TensorFlow's allocator can get of the memory that is free on a GPU, where no limit is given; an estimate.

    It leaves the CUDA context, and up to 1.5 GiB to the system by the GPU's generation (`MinSystemMemory` in
    TensorFlow's gpu_device.cc).
    """
    return free_bytes - min(2 * 10**9, free_bytes * 12 // 100)


@dataclass(frozen=True, slots=True)
class MemoryLeft:
    """The memory that this process can still get before the kernel kills, and in a few words, whose it is."""

    bytes: int
    of: str


def memory_left_reader(*, proc: Path = PROC, cgroup_root: Path = CGROUP_ROOT) -> Callable[[], MemoryLeft]:
    """A function that reads what host memory is left: the least of the machine's and of each cgroup's on our path.

    It is called several times a second, so the path is looked up once; limits are read anew, since they may be lowered.
    A call takes 0.1 ms where no cgroup has a limit, and 0.1 ms more for each that has one. Swap does not count: a
    training that swaps is slower than a smaller one.
    """
    rungs = list(_rungs(proc, cgroup_root, "memory"))

    def read() -> MemoryLeft:
        bounds = min(_all_bounds(rungs), key=lambda bounds: bounds.left_bytes)
        return MemoryLeft(max(bounds.left_bytes, 0), bounds.whose)

    return read


def oom_kills(*, proc: Path = PROC, cgroup_root: Path = CGROUP_ROOT) -> int | None:
    """How often the kernel's OOM killer has struck in this process's cgroup; None where it is not counted.

    The kernel counts in the victim's own cgroup whichever limit was hit, and in version 2 in those above it as well.
    """
    for rung in _rungs(proc, cgroup_root, "memory"):
        count = _fields(rung.folder / ("memory.events" if rung.v2 else "memory.oom_control")).get("oom_kill")
        if count is not None:
            return count
    return None


def gpu_processes(*, nvml: ModuleType | None = None) -> list[GpuProcess]:
    """All processes on the GPU that counts, this one too; none where there is no GPU or the driver does not tell."""
    visible = _visible()
    if visible is None:
        return []
    return list((_with_nvml(nvml, lambda nvml: _processes(nvml, _handle(nvml, visible))) or {}).values())


def gpu_count(*, nvml: ModuleType | None = None) -> int | None:
    """How many GPUs the driver knows, hidden ones too; None where NVML cannot be used."""
    return _with_nvml(nvml, lambda nvml: int(nvml.nvmlDeviceGetCount()))


# the software


def installed_version(distribution: str) -> str | None:
    """The version of a distribution, by its name on PyPI; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _tensorflow() -> tuple[str | None, bool]:
    """TensorFlow's version, and whether it is the build that knows no GPU."""
    version = installed_version("tensorflow")
    cpu_version = None if version else installed_version("tensorflow-cpu")
    return version or cpu_version, cpu_version is not None


# the host


@dataclass(frozen=True, slots=True)
class _Host:
    memory_bytes: int
    limit_bytes: int
    available_bytes: int
    limited_by: str


@dataclass(frozen=True, slots=True)
class _Rung:
    """One cgroup on the way from the process's own up to the root. `name` is its path below the root."""

    folder: Path
    name: str
    v2: bool


@dataclass(frozen=True, slots=True)
class _Bounds:
    limit_bytes: int
    left_bytes: int
    whose: str


def _host(proc: Path, cgroup_root: Path) -> _Host:
    every = list(_all_bounds(_rungs(proc, cgroup_root, "memory")))
    smallest = min(every, key=lambda bounds: bounds.limit_bytes)
    available = min(bounds.left_bytes for bounds in every)
    return _Host(every[0].limit_bytes, smallest.limit_bytes, max(available, 0), smallest.whose)


def _all_bounds(rungs: Iterable[_Rung]) -> Iterator[_Bounds]:
    """The machine's own memory first, then each cgroup that has a limit below it."""
    memory = psutil.virtual_memory()
    yield _Bounds(memory.total, memory.available, "host memory")
    for rung in rungs:
        limit = _number(rung.folder / ("memory.max" if rung.v2 else "memory.limit_in_bytes"))
        if limit is not None and limit < memory.total:
            yield _Bounds(limit, limit - _used_bytes(rung), f"cgroup limit {rung.name}")


def _used_bytes(rung: _Rung) -> int:
    """What a cgroup has in use, in bytes, less the file cache that the kernel drops before it kills.

    That is all of it but what is mapped, such as the code of libraries: to drop this and read it again, over and over,
    is how a machine stands still. `memory.high` only slows a process down. "No limit" is `max` in version 2 and a
    number beyond any machine's memory in version 1.
    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
    """
    if rung.v2:
        usage, prefix, mapped = "memory.current", "", "file_mapped"
    else:
        usage, prefix, mapped = "memory.usage_in_bytes", "total_", "total_mapped_file"
    stat = _fields(rung.folder / "memory.stat")
    cache = stat.get(f"{prefix}inactive_file", 0) + stat.get(f"{prefix}active_file", 0) - stat.get(mapped, 0)
    return max((_number(rung.folder / usage) or 0) - max(cache, 0), 0)


def _cores(proc: Path, cgroup_root: Path) -> int:
    """The cores this process may use. A quota of 1.5 counts as 2, as in OpenJDK and Go: it is there to be used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [math.ceil(quota) for rung in _rungs(proc, cgroup_root, "cpu") if (quota := _quota(rung))]
    return max(1, min([cores, *quotas]))


def _quota(rung: _Rung) -> float | None:
    """The cores a cgroup may use on average; None where it has no quota: `max` in version 2, -1 in version 1."""
    if rung.v2:
        quota, _, period = _text(rung.folder / "cpu.max").partition(" ")
    else:
        quota, period = (_text(rung.folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    with suppress(ValueError, ZeroDivisionError):
        return int(quota) / int(period) if int(quota) > 0 else None
    return None


def _cpu_model(proc: Path) -> str:
    for line in _text(proc / "cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model", "cpu model"}:  # x86 · some ARM boards · MIPS
            return value.strip()
    return platform.processor() or platform.machine()


# cgroups


def _rungs(proc: Path, cgroup_root: Path, controller: str) -> Iterator[_Rung]:
    """The cgroups that bind this process, its own first, in every hierarchy that has the controller or may have it.

    In a container the path can be the host's, of which nothing is mounted, or lead above the root (`/../..`): what
    exists counts, and nothing outside the root is looked at.
    """
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            bases = [cgroup_root / "unified", cgroup_root]  # hybrid, and version 2 alone
        elif controller in controllers.split(","):
            bases = [cgroup_root / controllers, cgroup_root / controller]
        else:
            continue
        base = next((base for base in bases if base.is_dir()), cgroup_root)
        parts = [part for part in PurePosixPath(path).parts if part not in {"/", ".."}]
        for length in range(len(parts), -1, -1):
            folder = base.joinpath(*parts[:length])
            if folder.is_dir():
                yield _Rung(folder, "/" + "/".join(parts[:length]), v2=not controllers)


def _text(path: Path) -> str:
    """A small file's text; empty where there is none."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _fields(path: Path) -> dict[str, int]:
    """The numbers in a file of lines `key number`."""
    pairs = (line.split(" ", 1) for line in _text(path).splitlines() if " " in line)
    return {name: int(value) for name, value in pairs if value.isdecimal()}


# the GPU


@dataclass(frozen=True, slots=True)
class _Gpu:
    name: str
    memory_bytes: int
    free_bytes: int
    others: list[GpuProcess]
    driver: str | None
    compute_capability: str | None


def _gpu(nvml: ModuleType | None, *, inline: bool) -> _Gpu | None:
    """The first GPU that CUDA would show this process. Whatever goes wrong on the way means that there is none."""
    visible = _visible()
    return (
        None
        if visible is None
        else _with_nvml(nvml, lambda nvml: _describe(nvml, _handle(nvml, visible), inline=inline))
    )


def _visible() -> str | None:
    """The first device that `CUDA_VISIBLE_DEVICES` names; None where it hides all."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    return None if visible in {"", "-1"} else visible


def _with_nvml(nvml: ModuleType | None, ask: Callable[[ModuleType], T]) -> T | None:
    """What NVML answers, started for this and shut down again; None where it is missing or fails."""
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the deprecated package of the same name warns when imported
        nvml = nvml or importlib.import_module("pynvml")
        nvml.nvmlInit()
        try:
            return ask(nvml)
        finally:
            nvml.nvmlShutdown()
    return None


def _handle(nvml: ModuleType, visible: str) -> object:
    """NVML counts in PCI order; CUDA does with `CUDA_DEVICE_ORDER=PCI_BUS_ID`, and takes a UUID's first digits too."""
    if visible.isdecimal():
        return nvml.nvmlDeviceGetHandleByIndex(int(visible))
    if visible.startswith("MIG-"):
        return nvml.nvmlDeviceGetHandleByUUID(visible)
    handles: list[object] = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
    return next(handle for handle in handles if nvml.nvmlDeviceGetUUID(handle).startswith(visible))


def _describe(nvml: ModuleType, handle: object, *, inline: bool) -> _Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    processes = _processes(nvml, handle)
    own = processes.pop(os.getpid(), None) if inline else None
    capability = _or_none(partial(nvml.nvmlDeviceGetCudaComputeCapability, handle))
    return _Gpu(
        name=nvml.nvmlDeviceGetName(handle),
        memory_bytes=memory.total,
        # not total less the others': a container does not see them, and the driver keeps some for itself
        free_bytes=min(memory.free + ((own and own.bytes) or 0), memory.total),
        others=list(processes.values()),
        driver=_or_none(nvml.nvmlSystemGetDriverVersion),
        compute_capability=capability and "{}.{}".format(*capability),
    )


def _processes(nvml: ModuleType, handle: object) -> dict[int, GpuProcess]:
    """All processes on the GPU, by process id; none where the driver does not tell."""
    found: dict[int, GpuProcess] = {}
    for kind in ("Graphics", "Compute"):  # one that does both is in both lists, with the same total
        listing = getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses")
        for process in _or_none(partial(listing, handle)) or []:
            name = _or_none(partial(nvml.nvmlSystemGetProcessName, process.pid)) or "unknown"
            program = name.partition(" -")[0]  # some drivers add what it was called with, which is nobody's business
            found[process.pid] = GpuProcess(pid=process.pid, name=program, bytes=process.usedGpuMemory)
    return found


def _or_none(call: Callable[[], T]) -> T | None:
    """What the call returns, or None: drivers and virtual GPUs each support another part of NVML."""
    try:
        return call()
    except Exception:  # noqa: BLE001 — NVML's errors, and a missing function of an old driver's library
        return None
