"""How far a training has come, and when it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.protocol.messages import StageRecord
from autofit.worker.execution.loss_scale import LossScale
from autofit.worker.training.export import write_history
from autofit.worker.training.training_progress import TrainingProgress


@pytest.mark.parametrize("planned", [7, 8])
def test_a_stage_is_stopped_for_time_only_where_epochs_are_left(planned: int) -> None:
    """All 7 epochs would be trained, and 20 that are named later be refused since "the training was stopped"."""
    after = TrainingProgress(epoch=7)
    assert after.stopped_if(planned, ends_itself=False, out_of_time=True).stopped is (planned == 8)
    assert after.stopped_if(planned, ends_itself=True, out_of_time=False).stopped
    assert not after.stopped_if(planned, ends_itself=False, out_of_time=False).stopped
    assert after.moved(stopped=True).stopped_if(planned, ends_itself=False, out_of_time=False).stopped


@pytest.mark.parametrize(
    ("cut_short", "is_timed", "goes_on"),
    [("7 of 10 epochs", False, True), ("7 of 10 epochs", True, False), ("", False, False)],
)
def test_a_stage_that_a_budget_ended_goes_on_without_it(cut_short: str, *, is_timed: bool, goes_on: bool) -> None:
    """Epochs named for a run that is finished would train nothing; or a budget be passed only to save a model."""
    record = StageRecord(name="training", method="epochs", epochs=7, cut_short=cut_short)
    ended = TrainingProgress(epoch=7, stopped=True, stages=[record])
    anew = ended.planned_anew(20, is_timed=is_timed)
    assert anew == (ended.moved(stopped=False, stages=[]) if goes_on else ended)


def test_a_head_whose_solving_a_budget_ended_is_not_trained_on() -> None:
    """A solved head would be trained by epochs."""
    record = StageRecord(name="head", method="solved", epochs=1, cut_short="before its optimum")
    ended = TrainingProgress(epoch=1, stage="head", stopped=True, stages=[record])
    assert ended.planned_anew(10) == ended


@pytest.mark.parametrize("in_float16", [(False, True), (True, False)], ids=["then", "first"])
def test_a_run_of_which_one_stage_computes_in_float16_has_a_whole_history(
    in_float16: tuple[bool, bool], tmp_path: Path
) -> None:
    """With `precision="auto"` each stage is compared by itself: the second one would end in an IndexError."""
    progress = TrainingProgress(stage="head")
    for epoch, scaled in enumerate(in_float16):
        scale, skipped = (LossScale(), 3) if scaled else (None, 0)
        trained = progress.moved(loss_scale=scale, skipped_updates=skipped)
        ended = trained.after_epoch(epoch, {"loss": 1.0, **trained.skipped_logs()})
        progress = ended.after_stage().in_stage("fine-tune")
    assert progress.history == {"loss": [1.0, 1.0], "skipped_updates": [3.0 * scaled for scaled in in_float16]}
    write_history(tmp_path / "history.csv", progress)
    rows = [line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines()]
    assert [len(row) for row in rows] == [4, 4, 4]
