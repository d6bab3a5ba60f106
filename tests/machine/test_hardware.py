"""What the machine is: on fake trees of /proc and cgroups, and a fake NVML."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from autofit.machine.cgroups import MemoryLeft, memory_left_reader, oom_kills
from autofit.machine.hardware import Hardware, detect, fingerprint
from autofit.machine.memory_policy import stop_below_bytes, usable_bytes
from autofit.machine.nvml import GpuProcess

MB = 10**6
UNLIMITED_V1 = 9223372036854771712
TOTAL = psutil.virtual_memory().total
CORES = len(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


class Tree:
    """A fake /proc and /sys/fs/cgroup."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroup_root = root / "proc", root / "cgroup"
        self.proc.mkdir()
        self.cgroup_root.mkdir()

    def belongs(self, *lines: str) -> None:
        """Say in which cgroups the process is."""
        self.write(self.proc / "self" / "cgroup", "\n".join(lines) + "\n")

    def group(self, folder: str, **files: object) -> None:
        """Write the files of one cgroup; an underscore stands for a dot where a file name has its first dot."""
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
        """Detect what this tree says."""
        return detect(proc=self.proc, cgroup_root=self.cgroup_root, nvml=nvml)

    def memory_left(self) -> MemoryLeft:
        """Read what this tree says is left."""
        return memory_left_reader(proc=self.proc, cgroup_root=self.cgroup_root)()

    def oom_kills(self) -> int | None:
        """Count what this tree says."""
        return oom_kills(proc=self.proc, cgroup_root=self.cgroup_root)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def limits(found: Hardware) -> tuple[int, int, str]:
    return found.host_limit_bytes, found.host_available_bytes, found.limited_by


def test_without_cgroups_the_host_counts(tree: Tree) -> None:
    """Else a plain machine, or macOS, would have no limit or a wrong one."""
    found = tree.detect()
    assert (found.host_memory_bytes, found.host_limit_bytes, found.limited_by) == (TOTAL, TOTAL, "host memory")
    assert found.host_available_bytes == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    assert found.cores == CORES


def test_cgroup_v2(tree: Tree) -> None:
    """Else a container's limit would be missed, or file cache that the kernel drops be taken for used memory."""
    tree.belongs("0::/job")
    stat = f"anon 1\nfile_mapped {3 * MB}\ninactive_file {13 * MB}\nactive_file {10 * MB}"
    tree.group("job", memory_max=100 * MB, memory_current=50 * MB, memory_high=MB, memory_stat=stat)
    assert limits(tree.detect()) == (100 * MB, 70 * MB, "cgroup limit /job")
    assert tree.memory_left() == MemoryLeft(70 * MB, "cgroup limit /job")


def test_cgroup_v1(tree: Tree) -> None:
    """Else older hosts and their containers would count as having the whole host's memory."""
    tree.belongs("9:name=systemd:/x", "4:memory,hugetlb:/docker/1", "3:cpuset:/")
    below = f"total_mapped_file {3 * MB}\ntotal_inactive_file {13 * MB}\ntotal_active_file {10 * MB}"
    stat = f"inactive_file 1\nactive_file 1\nmapped_file 0\n{below}"
    files = {"memory_limit_in_bytes": 100 * MB, "memory_usage_in_bytes": 50 * MB, "memory_stat": stat}
    tree.group("memory/docker/1", **files)
    assert limits(tree.detect()) == (100 * MB, 70 * MB, "cgroup limit /docker/1")
    assert tree.memory_left() == MemoryLeft(70 * MB, "cgroup limit /docker/1")


def test_hybrid(tree: Tree) -> None:
    """Else the limit would be looked for in the half of a hybrid host that has no memory controller."""
    tree.belongs("4:memory:/job", "1:name=systemd:/job", "0::/job")
    tree.group("unified/job", memory_pressure="")
    tree.group("memory/job", memory_limit_in_bytes=100 * MB, memory_usage_in_bytes=0)
    assert limits(tree.detect()) == (100 * MB, 100 * MB, "cgroup limit /job")
    tree.group("unified/job", memory_max=50 * MB)
    assert limits(tree.detect()) == (50 * MB, 50 * MB, "cgroup limit /job")


@pytest.mark.parametrize(
    ("folder", "line", "files"),
    [
        ("job", "0::/job", {"memory_max": "max", "memory_current": 50 * MB}),
        ("memory/job", "4:memory:/job", {"memory_limit_in_bytes": UNLIMITED_V1, "memory_usage_in_bytes": 50 * MB}),
        ("job", "0::/job", {"memory_max": "garbage"}),
        ("job", "0::/job", {"memory_max": ""}),
        ("job", "garbage", {"memory_max": 100 * MB}),
    ],
)
def test_no_limit_is_the_host(tree: Tree, folder: str, line: str, files: dict[str, Any]) -> None:
    """Else `max`, or version 1's huge number for it, would be reported as a limit or end the run."""
    tree.belongs(line)
    tree.group(folder, **files)
    found = tree.detect()
    assert (found.host_limit_bytes, found.limited_by) == (TOTAL, "host memory")
    assert found.host_available_bytes > 100 * MB


def test_the_smallest_on_the_path_counts(tree: Tree) -> None:
    """Else a batch job inside a smaller slice would be killed at a limit that nobody looked at; a sibling's is none."""
    tree.belongs("0::/slice/job/step")
    tree.group("", memory_max=900 * MB, memory_current=0)
    tree.group("slice", memory_max=100 * MB, memory_current=10 * MB)
    tree.group("slice/job", memory_max="max", memory_current=5 * MB)
    tree.group("slice/job/step", memory_max=200 * MB, memory_current=150 * MB)
    tree.group("slice/sibling", memory_max=MB)
    assert limits(tree.detect()) == (100 * MB, 50 * MB, "cgroup limit /slice")


def test_more_used_than_allowed_leaves_nothing(tree: Tree) -> None:
    """Else a lowered limit would make the available memory negative."""
    tree.belongs("0::/job")
    tree.group("job", memory_max=100 * MB, memory_current=150 * MB)
    assert limits(tree.detect()) == (100 * MB, 0, "cgroup limit /job")
    assert tree.memory_left() == MemoryLeft(0, "cgroup limit /job")


def test_mapped_files_beyond_the_cache_are_no_debt(tree: Tree) -> None:
    """Mapped shared memory is in no file cache: taken off it all the same, more would seem used than is."""
    tree.belongs("0::/job")
    stat = f"file_mapped {30 * MB}\ninactive_file {10 * MB}\nactive_file 0"
    tree.group("job", memory_max=100 * MB, memory_current=50 * MB, memory_stat=stat)
    assert tree.memory_left() == MemoryLeft(50 * MB, "cgroup limit /job")


# what is left


def test_the_host_has_what_is_left_without_cgroups(tree: Tree) -> None:
    """Else the guard would have nothing to look at on a plain machine, or see no end of memory there."""
    left = tree.memory_left()
    assert left.of == "host memory"
    assert left.bytes == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_the_least_that_is_left_counts_and_not_the_smallest_limit(tree: Tree) -> None:
    """Else a full slice around a small job that is half empty would be the kernel's to find."""
    tree.belongs("4:memory:/slice/job", "0::/")
    tree.group("memory", memory_limit_in_bytes=UNLIMITED_V1, memory_usage_in_bytes=TOTAL)
    tree.group("memory/slice", memory_limit_in_bytes=900 * MB, memory_usage_in_bytes=880 * MB)
    tree.group("memory/slice/job", memory_limit_in_bytes=100 * MB, memory_usage_in_bytes=50 * MB)
    assert tree.memory_left() == MemoryLeft(20 * MB, "cgroup limit /slice")
    assert limits(tree.detect()) == (100 * MB, 20 * MB, "cgroup limit /slice/job")


def test_a_reader_sees_what_has_changed(tree: Tree) -> None:
    """Else a limit that is lowered under a running training would be hit without a warning."""
    tree.belongs("0::/job")
    tree.group("job", memory_max="max", memory_current=50 * MB)
    read = memory_left_reader(proc=tree.proc, cgroup_root=tree.cgroup_root)
    assert read().of == "host memory"
    tree.group("job", memory_max=100 * MB)
    assert read() == MemoryLeft(50 * MB, "cgroup limit /job")
    tree.group("job", memory_current=90 * MB)
    assert read() == MemoryLeft(10 * MB, "cgroup limit /job")


@pytest.mark.parametrize(
    ("available", "expected"),
    [(0, 64 * 2**20), (10**9, 64 * 2**20), (4 * 10**9, 2 * 10**8), (12 * 10**9, 6 * 10**8), (10**12, 10**9)],
)
def test_when_to_leave(available: int, expected: int) -> None:
    """Too early makes a run slow for nothing, too late leaves no room for the commit."""
    assert stop_below_bytes(available) == expected


def test_a_worker_that_takes_all_it_may_is_not_asked_to_leave() -> None:
    """Else a training that was planned to fill the machine would leave after every step. TensorFlow needs 660 MB."""
    for available in (700 * 10**6, 10**9, 2 * 10**9, 10**10, 10**12):
        assert stop_below_bytes(available) < available - usable_bytes(available)


@pytest.mark.parametrize("path", ["/docker/0123/sub", "/../outside", "/", "/../job/gone"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_path_that_is_not_there_leads_to_what_is(tree: Tree, path: str, version: int) -> None:
    """Else a container that sees the host's path would miss its own limit, or one outside would be read."""
    if version == 1:
        tree.belongs(f"4:memory:{path}")
        tree.group("memory", memory_limit_in_bytes=100 * MB)
        tree.group("outside", memory_limit_in_bytes=MB)
    else:
        tree.belongs(f"0::{path}")
        tree.group("", memory_max=100 * MB)
        tree.group("../outside", memory_max=MB)
    assert limits(tree.detect()) == (100 * MB, 100 * MB, "cgroup limit /")


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("50000 100000", 1), ("100000 100000", 1), ("max 100000", CORES), ("", CORES), ("99900000 100000", CORES)],
)
def test_cores_v2(tree: Tree, quota: str, expected: int) -> None:
    """Else a container with half a core would start a thread for each core of the host."""
    tree.belongs("0::/job")
    tree.group("job", cpu_max=quota)
    assert tree.detect().cores == expected


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize(("quota", "expected"), [(50_000, 1), (-1, CORES)])
def test_cores_v1(tree: Tree, folder: str, quota: int, expected: int) -> None:
    """Else the quota of an older host would be missed, or its -1 for no quota leave no cores."""
    tree.belongs("2:cpu,cpuacct:/a/b")
    tree.group(f"{folder}/a", cpu_cfs_quota_us=quota, cpu_cfs_period_us=100_000)
    tree.group(f"{folder}/a/b", cpu_cfs_quota_us=-1, cpu_cfs_period_us=100_000)
    assert tree.detect().cores == expected


def test_a_fraction_of_a_core_counts_as_one(tree: Tree) -> None:
    """Else part of the quota that was paid for could never be used."""
    tree.belongs("0::/job")
    tree.group("job", cpu_max="100001 100000")
    assert tree.detect().cores == min(2, CORES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 2.20GHz\n\nmodel name\t: Other", "Some CPU @ 2.20GHz"),
        ("Model\t\t: Raspberry Pi 5", "Raspberry Pi 5"),
        ("processor\t: 0\nmodel\t\t: 79", platform.processor() or platform.machine()),
    ],
)
def test_cpu_model(tree: Tree, text: str, expected: str) -> None:
    """Else profiles of different processors would be taken for each other's."""
    tree.write(tree.proc / "cpuinfo", text)
    found = tree.detect()
    assert (found.device, found.device_name, found.cpu_model) == ("cpu", expected, expected)


# kills by the kernel


@pytest.mark.parametrize(
    ("line", "folder", "files", "expected"),
    [
        ("0::/job", "job", {"memory_events": "low 0\noom 9\noom_kill 3\noom_group_kill 0"}, 3),
        ("4:memory:/job", "memory/job", {"memory_oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2"}, 2),
        ("4:memory:/job", "memory/job", {"memory_oom_control": "oom_kill_disable 0\nunder_oom 0"}, None),
        ("0::/", "", {}, None),
    ],
)
def test_oom_kills(tree: Tree, line: str, folder: str, files: dict[str, Any], expected: int | None) -> None:
    """Else a SIGKILL from the kernel's OOM killer could not be told from any other, and the batch shrink in vain."""
    assert tree.oom_kills() is None
    tree.belongs(line)
    tree.group(folder, **files)
    assert tree.oom_kills() == expected


def test_oom_kills_of_the_own_cgroup(tree: Tree) -> None:
    """Else a neighbour's death in the same slice would be taken for our worker's."""
    tree.belongs("4:memory:/slice/job", "0::/slice/job")
    tree.group("unified/slice/job", cpu_pressure="")
    tree.group("memory/slice", memory_oom_control="oom_kill 8")
    tree.group("memory/slice/job", memory_oom_control="oom_kill 1")
    assert tree.oom_kills() == 1


# the GPU


class NvmlError(Exception):
    """What NVML raises."""


def fails(*_: object) -> Any:
    raise NvmlError


DEVICES = [
    SimpleNamespace(uuid="GPU-aaaa-0", name="NVIDIA T4", total=16_000 * MB, free=12_000 * MB, capability=(7, 5)),
    SimpleNamespace(uuid="GPU-bbbb-1", name="NVIDIA H100", total=80_000 * MB, free=79_000 * MB, capability=(9, 0)),
]


def process(pid: int, used_bytes: int | None) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=used_bytes)


def fake_nvml(**changes: Callable[..., Any]) -> ModuleType:
    """A module like `pynvml` with two GPUs; `changes` replace functions, named without their prefix."""

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


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")


@pytest.mark.usefixtures("gpus")
def test_gpu(tree: Tree) -> None:
    """Else the memory that other programs hold on the GPU would be planned with."""
    found = tree.detect(fake_nvml())
    assert (found.device, found.device_name, found.limited_by) == ("gpu", "NVIDIA T4", "GPU memory")
    assert (found.device_memory_bytes, found.device_free_bytes) == (16_000 * MB, 12_000 * MB)
    assert (found.driver_version, found.compute_capability) == ("580.1", "7.5")
    assert found.other_gpu_processes == [GpuProcess(pid=7, name="/usr/bin/process-7", bytes=3_000 * MB)]


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(("inline", "free"), [(True, 13_000 * MB), (False, 12_000 * MB)])
def test_own_memory_on_the_gpu_is_free_to_a_worker_in_this_process_only(tree: Tree, *, inline: bool, free: int) -> None:
    """Inline a notebook would find the GPU full of itself; else its worker would plan with what the notebook holds."""
    processes = [process(os.getpid(), 1_000 * MB), process(8, None)]
    nvml = fake_nvml(DeviceGetComputeRunningProcesses=lambda _: processes, SystemGetProcessName=fails)
    found = detect(inline=inline, proc=tree.proc, cgroup_root=tree.cgroup_root, nvml=nvml)
    assert found.device_free_bytes == free
    own = [] if inline else [GpuProcess(pid=os.getpid(), name="unknown", bytes=1_000 * MB)]
    assert found.other_gpu_processes == [*own, GpuProcess(pid=8, name="unknown", bytes=None)]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0", "NVIDIA T4"),
        ("1", "NVIDIA H100"),
        ("1,0", "NVIDIA H100"),
        ("GPU-bbbb-1", "NVIDIA H100"),
        ("GPU-bb", "NVIDIA H100"),
        ("MIG-none", None),
        ("GPU-cccc", None),
        ("7", None),
        ("", None),
        ("-1", None),
        ("-1,0", None),
        ("none", None),
    ],
)
def test_the_visible_gpu_is_used(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, visible: str, expected: str | None
) -> None:
    """Else autofit would measure another GPU than TensorFlow trains on, or one that the user has hidden."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = tree.detect(fake_nvml())
    assert (found.device_name if found.device == "gpu" else None) == expected


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("function", ["Init", "DeviceGetHandleByIndex", "DeviceGetName", "DeviceGetMemoryInfo"])
def test_a_failing_nvml_is_no_gpu(tree: Tree, capfd: pytest.CaptureFixture[str], function: str) -> None:
    """Else a machine with a broken driver, or none, could not even use its CPU."""
    found = tree.detect(fake_nvml(**{function: fails}))
    assert (found.device, found.device_memory_bytes, found.limited_by) == ("cpu", None, "host memory")
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("reason", [None, "not a module"])
def test_a_missing_pynvml_is_no_gpu(tree: Tree, monkeypatch: pytest.MonkeyPatch, reason: str | None) -> None:
    """Else autofit would need a package that only GPUs need."""
    monkeypatch.setitem(sys.modules, "pynvml", reason)
    assert tree.detect().device == "cpu"


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    "function",
    [
        "DeviceGetCudaComputeCapability",
        "DeviceGetComputeRunningProcesses",
        "DeviceGetGraphicsRunningProcesses",
        "SystemGetProcessName",
        "SystemGetDriverVersion",
    ],
)
def test_what_a_driver_does_not_tell_is_left_out(tree: Tree, function: str) -> None:
    """Else a virtual GPU that does not list its processes would not be used at all."""
    found = tree.detect(fake_nvml(**{function: fails}))
    assert (found.device, found.device_free_bytes) == ("gpu", 12_000 * MB)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("called_with", ["", " --type=gpu-process --token=1", " -m train --key 2"])
def test_what_another_process_was_called_with_is_left_out(tree: Tree, called_with: str) -> None:
    """Else a report would tell the command lines of other people's processes, which some drivers give with the name."""
    nvml = fake_nvml(SystemGetProcessName=lambda _: f"/opt/some program{called_with}")
    assert [process.name for process in tree.detect(nvml).other_gpu_processes] == ["/opt/some program"]


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("broken", [False, True])
def test_nvml_is_closed_again(tree: Tree, *, broken: bool) -> None:
    """Else the parent would hold on to the driver for as long as it lives."""
    calls: list[str] = []
    nvml = fake_nvml(Init=lambda: calls.append("init"), Shutdown=lambda: calls.append("shutdown"))
    if broken:
        nvml.__dict__["nvmlDeviceGetName"] = fails
    tree.detect(nvml)
    assert calls == ["init", "shutdown"]


# the software


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    def version(name: str) -> str:
        try:
            return versions[name.replace("-", "_")]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    monkeypatch.setattr("importlib.metadata.version", version)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ({"tensorflow": "2.21", "tensorflow_cpu": "2.20", "keras": "3.15"}, ("2.21", "3.15", "gpu")),
        ({"tensorflow_cpu": "2.20"}, ("2.20", None, "cpu")),
        ({}, (None, None, "gpu")),
    ],
)
def test_versions(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], expected: tuple[str | None, str | None, str]
) -> None:
    """Else a profile of another TensorFlow would be used, or a GPU be planned with that this build cannot use."""
    installed(monkeypatch, **versions)
    found = tree.detect(fake_nvml())
    assert (found.tensorflow_version, found.keras_version, found.device) == expected
    assert found.python_version == platform.python_version()


def test_hardware_is_saved_and_loaded(tree: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else a profile could not say which machine it was measured on."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    found = tree.detect(fake_nvml())
    found.save(tmp_path / "hardware.json")
    assert Hardware.load(tmp_path / "hardware.json") == found


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"host_available_bytes": 1}, True),
        ({"device_free_bytes": 1}, True),
        ({"other_gpu_processes": []}, True),
        ({"limited_by": "x"}, True),
        ({"host_limit_bytes": 16 * 2**30 - 5_000_000}, True),
        ({"host_limit_bytes": 8 * 2**30}, False),
        ({"device_name": "NVIDIA L4"}, False),
        ({"device_memory_bytes": 8_000 * MB}, False),
        ({"driver_version": "590"}, False),
        ({"compute_capability": "8.0"}, False),
        ({"cpu_model": "x"}, False),
        ({"cores": 999}, False),
        ({"tensorflow_version": "1"}, False),
        ({"keras_version": None}, False),
    ],
)
def test_the_fingerprint_is_of_what_decides(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], *, same: bool
) -> None:
    """Else a profile would not be found again on its own machine, or be used on another."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    one = tree.detect(fake_nvml()).model_copy(update={"host_limit_bytes": 16 * 2**30})
    other = one.model_copy(update=change)
    assert (fingerprint(one) == fingerprint(other)) is same


def test_this_machine() -> None:
    """Else detection would fail outside of fake trees."""
    found = detect()
    assert 0 < found.host_available_bytes <= found.host_limit_bytes <= found.host_memory_bytes
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.cpu_model
    assert fingerprint(found) == fingerprint(detect())
    assert (oom_kills() or 0) >= 0
