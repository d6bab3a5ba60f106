"""The GPU, as a fake NVML reports it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from autofit.machine.hardware import detect
from autofit.machine.nvml import Card, GpuProcess, cards, cuda_of_driver, gpu_count, gpu_error, missing_gpu
from tests.support.fake_machine import DEVICES, MB, NvmlError, Tree, fails, fake_nvml, process
from tests.support.ids import steady


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
    """Inline, a notebook's own memory would count as used; else its worker would plan with what the notebook holds."""
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


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, 2), ("0", 1), ("1,0", 2), ("GPU-bb,0", 2), ("0,7,1", 1), ("0,-1,1", 1), ("-1", 1), ("GPU-cccc", 1)],
)
def test_the_visible_gpus_are_counted(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: int
) -> None:
    """Several would be promised where CUDA shows the worker one, or some that were asked for be refused."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert tree.detect(fake_nvml()).devices == expected


@pytest.mark.usefixtures("gpus")
def test_of_divided_gpus_one_part_counts(tree: Tree) -> None:
    """CUDA shows a process one part of a divided GPU, and no GPU beside it."""
    nvml = fake_nvml(
        DeviceGetMigMode=lambda _: (1, 1),
        DeviceGetMaxMigDeviceCount=lambda _: 2,
        DeviceGetMigDeviceHandleByIndex=lambda handle, _: handle,
    )
    assert tree.detect(nvml).devices == 1


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
    """Else autofit would require a package on machines without a GPU, too."""
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
def test_facts_that_a_driver_does_not_report_are_left_out(tree: Tree, function: str) -> None:
    """Else a virtual GPU that does not list its processes would not be used at all."""
    found = tree.detect(fake_nvml(**{function: fails}))
    assert (found.device, found.device_free_bytes) == ("gpu", 12_000 * MB)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("called_with", ["", " --type=gpu-process --token=1", " -m train --key 2"])
def test_the_arguments_of_another_process_are_left_out(tree: Tree, called_with: str) -> None:
    """Else a report would show the command lines of other people's processes, which some drivers give with the name."""
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


def divided(*parts: SimpleNamespace | None) -> dict[str, Callable[..., Any]]:
    """An NVML whose first GPU is divided into parts; of a part it does not know the compute capability."""

    def part(_: object, number: int) -> SimpleNamespace:
        return parts[number] or fails()

    def capability(device: SimpleNamespace) -> Any:
        return device.capability or fails()

    return {
        "DeviceGetMigMode": lambda device: (int(device is DEVICES[0]), 1),
        "DeviceGetMaxMigDeviceCount": lambda _: len(parts),
        "DeviceGetMigDeviceHandleByIndex": part,
        "DeviceGetDeviceHandleFromMigDeviceHandle": lambda _: DEVICES[0],
        "DeviceGetCudaComputeCapability": capability,
    }


SLICE = SimpleNamespace(name="NVIDIA A100 MIG 1g.5gb", total=5_000 * MB, free=4_900 * MB, capability=None)


@pytest.mark.parametrize("visible", [None, "0", "GPU-aaaa"])
def test_of_a_divided_gpu_the_first_part_counts(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, visible: str | None
) -> None:
    """A run would plan with the 80 GB of a card of which CUDA shows it five."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = tree.detect(fake_nvml(**divided(None, SLICE)))
    assert (found.device_name, found.device_memory_bytes, found.device_free_bytes) == (
        "NVIDIA A100 MIG 1g.5gb",
        5_000 * MB,
        4_900 * MB,
    )
    assert found.compute_capability == "7.5"


OTHER_SLICE = SimpleNamespace(
    uuid="MIG-22bb-1", name="NVIDIA A100 MIG 3g.20gb", total=20_000 * MB, free=1_000 * MB, capability=None
)
NAMED_SLICE = SimpleNamespace(
    uuid="MIG-11aa-0", name="NVIDIA A100 MIG 1g.5gb", total=5_000 * MB, free=4_900 * MB, capability=None
)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("MIG-22bb-1", "3g.20gb"), ("MIG-22", "3g.20gb"), ("MIG-11aa-0", "1g.5gb"), ("MIG-33", None)],
)
def test_a_part_is_found_by_its_uuid_and_has_readings_of_its_own(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, visible: str, expected: str | None
) -> None:
    """A batch system that gives a job its slice by name would have it trained on the CPU, or planned with another's."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    on_slice = {"MIG-22bb-1": [process(8, 19_000 * MB)]}
    by_uuid = {part.uuid: part for part in (NAMED_SLICE, OTHER_SLICE)}
    nvml = fake_nvml(
        **divided(None, NAMED_SLICE, OTHER_SLICE),
        DeviceGetHandleByUUID=lambda uuid: by_uuid.get(uuid) or fails(),
        DeviceGetComputeRunningProcesses=lambda device: on_slice.get(device.uuid, []),
    )
    found = tree.detect(nvml)
    assert found.device == ("gpu" if expected else "cpu")
    if expected:
        part = next(part for part in by_uuid.values() if part.name.endswith(expected))
        assert (found.device_name, found.device_free_bytes) == (part.name, part.free)
        held = [used.bytes for used in found.other_gpu_processes]
        assert held == ([19_000 * MB] if part is OTHER_SLICE else [])
        assert found.compute_capability == "7.5"


def test_a_part_by_the_name_of_older_drivers(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a driver before 470 a slice could not be named at all."""
    name = "MIG-GPU-aaaa-0/7/0"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name)
    nvml = fake_nvml(
        **divided(NAMED_SLICE), DeviceGetHandleByUUID=lambda uuid: NAMED_SLICE if uuid == name else fails()
    )
    assert tree.detect(nvml).device_name == NAMED_SLICE.name


@pytest.mark.usefixtures("gpus")
def test_a_divided_gpu_without_parts_is_the_gpu(tree: Tree) -> None:
    """NVML would be asked for a part that is not there, and the machine be taken for one without a GPU."""
    assert tree.detect(fake_nvml(**divided(None, None))).device_name == "NVIDIA T4"


@pytest.mark.usefixtures("gpus")
def test_a_gpu_that_is_lost_is_named(tree: Tree) -> None:
    """A card that fell off the bus would be a silent training on the CPU."""

    def lost(_: object) -> None:
        raise RuntimeError("GPU is lost")

    nvml = fake_nvml(DeviceGetMemoryInfo=lost)
    assert tree.detect(nvml).device == "cpu"
    assert gpu_error(nvml=nvml) == "GPU is lost"
    assert cards(nvml=nvml)[0] == Card(name="NVIDIA T4", memory_bytes=0)
    assert cards(nvml=fake_nvml(DeviceGetHandleByIndex=fails))[1].memory_bytes == 0


def test_a_lost_gpu_does_not_hide_another_that_is_named(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node of eight cards would train on its CPU, because one that was not asked for fell off the bus."""
    known = fake_nvml()
    ask, uuid_of = known.nvmlDeviceGetHandleByIndex, known.nvmlDeviceGetUUID

    def second_is_lost(number: int) -> object:
        if number == 1:
            raise RuntimeError("GPU is lost")
        return ask(0)

    nvml = fake_nvml(DeviceGetCount=lambda: 2, DeviceGetHandleByIndex=second_is_lost)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", uuid_of(ask(0)))
    assert tree.detect(nvml).device == "gpu"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-another")
    assert tree.detect(nvml).device == "cpu"
    assert gpu_error(nvml=nvml) == "GPU is lost"


@pytest.mark.parametrize(
    ("visible", "changes"),
    [("0", {}), ("-1", {}), ("0", {"DeviceGetCount": lambda: 0}), ("0", {"Init": fails})],
    ids=steady,
)
def test_a_gpu_that_is_well_hidden_or_absent_has_no_error(
    monkeypatch: pytest.MonkeyPatch, visible: str, changes: dict[str, Callable[..., Any]]
) -> None:
    """Each run on a CPU would be told of a broken GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_error(nvml=fake_nvml(**changes)) == ""


def refuses(name: str, text: str = "") -> Callable[..., Any]:
    """A function that raises NVML's error of this name; `pynvml` makes a class for each."""
    kind = type(name, (NvmlError,), {})

    def refuse(*_: object) -> None:
        raise kind(text)

    return refuse


@pytest.mark.parametrize(
    ("visible", "expected", "count"),
    [
        (None, "NVIDIA H100", 1),
        ("0", "NVIDIA H100", 1),
        ("GPU-bb", "NVIDIA H100", 1),
        ("1", None, 1),
        ("GPU-aa", None, 1),
    ],
)
def test_a_gpu_of_another_job_is_not_counted(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: str | None, count: int
) -> None:
    """A job that was given the second card of a node would train on the CPU: CUDA calls that card its first."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    closed = refuses("NVMLError_NoPermission", "Insufficient Permissions")
    nvml = fake_nvml(DeviceGetHandleByIndex=lambda number: DEVICES[number] if number else closed())
    found = tree.detect(nvml)
    assert (found.device_name if found.device == "gpu" else None) == expected
    assert (found.devices, gpu_count(nvml=nvml)) == (count, 1)
    assert [card.name for card in cards(nvml=nvml)] == ["NVIDIA H100"]
    assert missing_gpu(nvml=nvml) == ("" if expected else visible)


@pytest.mark.usefixtures("gpus")
def test_a_job_without_a_gpu_has_no_error(tree: Tree) -> None:
    """Each job for processors on a node with GPUs would be told of a broken one."""
    nvml = fake_nvml(DeviceGetHandleByIndex=refuses("NVMLError_NoPermission"))
    assert (tree.detect(nvml).device, gpu_count(nvml=nvml)) == ("cpu", 0)
    assert (gpu_error(nvml=nvml), missing_gpu(nvml=nvml)) == ("", "")


@pytest.mark.parametrize("visible", ["7", "GPU-cccc", "MIG-none", "NoDevFiles", "9" * 30])
def test_a_name_of_no_gpu_is_not_a_broken_one(monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    """A typing error in a variable would be told as a card whose driver fails with "StopIteration"."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    starts: list[bool] = []
    nvml = fake_nvml(DeviceGetHandleByUUID=fails, Init=lambda: starts.append(True))
    assert (gpu_error(nvml=nvml), missing_gpu(nvml=nvml)) == ("", visible)
    assert len(starts) == 2, "each start of NVML takes seconds on a large node"
    assert missing_gpu(nvml=fake_nvml(DeviceGetCount=lambda: 0)) == ""


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("LibRmVersionMismatch", "RM has detected a version mismatch.", "RM has detected a version mismatch"),
        ("NoPermission", "Insufficient Permissions", "Insufficient Permissions"),
        ("DriverNotLoaded", "Driver Not Loaded", ""),
        ("LibraryNotFound", "NVML Shared Library Not Found", ""),
    ],
)
def test_a_driver_that_refuses_is_told_and_a_missing_one_is_not(name: str, text: str, expected: str) -> None:
    """After an update of the driver a run would train on the CPU without a word."""
    assert gpu_error(nvml=fake_nvml(Init=refuses(f"NVMLError_{name}", text))) == expected


def test_of_a_divided_card_the_part_counts_that_its_number_means() -> None:
    """The doctor would advise the number of the card in use, since the whole of it is larger than its part."""
    assert cards(nvml=fake_nvml(**divided(None, SLICE)))[0] == Card(name=SLICE.name, memory_bytes=SLICE.total)


def test_all_cards_and_the_drivers_cuda() -> None:
    """The doctor could not say which card is used of which, nor that the driver is too old."""
    nvml = fake_nvml(SystemGetCudaDriverVersion=lambda: 12040)
    assert cards(nvml=nvml) == [
        Card(name="NVIDIA T4", memory_bytes=16_000 * MB),
        Card(name="NVIDIA H100", memory_bytes=80_000 * MB),
    ]
    assert cuda_of_driver(nvml=nvml) == "12.4"
    assert cuda_of_driver(nvml=fake_nvml(SystemGetCudaDriverVersion=fails)) is None
