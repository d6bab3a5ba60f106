"""Sections of a run's page: figures, stages, memory and sample images, from records alone."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit.dataset import ImageIndex
from autofit.protocol.messages import StageRecord, Verdict
from autofit.report.memory_plot import limit_in_view
from autofit.report.result_card import result_card
from autofit.report.run_page import run_page
from autofit.report.run_sections import (
    MOST_SAMPLES,
    SampleImage,
    head_figures,
    memory_section,
    sample_images,
    samples_section,
    stages_table,
)
from autofit.runs.memory_history import MemoryHistory, MemoryPoint
from autofit.runs.predicted_images import PredictedImages
from autofit.runs.result_record import ResultRecord, RunTimeSpent

MakeResult = Callable[..., ResultRecord]
HISTORY = {"loss": [0.5, 0.4, 0.3], "accuracy": [0.7, 0.8, 0.9], "val_loss": [0.6, 0.5, 0.4]}
STAGES = [
    StageRecord(name="head", method="solved", epochs=1, seconds=0.1),
    StageRecord(name="fine-tune", method="epochs", epochs=2),
]
MEMORY = MemoryHistory(
    points=(MemoryPoint(0.0, 500_000_000, 0), MemoryPoint(200.0, 900_000_000, 300_000_000)),
    restarts=(120.0,),
    out_of_memory=(119.0,),
    limit_bytes=1_000_000_000,
    stage_seconds=(("head", 75.0), ("fine-tune", 130.0)),
)


def staged(make_result: MakeResult, accuracies: list[float], **changes: Any) -> ResultRecord:
    """A run of a head and two epochs of fine-tuning, whose best epoch has the highest of these accuracies."""
    best = accuracies.index(max(accuracies))
    history = HISTORY | {"val_accuracy": accuracies}
    return make_result(
        **({"history": history, "best_epoch": best, "stages": STAGES, "validated_images": 100} | changes)
    )


def test_card_and_page_have_the_same_head_figures(make_result: MakeResult) -> None:
    """A notebook would show another accuracy than the page of the same run."""
    record = staged(make_result, [0.6, 0.7, 0.8])
    card = result_card(record, run_dir=Path("x"), model_path=Path("x/model.keras"))
    page = run_page(record, labels=["a"], model_path=Path("x/model.keras"))
    figures = head_figures(record)
    assert ("Best epoch", "2 of 2 of fine-tuning") in figures
    for name, value in figures:
        assert f"<dt>{name}</dt><dd>{value}</dd>" in card
        assert f"<dt>{name}</dt><dd>{value}</dd>" in page


def test_the_stages_say_what_each_took_and_which_made_the_model(make_result: MakeResult) -> None:
    """Nobody could see whether fine-tuning was worth its time."""
    record = staged(make_result, [0.75, 0.7, 0.8])
    head, tuned = str(stages_table(record, MEMORY)).split("<tr>")[2:]
    assert "solved to its optimum" in head
    assert "1 min 15 s" in head
    assert "0.750" in head
    assert "kept" not in head
    assert "2 epochs" in tuned
    assert "2 min 10 s" in tuned
    assert "0.800" in tuned
    assert "kept" in tuned


@pytest.mark.parametrize(
    ("accuracies", "refitted", "kept"),
    [([0.9, 0.7, 0.8], True, 0), ([0.7, 0.7, 0.8], True, 2), ([0.7, 0.7, 0.8], False, 1)],
)
def test_a_refit_is_kept_only_where_the_fine_tuned_model_was_the_best(
    make_result: MakeResult, accuracies: list[float], kept: int, *, refitted: bool
) -> None:
    """The page would say that another stage made the model than did."""
    refit = StageRecord(name="refit", method="epochs", epochs=2, refitted=refitted)
    rows = str(stages_table(staged(make_result, accuracies, stages=[*STAGES, refit]), None)).split("<tr>")[2:]
    assert ["kept" in row for row in rows] == [place == kept for place in range(3)]


def test_the_stage_of_the_model_has_the_figure_of_the_model(make_result: MakeResult) -> None:
    """Where the best epoch is chosen by another metric, the page would give one model two accuracies."""
    record = staged(make_result, [0.75, 0.9, 0.8], best_epoch=2)
    head, tuned = str(stages_table(record, None)).split("<tr>")[2:]
    assert "0.750" in head
    assert "0.800" in tuned
    assert "0.900" not in tuned


def test_stages_without_validation_have_no_column_for_it(make_result: MakeResult) -> None:
    """An empty column would be taken for figures that are missing."""
    record = make_result(history={"loss": [0.5, 0.4, 0.3], "accuracy": [0.7, 0.8, 0.9]}, stages=STAGES, best_epoch=2)
    shown = str(stages_table(record, MEMORY))
    assert "Validation" not in shown
    assert shown.count("<th") == 4


@pytest.mark.parametrize(("best", "is_before"), [(0, True), (2, False)])
def test_only_the_model_that_was_fitted_once_more_is_said_to_be(
    make_result: MakeResult, best: int, *, is_before: bool
) -> None:
    """Where the head was fitted on all images, the fine-tuned model, which was not, would be said to have been."""
    predicted = PredictedImages(["a.jpg"], np.array([0]), np.array([[0.9, 0.1]], np.float32), ("cat", "dog"))
    head = STAGES[0].model_copy(update={"refitted": True})
    record = staged(make_result, [0.9, 0.7, 0.8], stages=[head, STAGES[1]], best_epoch=best)
    page = run_page(record, labels=["cat", "dog"], model_path=Path("model.keras"), predicted=predicted)
    assert "On 1 validation image, by the best model" in page
    assert ("from before it was fitted once more on all images" in page) == is_before


def test_a_training_of_one_stage_has_no_table_of_stages(make_result: MakeResult) -> None:
    """A table of one row would repeat the head figures."""
    assert stages_table(make_result(), MEMORY) == ""


def test_the_page_says_where_the_time_went(make_result: MakeResult) -> None:
    """What a slow start costs would be in the terminal only; a run of an older autofit has no such table."""
    spent = RunTimeSpent(starts_seconds=9.0, extraction_seconds=65.0, other_seconds=float("nan"))
    text = run_page(make_result(time_spent=spent), labels=[], model_path=Path("model.keras"))
    assert "Where the time went" in text
    for words in ("Starting processes", "9.0 s", "Extracting features", "1 min 5 s", "All else", "an unknown time"):
        assert words in text
    assert "Solving the head" not in text
    assert "Where the time went" not in run_page(make_result(), labels=[], model_path=Path("model.keras"))


def test_the_memory_has_its_limit_and_what_ran_out() -> None:
    """A curve without the limit would not say how close it was."""
    drawn = str(memory_section(MEMORY))
    assert "<svg" in drawn
    assert "start of another process" in drawn
    assert limit_in_view(MEMORY)


def test_a_limit_far_above_is_said_and_not_drawn() -> None:
    """The curves of a small network on a large machine would lie on the ground."""
    far = MemoryHistory(points=MEMORY.points, limit_bytes=100_000_000_000)
    assert not limit_in_view(far)
    assert "The limit, 100.0 GB, is far above the picture." in str(memory_section(far))


def test_without_samples_there_is_no_memory_section() -> None:
    """A page of an early failure would end in an error of its plot."""
    assert memory_section(MemoryHistory()) == ""
    assert memory_section(MemoryHistory(points=MEMORY.points[:1])) == ""


def index_of(classes: int, each: int) -> ImageIndex:
    """So many classes with so many images each to train on, and one validation image."""
    paths = [f"{number:03d}/{place}.jpg" for number in range(classes) for place in range(each)]
    labels = array("i", (number for number in range(classes) for _ in range(each)))
    names = tuple(f"class {number}" for number in range(classes))
    return ImageIndex("/photos", [*paths, "held-out.jpg"], array("i", [*labels, 0]), names, len(paths), 0)


def test_samples_are_of_all_classes_and_bounded() -> None:
    """A page would show one class only, or grow by each of a thousand classes."""
    few = sample_images(index_of(2, 9))
    assert [sample.label for sample in few] == ["class 0"] * 3 + ["class 1"] * 3
    assert few[0].path == "/photos/000/0.jpg"
    many = sample_images(index_of(1000, 5))
    assert MOST_SAMPLES / 2 < len(many) <= MOST_SAMPLES
    assert len({sample.label for sample in many}) == len(many)
    assert sample_images(index_of(1, 1)) == [SampleImage("/photos/000/0.jpg", "class 0")]


def test_samples_that_cannot_be_read_are_left_out() -> None:
    """An empty frame would stand for a photo that was moved since."""
    samples = [SampleImage("a", "<b>"), SampleImage("gone", "dog")]
    shown = str(samples_section(samples, lambda path: "data:image/jpeg;base64,AA" if path == "a" else None))
    assert "&lt;b&gt;" in shown
    assert "dog" not in shown
    assert samples_section(samples, lambda _: None) == ""


def test_an_error_stands_in_one_place(make_result: MakeResult, make_attempt: Callable[..., Any]) -> None:
    """The reason would be read three times, and the way on be looked for at the end of the page."""
    reason = "the disk is on fire"
    record = make_result(status="failed", cause=reason, attempts=[make_attempt(Verdict.CRASHED, reason)])
    page = run_page(record, labels=["a"], model_path=Path("x/model.keras"))
    assert page.lower().count(reason) == 1
    assert 'class="error"' in page
    assert page.index("autofit resume x") < page.index("<dl")


def test_an_error_stands_in_one_place_after_other_attempts(
    make_result: MakeResult, make_attempt: Callable[..., Any]
) -> None:
    """Of a fine-tuning that failed after the head, the reason would be read twice."""
    reason = "the disk is on fire"
    attempts = [make_attempt(Verdict.COMPLETED), make_attempt(Verdict.CRASHED, reason)]
    record = make_result(status="failed", cause=reason, attempts=attempts)
    assert run_page(record, labels=["a"], model_path=Path("x/model.keras")).lower().count(reason) == 1


def test_an_out_of_memory_is_told_in_one_way(make_result: MakeResult, make_oom: Callable[..., Any]) -> None:
    """One page would have it at epoch 1 of fine-tuning and, in its table, at epoch 2."""
    event = make_oom(2, 64).model_copy(update={"epoch": 1})
    page = run_page(staged(make_result, [0.7, 0.8, 0.9], oom_events=[event]), labels=[], model_path=Path("model.keras"))
    assert page.count("at epoch 1 of fine-tuning, step 3") == 2
    assert "<td>at epoch 1 of fine-tuning, step 3</td>" in page


def test_a_wanted_stop_is_no_error(make_result: MakeResult) -> None:
    """Someone who pressed Ctrl-C would be told in red that something had failed."""
    record = make_result(status="interrupted", cause="asked to stop")
    page = run_page(record, labels=["a"], model_path=Path("x/model.keras"))
    body = page[page.index("<body>") :]
    assert 'class="bad"' not in body
    assert 'class="error"' not in body
    assert "Asked to stop." in body
