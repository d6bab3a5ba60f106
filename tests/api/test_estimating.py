"""`estimate()` with the trials replaced: what is asked, of which machines, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit import api
from autofit.api.estimating import as_cpu, targets_of
from autofit.errors import TrainingFailedError, UserError
from autofit.machine.cards import CARDS
from autofit.probing.estimate import MeasuredLine
from autofit.probing.records import ProbeReport
from autofit.probing.request import ProbeRequest
from autofit.protocol.messages import Trial, Verdict
from tests.support.lines import GB, measured_line
from tests.support.machines import make_hardware
from tests.support.views import RecordingView


@dataclass
class Measured:
    """Stands for the trials: what was asked for, and what they say."""

    trials: list[Trial] = field(default_factory=lambda: measured_line().trials)
    failing: tuple[str, ...] = ()
    requests: list[ProbeRequest] = field(default_factory=list)

    def prober(self, request: ProbeRequest, launcher: Any, view: Any) -> Any:
        """In place of `Prober`."""
        del launcher, view
        self.requests.append(request)
        return self

    def run(self) -> ProbeReport:
        """The report of the sizes that ran."""
        request = self.requests[-1]
        if request.workload.backbone in self.failing:
            raise TrainingFailedError("SIGSEGV")
        return ProbeReport(
            workload=request.workload,
            hardware={},
            memory_limit_bytes=request.memory.limit_bytes,
            limited_by="host memory",
            largest_feasible_batch=0,
            recommended_batch=0,
            memory_model=None,
            trials=self.trials,
            wall_seconds=1.0,
        )


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Measured:
    found = Measured()
    monkeypatch.setattr("autofit.api.estimating.Prober", found.prober)
    monkeypatch.setenv("AUTOFIT_PROFILES", str(tmp_path / "profiles"))
    return found


def estimate(**options: Any) -> Any:
    return api.estimate(view=RecordingView(), **options)


def test_each_network_at_each_size_is_measured_once_for_all_machines(measured: Measured) -> None:
    """A table over five cards would cost five measurements, or miss a row."""
    found = estimate(backbone="VGG16, MobileNet", image_size=[64, 96], device="t4,l4", memory="8GB,16GB")
    asked = [(request.workload.backbone, request.workload.image_size[0]) for request in measured.requests]
    assert asked == [("VGG16", 64), ("VGG16", 96), ("MobileNet", 64), ("MobileNet", 96)]
    rows = [(one.device, one.memory_bytes) for one in found.estimates]
    assert rows == [("t4", 8 * GB), ("t4", 16 * GB), ("l4", 8 * GB), ("l4", 16 * GB)] * 4
    assert all(request.only_line and request.memory.device == "cpu" for request in measured.requests)


def test_the_network_is_that_of_a_training_with_weights_but_needs_none(measured: Measured) -> None:
    """An estimate would download weights, or be about the training of all layers where a run freezes them."""
    estimate(image_size=(64, 96), memory=8 * GB)
    [request] = measured.requests
    assert (request.workload.weights, request.workload.trainable) == ("imagenet", "head")
    assert request.workload.image_size == (64, 96)


@pytest.mark.parametrize(
    ("options", "weights"), [({"trainable": "all"}, "imagenet"), ({"weights": "none"}, "none")], ids=["usual", "random"]
)
def test_all_layers_are_those_of_a_training_that_is_called_alike(
    measured: Measured, options: dict[str, Any], weights: str
) -> None:
    """Where BatchNormalization trains, an image takes 11 MB, not 6.6 (MobileNetV2 at 96 px): 269 "at most" of 469."""
    estimate(memory=8 * GB, **options)
    [request] = measured.requests
    assert (request.workload.weights, request.workload.trainable) == (weights, "all")
    assert request.source.spec.weights == weights


def test_only_a_pair_is_one_size(measured: Measured) -> None:
    """Memories in a tuple, and three sizes, would be refused as a size of too many sides."""
    found = estimate(image_size=(64, 96, 128), memory=(8 * GB, 16 * GB))
    assert [request.workload.image_size for request in measured.requests] == [(side, side) for side in (64, 96, 128)]
    assert [one.memory_bytes for one in found.estimates] == [8 * GB, 16 * GB] * 3
    measured.requests.clear()
    estimate(image_size=(np.int64(64), np.int64(96)), memory=8 * GB, profile=False)
    assert [request.workload.image_size for request in measured.requests] == [(64, 96)]


def test_a_second_estimate_is_at_once_unless_asked_to_measure(measured: Measured) -> None:
    """The same network for another card would be measured again."""
    for more in ({"device": "t4"}, {"device": "cpu", "memory": "4GB"}, {"device": "t4", "profile": False}):
        estimate(backbone="MobileNet", **more)
    assert len(measured.requests) == 2


def test_a_network_of_which_one_size_had_room_is_measured_again(measured: Measured) -> None:
    """Where memory was short once, every later estimate would come from a single size, and say half of what fits."""
    whole, measured.trials = measured.trials, measured.trials[:1]
    estimate(memory="8GB")
    measured.trials, asked = whole, len(measured.requests)
    found = estimate(memory="8GB")
    assert len(measured.requests) == asked + 1
    assert found.measured[0].trials == whole


def test_a_saved_line_edited_so_that_no_size_fits_is_measured_again(measured: Measured, tmp_path: Path) -> None:
    """A file that somebody has changed by hand would be a traceback in every later estimate."""
    estimate(memory="8GB")
    [file] = (tmp_path / "profiles" / "estimates").iterdir()
    line = MeasuredLine.load(file)
    failed = line.trials[0].model_copy(update={"batch_size": 2, "verdict": Verdict.DEVICE_OOM})
    line.model_copy(update={"trials": [*line.trials, failed]}).save(file)
    assert estimate(memory="8GB").estimates[0].largest_batch > 0
    assert len(measured.requests) == 2


def test_one_network_that_fails_does_not_cost_the_others(measured: Measured) -> None:
    """A crash in the first of ten networks would lose the table; or the only one's error would be a line in a table."""
    measured.failing = ("VGG16",)
    found = estimate(backbone=["VGG16", "MobileNet"], memory="8GB")
    assert [failure.cause for failure in found.failures] == ["SIGSEGV"]
    assert [one.workload.backbone for one in found.estimates] == ["MobileNet"]
    with pytest.raises(TrainingFailedError, match="SIGSEGV"):
        estimate(backbone="VGG16", memory="8GB")


def test_a_network_too_large_for_this_machine_is_an_error_and_not_saved(measured: Measured) -> None:
    """An empty table, today and, from the saved line, for ever."""
    measured.trials = []
    for _ in range(2):
        with pytest.raises(TrainingFailedError, match="nothing to estimate from"):
            estimate(memory="8GB")
    assert len(measured.requests) == 4  # each time with a small worker, and then with all the memory


def test_devices_and_memories() -> None:
    """`all` would miss a card, a card's own memory be forgotten, or a lone memory not mean a GPU."""
    assert [target.name for target in targets_of([None], [None])] == list(CARDS)
    assert [(one.name, one.memory_bytes) for one in targets_of(["16GB"], [None])] == [("gpu", 16 * GB)]
    [card] = targets_of([None], ["T4"])
    assert (card.memory_bytes, card.card) == (CARDS["t4"].memory_bytes, CARDS["t4"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cpu"}, "no memory of its own: give memory"),
        ({"device": "t5"}, "is not known: give one of .*, h100; of any other card give the memory and no device"),
        ({"device": "h200"}, r"did you mean h100\? Of any other card give the memory and no device"),
        ({"memory": "much"}, "memory"),
        ({"memory": ""}, "memory: the size '' is not understood"),
        ({"device": ","}, "device ',' is not known"),
        ({"backbone": "MobileNetV9"}, "MobileNetV9"),
        ({"num_classes": 0}, "num_classes"),
    ],
    ids=["cpu", "device", "card", "memory", "no memory", "no device", "backbone", "classes"],
)
def test_what_cannot_be_used_is_refused_before_anything_runs(
    measured: Measured, options: dict[str, Any], message: str
) -> None:
    """A typing error would be told of after a minute."""
    with pytest.raises(UserError, match=message):
        estimate(**options)
    assert measured.requests == []


def test_a_machine_with_a_gpu_measures_on_its_cpu() -> None:
    """The worker would be limited as on a GPU, where nothing tells the gaps or the exact peaks."""
    machine = as_cpu(make_hardware(device="gpu", device_memory_bytes=8 * GB, compute_capability="8.9"))
    assert (machine.device, machine.device_memory_bytes, machine.compute_capability) == ("cpu", None, None)
