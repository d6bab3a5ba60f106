"""The sizes of the images in the opening lines."""

from __future__ import annotations

import threading
from array import array
from pathlib import Path

import pytest
from PIL import Image

from autofit.dataset import ImageIndex
from autofit.input import image_sizes
from autofit.input.image_sizes import MOST_OPENED, sizes_line, sizes_text


def index_of(folder: Path, count: int) -> ImageIndex:
    return ImageIndex(str(folder), [f"{n}.png" for n in range(count)], array("i", [0] * count), ("a",), count)


def test_the_smallest_the_largest_and_the_middle_are_said() -> None:
    """Thumbnails among photos would go unnoticed."""
    sizes = [(640, 480), (32, 32), (4000, 3000)]
    assert sizes_text(sizes, (224, 224)) == "images from 32 x 32 to 4000 x 3000 pixels, typically 640 x 480"
    assert sizes_text([(28, 28)] * 3, (28, 28)) == "images of 28 x 28 pixels"


def test_images_far_under_the_size_of_the_training_are_worth_a_word() -> None:
    """Digits of 28 pixels would be trained on at 224 for nothing but time."""
    assert sizes_text([(28, 28)], (224, 160)).endswith(
        "enlarged to 160 x 224, and a smaller image_size would be faster"
    )
    assert "enlarged" not in sizes_text([(120, 120)], (224, 224))


def test_few_files_are_opened_and_unreadable_ones_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million headers would be read over a network, or one broken file end the run."""
    for number in range(10):
        Image.new("RGB", (40 + number, 30)).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_text("no image")
    assert sizes_line(index_of(tmp_path, 10), (32, 32)) == ("images from 40 x 30 to 49 x 30 pixels, typically 45 x 30")
    opened: list[str] = []

    def size_of(path: str) -> tuple[int, int]:
        opened.append(path)
        return 8, 8

    monkeypatch.setattr(image_sizes, "size_of", size_of)
    sizes_line(index_of(tmp_path, 1_000_000), (32, 32))
    assert len(opened) <= MOST_OPENED
    assert sizes_line(index_of(tmp_path / "missing", 0), (32, 32)) is None


def test_a_drive_that_hangs_does_not_hold_up_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run would not say a word until the drive answers."""
    asked, answers = threading.Event(), threading.Event()

    def hangs(_: str) -> None:
        asked.set()
        answers.wait(60)

    monkeypatch.setattr(image_sizes, "size_of", hangs)
    monkeypatch.setattr(image_sizes, "PATIENCE_SECONDS", 0.01)
    assert sizes_line(index_of(tmp_path, 3), (32, 32)) is None
    assert asked.wait(10)
    answers.set()
