"""`precision="auto"` in a run and a probe: what is compared, what comes of it, and where it is kept."""

# ruff: noqa: D102 - a seam is documented where it is

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autofit import api
from autofit.api.workers import machine_for
from autofit.config.options import make_options
from autofit.errors import InterruptedRunError, TrainingFailedError, UserError
from autofit.machine.hardware import Hardware
from autofit.probing.precision_trial import ComparisonRequest
from autofit.probing.records import ProbeReport
from autofit.protocol.precision import PrecisionComparison
from autofit.report.what_was_run import what_was_run
from autofit.runs.collect_result import collect_result
from autofit.runs.run_record import RunRecord
from autofit.runs.stage_precision import compares_stage, with_stage_precision
from autofit.runs.stage_probe import StageStart
from autofit.runs.stages import plan_of_stage
from autofit.storage.run_directory import RunDirectory
from tests.support.views import RecordingView

if TYPE_CHECKING:
    from tests.api.conftest import Stages

FASTER = PrecisionComparison(
    precision="mixed_bfloat16",
    batch_size=8,
    images_per_second=20.0,
    float32_images_per_second=10.0,
    feature_difference=0.01,
)
ALL: dict[str, Any] = {"weights": None, "memory_limit": "2GB", "precision": "auto"}


class Comparisons:
    """Stands for the worker that compares: what it is asked, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[ComparisonRequest] = []
        self.answer: PrecisionComparison | Exception | None = FASTER
        self.later: PrecisionComparison | None = None

    def __call__(self, request: ComparisonRequest, launcher: Any, view: Any) -> PrecisionComparison | None:
        del launcher, view
        self.asked.append(request)
        if self.later is not None and len(self.asked) > 1:
            return self.later
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def comparisons(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Comparisons:
    """A CPU with units for bfloat16, and a worker that finds it twice as fast."""
    del stages
    made = Comparisons()
    monkeypatch.setattr("autofit.api.precision.compare_precisions", made)
    set_units(monkeypatch, has=True)
    return made


def set_units(monkeypatch: pytest.MonkeyPatch, *, has: bool) -> None:
    """Let the machine have such units, or not."""
    real = machine_for(make_options())
    machine = real.model_copy(update={"bfloat16_units": has, "device": "cpu"})

    def machine_of(options: Any) -> Hardware:
        del options
        return machine

    for module in ("probes", "training", "supervision", "stage_sizes"):
        monkeypatch.setattr(f"autofit.api.{module}.machine_for", machine_of, raising=False)


def test_a_run_trains_in_the_precision_that_was_chosen(stages: Stages, photos: Path, comparisons: Comparisons) -> None:
    """The probe, the plan or the page would be of another precision than the training."""
    view = RecordingView()
    api.run(photos, run_dir="a", view=view, **ALL)
    request = comparisons.asked[0]
    assert (request.source.spec.precision, request.work.precision) == ("float32", "mixed_bfloat16")
    assert [request.workload.precision for request, _ in stages.probes] == ["mixed_bfloat16"]
    record = RunRecord.load(Path("a/run.json"))
    assert record.options.precision == "auto"
    assert record.settled_options.precision == "mixed_bfloat16"
    assert record.plan.precision_choice is not None
    assert record.plan.precision_choice.comparison == FASTER
    assert ProbeReport.load(Path("a/probe.json")).precision_choice == record.plan.precision_choice
    assert any("precision auto: mixed_bfloat16 (20.0 images/s, in float32 10.0;" in words for words in view.messages)
    ended = collect_result(RunDirectory(Path("a")), "completed", "", 0.0)
    assert "mixed_bfloat16: 20.0 images/s" in str(what_was_run(record, ended))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (FASTER.model_copy(update={"images_per_second": 5.0}), "not clearly faster"),
        (FASTER.model_copy(update={"feature_difference": 0.5}), "features in mixed_bfloat16 differ by 50.0%"),
        (None, "not even one image fits"),
        (UserError("the layer cannot"), "could not be measured: the layer cannot"),
        (TrainingFailedError("SIGSEGV"), "could not be measured: SIGSEGV"),
    ],
    ids=["slower", "another result", "out of memory", "refused", "crashed"],
)
def test_what_is_not_better_or_cannot_be_measured_leaves_float32(
    stages: Stages, photos: Path, comparisons: Comparisons, answer: PrecisionComparison | Exception | None, why: str
) -> None:
    """A run would end, be slower or have another result for the sake of an option that asks for the better one."""
    comparisons.answer = answer
    api.run(photos, run_dir="a", view=RecordingView(), **ALL)
    choice = RunRecord.load(Path("a/run.json")).plan.precision_choice
    assert choice is not None
    assert choice.precision == "float32"
    assert why in choice.why
    assert stages.probes[0][0].workload.precision == "float32"


@pytest.mark.parametrize(
    ("request_", "segments", "saving", "words"),
    [
        ({}, 0, 8, "not even one image fits"),
        ({"recompute": "off"}, 0, None, "not even one image fits with activations kept"),
        ({"recompute": "on"}, 8, None, "not even one image fits with activations recomputed in 8 segments"),
        ({"weights": "imagenet"}, 0, None, "not even one image fits with activations kept"),  # only the head trains
    ],
)
def test_the_rung_of_a_comparison_is_that_of_the_request(
    photos: Path,
    comparisons: Comparisons,
    request_: dict[str, str],
    segments: int,
    saving: int | None,
    words: str,
) -> None:
    """What is compared would be another network than the one that trains, or the reason be of one that did not run."""
    comparisons.answer = None
    api.run(photos, run_dir="a", view=RecordingView(), **(ALL | request_))
    (asked,) = comparisons.asked
    assert asked.source.spec.segments == segments
    assert (asked.saving.spec.segments if asked.saving else None) == saving
    choice = RunRecord.load(Path("a/run.json")).plan.precision_choice
    assert choice is not None
    assert choice.why == words


def test_ctrl_c_ends_the_comparison_and_the_run(stages: Stages, photos: Path, comparisons: Comparisons) -> None:
    """It would be taken for a comparison that failed, and the run go on."""
    comparisons.answer = InterruptedRunError("the probe was stopped")
    with pytest.raises(InterruptedRunError):
        api.run(photos, run_dir="a", view=RecordingView(), **ALL)
    assert not stages.probes


def test_without_units_nothing_is_measured(
    photos: Path, comparisons: Comparisons, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run would wait for a comparison that 16 bits cannot win."""
    set_units(monkeypatch, has=False)
    view = RecordingView()
    api.run(photos, run_dir="a", view=view, **ALL)
    assert not comparisons.asked
    assert any("precision auto: float32 (this CPU has no units for bfloat16" in words for words in view.messages)


def test_a_short_time_budget_is_not_spent_on_it(photos: Path, comparisons: Comparisons) -> None:
    """Half of a budget of a minute would be gone before the first image."""
    api.run(photos, run_dir="a", view=RecordingView(), time_budget="60s", precision="auto")
    assert not comparisons.asked


def test_a_given_precision_is_not_compared(stages: Stages, photos: Path, comparisons: Comparisons) -> None:
    """Who has decided would wait for what cannot change anything."""
    api.run(photos, run_dir="a", view=RecordingView(), **(ALL | {"precision": "mixed_bfloat16"}))
    assert not comparisons.asked
    assert stages.probes[0][0].workload.precision == "mixed_bfloat16"
    assert RunRecord.load(Path("a/run.json")).plan.precision_choice is None


@pytest.mark.parametrize("asked", ["auto", "mixed_bfloat16"])
def test_a_replay_computes_as_the_run_that_it_follows(photos: Path, comparisons: Comparisons, asked: str) -> None:
    """A comparison that comes out otherwise today would give other bits."""
    api.run(photos, run_dir="a", view=RecordingView(), **(ALL | {"precision": asked}))
    Path("a/audit.jsonl").touch()
    comparisons.asked.clear()
    api.run(photos, run_dir="b", view=RecordingView(), replay="a", **ALL)
    assert RunRecord.load(Path("b/run.json")).settled_options.precision == "mixed_bfloat16"
    assert not comparisons.asked


def second_stage(photos: Path, stages: Stages, recompute: Any = "auto") -> tuple[StageStart, RunRecord]:
    """What fine-tuning begins with, and the run."""
    sizes: dict[str, Any] = {"batch_size": "auto", "fine_tune_epochs": 2, "fine_tune_from": "out_relu"}
    api.run(photos, run_dir="a", view=RecordingView(), precision="auto", recompute=recompute, **sizes)
    told = stages.runs[0]
    record = told["record"]
    start: StageStart = told["begin_stage"](
        record, "fine-tune", plan_of_stage(record.plan, "fine-tune", []), is_begun=False
    )
    return start, record


def test_fine_tuning_is_compared_by_its_own_work(photos: Path, stages: Stages, comparisons: Comparisons) -> None:
    """A stage would train in 16 bits for the sake of an extraction, though its own steps are slower in them."""
    comparisons.later = FASTER.model_copy(update={"images_per_second": 5.0, "loss_difference": 0.0})
    start, record = second_stage(photos, stages)
    assert record.settled_options.precision == "mixed_bfloat16"
    assert start.precision is not None
    assert (start.precision.precision, start.precision.comparison) == ("float32", comparisons.later)
    extraction, training = comparisons.asked
    assert (extraction.source.spec.trainable, extraction.source.spec.cut) == ("head", None)
    assert (training.source.spec.trainable, training.source.spec.cut) == ("all", "out_relu")
    assert training.source.spec.precision == "float32"
    assert [request.workload.precision for request, _ in stages.probes][-1] == "float32"
    decided = with_stage_precision(record, start.precision)
    assert decided.options_of("refit").precision == "float32"
    assert decided.options_of("head").precision == "mixed_bfloat16"
    assert not compares_stage(decided)


@pytest.mark.parametrize(("recompute", "segments", "saving"), [("auto", 0, 8), ("on", 8, None), ("off", 0, None)])
def test_fine_tuning_is_compared_on_its_rung(
    photos: Path, stages: Stages, comparisons: Comparisons, recompute: str, segments: int, saving: int | None
) -> None:
    """Activations would be kept, and so not fit, though the user has asked to recompute them."""
    comparisons.later = FASTER.model_copy(update={"loss_difference": 0.0})
    second_stage(photos, stages, recompute)
    training = comparisons.asked[-1]
    assert training.source.spec.segments == segments
    assert (training.saving.spec.segments if training.saving else None) == saving


def test_other_features_are_not_compared_again(photos: Path, stages: Stages, comparisons: Comparisons) -> None:
    """The features would be too far from float32 for the head, and near enough for what goes on from that head."""
    comparisons.answer = FASTER.model_copy(update={"feature_difference": 0.2})
    start, record = second_stage(photos, stages)
    assert len(comparisons.asked) == 1
    assert start.precision is None
    assert record.options_of("fine-tune").precision == "float32"


def test_an_extraction_that_is_not_faster_leaves_fine_tuning_open(
    photos: Path, stages: Stages, comparisons: Comparisons
) -> None:
    """Steps of a training gain more than a forward pass does."""
    comparisons.answer, comparisons.later = FASTER.model_copy(update={"images_per_second": 10.5}), FASTER
    start, record = second_stage(photos, stages)
    assert record.settled_options.precision == "float32"
    assert start.precision is not None
    assert start.precision.precision == "mixed_bfloat16"


def test_a_probe_reports_what_it_chose(comparisons: Comparisons) -> None:
    """A user would not know of which precision the sizes are."""
    found = api.probe(backbone="MobileNetV2", view=RecordingView(), **ALL)
    assert found.workload.precision == "mixed_bfloat16"
    assert "20.0 images/s, in float32 10.0" in " ".join(found.summary().split())
    assert len(comparisons.asked) == 1


def test_an_estimate_is_of_a_precision_that_is_named() -> None:
    """It would be an estimate for another machine by what this one measured."""
    with pytest.raises(UserError, match="precision 'auto' is measured on the machine that trains"):
        api.estimate(backbone="MobileNetV2", memory="4GB", precision="auto")
