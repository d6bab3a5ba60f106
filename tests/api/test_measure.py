"""One probe over the rungs of the ladder and with the saved profiles; the trials are replaced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autofit import api
from autofit.config.rungs import Rung
from autofit.errors import DoesNotFitError
from autofit.probing.records import ProbeReport
from autofit.profiles.store import default_folder
from autofit.protocol.messages import StageName, Trial, Verdict
from autofit.runs.run_record import RunRecord
from autofit.runs.stages import plan_of_stage
from tests.support.views import RecordingView

if TYPE_CHECKING:
    from tests.api.conftest import Stages

ALL: dict[str, Any] = {"weights": None, "memory_limit": "2GB"}


def probed(stages: Stages) -> list[int]:
    """The segments of the networks that were probed, which both the network and its words have."""
    segments = [request.workload.segments for request, _ in stages.probes]
    assert segments == [request.source.spec.segments for request, _ in stages.probes]
    return segments


@pytest.fixture
def small(stages: Stages) -> Stages:
    """A machine on which only a network in eight segments or more fits."""
    stages.largest, stages.largest_in = 0, {8: 48, 16: 48}
    return stages


def test_where_nothing_fits_the_ladder_is_climbed(small: Stages, photos: Path, view: RecordingView) -> None:
    """A network that trains in segments would be refused, or its run would not know in how many."""
    api.run(photos, run_dir="a", view=view, **ALL)
    assert probed(small) == [0, 8]
    assert RunRecord.load(Path("a/run.json")).plan.rung == Rung(segments=8)
    kept = ProbeReport.load(Path("a/probe.json"))
    assert [(one.rung.segments, one.largest_feasible_batch) for one in kept.rungs] == [(0, 0), (8, 48)]
    assert any("trying with activations recomputed in 8 segments" in message for message in view.messages)


def test_the_next_run_needs_one_trial_only(small: Stages, photos: Path) -> None:
    """Each run on a small machine would find out again, for minutes, that nothing fits without."""
    api.run(photos, run_dir="a", view=RecordingView(), **ALL)
    small.probes.clear()
    api.run(photos, run_dir="b", view=RecordingView(), **ALL)
    assert probed(small) == [8]
    assert RunRecord.load(Path("b/run.json")).plan.rung == Rung(segments=8)
    assert [one.saved for one in ProbeReport.load(Path("b/probe.json")).rungs] == [True, False]


@pytest.mark.parametrize(("recompute", "segments"), [("off", [0]), ("on", [8])])
def test_a_user_who_has_decided_is_obeyed(stages: Stages, photos: Path, recompute: str, segments: list[int]) -> None:
    """A training would be slower than asked for, or the option be of no use."""
    stages.largest = 0
    with pytest.raises(DoesNotFitError) as raised:
        api.run(photos, run_dir="a", recompute=recompute, view=RecordingView(), **ALL)
    assert probed(stages) == segments
    assert ("give recompute 'auto'" in str(raised.value)) is (recompute == "off")


def test_where_it_fits_the_default_costs_no_trial(stages: Stages, photos: Path) -> None:
    """Every run would take longer, for the sake of those that do not fit."""
    api.run(photos, run_dir="a", view=RecordingView(), **ALL)
    assert probed(stages) == [0]
    assert ProbeReport.load(Path("a/probe.json")).rungs == []


def test_an_error_names_the_rungs_and_what_helps(stages: Stages, view: RecordingView) -> None:
    """A user would not know what was tried, nor what to change."""
    stages.largest = 0
    found = api.probe(backbone="ResNet50", trainable="all", view=view, memory_limit="1GB")
    assert probed(stages) == [0, 8, 16]
    words = str(api.does_not_fit(found))
    assert "nor with activations recomputed in 8 or 16 segments" in words
    assert all(option in words for option in ("image_size", "trainable", "precision", "backbone", "memory_limit"))
    assert len(words) < 500


def test_the_next_probe_knows_that_no_rung_helps(stages: Stages, view: RecordingView) -> None:
    """The same call would climb two rungs that the first had left out, and then advise smaller images."""
    stages.largest = 0
    stages.failed = [Trial(batch_size=1, verdict=Verdict.DEVICE_OOM, was_building=True, fresh=True)]
    for _ in range(2):
        found = api.probe(backbone="VGG16", view=view, **ALL)
        assert "weights alone do not fit" in str(api.does_not_fit(found))
    assert probed(stages) == [0, 0]


def test_the_next_probe_knows_into_how_many_segments_a_network_can_be_cut(stages: Stages, view: RecordingView) -> None:
    """A rung on which the network is the same would be tried by each call but the first."""
    stages.largest = 0
    stages.failed = [Trial(batch_size=1, verdict=Verdict.DEVICE_OOM, most_segments=8, fresh=True)]
    for _ in range(2):
        api.probe(backbone="VGG16", view=view, **ALL)
    assert probed(stages) == [0, 8, 0]


def test_a_limit_of_the_shell_is_not_saved_as_what_the_machine_holds(stages: Stages, view: RecordingView) -> None:
    """After `ulimit -u` was raised, nothing would fit still, by the profile."""
    stages.largest = 0
    stages.failed = [Trial(batch_size=1, verdict=Verdict.HOST_OOM, is_limited=True, cause="ulimit -u: raise it")]
    found = api.probe(backbone="VGG16", view=view, **ALL)
    assert str(api.does_not_fit(found)).endswith(": ulimit -u: raise it")
    stages.failed, stages.largest = [], 48
    assert api.probe(backbone="VGG16", view=view, **ALL).largest_feasible_batch == 48
    assert probed(stages) == [0, 0]


@pytest.mark.parametrize(
    ("variable", "value", "is_saved"),
    [
        ("TF_ENABLE_ONEDNN_OPTS", "1", False),
        ("TF_ENABLE_ONEDNN_OPTS", "0", True),
        ("TF_XLA_FLAGS", "--tf_xla_auto_jit=2", False),
    ],
)
def test_what_other_kernels_took_is_not_saved(
    stages: Stages, view: RecordingView, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, *, is_saved: bool
) -> None:
    """A later probe without the variable would begin with their memory, and recommend by their speed."""
    monkeypatch.setenv(variable, value)
    api.probe(backbone="VGG16", view=view, **ALL)
    assert probed(stages) == [0]
    assert len(list(default_folder().glob("*.json"))) == is_saved


def test_fine_tuning_climbs_too_and_the_next_run_knows_it(stages: Stages, photos: Path) -> None:
    """Fine-tuning would be left out that fits in segments; or each run would try what does not fit."""
    request: dict[str, Any] = {"fine_tune_epochs": 2, "fine_tune_from": "out_relu", "memory_limit": "2GB"}
    stage: StageName = "fine-tune"
    stages.largest, stages.largest_in = 0, {8: 32}
    for run_dir in ("a", "b"):
        api.run(photos, run_dir=run_dir, view=RecordingView(), **request)
        told = stages.runs[-1]
        plan = plan_of_stage(told["record"].plan, stage, [])
        for _ in range(2):  # the second time as a run that is resumed
            start = told["begin_stage"](told["record"], stage, plan, is_begun=False)
            assert (start.micro_batch_size, start.rung) == (32, Rung(segments=8))
    assert probed(stages)[:2] == [0, 8]
    assert all(segments == 8 for segments in probed(stages)[2:])
    assert len(ProbeReport.load(Path("b/probe-fine-tune.json")).rungs) == 2


@pytest.mark.parametrize("largest_in", [{}, {8: 32}])
@pytest.mark.parametrize(
    ("options", "variables"), [({"deterministic": True}, {}), ({}, {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2"})]
)
def test_a_size_measured_with_other_kernels_is_not_taken_without_a_trial(
    stages: Stages,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    largest_in: dict[int, int],
    options: dict[str, Any],
    variables: dict[str, str],
) -> None:
    """Deterministic operations may take more memory: fine-tuning would run out with a size that had fitted without."""
    request: dict[str, Any] = {"fine_tune_epochs": 2, "fine_tune_from": "out_relu", "memory_limit": "2GB"}
    stages.largest, stages.largest_in = (0, largest_in) if largest_in else (32, {0: 32})
    counts: list[list[int]] = []
    for run_dir, more in (("a", {}), ("b", options)):
        if run_dir == "b":
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
        stages.probes.clear()
        api.run(photos, run_dir=run_dir, view=RecordingView(), **request, **more)
        told = stages.runs[-1]
        plan = plan_of_stage(told["record"].plan, "fine-tune", [])
        told["begin_stage"](told["record"], "fine-tune", plan, is_begun=False)
        counts.append(probed(stages))
    assert counts[0] == counts[1] == ([0, 8] if largest_in else [0])
