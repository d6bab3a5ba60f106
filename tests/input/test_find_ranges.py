"""The range of numbers of more than 8 bits, found for a data set."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from autofit.input import find_ranges as find_ranges_module
from autofit.input import patient_call
from autofit.input.decode import image_of
from autofit.input.find_ranges import FIRST_LOOK, faint_text, find_ranges, ranges_text, sample_text
from tests.support.datasets import deep_png


def write(folder: Path, *images: np.ndarray) -> list[str]:
    """Write images as TIFF files, which hold numbers of any kind."""
    paths = [folder / f"{number}.tif" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return [str(path) for path in paths]


def found(paths: list[str]) -> dict[str, tuple[float, float]]:
    return find_ranges(len(paths), paths.__getitem__, 0).ranges


def grey(value: float, kind: type) -> np.ndarray:
    return np.full((4, 4), value, kind)


@pytest.mark.parametrize(
    ("images", "ranges"),
    [
        ([grey(17, np.uint16), grey(250, np.uint16)], {"I;16": (0, 255)}),
        ([grey(17, np.uint16), grey(3000, np.uint16)], {"I;16": (0, 4095)}),
        ([grey(17, np.uint16), grey(4096, np.uint16)], {"I;16": (0, 65535)}),
        ([grey(-1024, np.int32), grey(3071, np.int32)], {"I": (-1024, 3071)}),
        ([grey(0.2, np.float32), grey(0.9, np.float32)], {"F": (0, 1)}),
        ([grey(0.2, np.float32), grey(255, np.uint16)], {"F": (0, 1), "I;16": (0, 255)}),
        ([grey(17, np.uint8), grey(250, np.uint8)], {}),
    ],
    ids=["8 in 16", "12 in 16", "16", "signed", "float", "two kinds", "8"],
)
def test_the_range_is_that_of_all_images(
    tmp_path: Path, images: list[np.ndarray], ranges: dict[str, tuple[float, float]]
) -> None:
    """Images would be black, or each have a range of its own."""
    assert found(write(tmp_path, *images)) == ranges


def test_images_that_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    """A run would end before it began because of one broken file."""
    paths = write(tmp_path, grey(3000, np.uint16))
    (tmp_path / "broken.tif").write_bytes(b"II*\0 broken")
    assert found([str(tmp_path / "broken.tif"), str(tmp_path / "missing.tif"), *paths]) == {"I;16": (0, 4095)}


def test_a_data_set_of_8_bits_is_hardly_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start would open hundreds of files of a slow drive."""
    paths = write(tmp_path, *[grey(1, np.uint8)] * 40)
    looked: list[str] = []

    def looking(path: str) -> AbstractContextManager[Image.Image | None]:
        looked.append(path)
        return image_of(path)

    monkeypatch.setattr(find_ranges_module, "image_of", looking)
    assert found(paths) == {}
    assert len(looked) == FIRST_LOOK


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize(
    ("brightest", "words"),
    [([700, 4095], "no value is over 4,095 of 65,535"), ([700, 4096], ""), ([17, 250], "over 255 of")],
    ids=str,
)
def test_colours_of_12_bits_in_16_are_told(tmp_path: Path, channels: int, brightest: list[int], words: str) -> None:
    """Images of a microscope would all be black, and a training learn nothing from them, without a word."""
    for number, value in enumerate(brightest):
        pixels = np.full((4, 4, channels), 65535, np.uint16)  # alpha, if any, is the last channel
        pixels[..., : channels if channels == 3 else channels - 1] = value
        (tmp_path / f"{number}.png").write_bytes(deep_png(pixels))
    found_here = find_ranges(2, lambda number: str(tmp_path / f"{number}.png"), 0)
    assert found_here.ranges == {}
    assert bool(faint_text(found_here)) is bool(words)
    assert words in faint_text(found_here)


@pytest.mark.parametrize(
    ("sides", "suffix", "said"),
    [
        ([8, 8, 8], "tif", "images of several pages: the first page alone is used"),
        ([8, 4], "tif", ""),
        ([8], "tif", ""),
        ([8, 8], "gif", ""),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_pages_that_are_not_used_are_told(tmp_path: Path, kind: type, sides: list[int], suffix: str, said: str) -> None:
    """Of a stack of a microscope a network would see the first slice, which may be empty, without a word."""
    first, *others = [Image.fromarray(np.full((side, side), side, kind)) for side in sides]
    path = tmp_path / f"stack.{suffix}"
    if suffix == "gif" and kind is np.uint16:
        return
    first.save(path, save_all=True, append_images=others)
    found_here = find_ranges(1, lambda _: str(path), 0)
    assert sample_text(found_here) == said
    assert found_here.ranges == ({"I;16": (0, 255)} if kind is np.uint16 else {})


def test_pages_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start would walk through all pages of large stacks, on a slow drive for minutes."""
    first, *others = [Image.fromarray(grey(value, np.uint16)) for value in range(40)]
    first.save(tmp_path / "stack.tif", save_all=True, append_images=others)
    sought, seek = set[int](), TiffImageFile._seek

    def seeking(image: TiffImageFile, frame: int) -> None:
        sought.add(frame)
        seek(image, frame)

    monkeypatch.setattr(TiffImageFile, "_seek", seeking)
    assert "several pages" in sample_text(find_ranges(1, lambda _: str(tmp_path / "stack.tif"), 0))
    assert sought == {0, 1}


def test_a_drive_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run would stand still before its first line, and nobody know for what it waits."""
    monkeypatch.setattr(patient_call, "SAY_SECONDS", 0.2)
    paths, answers, said = write(tmp_path, grey(17, np.uint16)), threading.Event(), list[str]()

    def hanging(path: str) -> AbstractContextManager[Image.Image | None]:
        assert answers.wait(60)
        return image_of(path)

    def say(line: str) -> None:
        said.append(line)
        answers.set()

    monkeypatch.setattr(find_ranges_module, "image_of", hanging)
    assert find_ranges(1, paths.__getitem__, 0, say).ranges == {"I;16": (0, 255)}
    (line,) = said
    assert line.startswith("the drive /")
    assert "does not answer, for" in line


def test_the_range_is_said() -> None:
    """Nobody would know how the numbers were understood."""
    said = ranges_text({"I;16": (0, 4095), "I": (-1024, 3071)})
    assert "0 to 4,095 and -1,024 to 3,071, found in a sample, means black to white" in said
