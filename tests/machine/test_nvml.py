"""The GPU, as a fake NVML reports it."""

from __future__ import annotations

import os
import sys

import pytest

from autofit.machine.hardware import detect
from autofit.machine.nvml import GpuProcess
from tests.support.fake_machine import MB, Tree, fails, fake_nvml, process


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
