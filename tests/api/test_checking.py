"""What `check` finds in a folder without any network: the planted faults, and no others."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autofit.api import check
from autofit.api.checking import CHECKED_IMAGES
from autofit.api.data_report import DataReport
from autofit.cache.entry_format import EntryRecord
from autofit.cache.identity import identities_of
from autofit.cache.store import CacheStore
from autofit.dataset import ImageIndex
from autofit.dataset.label_doubts import doubts, write_doubts
from autofit.errors import UserError
from autofit.runs.data_findings import ImageGroup
from autofit.storage.run_directory import RunDirectory
from autofit.storage.scratch import remove_abandoned
from tests.support.datasets import deep_png
from tests.support.views import RecordingView


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A picture with some structure: smooth shades at random."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def looked_at(folder: Path, **options: object) -> DataReport:
    return check(folder, find_wrong_labels=False, view=RecordingView(), **options)  # type: ignore[arg-type]


def names(group: ImageGroup) -> list[str]:
    """The images of a group by their last two parts."""
    return ["/".join(image.path.rsplit("/", 2)[1:]) for image in group.images]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three splits of two classes of twelve images, with one fault of each kind."""
    root = tmp_path_factory.mktemp("planted")
    seed = 0
    for split, count in (("train", 12), ("val", 3), ("test", 3)):
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                scene(seed := seed + 1).save(folder / f"{number}.png")
    shutil.copy(root / "train/cat/0.png", root / "test/cat/leak.png")
    shutil.copy(root / "train/cat/1.png", root / "train/dog/twice.png")
    with Image.open(root / "train/dog/2.png") as image:
        image.resize((90, 70)).save(root / "val/dog/smaller.jpg", quality=60)
    (root / "train/dog/broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    Image.new("RGB", (64, 64), "navy").save(root / "train/dog/blank.png")
    scene(99, (160, 20)).save(root / "train/cat/strip.png")
    (root / "train/cat/notes.txt").write_text("no image")
    (root / "train/bird").mkdir()
    (root / "train/owl").mkdir()
    scene(98).convert("L").save(root / "train/owl/only.png")
    return root


@pytest.fixture(scope="module")
def report(planted: Path) -> DataReport:
    return looked_at(planted)


def test_equal_images_are_found_across_splits_and_classes(report: DataReport) -> None:
    """The test would be of images that were trained on, or an image have two classes."""
    across_splits, across_classes = report.duplicates
    assert names(across_splits) == ["cat/0.png", "cat/leak.png"]
    assert [image.split for image in across_splits.images] == ["train", "test"]
    assert names(across_classes) == ["cat/1.png", "dog/twice.png"]
    assert across_classes.crosses_classes
    assert not across_classes.crosses_splits


def test_a_smaller_copy_is_found(report: DataReport) -> None:
    """A resized copy in the validation would raise its accuracy."""
    (alike,) = report.near_duplicates
    assert sorted(names(alike)) == ["dog/2.png", "dog/smaller.jpg"]
    assert alike.crosses_splits
    assert not report.findings.only_nearly_equal


def test_other_faults_are_each_found_once(report: DataReport, planted: Path) -> None:
    """An image would be left out of the training without a word, or spoil it."""
    assert [Path(image.path).name for image in report.unreadable] == ["broken.jpg"]
    odd = {str(Path(image.path).relative_to(planted)): image.what for image in report.odd}
    assert odd == {
        "train/dog/blank.png": "shows one colour only",
        "train/cat/strip.png": "only 160 x 20 pixels, very long: 160 x 20 pixels",
    }
    findings = report.findings
    assert findings.empty_classes == ["bird"]
    assert findings.tiny_classes == ["owl"]
    assert findings.modes == {"RGB": 41, "L": 1}
    assert report.has_problems


def test_the_classes_and_what_is_understood_are_told(report: DataReport) -> None:
    """A wrong layout would be seen only after a training."""
    sizes = {size.name: (size.train, size.validation, size.test) for size in report.classes}
    assert sizes == {"cat": (13, 3, 4), "dog": (15, 4, 3), "owl": (1, 0, 0)}
    assert any("1 .txt" in line for line in report.findings.understood)
    assert report.findings.labels_note == "Wrong labels were not looked for"


def test_a_clean_folder_has_no_problems(tmp_path: Path) -> None:
    """A person would look for faults that are none."""
    for number in range(24):
        folder = tmp_path / ("cat" if number % 2 else "dog")
        folder.mkdir(exist_ok=True)
        scene(number).save(folder / f"{number}.png")
    report = looked_at(tmp_path, validation=0)
    assert not report.has_problems
    assert "Nothing was found" in report.summary()


def test_patients_on_both_sides_of_a_given_split_are_a_problem(tmp_path: Path) -> None:
    """`check --strict` would pass a validation on known patients, and say that nothing has to be put right."""
    rows = []
    for number in range(32):
        scene(number).save(tmp_path / f"{number}.png")
        split = "val" if number % 8 > 5 else "train"
        rows.append(f"{number}.png,{'cat' if number % 2 else 'dog'},{split},{number // 4 % 4}")
    table = tmp_path / "list.csv"
    table.write_text("\n".join(["path,label,split,patient", *rows]))
    report = looked_at(table, group_column="patient")
    (shared,) = report.findings.shared_groups
    assert (shared.split, shared.column, shared.values, shared.images) == ("validation", "patient", 2, 8)
    assert report.has_problems
    assert "Splits with images that belong to some of the training: 1\n  validation: 2 values" in report.summary()
    assert "validation: 2 values of patient, 8 images" in report._repr_html_()
    assert not looked_at(table, validation=0).has_problems
    table.write_text("\n".join(["path,label,ward,patient", *(row.replace("val", "train") for row in rows)]))
    table.write_text(table.read_text().replace("patient", "trust"))
    weighed = looked_at(table, weight_column="trust")
    assert (
        "training images count by 'trust', from 0 to 3; 6 of weight 0 are not learnt from"
        in weighed.findings.understood
    )
    table.write_text(table.read_text().replace("trust", "patient"))
    split_here = looked_at(table)
    assert any(line.startswith("warning: ") for line in split_here.findings.understood)
    assert not split_here.has_problems


def test_images_in_memory_are_looked_at_too() -> None:
    """`run` takes them, and `check` would not."""
    images = np.stack([np.asarray(scene(number)) for number in range(24)])
    images[5] = images[0]
    report = check(
        images, [number % 2 for number in range(24)], find_wrong_labels=False, validation=0, view=RecordingView()
    )
    (group,) = report.duplicates
    assert group.crosses_classes
    remove_abandoned(CHECKED_IMAGES, young_seconds=0)  # as the check of another process does
    files = [Path(image.path) for image in group.images]
    assert all(file.is_file() for file in files)
    assert "data:image/jpeg" not in report._repr_html_()
    del report
    gc.collect()
    assert not any(file.parent.exists() for file in files)


def test_labels_are_not_looked_for_where_they_cannot_be(tmp_path: Path) -> None:
    """A worker would be started in vain, or the whole check fail."""
    for number in range(6):
        scene(number).save(tmp_path / f"{number}.png")
    rows = [f"{number}.png,{'a;b' if number % 2 else 'a'}" for number in range(6)]
    table = tmp_path / "list.csv"
    table.write_text("\n".join(["path,labels", *rows]))
    report = check(table, multi_label=True, validation=0, weights="none", view=RecordingView())
    assert report.findings.doubts is None
    why = "that needs the weights of a trained backbone"
    assert report.findings.labels_note == f"Wrong labels were not looked for: {why}"
    assert {image.label for group in report.duplicates for image in group.images} == set()


def test_data_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    """An empty folder would be called clean."""
    with pytest.raises(UserError, match="has no subfolders"):
        looked_at(tmp_path)


def test_the_page_and_the_records_hold_all(report: DataReport, tmp_path: Path) -> None:
    """What was found could not be kept, or the page need the images beside it."""
    report.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    for word in ("leak.png", "twice.png", "smaller.jpg", "broken.jpg", "strip.png", "bird", "data:image/jpeg"):
        assert word in page
    assert report.to_dict()["schema"] == "autofit/data/1"
    assert len(report.to_dict()["same"]) == 2
    assert repr(report) == report.summary()


def test_weights_that_are_not_at_hand_end_the_look_for_wrong_labels_only(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that needs no network would be lost with it."""

    def no_network(*_: object) -> None:
        raise UserError("the weights of MobileNetV2 cannot be downloaded: give a file")

    monkeypatch.setattr("autofit.api.label_check.supervise", no_network)
    report = check(planted, view=RecordingView())
    assert len(report.duplicates) == 2
    assert report.findings.labels_note == (
        "Wrong labels were not looked for: the weights of MobileNetV2 cannot be downloaded: give a file"
    )


def test_only_the_first_of_equal_images_is_judged_by_others(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head would have seen the copy of an image, with its wrong label, and not doubt it."""
    asked: list[ImageIndex] = []

    def looked(files: object, record: object, *_: object) -> None:
        del record
        assert isinstance(files, RunDirectory)
        asked.append(ImageIndex.read_csv(files.samples, "", ["cat", "dog", "owl"]))

    monkeypatch.setattr("autofit.api.label_check.supervise", looked)
    check(planted, view=RecordingView())
    paths = asked[0].paths
    assert asked[0].train_count == len(paths) == 42 - 3
    assert not any(Path(path).name in {"leak.png", "twice.png", "smaller.jpg", "broken.jpg"} for path in paths)


def test_images_that_belong_together_are_known_to_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images of a patient would vouch for each other's wrong label."""
    asked: list[ImageIndex] = []

    def looked(files: RunDirectory, *_: object) -> None:
        asked.append(ImageIndex.read_csv(files.samples, "", ["cat", "dog"]))

    for number in range(24):
        scene(number).save(tmp_path / f"{number:02}.png")
    shutil.copy(tmp_path / "03.png", tmp_path / "24.png")
    rows = [
        f"{number:02}.png,{('cat', 'dog')[number % 2]},p{number // 4},{('', 'test')[number > 19]}"
        for number in range(25)
    ]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,who,split", *rows]).replace(",\n", ",train\n"))
    monkeypatch.setattr("autofit.api.label_check.supervise", looked)
    report = check(tmp_path / "list.csv", group_column="who", view=RecordingView())
    assert (
        "images with the same 'who' are kept together: 5 values, 1 of them in validation" in report.findings.understood
    )
    (index,) = asked
    patients = [int(path[:2]) // 4 for path in index.paths]
    assert len({*zip(patients, index.groups, strict=True)}) == len({*patients}) == len({*index.groups}) == 6


def test_copies_that_only_the_features_tell_are_named(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the worker found would be lost, or others be named: its numbers are those of the images it was given."""
    pairs: list[set[str]] = []

    def looked(files: RunDirectory, *_: object) -> None:
        paths = ImageIndex.read_csv(files.samples, "", ["cat", "dog", "owl"]).paths
        pairs.append({str(planted / paths[7]), str(planted / paths[-1])})
        found = doubts(np.full((len(paths), 3), 1 / 3, np.float32), np.zeros(len(paths), np.int64))
        write_doubts(files.doubts, replace(found, alike=np.array([[7, len(paths) - 1]])))

    monkeypatch.setattr("autofit.api.label_check.supervise", looked)
    report = check(planted, view=RecordingView())
    (by_features,) = (group for group in report.near_duplicates if group.by_features)
    assert {image.path for image in by_features.images} == pairs[0]
    assert len(report.near_duplicates) == 2


def cached(folder: Path, paths: list[Path], rows: np.ndarray, **about: str) -> None:
    """Put features of these images into the cache, as a run does."""
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    record = EntryRecord(kind="features", key=key, about=about, dtype="float32", row_shape=rows.shape[1:], created=0.0)
    with CacheStore(folder, 10**9).writer(record, None, 0) as writer:
        writer.append(identities_of(map(str, paths), "stat"), rows.astype(np.float32), np.zeros(len(rows), np.int64))


TRAINED = {"backbone": "MobileNet", "weights": "imagenet"}


def test_copies_are_found_by_features_that_the_cache_has(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirrored copy would be missed though a run has its features; or those of another network be believed."""
    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path))
    paths = sorted((planted / "train" / "cat").glob("[2-9].png")) + sorted((planted / "val" / "dog").glob("*.png"))
    rows = np.random.default_rng(0).normal(size=(len(paths), 64))
    rows[0] = rows[-1] + 0.01
    cached(tmp_path, paths, rows, **TRAINED)
    cached(tmp_path, paths, np.ones((len(paths), 8)), backbone="MobileNet", weights="none")
    cached(tmp_path, paths[:6], np.ones((6, 8)), backbone="Xception", weights="imagenet")
    report = looked_at(planted)
    by_features = [group for group in report.near_duplicates if group.by_features]
    assert [{image.path for image in group.images} for group in by_features] == [{str(paths[0]), str(paths[-1])}]
    assert len(report.near_duplicates) == 2
    assert f"by the features of MobileNet too, which the cache has of {len(paths)} images." in " ".join(
        report.summary().split()
    )


@pytest.mark.parametrize("known", [0, 4])
def test_without_features_of_these_images_nothing_is_said_of_them(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    """A search that was none would be reported, or few images be called copies of each other."""
    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path))
    paths = sorted((planted / "train" / "cat").glob("[2-9].png"))[:known]
    if paths:
        cached(tmp_path, paths, np.ones((len(paths), 8)), **TRAINED)
    report = looked_at(planted)
    assert report.findings.copies_note == ""
    assert len(report.near_duplicates) == 1


def test_images_that_a_training_would_see_nearly_black_are_told(tmp_path: Path) -> None:
    """A check would find nothing to be put right in images of a microscope that no training can use."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(4):
            deep = np.asarray(scene(number), np.uint16) * 8
            (tmp_path / name / f"{number}.png").write_bytes(deep_png(deep))
    told = [line for line in looked_at(tmp_path).findings.understood if "nearly black" in line]
    assert len(told) == 1
