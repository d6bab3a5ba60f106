"""Images in memory, given to `run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import autofit
from autofit.api import training
from autofit.dataset import ImageIndex
from tests.api.conftest import Stages, Train
from tests.support.datasets import DatasetV2


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[ImageIndex]:
    """The images of the runs that would start now."""
    indices: list[ImageIndex] = []
    monkeypatch.setattr(training, "_start_or_resume", lambda _files, _options, index, *_, **__: indices.append(index))
    return indices


@pytest.mark.parametrize("validation", [0.2, "pair"])
def test_the_same_arrays_are_the_same_images(tmp_path: Path, started: list[ImageIndex], validation: Any) -> None:
    """`autofit.run(x, y)` would be refused, or the same call in the same directory be another run."""
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3)).astype(np.uint8)
    labels = np.arange(30) % 3
    held = (255 - images[:6], np.eye(3)[labels[:6]]) if validation == "pair" else validation
    for _ in range(2):
        autofit.run(images.copy(), labels, validation=held, run_dir=tmp_path / "run")
    first, second = started
    assert first.fingerprint() == second.fingerprint()
    assert (first.train_count, first.validation_count) == ((30, 6) if validation == "pair" else (24, 6))
    assert all(Path(first.path(number)).is_relative_to(tmp_path / "run" / "images") for number in range(30))


@pytest.mark.parametrize("of_folder", [False, True], ids=["images in memory", "photos of a folder"])
def test_a_refused_call_leaves_no_images_in_the_directory_of_another_run(
    stages: Stages, photos: Path, train: Train, *, of_folder: bool
) -> None:
    """Each such call would leave all of its images there, or take some of the run with it."""
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3)).astype(np.uint8)
    labels = np.arange(30) % 3
    first = train(photos) if of_folder else train(images, labels=labels)
    before = sorted(Path(first.run_dir).rglob("*"))
    others = np.concatenate([images[:10], 255 - images[10:]])
    with pytest.raises(autofit.UserError, match="give another run_dir"):
        train(others, labels=labels)
    assert sorted(Path(first.run_dir).rglob("*")) == before
    assert len(stages.runs) == 1


class WithNames(DatasetV2):
    """A dataset of a folder whose classes Keras has numbered in the order of text."""

    class_names = ("1", "10", "2")


@pytest.mark.parametrize(
    ("data", "validation", "names"),
    [(WithNames, WithNames, ["1", "2", "10"]), (WithNames, DatasetV2, ["1", "2", "10"]), (DatasetV2, WithNames, "012")],
)
def test_a_dataset_that_names_its_classes_is_trained_by_name(
    tmp_path: Path, started: list[ImageIndex], data: Any, validation: Any, names: Sequence[str]
) -> None:
    """Labels would be 0, 1 and 2, and `evaluate`, which knows the names, would be refused or judge by other classes."""
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3)).astype(np.uint8)
    labels = np.arange(9) % 3
    autofit.run(data([(images, labels)]), validation=validation([(255 - images, labels)]), run_dir=tmp_path / "run")
    (index,) = started
    assert index.class_names == tuple(names)
    written = {}
    for number, label in enumerate(index.labels):
        with Image.open(index.path(number)) as image:
            written[image.tobytes()] = index.class_names[label]
    by_number = data.class_names if data is WithNames else "012"
    for pixels, label in zip(np.concatenate([images, 255 - images]), [*labels, *labels], strict=True):
        assert written[pixels.tobytes()] == by_number[label]


@pytest.mark.parametrize("held", ["frame", "rows", "numbers"])
def test_one_hot_columns_are_trained_by_name(tmp_path: Path, started: list[ImageIndex], held: str) -> None:
    """The classes of pandas' get_dummies would be called 0 and 1, and columns in another order be other classes."""
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3)).astype(np.uint8)
    frame = pd.get_dummies(pd.Series(["owl", "cat"] * 4))
    places = np.array([1, 0] * 4)
    labels = {"frame": frame[["owl", "cat"]], "rows": np.eye(2)[places], "numbers": places}[held]
    autofit.run(images, frame, validation=(255 - images, labels), run_dir=tmp_path / "run")
    (index,) = started
    assert index.class_names == ("cat", "owl")
    of_pixels = {}
    for number, label in enumerate(index.labels):
        with Image.open(index.path(number)) as image:
            of_pixels[image.tobytes()] = index.class_names[label]
    for pixels, name in zip([*images, *(255 - images)], ["owl", "cat"] * 8, strict=True):
        assert of_pixels[pixels.tobytes()] == name


@pytest.mark.parametrize("is_frame", [False, True])
def test_several_labels_are_trained_by_name(tmp_path: Path, started: list[ImageIndex], *, is_frame: bool) -> None:
    """Labels would be 0, 1 and 2, and `evaluate` could not tell whether columns in another order are others."""
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3)).astype(np.uint8)
    rows = np.eye(3, dtype=int)[np.arange(9) % 3] | [1, 0, 0]
    frame = pd.DataFrame(rows, columns=WithNames.class_names)
    data, labels = (images, frame) if is_frame else (WithNames([(images, rows)]), None)
    held = 255 - images, rows
    autofit.run(data, labels, validation=held, multi_label=True, run_dir=tmp_path / "run")
    (index,) = started
    assert index.class_names == WithNames.class_names
    assert (index.class_counts(), index.validation_counts()) == ((9, 3, 3), (9, 3, 3))


def test_columns_are_named_of_the_users_table_alone(tmp_path: Path, started: list[ImageIndex]) -> None:
    """Images in memory for validation would be refused beside a table whose columns have names of their own."""
    for number in range(8):
        Image.new("L", (4, 4), number).save(tmp_path / f"{number}.png")
    rows = [f"{number}.png,{number % 2}" for number in range(8)]
    (tmp_path / "list.csv").write_text("\n".join(["where,what,x", *(f"{row},7" for row in rows)]))
    held = np.zeros((2, 4, 4), np.uint8), [0, 1]
    columns: Any = {"path_column": "where", "label_column": "what", "images_in": tmp_path}
    autofit.run(tmp_path / "list.csv", validation=held, run_dir=tmp_path / "run", **columns)
    assert (started[0].train_count, started[0].validation_count) == (8, 2)


def test_images_in_memory_have_no_column_of_groups(tmp_path: Path, started: list[ImageIndex]) -> None:
    """A million images would be written before it is said that they cannot be kept together."""
    with pytest.raises(autofit.UserError, match="the data is images in memory: give a CSV file or a DataFrame"):
        autofit.run(np.zeros((2, 100, 100, 3)), [0, 1], group_column="who", run_dir=tmp_path / "run")
    assert not started
    assert not list((tmp_path / "run").rglob("*.png"))


def test_arrays_without_labels_are_refused_in_a_line(tmp_path: Path, started: list[ImageIndex]) -> None:
    """An array would be read as a list of paths, and its numbers fill the screen."""
    with pytest.raises(autofit.UserError, match=r"^the labels of 2 images are missing") as refused:
        autofit.run(np.zeros((2, 100, 100, 3)), run_dir=tmp_path / "run")
    assert len(str(refused.value)) < 100
    assert not started
