"""A CSV file of predictions that grows part by part."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autofit.api.prediction import prediction_key
from autofit.api.predictions import Predictions
from autofit.api.predictions_csv import CsvFile
from autofit.dataset.to_predict import ImagesToPredict
from autofit.errors import InterruptedRunError, StorageError, UserError
from autofit.protocol.messages import BadImage

NAMES = ("cat", "dog")


def part(first: int, count: int) -> Predictions:
    """Predictions of some images; the first cannot be read."""
    rows = np.tile(np.array([[0.25, 0.75]], np.float32), (count, 1))
    rows[0] = np.nan
    paths = [f"{number}.jpg" for number in range(first, first + count)]
    return Predictions.of(rows, NAMES, paths, [BadImage(path=paths[0], reason="cut short")])


def test_the_file_grows_under_another_name_and_is_whole_under_its_own(tmp_path: Path) -> None:
    """After a kill, half a table would be taken for all of it."""
    target = tmp_path / "all.csv"
    target.write_text("of yesterday", encoding="utf-8")
    with CsvFile(target) as file:
        file.add(part(0, 3))
        assert len((tmp_path / "all.csv.part").read_text(encoding="utf-8").splitlines()) == 4
        file.add(part(3, 2))
        assert target.read_text(encoding="utf-8") == "of yesterday"
    with target.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [f"{number}.jpg" for number in range(5)]
    assert [row["label"] for row in rows] == ["", "dog", "dog", "", "dog"]
    assert [path.name for path in tmp_path.iterdir()] == ["all.csv"]
    assert (file.summary.images, file.summary.unreadable, file.summary.by_class) == (5, 2, {"dog": 3})
    assert repr(file.summary) == f"{target}: 5 images, 2 of them cannot be read\ndog 3"


@pytest.mark.parametrize("mark", ["\n", "\r", '"', ","])
def test_names_with_marks_of_csv_come_through(tmp_path: Path, mark: str) -> None:
    """A line break without quotes would begin another row, and every reader would refuse the file."""
    names = [f"a{mark}b", "dog"]
    path = f"photos{mark}/1.jpg"
    with CsvFile(tmp_path / "all.csv") as file:
        file.add(Predictions.of(np.array([[0.75, 0.25]], np.float32), names, [path], []))
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream)) == [
            ["path", "label", "confidence", *names],
            [path, names[0], "0.75", "0.75", "0.25"],
        ]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    """A table of yesterday would be lost to an attempt that failed."""
    target = tmp_path / "all.csv"
    target.write_text("of yesterday", encoding="utf-8")
    file = CsvFile(target)
    with pytest.raises(UserError), file:
        _fail_half_way(file)
    assert target.read_text(encoding="utf-8") == "of yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["all.csv"]


def _fail_half_way(file: CsvFile) -> None:
    file.add(part(0, 3))
    raise UserError("no")


def test_missing_folders_are_made(tmp_path: Path) -> None:
    """A user would have to make the folder of a table, and not that of a model."""
    with CsvFile(tmp_path / "tables" / "new" / "all.csv") as file:
        file.add(part(0, 2))
    assert [path.name for path in (tmp_path / "tables" / "new").iterdir()] == ["all.csv"]


def test_a_prediction_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    """Each mistyped photo would leave an empty folder."""
    with pytest.raises(UserError), CsvFile(tmp_path / "tables" / "new" / "all.csv"):
        raise UserError("nowhere.jpg does not exist")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed_and_a_device_stays_one(tmp_path: Path) -> None:
    """`--csv /dev/null` would replace the device of the whole machine by a file."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere" / "all.csv")
    for name in (tmp_path / "link.csv", Path("/dev/null")):
        with CsvFile(name) as file:
            file.add(part(0, 2))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "elsewhere" / "all.csv").is_file()
    assert Path("/dev/null").is_char_device()


def test_a_pipe_is_written_as_it_is() -> None:
    """`--csv /dev/stdout | less` and `--csv >(gzip > all.csv.gz)` would say that there is no such file."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as stream:
        with os.fdopen(writing, "wb"), CsvFile(f"/dev/fd/{writing}") as file:
            file.add(part(0, 2))
        assert stream.read().splitlines()[1:] == ["0.jpg,,,,", "1.jpg,dog,0.75,0.25,0.75"]


@pytest.mark.parametrize("name", ["/dev/full", "file/all.csv"])
def test_what_cannot_be_written_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk would be a traceback after hours."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(StorageError, match=f"^{name} cannot be written \\(.+\\): "), CsvFile(name) as file:
        file.add(part(0, 2))


def _interrupted_after(target: Path, key: str, count: int) -> None:
    """Write some images as one prediction and stop as Ctrl-C does; what a part held beyond its state is a kill's."""
    with pytest.raises(InterruptedRunError, match=f"{count} images are in .*it goes on after them"):
        _write_and_stop(target, key, count)


def _write_and_stop(target: Path, key: str, count: int) -> None:
    with CsvFile(target) as file:
        assert file.go_on(key) == 0
        file.add(part(0, count))
        raise InterruptedRunError("stopped")


def test_the_same_call_goes_on_where_ctrl_c_stopped_it(tmp_path: Path) -> None:
    """Hours of work would be done again, or rows be there twice, or lack what was counted before."""
    target, whole = tmp_path / "all.csv", tmp_path / "whole.csv"
    _interrupted_after(target, "of a", 3)
    with (tmp_path / "all.csv.part").open("a", encoding="utf-8") as stream:
        stream.write("3.jpg,half a row of a ki")
    with CsvFile(target) as file:
        assert file.go_on("of a") == 3
        file.add(part(3, 2))
    with CsvFile(whole) as file_of_one:
        file_of_one.add(part(0, 3))
        file_of_one.add(part(3, 2))
    assert target.read_bytes() == whole.read_bytes()
    assert file.summary.images == 5
    assert (file.summary.unreadable, file.summary.by_class) == (2, {"dog": 3})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.csv", "whole.csv"]


def test_another_prediction_never_goes_on_with_it(tmp_path: Path) -> None:
    """One table would hold the answers of two models."""
    target = tmp_path / "all.csv"
    _interrupted_after(target, "of a", 3)
    _interrupted_after(target, "of b", 2)
    with CsvFile(target) as file:
        assert file.go_on("of a") == 0
        file.add(part(7, 1))
    assert [line.split(",")[0] for line in target.read_text(encoding="utf-8").splitlines()] == ["path", "7.jpg"]


def test_an_error_before_the_first_images_loses_nothing(tmp_path: Path) -> None:
    """A typing error in the second call would throw away what the first had done."""
    target = tmp_path / "all.csv"
    _interrupted_after(target, "of a", 3)
    with pytest.raises(UserError), CsvFile(target):
        raise UserError("no such file")
    with CsvFile(target) as file:
        assert file.go_on("of a") == 3


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    """Their rows would be mixed."""
    with CsvFile(tmp_path / "all.csv") as file:
        with pytest.raises(StorageError, match="another process writes all"), CsvFile(tmp_path / "all.csv"):
            pass
        file.add(part(0, 2))
    assert len((tmp_path / "all.csv").read_text(encoding="utf-8").splitlines()) == 3


def a_run() -> Any:
    """What a key takes of a run."""
    options = SimpleNamespace(multi_label=False, image_size=(32, 32), flip=True)
    return SimpleNamespace(
        options=options, data=SimpleNamespace(class_names=list(NAMES)), plan=SimpleNamespace(value_ranges={})
    )


def test_images_in_memory_are_the_same_in_the_next_call(tmp_path: Path) -> None:
    """After Ctrl-C the message would say that the same call goes on after 4,096 arrays, and it would begin anew."""
    model = tmp_path / "model.keras"
    model.write_bytes(b"weights")

    def key(folder: Path, *contents: bytes) -> str:
        folder.mkdir()
        for place, content in enumerate(contents):
            (folder / f"{place}.png").write_bytes(content)
        paths = [f"{folder}/{place}.png" for place in range(len(contents))]
        return prediction_key(model, a_run(), ImagesToPredict(paths, ["image"] * len(paths)), 1, folder)

    assert key(tmp_path / "one", b"x", b"y") == key(tmp_path / "two", b"x", b"y")
    assert key(tmp_path / "three", b"y", b"x") != key(tmp_path / "four", b"x", b"y")


def test_the_key_tells_a_changed_image(tmp_path: Path) -> None:
    """A table would go on with the answers for images that were replaced meanwhile, or could not be read then."""
    model, image = tmp_path / "model.keras", tmp_path / "a.jpg"
    model.write_bytes(b"weights")

    def key() -> str:
        return prediction_key(model, a_run(), ImagesToPredict([str(image)], ["a.jpg"]), 1)

    keys = [key()]
    image.write_bytes(b"half an im")
    keys += [key(), key()]
    image.write_bytes(b"an image")
    keys.append(key())
    os.utime(image, ns=(1, 1))
    keys.append(key())
    assert keys[1] == keys[2]
    assert len(set(keys)) == 4


def test_the_key_tells_models_images_and_options_apart(tmp_path: Path) -> None:
    """A table would go on with the answers of another model, or of other images, or with names of two spellings."""
    model, other = tmp_path / "model.keras", tmp_path / "other.keras"
    model.write_bytes(b"weights")
    other.write_bytes(b"Weights")
    run = a_run()

    def key_of(path: Path, names: str, views: int = 1) -> str:
        return prediction_key(path, run, ImagesToPredict(names.split(), names.split()), views)

    key = key_of(model, "a.jpg b.jpg")
    assert key == key_of(model, "a.jpg b.jpg")
    absolute = str(Path("a.jpg").absolute())
    assert key == prediction_key(model, run, ImagesToPredict([absolute, "b.jpg"], ["a.jpg", "b.jpg"]), 1)
    others = [
        key_of(other, "a.jpg b.jpg"),
        key_of(model, "a.jpg c.jpg"),
        key_of(model, "b.jpg a.jpg"),
        key_of(model, "./a.jpg b.jpg"),
        key_of(model, "a.jpg"),
        key_of(model, "a.jpg b.jpg", views=2),
    ]
    run.data.class_names = ["cat", "cow"]
    others.append(key_of(model, "a.jpg b.jpg"))
    assert len({key, *others}) == 8
    with pytest.raises(UserError, match="has no model yet"):
        key_of(tmp_path / "gone.keras", "")
