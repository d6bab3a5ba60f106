"""What a run says of its GPU before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autofit.api.device_notes import (
    announce_device,
    device_notes,
    devices_note,
    host_memory_taken,
    require_devices,
    taken_meanwhile,
)
from autofit.cache.compiled_kernels import KernelCache
from autofit.config.options import make_options
from autofit.errors import UserError
from autofit.machine.hardware import Hardware
from autofit.machine.host_others import HostProcess
from autofit.machine.nvml import GpuProcess
from autofit.protocol.job import TrainingPlan
from tests.support.machines import make_hardware
from tests.support.records import make_plan
from tests.support.views import RecordingView

GB = 10**9
OLD = GpuProcess(pid=7, name="Xorg", bytes=10**8)
NEW = GpuProcess(pid=77, name="python", bytes=13 * GB)
TARGETS = ("sm_80", "compute_90")


def h100(capability: str | None = "9.0") -> Hardware:
    return make_hardware(device="gpu", device_name="NVIDIA H100", compute_capability=capability)


TWO = make_hardware(device="gpu", devices=2)


@pytest.mark.parametrize(
    ("machine", "asked", "words"),
    [
        (TWO, 3, "devices 3: this process is shown 2 GPUs: give devices='all', or as many"),
        (TWO.model_copy(update={"devices": 1}), 2, "devices 2: this process is shown 1 GPU: "),
        (make_hardware(), 2, "devices 2: autofit finds no GPU here, and a CPU is one device: leave devices out"),
    ],
    ids=["three of two", "two of one", "two of a CPU"],
)
def test_more_devices_than_there_are_are_refused_first(machine: Hardware, asked: int, words: str) -> None:
    """A run would probe, and fail where its worker looks for them."""
    for allowed in (1, "all", machine.devices):
        require_devices(make_options(devices=allowed), machine)
    with pytest.raises(UserError, match=words):
        require_devices(make_options(devices=asked), machine)


@pytest.mark.parametrize(
    ("machine", "given", "words"),
    [
        (TWO, {"trainable": "all"}, ""),
        (TWO, {"devices": "all", "trainable": "all"}, "layers of the backbone train on 2 GPUs, each on a part of"),
        (TWO, {"devices": 2, "fine_tune_epochs": 3}, "layers of the backbone train on 2 GPUs"),
        (TWO, {"devices": 2, "time_budget": "5m"}, "every batch; the time budget plans with the speed of one"),
        (TWO, {"devices": "all"}, "devices all: a head on features is trained on one"),
        (make_hardware(), {"devices": "all", "trainable": "all"}, "devices all: there is one"),
    ],
    ids=str,
)
def test_what_several_devices_do_is_said(machine: Hardware, given: dict[str, Any], words: str) -> None:
    """A user would believe that two GPUs train a head, or not know that they do train."""
    note = devices_note(make_options(**given), machine)
    assert words in note
    assert bool(note) == bool(words)
    assert ("time budget" in note) == ("time_budget" in given)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (make_plan(tuning="quick"), "cuDNN's first choice, for a quick start; TF_CUDNN_USE_AUTOTUNE=1"),
        (make_plan(), "tuned in the first steps; TF_CUDNN_USE_AUTOTUNE=0"),
        (make_plan(tuning="quick", deterministic=True), "cuDNN's first deterministic choice"),
    ],
    ids=["quick", "tuned", "deterministic"],
)
def test_the_choice_of_the_convolutions_is_said(plan: TrainingPlan, words: str) -> None:
    """A user would not know that there was a choice, nor how to make another."""
    (note,) = device_notes(plan, h100("8.0"), TARGETS, None)
    assert words in note


def test_xla_is_said() -> None:
    """A run would compile for minutes and nobody know why."""
    words = "XLA compiles each new shape, as TF_XLA_FLAGS asked"
    assert [words in note for note in device_notes(make_plan(xla=True), h100("8.0"), TARGETS, None)] == [False, True]


@pytest.mark.parametrize(
    ("cache", "words"),
    [
        (
            KernelCache("/home/me/cuda", 0, None),
            "this first start compiles its kernels, which may take minutes; they are",
        ),
        (KernelCache("/home/me/cuda", 9, None), None),
        (None, "every start compiles its kernels"),
    ],
    ids=["empty", "full", "off"],
)
def test_a_start_that_compiles_is_announced(cache: KernelCache | None, words: str | None) -> None:
    """A first start of minutes would be taken for one that hangs; or a later one, which is quick, be announced so."""
    notes = device_notes(make_plan(), h100(), TARGETS, cache)
    assert len(notes) == (1 if words is None else 2)
    assert words is None or (words in notes[1] and "compute capability 9.0" in notes[1])


@pytest.mark.parametrize(
    ("free_bytes", "processes", "expected"),
    [
        (15 * GB, [], ""),
        (14_800 * 10**6, [OLD], ""),
        (2 * GB, [OLD], "another program took 13 GB of the GPU meanwhile; 2 GB are free"),
        (2 * GB, [OLD, NEW], "another program (python, pid 77) took 13 GB of the GPU meanwhile; 2 GB are free"),
    ],
    ids=["nothing", "little", "unseen", "named"],
)
def test_who_took_the_memory_is_said(free_bytes: int, processes: list[GpuProcess], expected: str) -> None:
    """An out-of-memory would be taken for the run's own, where another program has just filled the card."""
    before = make_hardware(device="gpu", device_free_bytes=15 * GB, other_gpu_processes=[OLD])
    now = before.model_copy(update={"device_free_bytes": free_bytes, "other_gpu_processes": processes})
    assert taken_meanwhile(before, now) == expected


@pytest.mark.parametrize(
    ("free_bytes", "begun", "expected"),
    [
        (11_600 * 10**6, [], ""),
        (14 * GB, [], ""),
        (2 * GB, [], "another program took 10 GB of the memory meanwhile; 2 GB are free (host memory)"),
        (2 * GB, [HostProcess(8, "java", 10 * GB)], "another program (java, pid 8) took 10 GB of the memory meanwhile"),
    ],
    ids=["little", "less than before", "unseen", "named"],
)
def test_who_took_the_hosts_memory_is_said(free_bytes: int, begun: list[HostProcess], expected: str) -> None:
    """A run that stops since the machine is full would be blamed on its own size."""
    before = make_hardware()
    now = before.model_copy(update={"host_available_bytes": free_bytes})
    said = host_memory_taken(before, now, begun)
    assert said.startswith(expected)
    assert bool(said) is bool(expected)


@pytest.mark.parametrize("isolated", [True, False])
def test_the_folder_of_compiled_kernels_is_the_one_in_use(
    monkeypatch: pytest.MonkeyPatch, view: RecordingView, tmp_path: Path, *, isolated: bool
) -> None:
    """Someone would keep the wrong folder for the next container."""
    monkeypatch.setattr("autofit.api.device_notes.cuda_targets", lambda: TARGETS)
    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    announce_device(make_plan(), h100(), view, isolated=isolated)
    assert ("cache/cuda" in view.messages[-1]) is isolated
    assert (".nv/ComputeCache" in view.messages[-1]) is not isolated


def test_a_name_of_no_gpu_is_told(monkeypatch: pytest.MonkeyPatch, view: RecordingView) -> None:
    """A run on the CPU would go on for days because of a number in a variable."""
    monkeypatch.setattr("autofit.api.device_notes.missing_gpu", lambda: "7")
    announce_device(make_plan(), make_hardware(), view)
    assert view.messages == ["CUDA_VISIBLE_DEVICES names 7, which is no GPU of this machine: training on the CPU"]


def test_a_gpu_that_is_lost_is_told(monkeypatch: pytest.MonkeyPatch, view: RecordingView) -> None:
    """A run on the CPU would go on for days where a card was expected."""
    monkeypatch.setattr("autofit.api.device_notes.gpu_error", lambda: "GPU is lost")
    announce_device(make_plan(), make_hardware(), view)
    assert view.messages == ["there is a GPU, but its driver cannot describe it (GPU is lost): training on the CPU"]


@pytest.mark.parametrize(
    ("free_bytes", "processes", "expected"),
    [
        (15 * GB, [OLD], None),
        (
            3 * GB,
            [OLD, NEW],
            "3 GB of the GPU's 16 GB are free, and the run uses those; held by python (pid 77, 13 GB), Xorg",
        ),
        (3 * GB, [], "held by a program that the driver does not show"),
        (3 * GB, [NEW.model_copy(update={"bytes": None})], "held by python (pid 77)"),
    ],
    ids=["little", "named", "unseen", "amount unknown"],
)
def test_who_holds_the_card_is_said_first(free_bytes: int, processes: list[GpuProcess], expected: str | None) -> None:
    """A notebook that has used TensorFlow itself would leave a run a small part of the card, and nobody know it."""
    machine = make_hardware(
        device="gpu",
        device_memory_bytes=16 * GB,
        device_free_bytes=free_bytes,
        other_gpu_processes=processes,
        compute_capability="8.0",
    )
    notes = device_notes(make_plan(), machine, TARGETS, None)
    assert len(notes) == (1 if expected is None else 2)
    assert expected is None or expected in notes[0]
