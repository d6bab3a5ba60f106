"""How far a training has come, and when it goes on."""

from __future__ import annotations

import pytest

from autofit.protocol.messages import StageRecord
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
