"""What a run knows of its own data."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np

from autofit.dataset import ImageIndex
from autofit.dataset.duplicates import note_equal_images
from autofit.dataset.label_doubts import Doubts
from autofit.runs.data_check import AllImages, known_findings, run_findings, with_alike_features, with_doubts
from autofit.runs.run_record import data_record
from autofit.storage.run_directory import RunDirectory


def run_of(folder: Path) -> tuple[RunDirectory, ImageIndex]:
    """A run directory with 12 cats and 3 dogs to train on, one of each to validate, and a dog to test."""
    paths = [f"{number:02}.png" for number in range(17)]
    labels = array("i", [*[0] * 12, *[1] * 3, 0, 1])
    index = ImageIndex(
        "/photos", paths, labels, ("cat", "dog"), 15, 0, ["t.png"], array("i", [1]), empty_classes=("owl",)
    )
    files = RunDirectory(folder)
    index.write_csv(files.samples)
    return files, index


def test_a_run_tells_small_classes_and_equal_images_across_its_splits(tmp_path: Path) -> None:
    """A leak into the validation would be known to the cache only."""
    files, index = run_of(tmp_path)
    identities = np.arange(1, 35, dtype=np.uint64).reshape(17, 2)
    identities[15] = identities[3]
    identities[2] = identities[1]
    note_equal_images(files.equal_images, identities)
    found = run_findings(files, data_record(index))
    assert found is not None
    assert found.images == 18
    assert found.tiny_classes == ["dog"]
    assert found.empty_classes == ["owl"]
    assert [(size.train, size.validation, size.test) for size in found.classes] == [(12, 1, 0), (3, 1, 1)]
    leak, harmless = found.same
    assert [image.path for image in leak.images] == ["/photos/03.png", "/photos/15.png"]
    assert [image.split for image in leak.images] == ["train", "validation"]
    assert not harmless.crosses_splits


def test_a_run_without_its_list_knows_nothing(tmp_path: Path) -> None:
    """A finished training would fail in its last second."""
    files, index = run_of(tmp_path)
    files.samples.write_text("damaged")
    assert run_findings(files, data_record(index)) is None


def test_of_several_labels_an_image_is_told_with_those_it_should_have() -> None:
    """A single label beside a set would be read as the whole of it."""
    index = ImageIndex(
        "/photos", ["a.png", "b.png"], array("i", [0, 1]), ("cat", "dog"), 2, 0, label_sets=((0, 1), (1,))
    )
    images = AllImages(index)
    own = np.array([0.1, 0.2], np.float32)
    found = with_doubts(
        known_findings(index), images, Doubts(np.array([1, 0]), np.array([1, 0]), own, 1 - own, 2), index.class_names
    )
    assert found.doubts
    assert [(one.image.label, one.suggested) for one in found.doubts] == [("dog", "no label"), ("cat, dog", "dog")]


def test_pairs_by_features_join_the_groups_that_look_alike() -> None:
    """A mirrored copy of a copy would be a second group, or not be marked as what only the features tell."""
    paths = [f"{number}.png" for number in range(6)]
    index = ImageIndex("/photos", paths, array("i", [0, 0, 0, 1, 1, 1]), ("cat", "dog"), 4, 0)
    images = AllImages(index)
    seen = known_findings(index).model_copy(update={"alike": images.groups([[0, 1], [2, 4]])})
    found = with_alike_features(seen, images, np.array([[1, 5]])).alike
    assert [([image.path for image in group.images], group.by_features) for group in found] == [
        (["/photos/0.png", "/photos/1.png", "/photos/5.png"], True),
        (["/photos/2.png", "/photos/4.png"], False),
    ]
    assert with_alike_features(seen, images, np.empty((0, 2), np.int64)).alike == seen.alike
