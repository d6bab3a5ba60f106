"""The records of the doctor: `Facts` about the machine, `Finding`, and the `Diagnosis` that is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import Field

from autofit.cache.compiled_kernels import KernelCache
from autofit.machine.hardware import Hardware
from autofit.machine.nvml import Card, GpuProcess
from autofit.machine.process_limits import NO_LIMITS, ProcessLimits
from autofit.shadowing import Shadow
from autofit.storage.records import Record

JETSON_DEVICE = "nvhost-gpu"
"""The device file of a GPU in a Jetson."""


class Severity(StrEnum):
    """How much a finding matters, the gravest first.

    PROBLEM: autofit cannot run here, or cannot use a device that is here. WARNING: it runs, but slower, smaller or less
    safely than it could. NOTE: good to know. OK: checked, and as it should be.
    """

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"
    OK = "ok"


class Finding(Record):
    """One thing that the doctor found. `text` and `advice` may hold untrusted names: print them escaped.

    Attributes:
        severity: how much it matters.
        topic: one word for what it is about: memory, gpu, notebook, software, environment, disk, platform, limits,
            processor or processes.
        text: what was found, and which value.
        advice: what to do; empty if there is nothing to do.
        command: a command that does it, to be copied; empty if there is none.
    """

    severity: Severity
    topic: str
    text: str
    advice: str = ""
    command: str = ""


class Diagnosis(Record):
    """What `autofit doctor` reports.

    Attributes:
        hardware: the machine, as a run would see it.
        versions: the versions of the installed distributions that matter, by name.
        environment: the environment variables that matter and are set; of `LD_LIBRARY_PATH` only whether it is set.
        findings: the findings, the gravest first.
    """

    schema_: Literal["autofit/doctor/1"] = Field("autofit/doctor/1", alias="schema")
    hardware: Hardware
    versions: dict[str, str]
    environment: dict[str, str]
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Relative:
    """This process or one of its ancestors.

    Attributes:
        notebook: whether it is a notebook's kernel.
        uses_cuda: whether it has CUDA's device open; NVML's list of processes often lacks it in a container.
    """

    pid: int
    name: str
    notebook: bool
    uses_cuda: bool


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that autofit writes into, and its free space; None if that cannot be read."""

    role: str
    path: str
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class StoppedWorker:
    """A suspended worker, which holds its memory, and the run directory that it has locked; "" if that is unknown."""

    pid: int
    run_dir: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts from which the findings are made.

    Attributes:
        hardware: the machine, as a run would see it.
        platform: as in `sys.platform`.
        versions: as in `Diagnosis`.
        environment: as in `Diagnosis`.
        gpu_count: the number of GPUs, including hidden ones; None if NVML cannot be used.
        cards: all GPUs, in the order of the PCI bus.
        gpu_error: why the GPU that a run would use cannot be described, in the driver's words; empty if it can be
            described or a run would use none.
        cuda_of_driver: the newest CUDA that the driver supports; None if it does not say.
        cuda_of_build: the CUDA that the installed TensorFlow was built with; None if it has none.
        gpu_processes: all processes on the GPU that a run would use.
        nvidia_files: the files that show that there is an NVIDIA driver or device.
        cuda_missing: CUDA packages that the installed TensorFlow names in its extra `and-cuda` and that are missing.
        cudnn_found: whether cuDNN is in a library folder of the system.
        family: this process first, then its parent and so on up.
        oom_kills: kills by the kernel's OOM killer in this cgroup; None if they are not counted.
        folders: the folders that autofit writes into.
        cuda_targets: the compute capabilities for which the installed TensorFlow was compiled; empty if unknown.
        kernel_cache: the folder in which CUDA keeps the kernels that it compiles; None if it is off or without a GPU.
        profiles: the folder that `AUTOFIT_PROFILES` names; None if it is not set.
        profiles_writable: whether that folder can be written or created.
        limits: the resource limits of this process, which a worker inherits.
        stopped_workers: workers of autofit that are suspended (SIGSTOP) and whose parent is not.
        cpu_flags: the feature flags of an x86-64 processor, as the kernel names them; empty if they are unknown.
        shadows: files of the user's that hide a module from programs in this folder.
        other_backend: the setting that gives Keras another backend than TensorFlow in the user's own programs; empty if
            there is none.
    """

    hardware: Hardware
    platform: str
    versions: dict[str, str]
    environment: dict[str, str]
    gpu_count: int | None
    cards: list[Card]
    gpu_error: str
    cuda_of_driver: str | None
    cuda_of_build: str | None
    gpu_processes: list[GpuProcess]
    nvidia_files: list[str]
    cuda_missing: list[str]
    cudnn_found: bool
    family: list[Relative]
    oom_kills: int | None
    folders: list[Folder]
    cuda_targets: Sequence[str]
    kernel_cache: KernelCache | None
    profiles: str | None
    profiles_writable: bool
    limits: ProcessLimits = NO_LIMITS
    cpu_flags: frozenset[str] = frozenset()
    stopped_workers: Sequence[StoppedWorker] = ()
    shadows: Sequence[Shadow] = ()
    other_backend: str = ""
