"""Collects the facts about the machine: every effect of the doctor is here, and none starts TensorFlow or CUDA."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import psutil

from autofit.cache.compiled_kernels import LIMIT_VARIABLE, OFF_VARIABLE, PATH_VARIABLE, KernelCache, kernel_cache
from autofit.cache.folder import default_folder
from autofit.doctor.records import JETSON_DEVICE, Facts, Folder, Relative, StoppedWorker
from autofit.errors import UserError
from autofit.machine import cgroups, hardware
from autofit.machine import nvml as gpu_driver
from autofit.machine.keras_settings import other_backend
from autofit.machine.process_limits import process_limits
from autofit.machine.tensorflow_build import cuda_targets, cuda_version
from autofit.shadowing import shadows

DISTRIBUTIONS = (
    "autofit-keras",
    "autofit",
    "tensorflow",
    "tensorflow-cpu",
    "tensorflow-intel",
    "keras",
    "numpy",
    "pillow",
    "nvidia-ml-py",
    "pynvml",
)
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "KERAS_BACKEND",
    "TF_USE_LEGACY_KERAS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "TF_CUDNN_USE_AUTOTUNE",
    PATH_VARIABLE,
    LIMIT_VARIABLE,
    OFF_VARIABLE,
)
"""The only environment variables whose values are read: others may hold secrets."""

T = TypeVar("T")

WSL_DRIVER = Path("/usr/lib/wsl/lib/libnvidia-ml.so.1")
"""The library of the driver of Windows, in its subsystem for Linux, where there are no device files."""

PROFILES_VARIABLE = "AUTOFIT_PROFILES"
KERNELS = re.compile(r"ipykernel|colab_kernel")
LIBRARY_FOLDERS = (
    Path(sys.prefix) / "lib",  # conda
    Path("/usr/lib/x86_64-linux-gnu"),
    Path("/usr/lib/aarch64-linux-gnu"),
    Path("/usr/lib64"),
    Path("/usr/local/cuda/lib64"),
)


def gather(
    *,
    proc: Path = cgroups.PROC,
    cgroup_root: Path = cgroups.CGROUP_ROOT,
    dev: Path = Path("/dev"),
    nvml: ModuleType | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Facts:
    """Collect the facts about this machine, as seen from this process.

    Args:
        proc: where the process file system is mounted.
        cgroup_root: where the cgroup file systems are mounted.
        dev: where the device files are.
        nvml: a replacement for the module `pynvml`.
        environ: the environment variables.
    """
    profiles = environ.get(PROFILES_VARIABLE) or None
    machine = hardware.detect(proc=proc, cgroup_root=cgroup_root, nvml=nvml)
    return Facts(
        hardware=machine,
        platform=sys.platform,
        versions=_versions(),
        environment=_environment(environ),
        gpu_count=gpu_driver.gpu_count(nvml=nvml),
        cards=gpu_driver.cards(nvml=nvml),
        gpu_error=gpu_driver.gpu_error(nvml=nvml),
        cuda_of_driver=gpu_driver.cuda_of_driver(nvml=nvml),
        cuda_of_build=cuda_version(),
        gpu_processes=gpu_driver.gpu_processes(nvml=nvml),
        nvidia_files=_found_or(lambda: _nvidia_files(proc, dev), []),
        cuda_missing=_found_or(_cuda_missing, []),
        cudnn_found=_found_or(lambda: _cudnn_found(environ), otherwise=False),
        family=_found_or(lambda: _family(proc), []),
        oom_kills=cgroups.oom_kills(proc=proc, cgroup_root=cgroup_root),
        folders=[_folder("temporary", tempfile.gettempdir), _folder("current", os.getcwd)],
        cuda_targets=cuda_targets(),
        kernel_cache=_found_or(lambda: _kernel_cache(environ), None) if machine.device == "gpu" else None,
        profiles=profiles,
        profiles_writable=profiles is not None and _found_or(lambda: _writable(profiles), otherwise=False),
        limits=process_limits(),
        cpu_flags=_cpu_flags(proc),
        stopped_workers=_found_or(_stopped_workers, []),
        shadows=_found_or(shadows, []),
        other_backend=other_backend(environ),
    )


def _found_or(find: Callable[[], T], otherwise: T) -> T:
    """What `find` returns; `otherwise` if the machine does not allow looking at it."""
    try:
        return find()
    except (OSError, psutil.Error):
        return otherwise


def _cpu_flags(proc: Path) -> frozenset[str]:
    """The feature flags of an x86-64 processor; empty for other processors, which have no line `flags`."""
    lines = cgroups.read_text(proc / "cpuinfo").splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())


def _stopped_workers() -> list[StoppedWorker]:
    """The suspended workers whose parent is not suspended: otherwise they go on together (Ctrl-Z, and then `fg`)."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            words = process.cmdline() if process.status() == psutil.STATUS_STOPPED else []
            if "autofit.worker" in words and not _is_stopped(process.parent()):
                attempt = Path(words[-1])
                found.append(StoppedWorker(process.pid, str(attempt.parents[1]) if len(attempt.parents) > 1 else ""))
    return found


def _is_stopped(process: psutil.Process | None) -> bool:
    return process is not None and process.status() == psutil.STATUS_STOPPED


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    known = {name: environ[name] for name in VARIABLES if name in environ}
    return known | ({"LD_LIBRARY_PATH": "set"} if environ.get("LD_LIBRARY_PATH") else {})


# software


def _versions() -> dict[str, str]:
    found = {name: hardware.installed_version(name) for name in DISTRIBUTIONS}
    return {name: version for name, version in found.items() if version is not None}


def _cuda_missing() -> list[str]:
    """The libraries of TensorFlow's extra `and-cuda` that are not installed; its compiler (nvcc) is not needed."""
    try:
        requirements = metadata.requires("tensorflow") or []
    except metadata.PackageNotFoundError:
        return []
    extra = re.compile(r"""extra\s*==\s*['"]and-cuda['"]""")
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requirements if extra.search(line)]
    return [name for name in names if "nvcc" not in name and hardware.installed_version(name) is None]


def _cudnn_found(environ: Mapping[str, str]) -> bool:
    given = [Path(folder) for folder in environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    return any(True for folder in (*given, *LIBRARY_FOLDERS) for _ in folder.glob("libcudnn.so*"))


def _kernel_cache(environ: Mapping[str, str]) -> KernelCache | None:
    try:
        return kernel_cache(environ, default_folder())
    except UserError:  # of AUTOFIT_CACHE: a run says so
        return None


# the GPU and the processes on it


def _nvidia_files(proc: Path, dev: Path) -> list[str]:
    others = [proc / "driver" / "nvidia", dev / JETSON_DEVICE, WSL_DRIVER]
    return [str(path) for path in [*sorted(dev.glob("nvidia[0-9]"))[:1], *others] if path.exists()]


def _family(proc: Path) -> list[Relative]:
    """This process, its parent, and so on up."""
    own = psutil.Process()
    return [_relative(process, proc) for process in [own, *own.parents()]]


def _relative(process: psutil.Process, proc: Path) -> Relative:
    try:
        name, command = process.name(), process.cmdline()
    except (psutil.Error, OSError):  # gone, or another user's
        name, command = "unknown", []
    notebook = any(KERNELS.search(word) for word in command)
    return Relative(pid=process.pid, name=name, notebook=notebook, uses_cuda=_uses_cuda(process.pid, proc))


def _uses_cuda(pid: int, proc: Path) -> bool:
    """Whether the process has opened the device file of CUDA's memory, which a process that only uses NVML does not."""
    try:
        return any(_target(file) == "/dev/nvidia-uvm" for file in (proc / str(pid) / "fd").iterdir())
    except OSError:  # another user's, or there is no such file system
        return False


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""


# folders


def _folder(role: str, find: Callable[[], str]) -> Folder:
    path = ""
    try:
        path = find()
        return Folder(role, path, shutil.disk_usage(path).free)
    except OSError:
        return Folder(role, path, None)


def _writable(name: str) -> bool:
    """Whether the folder can be written or created."""
    try:
        folder = Path(name).expanduser()
    except RuntimeError:  # the home directory of a user that does not exist
        return False
    nearest = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
