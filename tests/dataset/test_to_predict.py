"""All that can be given to predict becomes files, in order, or is refused in one line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autofit.dataset.to_predict import ImagesToPredict, images_to_predict
from autofit.errors import UserError
from autofit.input.decode import decode_image
from tests.support.datasets import DatasetV2, OnDevice, touch
from tests.support.ids import steady

GREEN = Image.new("RGB", (6, 4), (0, 200, 0))


def given(data: Any, folder: Path, said: list[str] | None = None) -> ImagesToPredict:
    """The images of what is given."""
    lines = said if said is not None else []
    folder.mkdir(exist_ok=True)
    return images_to_predict(data, folder, lines.append, lambda _: None)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with photos."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    touch(Path("new"), "b.jpg", "a.PNG", "notes.txt", ".hidden.jpg")
    touch(Path("new") / "deeper", "c.webp")
    touch(Path(), "d[1].jpg", "e.dat")
    return tmp_path


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ("new/b.jpg", ["new/b.jpg"]),
        (Path("e.dat"), ["e.dat"]),
        ("new", ["new/a.PNG", "new/b.jpg", "new/deeper/c.webp"]),
        ("new/*", ["new/a.PNG", "new/b.jpg", "new/deeper/c.webp"]),
        ("new/**/*", ["new/a.PNG", "new/b.jpg", "new/deeper/c.webp"]),
        ("new/*.jpg", ["new/b.jpg"]),
        ("d[1].jpg", ["d[1].jpg"]),  # a file of this name, not a pattern
        (["e.dat", Path("new/b.jpg"), "e.dat"], ["e.dat", "new/b.jpg", "e.dat"]),
        (np.array(["e.dat", "new/b.jpg"]), ["e.dat", "new/b.jpg"]),
        (pd.Series(["e.dat"]), ["e.dat"]),
        (iter(["e.dat"]), ["e.dat"]),
        (b"new", ["new/a.PNG", "new/b.jpg", "new/deeper/c.webp"]),  # as os.fsencode gives it
        ([b"e.dat", b"new/nowhere.jpg"], ["e.dat", "image 1"]),
    ],
    ids=steady,
)
def test_paths_are_files_folders_and_patterns(here: Path, data: Any, names: list[str]) -> None:
    """A folder would be an unreadable image, a pattern a missing file, or rows would be in another order than paths."""
    assert given(data, here / "files").names == names


def test_what_is_skipped_is_said(here: Path) -> None:
    """Photos of a kind that is not read would be missing from the answer without a word."""
    said: list[str] = []
    given("new", here / "files", said)
    assert said == ["new: skipped 1 .txt"]


def test_a_link_to_a_folder_above_is_followed_once(here: Path) -> None:
    """The search would never end."""
    (Path("new") / "loop").symlink_to(Path("new").absolute(), target_is_directory=True)
    assert len(given("new", here / "files").paths) == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("nowhere.jpg", r"^nowhere\.jpg does not exist: check the path \(relative ones begin in /"),
        (["e.dat", "x", "y", "z", "w"], r"^x, y, z and 1 more do not exist"),
        ("new/*.gif", r"^new/\*\.gif does not exist"),
        ("", "^an empty path does not exist"),
        ("https://a.org/b.jpg", r"is an address \(https\): copy the data to this machine first"),
        ("empty", "^empty holds no images: give a folder or a pattern"),
        ("texts", r"^texts holds no images \(1 \.md\)"),
        ("table.csv", "^table.csv is a table or text: give the paths in it as a list, or evaluate it"),
        ("table.jsonl", "^table.jsonl is a table or text: give the paths in it as a list, or evaluate it"),
        ("photos.zip", "^photos.zip is an archive: unpack it and give the folder"),
        ([], "^there are no images to predict: give at least one"),
        (None, "^None cannot be predicted: give a path, a folder"),
        ({"a": 1}, "cannot be predicted: give a path, a folder"),
        ([7], "^item 0 of the list is 7: give a path"),
        (pd.DataFrame({"path": ["a"]}), r'give one column, such as df\["path"\]'),
        (np.zeros(5), r"of the shape \(5,\) holds no images"),
        (np.zeros((3, 28, 28)), r"is one image with its channels first, or 3 grey ones: give numpy\.moveaxis"),
        (np.zeros((2, 3, 28, 28)), r"image 0 has the shape \(3, 28, 28\), channels first"),
        (np.zeros((1, 2, 2, 5), np.uint8), r"image 0 has the shape \(2, 2, 5\)"),
        (OnDevice(), "the images cannot be made an array .can't convert cuda:0"),
        ([OnDevice()], "the images cannot be made an array .can't convert cuda:0"),
        (np.full((2, 2, 3), np.nan), "numbers that are not finite"),
        (io.StringIO("text"), "image 0 is a file that is open for text: open it with 'rb'"),
    ],
    ids=steady,
)
def test_what_cannot_be_predicted_is_refused_in_one_line(here: Path, data: Any, message: str) -> None:
    """A mistake would be a row of NaN, or a traceback from somewhere inside."""
    for folder in ("empty", "texts"):
        Path(folder).mkdir()
    touch(Path("texts"), "a.md")
    touch(Path(), "table.csv", "table.jsonl", "photos.zip")
    with pytest.raises(UserError, match=message) as refused:
        given(data, here / "files")
    assert "\n" not in str(refused.value)


def png(image: Image.Image) -> bytes:
    """The image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        GREEN,
        [GREEN],
        np.asarray(GREEN),
        np.asarray(GREEN)[None],
        [np.asarray(GREEN)],
        np.asarray(GREEN, np.float32) / 255,
        np.asarray(GREEN, np.float64),
        GREEN.quantize(4),
        GREEN.convert("RGBA"),
        GREEN.convert("HSV"),
        GREEN.convert("YCbCr"),
        png(GREEN),
        bytearray(png(GREEN)),
        [io.BytesIO(png(GREEN))],
    ],
    ids=[
        *("PIL", "list of PIL", "array", "batch", "list of arrays", "0 to 1", "0 to 255", "palette", "alpha", "HSV"),
        *("YCbCr", "bytes", "bytearray", "open file"),
    ],
)
def test_an_image_in_memory_has_the_pixels_of_its_file(here: Path, data: Any) -> None:
    """A palette's numbers would be taken for grey levels, or black for 0 to 1."""
    found = given(data, here / "files")
    assert found.names == ["image 0"]
    pixels = decode_image(found.paths[0], (4, 6)).astype(int)
    assert np.abs(pixels - np.asarray(GREEN)).max() <= 2


def test_a_photo_on_its_side_is_upright_as_from_its_file(here: Path) -> None:
    """A photo that is opened by PIL first would be predicted lying on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20] = 255
    Image.fromarray(pixels).save(here / "a.jpg", exif=exif, quality=95)
    found = given([here / "a.jpg", Image.open(here / "a.jpg")], here / "files")
    from_path, from_picture = (decode_image(path, (60, 40)).astype(int) for path in found.paths)
    assert np.abs(from_path - from_picture).max() <= 2
    assert from_path[0, 0].mean() < 50 < from_path[0, -1].mean()


def test_grey_numbers_of_more_than_eight_bits_keep_their_depth(here: Path) -> None:
    """An image of 32-bit numbers would be cut to 16 bits, or to black."""
    values = np.full((4, 6), 70_000, np.int32)
    found = given(Image.fromarray(values), here / "files")
    assert np.array_equal(np.asarray(Image.open(found.paths[0])), values)


def test_images_of_all_kinds_in_one_list_keep_their_order(here: Path) -> None:
    """The rows would belong to other images than the caller's."""
    white, black = np.full((4, 4, 3), 1.0), np.zeros((4, 4, 3))
    found = given([white, "e.dat", GREEN, black, png(GREEN)], here / "files")
    assert found.names == ["image 0", "e.dat", "image 2", "image 3", "image 4"]
    levels = [int(decode_image(found.paths[place], (4, 4)).mean()) for place in (0, 3)]
    assert levels == [255, 0]


def test_how_numbers_are_understood_is_said(here: Path) -> None:
    """A batch of 0 to 1 that is taken for 0 to 255 would be all black, silently."""
    said: list[str] = []
    given(np.full((2, 4, 4, 3), 0.5), here / "files", said)
    assert said == ["the images' numbers are taken as 0 to 1, from black to white"]


@pytest.mark.parametrize(
    "batches",
    [
        [np.zeros((2, 4, 6, 3), np.uint8), np.zeros((1, 4, 6, 3), np.uint8)],
        [(np.zeros((3, 4, 6, 3), np.uint8),)],
        [np.zeros((3, 4, 6), np.uint8)],
        list(np.zeros((3, 4, 6, 3), np.uint8)),
        [(np.zeros((3, 4, 6, 3), np.uint8), np.ones((3, 2)))],
        [(np.zeros((3, 4, 6, 3), np.uint8), np.ones(3), np.arange(3.0))],
    ],
    ids=["batches", "alone in a tuple", "grey", "single", "with several labels", "with weights"],
)
def test_a_dataset_needs_no_labels_to_be_predicted(tmp_path: Path, batches: list[Any]) -> None:
    """`model.predict` takes a dataset of images; here pairs were asked for, with one label an image."""
    found = given(DatasetV2(batches), tmp_path / "files")
    assert found.names == ["image 0", "image 1", "image 2"]
    assert decode_image(found.paths[2], (4, 6)).shape == (4, 6, 3)
