"""Detects this machine and the memory limit that applies: by NVML for the GPU, by cgroups and psutil for the host.

psutil reports the whole host; in a container, a batch job or a notebook service a cgroup's limit applies
(`autofit.machine.cgroups`), in a shell perhaps a `ulimit`. Nothing here imports TensorFlow or starts CUDA.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Literal

from autofit.machine.cgroups import (
    CGROUP_ROOT,
    PROC,
    MemoryBounds,
    cgroups_of_process,
    cpu_quota,
    memory_bounds,
    read_text,
)
from autofit.machine.nvml import GpuProcess, first_visible_gpu
from autofit.machine.process_limits import NO_LIMITS, ProcessLimits, memory_within, process_limits
from autofit.storage.records import Record

MEMORY_STEP_BYTES = 2**28
"""Memory is rounded to multiples of this, since firmware and kernel reserve slightly different amounts of it on equal
machines."""

LOGICAL_CPUS_VARIABLE = "AUTOFIT_LOGICAL_CPUS"
"""For tests: into how many logical devices a training on several devices divides the CPU. They share its cores and its
allocator."""

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Flags in `/proc/cpuinfo`; the last one is ARM's (https://docs.kernel.org/arch/arm64/elf_hwcaps.html)."""


class Hardware(Record):
    """One machine as one process sees it.

    The fields `device_…` are about the first visible GPU, or else about the CPU, whose memory is None there.
    `bfloat16_units` says whether the CPU has instructions for sums of products of bfloat16. `devices` is the number of
    visible GPUs, or else 1 for the CPU.

    `host_limit_bytes` is the smallest limit on the host's memory. `limited_by` names the limit of which the least is
    left, which may be another: a container is allowed less than the host has, and the host may have even less free.
    `nearest_limit_bytes` is the size of that limit; 0 if it is not known.
    """

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
    bfloat16_units: bool = False
    devices: int = 1
    nearest_limit_bytes: int = 0

    @property
    def compute_major(self) -> int | None:
        """The major version of the GPU's compute capability; None if it is unknown."""
        major = (self.compute_capability or "").partition(".")[0]
        return int(major) if major.isdecimal() else None


def detect(
    *, inline: bool = False, proc: Path = PROC, cgroup_root: Path = CGROUP_ROOT, nvml: ModuleType | None = None
) -> Hardware:
    """Detect this machine.

    Args:
        inline: the worker will run in this process, so the GPU memory that the process holds counts as free. Otherwise
            the process counts as one of the other GPU processes.
        proc: where the process file system is mounted.
        cgroup_root: where the cgroup file systems are mounted.
        nvml: a replacement of the module `pynvml`; by default that is imported if a GPU may be used.
    """
    tensorflow, cpu_only = _tensorflow()
    gpu = None if cpu_only else first_visible_gpu(nvml, inline=inline)
    cpu_model = _cpu_model(proc)
    host = _host(proc, cgroup_root, NO_LIMITS if gpu else process_limits())
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
        bfloat16_units=_has_bfloat16_units(proc),
        devices=gpu.visible if gpu else int(os.environ.get(LOGICAL_CPUS_VARIABLE) or 1),
        nearest_limit_bytes=gpu.memory_bytes if gpu else host.nearest_limit_bytes,
    )


def device_count(asked: int | str, machine: Hardware) -> int:
    """On how many devices layers of the backbone train, if a request asks for `all` or a number."""
    return asked if isinstance(asked, int) else machine.devices


def fingerprint(hardware: Hardware) -> str:
    """Sixteen hexadecimal digits that are the same for two machines with the same speed and memory.

    Memory is rounded to `MEMORY_STEP_BYTES`.
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


# the software


def installed_version(distribution: str) -> str | None:
    """The version of a distribution, by its name on PyPI; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except (metadata.PackageNotFoundError, OSError):  # OSError: a folder of Python's path may not be read
        return None


def _tensorflow() -> tuple[str | None, bool]:
    """TensorFlow's version, and whether it is the build without GPU support."""
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
    nearest_limit_bytes: int


def _host(proc: Path, cgroup_root: Path, limits: ProcessLimits) -> _Host:
    every = list(memory_bounds(cgroups_of_process(proc, cgroup_root, "memory")))
    if within := memory_within(limits):
        every.append(MemoryBounds(within[0], within[0], within[1]))
    smallest = min(bounds.limit_bytes for bounds in every)
    nearest = min(every, key=lambda bounds: (bounds.left_bytes, bounds.limit_bytes))
    available = max(nearest.left_bytes, 0)
    return _Host(every[0].limit_bytes, smallest, available, nearest.whose, nearest.limit_bytes)


def _cores(proc: Path, cgroup_root: Path) -> int:
    """The cores this process may use. A quota of 1.5 counts as 2, as in OpenJDK and Go: all of it can be used."""
    cores = os.cpu_count() or 1
    with contextlib.suppress(AttributeError, OSError):  # not on every system; a sandbox may refuse the call
        cores = len(os.sched_getaffinity(0))
    quotas = [
        math.ceil(quota) for cgroup in cgroups_of_process(proc, cgroup_root, "cpu") if (quota := cpu_quota(cgroup))
    ]
    return max(1, min([cores, *quotas]))


def _has_bfloat16_units(proc: Path) -> bool:
    """Whether the kernel lists bfloat16 instructions: AVX512_BF16 or AMX-BF16 on x86, BFMMLA and others on ARM."""
    for line in read_text(proc / "cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            return not BFLOAT16_FLAGS.isdisjoint(value.split())
    return False


def _cpu_model(proc: Path) -> str:
    for line in read_text(proc / "cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model", "cpu model"}:  # x86 · some ARM boards · MIPS
            return value.strip()
    return platform.processor() or platform.machine()
