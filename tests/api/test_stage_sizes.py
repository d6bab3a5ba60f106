"""The sizes of fine-tuning: probed once, kept in the run directory, and what a probe that failed leads to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autofit.api.result import Result
from autofit.errors import DoesNotFitError, InterruptedRunError, TrainingFailedError
from autofit.probing.records import ProbeReport
from autofit.protocol.messages import StageName, StageRecord
from autofit.runs.stage_probe import StageStart
from autofit.runs.stages import plan_of_stage
from autofit.storage.checkpoints import CheckpointStore
from tests.support.views import RecordingView

if TYPE_CHECKING:
    from tests.api.conftest import Stages, Train

Begin = Callable[..., StageStart]


@pytest.fixture
def view() -> RecordingView:
    return RecordingView()


@pytest.fixture
def begin(stages: Stages, photos: Path, train: Train, view: RecordingView) -> Begin:
    """Begin the second stage of a run, as its supervisor does."""
    train(photos, batch_size="auto", fine_tune_epochs=2, fine_tune_from="out_relu", view=view)
    told = stages.runs[0]
    record = told["record"]
    plan = plan_of_stage(record.plan, "fine-tune", [])

    def begin(stage: StageName = "fine-tune", *, is_begun: bool = False) -> StageStart:
        start: StageStart = told["begin_stage"](record, stage, plan, is_begun=is_begun)
        return start

    return begin


def test_the_stage_is_probed_as_it_will_train(begin: Begin, stages: Stages, view: RecordingView) -> None:
    """Another network than that of the stage would be measured, or small sizes before the only one that matters."""
    stages.largest = 32
    assert begin().micro_batch_size == 32
    ((request, _),) = stages.probes
    assert request.source.spec.cut == request.workload.cut == "out_relu"
    assert request.source.fine_tuning is not None
    assert (request.max_batch, request.from_above, request.hint) == (32, True, None)
    assert "fine-tuning: 32 images at once fit (probed in 1 s)" in view.messages


def test_a_resumed_run_has_its_answer(begin: Begin, stages: Stages) -> None:
    """Each resume would cost a trial, and might go on with another micro-batch."""
    stages.largest = 16
    assert begin().micro_batch_size == 16
    stages.largest = 8
    assert begin().micro_batch_size == begin(is_begun=True).micro_batch_size == 16
    assert len(stages.probes) == 1


def test_a_stage_that_has_begun_is_not_probed(begin: Begin, stages: Stages) -> None:
    """A run whose file was lost would wait for what its checkpoint knows."""
    assert begin(is_begun=True).micro_batch_size == 32
    assert stages.probes == []


def test_what_did_not_fit_is_asked_again(begin: Begin, stages: Stages) -> None:
    """A run that is resumed after memory was freed would never be fine-tuned."""
    stages.largest = 0
    with pytest.raises(DoesNotFitError, match="fine_tune_from"):
        begin()
    stages.largest = 32
    assert begin().micro_batch_size == 32


def test_a_probe_that_fails_for_another_reason_does_not_end_the_run(
    begin: Begin, stages: Stages, view: RecordingView
) -> None:
    """A trial that somebody kills would throw away what comes after the head."""
    stages.probe_ends = [TrainingFailedError("a trial ended for a reason that is not memory: SIGKILL")]
    assert begin().micro_batch_size == 32
    assert any("SIGKILL" in message and "without a probe" in message for message in view.messages)
    assert begin("refit").micro_batch_size == 32
    assert len(stages.probes) == 1  # and not again: the fine-tuning has run with these sizes
    stages.probe_ends = [InterruptedRunError("the probe was stopped")]
    with pytest.raises(InterruptedRunError):
        begin()


def test_a_damaged_answer_is_measured_again(begin: Begin, stages: Stages) -> None:
    """A file that a full disk has cut off would end the run."""
    begin()
    Path("a/probe-fine-tune.json").write_text('{"schema": "autofit/probe/3"')
    assert begin().micro_batch_size == 32
    assert len(stages.probes) == 2
    assert ProbeReport.load(Path("a/probe-fine-tune.json")).workload.cut == "out_relu"


def left_after_the_head(run_dir: str) -> None:
    """Let the run directory look as if the head had been finished."""
    Path(run_dir).mkdir(exist_ok=True)
    head = StageRecord(name="head", method="solved", epochs=1, l2=1.0)
    state: dict[str, Any] = {"epoch": 1, "stage": "head", "stages": [head.model_dump()]}
    CheckpointStore(Path(run_dir, "checkpoints")).save({}, state)


def test_a_run_without_its_fine_tuning_says_so(stages: Stages, photos: Path, train: Train) -> None:
    """The head's model would be taken for the fine-tuned one."""
    left_after_the_head("a")
    result = train(photos, batch_size="auto", fine_tune_epochs=2)
    assert result.status == "completed"
    assert "Fine-tuning was left out" in Result("a").record.warnings[0]
    assert len(stages.runs) == 1


def test_running_out_in_the_middle_of_fine_tuning_names_the_heads_model(
    stages: Stages, photos: Path, train: Train
) -> None:
    """A user would think that nothing is left."""
    stages.ends = [InterruptedRunError("stopped"), DoesNotFitError("not even one image at a time fits")]
    with pytest.raises(InterruptedRunError):
        train(photos, batch_size="auto", fine_tune_epochs=2)
    Path("a/model.keras").touch()
    with pytest.raises(DoesNotFitError, match=r"the head's model is in a/model\.keras"):
        train(photos, batch_size="auto", fine_tune_epochs=2)
