"""Made-up facts: a machine on which nothing is wrong, which each test changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from autofit.doctor import Facts
from autofit.doctor.records import Folder, Relative
from tests.support.machines import make_hardware

GB = 10**9
NVIDIA = ["/dev/nvidia0", "/proc/driver/nvidia"]
OWN, KERNEL = 40, 30


def _family(**kernel: bool) -> list[Relative]:
    traits = {"notebook": False, "uses_cuda": False} | kernel
    return [
        Relative(OWN, "autofit", notebook=False, uses_cuda=False),
        Relative(35, "bash", notebook=False, uses_cuda=False),
        Relative(KERNEL, "python3", **traits),
    ]


def _facts(**changes: Any) -> Facts:
    """A machine without a GPU; fields of `Hardware` are changed by their names too."""
    names = {field.name for field in dataclasses.fields(Facts)}
    machine = {name: value for name, value in changes.items() if name not in names}
    fields: dict[str, Any] = {
        "hardware": make_hardware(**machine),
        "platform": "linux",
        "versions": {"tensorflow": "2.21.0", "keras": "3.15.1", "pillow": "13.0.0", "nvidia-ml-py": "13.615.71"},
        "environment": {},
        "gpu_count": None,
        "cards": [],
        "gpu_error": "",
        "cuda_of_driver": None,
        "cuda_of_build": "12.5",
        "gpu_processes": [],
        "nvidia_files": [],
        "cuda_missing": [],
        "cudnn_found": False,
        "family": _family(),
        "oom_kills": 0,
        "folders": [Folder("temporary", "/tmp", 50 * GB), Folder("current", "/photos", 50 * GB)],  # noqa: S108
        "cuda_targets": ["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"],
        "kernel_cache": None,
        "profiles": None,
        "profiles_writable": False,
    }
    return Facts(**(fields | {name: value for name, value in changes.items() if name in names}))


def _gpu_facts(**changes: Any) -> Facts:
    """The same with a T4 of 16 GB, all free except what the driver reserves."""
    gpu = {
        "device": "gpu",
        "device_name": "NVIDIA T4",
        "device_memory_bytes": 16 * GB,
        "device_free_bytes": 15 * GB,
        "driver_version": "580.1",
        "compute_capability": "7.5",
        "limited_by": "GPU memory",
        "gpu_count": 1,
        "nvidia_files": NVIDIA,
    }
    return _facts(**(gpu | changes))


@pytest.fixture
def facts() -> Callable[..., Facts]:
    return _facts


@pytest.fixture
def gpu_facts() -> Callable[..., Facts]:
    return _gpu_facts


@pytest.fixture
def family() -> Callable[..., list[Relative]]:
    return _family
