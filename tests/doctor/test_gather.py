"""How the doctor looks at a machine: on fake trees, a fake NVML, and here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from autofit.doctor import Facts, diagnose, gather

GB = 10**9
HEAVY = {"tensorflow", "keras", "numpy", "matplotlib", "pandas"}
LOOK = Callable[..., Facts]


@pytest.fixture
def look(tmp_path: Path) -> LOOK:
    """Gather on an empty tree: no driver, no device, no cgroup."""
    for folder in ("proc", "cgroup", "dev"):
        (tmp_path / folder).mkdir()

    def gathered(environ: dict[str, str] | None = None, nvml: ModuleType | None = None) -> Facts:
        return gather(
            proc=tmp_path / "proc",
            cgroup_root=tmp_path / "cgroup",
            dev=tmp_path / "dev",
            nvml=nvml,
            environ=environ or {},
        )

    return gathered


def nvml(*pids: int) -> ModuleType:
    """A module like `pynvml` with two GPUs; each process holds a gigabyte of the first."""
    device = SimpleNamespace(total=16 * GB, free=15 * GB)
    functions: dict[str, Callable[..., Any]] = {
        "Init": lambda: None,
        "Shutdown": lambda: None,
        "DeviceGetCount": lambda: 2,
        "DeviceGetHandleByIndex": lambda _: device,
        "DeviceGetName": lambda _: "NVIDIA T4",
        "DeviceGetMemoryInfo": lambda device: device,
        "DeviceGetCudaComputeCapability": lambda _: (7, 5),
        "DeviceGetComputeRunningProcesses": lambda _: [SimpleNamespace(pid=pid, usedGpuMemory=GB) for pid in pids],
        "DeviceGetGraphicsRunningProcesses": lambda _: [],
        "SystemGetProcessName": lambda pid: f"process-{pid}",
        "SystemGetDriverVersion": lambda: "580.1",
    }
    module = ModuleType("pynvml")
    for name, function in functions.items():
        setattr(module, f"nvml{name}", function)
    return module


def test_this_machine() -> None:
    """The doctor would fail outside of fake trees."""
    found = diagnose()
    assert found.versions["pillow"] == metadata.version("pillow")
    assert [folder.free_bytes for folder in gather().folders if not folder.free_bytes] == []
    assert found.findings[-1].severity == "ok"
    assert json.loads(found.to_json())["schema"] == "autofit/doctor/1"


def test_the_doctor_loads_no_numerics() -> None:
    """A doctor that starts TensorFlow or CUDA would take the memory that it is asked about."""
    code = "import sys, autofit.doctor; autofit.doctor.diagnose(); print(*{n.partition('.')[0] for n in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert "autofit" in loaded
    assert loaded & HEAVY == set()


def test_only_known_variables_are_read(look: LOOK) -> None:
    """A report that people paste into an issue would hold their keys."""
    environ = {"KERAS_BACKEND": "jax", "HF_TOKEN": "secret", "LD_LIBRARY_PATH": "/secret", "AUTOFIT_PROFILES": ""}
    found = look(environ)
    assert found.environment == {"KERAS_BACKEND": "jax", "LD_LIBRARY_PATH": "set"}
    assert found.other_backend == "KERAS_BACKEND is jax"
    assert "secret" not in repr(found)


def test_processes_on_the_gpu(look: LOOK, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook's own memory, which is not in `Hardware`, would not be known."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = look(nvml=nvml(7, os.getpid()))
    assert [(process.pid, process.bytes) for process in found.gpu_processes] == [(7, GB), (os.getpid(), GB)]
    assert (found.gpu_count, found.hardware.device) == (2, "gpu")


def test_a_hidden_gpu_is_counted(look: LOOK, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor could not distinguish a hidden GPU from a missing one."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    found = look(nvml=nvml(7))
    assert (found.gpu_count, found.gpu_processes, found.hardware.device) == (2, [], "cpu")


def test_files_of_the_driver(look: LOOK, tmp_path: Path) -> None:
    """A GPU that NVML cannot use would not be noticed."""
    assert look().nvidia_files == []
    (tmp_path / "proc" / "driver" / "nvidia").mkdir(parents=True)
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        (tmp_path / "dev" / name).touch()
    assert look().nvidia_files == [str(tmp_path / "dev" / "nvidia0"), str(tmp_path / "proc" / "driver" / "nvidia")]


def test_the_driver_of_windows_and_the_gpu_of_a_jetson(
    look: LOOK, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no usual device files there, and a training on the CPU would be all right."""
    monkeypatch.setattr(sys.modules["autofit.doctor.gather"], "WSL_DRIVER", tmp_path / "libnvidia-ml.so.1")
    for name in ("libnvidia-ml.so.1", "dev/nvhost-gpu"):
        (tmp_path / name).touch()
    assert look().nvidia_files == [str(tmp_path / name) for name in ("dev/nvhost-gpu", "libnvidia-ml.so.1")]


def test_the_family(look: LOOK) -> None:
    """`!autofit doctor` in a notebook would not know the notebook that it was started from."""
    family = look().family
    assert [relative.pid for relative in family[:2]] == [os.getpid(), os.getppid()]
    assert not any(relative.uses_cuda for relative in family)


@pytest.mark.parametrize(
    ("command", "expected"),
    [("ipykernel_launcher.py", True), ("colab_kernel_launcher.py", True), ("train.py", False)],
)
def test_a_notebook_kernel_is_known(tmp_path: Path, command: str, *, expected: bool) -> None:
    """The user of a notebook would be told to start another program, not to restart the kernel."""
    code = (
        "import subprocess, sys; look = 'from autofit.doctor import gather; "
        "print([relative.notebook for relative in gather().family][:2])'; "
        "subprocess.run([sys.executable, '-c', look], check=True)"
    )
    (tmp_path / command).write_text(code)
    started = [sys.executable, str(tmp_path / command), "-f", "kernel.json"]
    done = subprocess.run(started, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == str([False, expected])


def test_a_process_with_cuda_is_known(look: LOOK, tmp_path: Path) -> None:
    """In a container, where the driver lists no process, the notebook would not be found out."""
    open_files = tmp_path / "proc" / str(os.getpid()) / "fd"
    open_files.mkdir(parents=True)
    (open_files / "3").symlink_to("/dev/nvidiactl")
    assert not look().family[0].uses_cuda
    (open_files / "4").symlink_to("/dev/nvidia-uvm")
    assert look().family[0].uses_cuda


def test_missing_cuda_packages(look: LOOK, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler or another extra would be asked for, or a package that TensorFlow no longer names."""
    requirements = [
        "numpy>=1.26",
        'nvidia-cudnn-cu13<10.0,>=9.3; extra == "and-cuda"',
        "nvidia-cuda-nvcc-cu13<14; extra == 'and-cuda'",
        'pillow>=1; extra == "and-cuda"',
        'unheard-of; extra == "other"',
    ]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: requirements)
    assert look().cuda_missing == ["nvidia-cudnn-cu13"]


def test_no_tensorflow_misses_no_cuda_packages(look: LOOK, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor would fail on the machine that needs it most."""

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    monkeypatch.setattr("importlib.metadata.requires", missing)
    found = look()
    assert (found.cuda_missing, found.versions) == ([], {})


def test_a_cudnn_of_the_system(look: LOOK, tmp_path: Path) -> None:
    """A machine whose CUDA does not come from pip would be told to install it again."""
    (tmp_path / "lib").mkdir()
    environ = {"LD_LIBRARY_PATH": f":/nowhere:{tmp_path / 'lib'}"}
    before = look(environ).cudnn_found
    (tmp_path / "lib" / "libcudnn.so.9").touch()
    assert look(environ).cudnn_found
    assert not before or look().cudnn_found  # this machine may have one


def test_a_folder_that_is_gone(look: LOOK, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor would fail in a folder that was deleted under it, instead of saying so."""

    def gone() -> str:
        raise FileNotFoundError

    monkeypatch.setattr("os.getcwd", gone)
    assert [(folder.role, folder.free_bytes) for folder in look().folders][1] == ("current", None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("", True), ("new/profiles", True), ("file", False), ("file/below", False), ("~nobody-of-this-name/x", False)],
)
def test_the_folder_of_profiles(look: LOOK, tmp_path: Path, name: str, *, expected: bool) -> None:
    """A folder that can be made would be called unwritable, or a file be taken for a folder."""
    (tmp_path / "file").touch()
    profiles = name if name.startswith("~") else str(tmp_path / name)
    found = look({"AUTOFIT_PROFILES": profiles})
    assert (found.profiles, found.profiles_writable) == (profiles, expected)


def test_no_folder_of_profiles(look: LOOK) -> None:
    """Those who have named none would be warned of it."""
    assert look().profiles is None
