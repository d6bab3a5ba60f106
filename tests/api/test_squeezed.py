"""What others take of a device in the middle of a run: two runs on one card, as NVML shows it, and a neighbour."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from autofit.api.device_notes import device_notes
from autofit.api.squeezed import squeeze_reader
from autofit.config.options import make_options
from autofit.machine import hardware
from autofit.machine.hardware import Hardware
from autofit.machine.host_others import HostProcess
from autofit.machine.memory_policy import usable_gpu_bytes
from autofit.probing.records import MemoryModelRecord, ProbeReport
from autofit.protocol.messages import StageName
from autofit.runs.memory_budget import memory_budget
from autofit.storage.run_directory import RunDirectory
from tests.support.fake_machine import MB, fake_nvml, process
from tests.support.machines import GB, make_hardware
from tests.support.records import make_plan, make_probe_report

FIRST, SECOND = 8101, 8102


@dataclasses.dataclass
class SharedCard:
    """A card of 16 GB, and what each worker on it has taken, as NVML reports it to any process."""

    taken: dict[int, int] = dataclasses.field(default_factory=dict)

    @property
    def nvml(self) -> ModuleType:
        """The driver's library."""
        free = 16_000 * MB - sum(self.taken.values())
        return fake_nvml(
            DeviceGetMemoryInfo=lambda _: SimpleNamespace(total=16_000 * MB, free=free),
            DeviceGetComputeRunningProcesses=lambda _: [process(*one) for one in self.taken.items()],
        )

    def seen(self) -> Hardware:
        """The machine, as a run that looks now sees it."""
        return hardware.detect(nvml=self.nvml)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> SharedCard:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    return SharedCard()


@pytest.fixture
def files(tmp_path: Path) -> RunDirectory:
    """Of a run whose probe found 500 MB, and 50 MB for each of 200 images."""
    found = RunDirectory(tmp_path / "run")
    found.create()
    probe_of(50 * MB, 200).save(found.probe)
    return found


def probe_of(bytes_per_image: int, largest: int) -> ProbeReport:
    line = MemoryModelRecord(base_bytes=500 * MB, bytes_per_image=bytes_per_image, max_relative_error=0.01)
    return make_probe_report(largest, largest).model_copy(update={"memory_model": line})


def limit_of(machine: Hardware) -> int:
    return memory_budget(make_options(), machine, 32).limit_bytes


def test_the_second_run_on_a_card_sees_what_the_first_takes(card: SharedCard) -> None:
    """It would plan with the whole card, and both would run out."""
    assert limit_of(card.seen()) == usable_gpu_bytes(16_000 * MB, 7)
    card.taken[FIRST] = 10_500 * MB
    second = card.seen()
    assert limit_of(second) == usable_gpu_bytes(5_500 * MB, 7)
    note = device_notes(make_plan(), second, ["sm_75"], None)[0]
    assert f"held by /usr/bin/process-{FIRST} (pid {FIRST}, 10.5 GB)" in note


def test_two_runs_that_grow_into_each_other_both_shrink_to_what_is_left(
    card: SharedCard, files: RunDirectory, tmp_path: Path
) -> None:
    """Two that begin at once each see a free card: they would run out by turns, and halve for ever."""
    second_files = RunDirectory(tmp_path / "second")
    second_files.create()
    probe_of(20 * MB, 400).save(second_files.probe)
    looks = [
        squeeze_reader(of, card.seen(), card.seen, limit_of(card.seen()))("training") for of in (files, second_files)
    ]
    assert looks == [None, None]
    whole_card = card.seen()
    ask_first = squeeze_reader(files, whole_card, card.seen, limit_of(whole_card))
    ask_second = squeeze_reader(second_files, whole_card, card.seen, limit_of(whole_card))

    card.taken[FIRST] = 500 * MB + 200 * 50 * MB  # the first is faster, and gets all that it planned
    left = ask_second("training")
    assert left
    assert left.size
    assert f"(/usr/bin/process-{FIRST}, pid {FIRST}) took 10.5 GB of the GPU meanwhile" in left.words
    card.taken[SECOND] = 500 * MB + left.size * 20 * MB
    assert sum(card.taken.values()) <= 16_000 * MB

    del card.taken[FIRST]  # should it end now and start again, it has what the second leaves
    again = ask_first("training")
    assert again
    assert again.size
    card.taken[FIRST] = 500 * MB + again.size * 50 * MB
    assert sum(card.taken.values()) <= 16_000 * MB
    assert again.size > 100  # no blind half


@pytest.mark.parametrize(("stage", "expected"), [("training", 200), ("fine-tune", 7)])
def test_the_size_is_by_the_probe_of_the_stage(
    card: SharedCard, files: RunDirectory, stage: StageName, expected: int
) -> None:
    """A fine-tuning would get as many images as the head alone, and run out again."""
    probe_of(1_400 * MB, 10).save(files.fine_tune_probe)
    ask = squeeze_reader(files, card.seen(), card.seen, 15 * GB)
    card.taken[FIRST] = 3_000 * MB
    found = ask(stage)
    assert found
    assert found.size == expected


def test_a_neighbour_on_a_host_is_named_and_what_it_leaves_is_used(
    files: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU the run would start again and again under a neighbour that stays."""
    asked: list[bool] = []

    def begun(known: list[int], least_bytes: int, *, in_our_group: bool) -> list[HostProcess]:
        assert os.getpid() in known
        asked.append(in_our_group)
        return [HostProcess(8, "java", least_bytes)]

    monkeypatch.setattr("autofit.api.squeezed.begun_since", begun)
    before, limit_bytes = make_hardware(), 12 * GB
    now = [before]
    ask = squeeze_reader(files, before, lambda: now[0], limit_bytes)
    assert ask("training") is None
    now[0] = before.model_copy(update={"host_available_bytes": 4 * GB})
    found = ask("training")
    assert found
    assert (found.size, found.limit_bytes) == (62, limit_bytes)
    assert found.words == "another program (java, pid 8) took 8 GB of the memory meanwhile; 4 GB are free (host memory)"
    now[0] = now[0].model_copy(update={"limited_by": "cgroup limit /job"})
    ask("training")
    assert asked == [False, False, True]
