"""As how many independent images the validation images of a run count where some belong together."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autofit.config.options import make_options
from autofit.config.standard_error import standard_error
from autofit.dataset import ImageIndex
from autofit.runs.collect_result import collect_result
from autofit.runs.grouped_validation import NOT_GROUPED, GroupedValidation, grouped_validation
from autofit.runs.run_record import DataCall, RunRecord, data_record
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.probabilities import write_probabilities
from autofit.storage.run_directory import RunDirectory
from tests.support.records import make_plan

PATIENTS, EACH = 8, 5
IMAGES = PATIENTS * EACH
INDEX = ImageIndex(
    "/photos",
    [f"{number:02}.png" for number in range(IMAGES + 2)],
    array("i", [0] * (IMAGES + 2)),
    ("cat", "dog"),
    2,
    groups=array("i", [0, 1, *(2 + number // EACH for number in range(IMAGES))]),
)
ROWS = np.array([[0.9, 0.1]] * 30 + [[0.1, 0.9]] * 10, np.float32)  # six patients are told right, and two wrong


@pytest.fixture
def files(tmp_path: Path) -> RunDirectory:
    """A run directory with its list of images and the predictions for them."""
    files = RunDirectory(tmp_path)
    INDEX.write_csv(files.samples)
    write_probabilities(files.validation, ROWS)
    return files


def record(column: str | None = "patient", index: ImageIndex = INDEX) -> RunRecord:
    """What a run records of itself whose groups are in this column."""
    return RunRecord(
        options=make_options(),
        has_callbacks=False,
        data=data_record(index),
        plan=make_plan(),
        started=0.0,
        call=DataCall(group_column=column),
    )


def test_patients_that_are_right_or_wrong_as_a_whole_count_as_so_many_images(files: RunDirectory) -> None:
    """Forty images of eight patients would be as good as forty patients."""
    assert grouped_validation(files, record()).effective_images == pytest.approx(7)
    write_probabilities(files.validation, ROWS[np.arange(40) * 7 % 40])
    groups, effective_images = grouped_validation(files, record())
    assert groups == 8
    assert effective_images > 35
    assert grouped_validation(files, record(None)) == NOT_GROUPED


def test_images_that_could_not_be_read_do_not_count(files: RunDirectory) -> None:
    """A patient whose images are all broken would count as one who was told wrong."""
    write_probabilities(files.validation, np.concatenate([ROWS[:35], np.full((5, 2), np.nan, np.float32)]))
    assert grouped_validation(files, record()).groups == 7


def test_without_predictions_each_patient_is_an_image(files: RunDirectory) -> None:
    """A run whose predictions are too many to be kept would have the error of independent images."""
    files.validation.unlink()
    assert grouped_validation(files, record()) == (8, 8)


def test_a_list_that_was_changed_has_no_groups(files: RunDirectory) -> None:
    """A run that is finished would end in a traceback."""
    replace(INDEX, groups=array("i")).write_csv(files.samples)
    assert grouped_validation(files, record()) == NOT_GROUPED
    files.samples.write_text("forged")
    assert grouped_validation(files, record()) == NOT_GROUPED


def test_an_image_with_several_labels_is_right_with_all_of_them(files: RunDirectory) -> None:
    """The first label alone would decide."""
    index = replace(INDEX, label_sets=((0,),))
    index.write_csv(files.samples)
    assert grouped_validation(files, record(index=index)).effective_images == pytest.approx(7)


def test_the_result_has_the_error_of_so_many_images(files: RunDirectory) -> None:
    """`result.json`, the summary and the warnings would take forty images for independent."""
    history = {"loss": [0.5], "accuracy": [0.8], "val_loss": [0.5], "val_accuracy": [0.75]}
    CheckpointStore(files.checkpoints).save({"model": {"w": np.zeros(1)}}, {"history": history})
    data = data_record(INDEX)
    alone = collect_result(files, "completed", "", 0.0, data)
    grouped = collect_result(files, "completed", "", 0.0, data, grouped=GroupedValidation(8, 7.0))
    assert alone.validation_standard_error == standard_error(0.75, 40)
    assert grouped.validation_standard_error == standard_error(0.75, 7)
    assert "Validation has 40 images: a difference in accuracy of less than 14 points means nothing." in alone.warnings
    assert any("Validation has 40 images of 8 groups: a difference" in line for line in grouped.warnings)
    assert collect_result(files, "failed", "", 0.0).validation_standard_error is None
