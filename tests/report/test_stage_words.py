"""Epochs of a run in its stages, as people read them."""

from __future__ import annotations

import pytest

from autofit.protocol.messages import StageName, StageRecord
from autofit.report.stage_words import (
    best_fact,
    best_words,
    done_words,
    epoch_in_stage,
    reached_words,
    step_in_stage,
    step_of_stage,
    trained_words,
)

HEAD = StageRecord(name="head", method="solved", epochs=1)
VIEWS = StageRecord(name="views", method="solved", epochs=1)
BY_EPOCHS = StageRecord(name="head", method="epochs", epochs=2)
TUNED = StageRecord(name="fine-tune", method="epochs", epochs=8)
REFIT = StageRecord(name="refit", method="epochs", epochs=8, refitted=True)


def test_the_best_epoch_is_counted_within_its_stage() -> None:
    """A best epoch 9 beside "fine-tuned for 8 epochs" tells a stranger that something is wrong."""
    run = [HEAD, TUNED, REFIT]
    assert trained_words(run, 9) == "Solved the head and fine-tuned for 8 epochs"
    assert best_words(run, 8) == "Best epoch 8 of 8 of fine-tuning"
    assert best_fact(run, 8, 9) == ("Best epoch", "8 of 8 of fine-tuning")
    assert best_words([BY_EPOCHS, TUNED], 1) == "Best epoch 2 of 2 of the head"
    assert best_words([], 9) == best_words([StageRecord(name="training", method="epochs", epochs=10)], 9)[:13]
    assert best_fact([], 1, 3) == ("Best epoch", "2 of 3")


def test_a_solved_head_is_no_epoch() -> None:
    """Its row of the history, epoch 1, would be taken for the first of fine-tuning."""
    assert best_words([HEAD, VIEWS, TUNED], 0) == "Best was the solved head"
    assert best_words([HEAD, VIEWS, TUNED], 1) == "Best was the head solved on augmented views"
    assert best_fact([HEAD], 0, 1) == ("Best model", "the solved head")
    assert step_in_stage([HEAD, TUNED], 0, 0) == "in the stage of the head"


def test_an_epoch_after_the_finished_stages_is_of_the_next_one() -> None:
    """What an interrupted fine-tuning did would be told of the head, whose stage was the last to finish."""
    assert best_words([HEAD], 3) == "Best epoch 3 of fine-tuning"
    assert done_words([HEAD], 4) == "solving the head and 3 epochs of fine-tuning"
    assert done_words([BY_EPOCHS], 2) == "2 epochs of the head"
    assert done_words([], 4) == "4 epochs"
    assert epoch_in_stage([HEAD, TUNED], 9) == "epoch 1 of fine-tuning on all images"
    assert step_in_stage([HEAD, TUNED, REFIT], 10, 4) == "at epoch 2 of fine-tuning on all images, step 5"
    assert step_in_stage([], 1, 6) == "at epoch 2, step 7"


@pytest.mark.parametrize(
    ("stage", "stages", "epoch", "step", "expected"),
    [
        ("fine-tune", [HEAD], 0, 0, "at epoch 1 of fine-tuning, step 1"),
        ("fine-tune", [HEAD, TUNED], 0, 0, "at epoch 1 of fine-tuning, step 1"),
        ("fine-tune", [HEAD, TUNED], 2, 4, "at epoch 2 of fine-tuning, step 5"),
        ("views", [HEAD], 1, 0, "in the stage of the head on augmented views"),
        ("head", [], 0, 0, "in the stage of the head"),
        ("head", [], 1, 0, "at epoch 2 of the head, step 1"),
        ("head", [BY_EPOCHS], 0, 0, "at epoch 1 of the head, step 1"),
        ("refit", [HEAD, TUNED], 9, 1, "at epoch 1 of fine-tuning on all images, step 2"),
        ("training", [], 1, 6, "at epoch 2, step 7"),
    ],
)
def test_an_attempt_is_told_of_its_own_stage(
    stage: StageName, stages: list[StageRecord], epoch: int, step: int, expected: str
) -> None:
    """A worker of the fine-tuning that ended before its first heartbeat would be told as one of the head."""
    assert step_of_stage(stage, stages, epoch, step) == expected


@pytest.mark.parametrize(
    ("stage", "stages", "epoch", "expected"),
    [
        ("training", [], 2, "in epoch 3"),
        ("head", [], 0, "in the stage of the head"),
        ("head", [], 1, "in epoch 2 of the head"),
        ("head", [HEAD], 1, "after solving the head"),
        ("views", [HEAD], 1, "in the stage of the head on augmented views"),
        ("fine-tune", [HEAD], 1, "in epoch 1 of fine-tuning"),
        ("fine-tune", [HEAD, TUNED], 9, "after solving the head and 8 epochs of fine-tuning"),
        ("refit", [HEAD, TUNED], 11, "in epoch 3 of fine-tuning on all images"),
        ("training", [StageRecord(name="training", method="epochs", epochs=3)], 3, "after 3 epochs"),
    ],
)
def test_a_run_goes_on_in_the_epoch_of_its_stage(
    stage: StageName, stages: list[StageRecord], epoch: int, expected: str
) -> None:
    """The first epoch of fine-tuning would be called the second, and a finished run of three go on in its fourth."""
    assert reached_words(stage, stages, epoch, min(epoch, 9)) == expected


def test_a_head_by_epochs_has_its_own() -> None:
    """Its epochs would be told as those of the fine-tuning."""
    assert trained_words([BY_EPOCHS, TUNED], 10) == "Trained the head for 2 epochs and fine-tuned for 8 epochs"
    assert trained_words([BY_EPOCHS], 2) == "Trained the head for 2 epochs"
    assert trained_words([], 3) == "Trained 3 epochs"
