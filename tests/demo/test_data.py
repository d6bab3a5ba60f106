"""The demo's photos: all of them, the right ones, and unpacked without harm when cut short."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from autofit.demo import data

# Both from scikit-learn 1.9.1: of load_digits().images.astype("uint8").tobytes(), and of the target's digits in a row.
COUNTS_SHA256 = "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"
LABELS_SHA256 = "779995b1f6862c6863bf27e57d8d8b321db57b9646a664d0b60d8736183c2018"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "photos"
    data.write_photos(folder)
    return folder


def photo_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"), key=lambda path: path.name)


def test_every_class_has_its_photos_and_nothing_else_is_left(photos: Path) -> None:
    """Digits would be lost, counted twice or put in a wrong class, or a temporary file would become a photo."""
    counts = {folder.name: len(list(folder.iterdir())) for folder in photos.iterdir()}
    assert counts == dict(zip("0123456789", [178, 182, 177, 183, 181, 182, 181, 179, 174, 180], strict=True))


@pytest.mark.slow
def test_every_photo_opens_as_32_by_32_grey(photos: Path) -> None:
    """The demo would train on images of another size or mode than its network is built for."""
    kinds = set()
    for path in photo_files(photos):
        with Image.open(path) as photo:
            photo.load()
            kinds.add((photo.format, photo.size, photo.mode))
    assert kinds == {("PNG", (32, 32), "L")}


def test_the_sheet_holds_the_source_bit_for_bit() -> None:
    """The sheet would be cut at the wrong places, or hold other digits than its credit names."""
    digest = hashlib.sha256()
    with Image.open(data._SHEET) as sheet:
        for index in range(1797):
            digest.update(bytes(round(grey * 16 / 255) for grey in sheet.crop(data._tile(index)).tobytes()))
    assert digest.hexdigest() == COUNTS_SHA256


def test_each_photo_lies_in_the_class_the_source_gives_it(photos: Path) -> None:
    """Labels would be shifted against the images, and the demo would learn nothing."""
    labels = "".join(path.parent.name for path in photo_files(photos))
    assert hashlib.sha256(labels.encode()).hexdigest() == LABELS_SHA256


def test_a_photo_is_its_own_digit_enlarged(photos: Path) -> None:
    """A neighbour's ink would bleed into a photo, or the name of a photo would not be its place in the source."""
    with Image.open(photos / "3" / "0003.png") as photo, Image.open(data._SHEET) as sheet:
        expected = sheet.crop((31, 1, 39, 9)).resize((32, 32), Image.Resampling.BILINEAR)
        assert photo.tobytes() == expected.tobytes()


def test_a_second_call_writes_nothing(photos: Path) -> None:
    """Each demo would write 1,797 files again."""
    before = {path: path.stat().st_mtime_ns for path in photo_files(photos)}
    data.write_photos(photos)
    assert {path: path.stat().st_mtime_ns for path in photo_files(photos)} == before


@pytest.mark.slow
def test_a_call_that_was_cut_short_is_finished_by_the_next(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill in the middle, the demo would train on part of the digits or on half a file."""
    real_photo = data._photo

    def photo_until_the_hundredth(sheet: Image.Image, index: int) -> Image.Image:
        if index == 100:
            left_over = tmp_path / ".partial-1-1.png"
            left_over.write_bytes(b"half a photo")
            os.utime(left_over, (0, 0))
            raise KeyboardInterrupt
        return real_photo(sheet, index)

    monkeypatch.setattr(data, "_photo", photo_until_the_hundredth)
    with pytest.raises(KeyboardInterrupt):
        data.write_photos(tmp_path)
    monkeypatch.undo()
    data.write_photos(tmp_path)

    files = {path.relative_to(tmp_path): path.read_bytes() for path in photo_files(tmp_path)}
    assert files == {path.relative_to(photos): path.read_bytes() for path in photo_files(photos)}


def test_two_calls_at_once_write_the_same_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both wrote into one file: one of them failed when the other had renamed it, or renamed half a photo."""
    began, goes_on = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def write() -> None:
        try:
            data.write_photos(tmp_path)
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            errors.append(error)

    real_save = Image.Image.save

    def save_slowly(image: Image.Image, path: Path, **options: Any) -> None:
        real_save(image, path, **options)
        if threading.current_thread() is not threading.main_thread() and not began.is_set():
            began.set()
            goes_on.wait(30)

    monkeypatch.setattr(data, "_photo_paths", lambda folder: [(n, folder / "0" / f"{n}.png") for n in range(3)])
    monkeypatch.setattr(Image.Image, "save", save_slowly)
    other = threading.Thread(target=write)
    other.start()
    began.wait(30)
    write()
    goes_on.set()
    other.join()
    assert not errors
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["0.png", "1.png", "2.png"]
