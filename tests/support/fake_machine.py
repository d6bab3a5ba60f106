"""A fake machine: trees of /proc and cgroups, and an NVML with two GPUs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil

from autofit.machine.cgroups import MemoryLeft, memory_left_reader, oom_kills
from autofit.machine.hardware import Hardware, detect

MB = 10**6


TOTAL = psutil.virtual_memory().total


CORES = len(os.sched_getaffinity(0))


class Tree:
    """A fake /proc and /sys/fs/cgroup."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroup_root = root / "proc", root / "cgroup"
        self.proc.mkdir()
        self.cgroup_root.mkdir()

    def belongs(self, *lines: str) -> None:
        """Write the cgroups that the process is in, as lines of `/proc/self/cgroup`."""
        self.write(self.proc / "self" / "cgroup", "\n".join(lines) + "\n")

    def group(self, folder: str, **files: object) -> None:
        """Write the files of one cgroup; the first underscore of a name is the first dot of the file's name."""
        path = self.cgroup_root / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            self.write(path / name.replace("_", ".", 1), f"{text}\n")

    @staticmethod
    def write(path: Path, text: str) -> None:
        """Write a file and the folders above it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def detect(self, nvml: ModuleType | None = None) -> Hardware:
        """Detect the machine that this tree describes."""
        return detect(proc=self.proc, cgroup_root=self.cgroup_root, nvml=nvml)

    def memory_left(self) -> MemoryLeft:
        """Read how much memory is left by this tree."""
        return memory_left_reader(proc=self.proc, cgroup_root=self.cgroup_root)()

    def oom_kills(self) -> int | None:
        """Count the kills in this tree."""
        return oom_kills(proc=self.proc, cgroup_root=self.cgroup_root)


class NvmlError(Exception):
    """The error that the fake NVML raises."""


def fails(*_: object) -> Any:
    """Replace a function of NVML that fails."""
    raise NvmlError


DEVICES = [
    SimpleNamespace(uuid="GPU-aaaa-0", name="NVIDIA T4", total=16_000 * MB, free=12_000 * MB, capability=(7, 5)),
    SimpleNamespace(uuid="GPU-bbbb-1", name="NVIDIA H100", total=80_000 * MB, free=79_000 * MB, capability=(9, 0)),
]


def process(pid: int, used_bytes: int | None) -> SimpleNamespace:
    """A process as NVML lists it."""
    return SimpleNamespace(pid=pid, usedGpuMemory=used_bytes)


def fake_nvml(**changes: Callable[..., Any]) -> ModuleType:
    """Make a module like `pynvml` with two GPUs; `changes` replace functions, named without their prefix."""

    def by_uuid(uuid: str) -> SimpleNamespace:
        return next(device for device in DEVICES if device.uuid == uuid)

    functions: dict[str, Callable[..., Any]] = {
        "Init": lambda: None,
        "Shutdown": lambda: None,
        "DeviceGetCount": lambda: len(DEVICES),
        "DeviceGetHandleByIndex": lambda index: DEVICES[index],
        "DeviceGetHandleByUUID": by_uuid,
        "DeviceGetUUID": lambda device: device.uuid,
        "DeviceGetName": lambda device: device.name,
        "DeviceGetMemoryInfo": lambda device: SimpleNamespace(total=device.total, free=device.free),
        "DeviceGetCudaComputeCapability": lambda device: device.capability,
        "DeviceGetComputeRunningProcesses": lambda _: [process(7, 3_000 * MB)],
        "DeviceGetGraphicsRunningProcesses": lambda _: [],
        "SystemGetProcessName": lambda pid: f"/usr/bin/process-{pid}",
        "SystemGetDriverVersion": lambda: "580.1",
    }
    module = ModuleType("pynvml")
    for name, function in (functions | changes).items():
        setattr(module, f"nvml{name}", function)
    return module
