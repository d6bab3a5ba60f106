"""Figures by class, the confusion matrix and the worst images, as text, HTML and a picture."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autofit.report import thumbnails
from autofit.report.classification_text import (
    class_lines,
    class_table,
    confused_lines,
    confused_list,
    confusion_lines,
    confusion_table,
    image_line,
    pictures,
)
from autofit.report.confusion_plot import confusion_figure
from autofit.report.drawing import png
from autofit.report.tables import shortened_names
from autofit.report.thumbnails import SIDE_PIXELS, Thumbnails, thumbnail_uri
from autofit.runs.predicted_images import ClassFigures, Confusion, PredictedImage

COUNTS = np.array([[8, 2], [0, 1_500]])
NAMES = ("cat", "<b>dog</b>")
FIGURES = [
    ClassFigures(name="cat", images=10, predicted=8, precision=1.0, recall=0.8, f1=0.889),
    ClassFigures(name="owl\x1b[2J", images=0, predicted=0, precision=None, recall=None, f1=None),
]
MISTAKE = PredictedImage(path="/photos/a.jpg", label="cat", predicted="<i>", probability=0.9, label_probability=0.1)


def test_the_figures_of_classes_are_lines_of_80_columns() -> None:
    """A table would wrap in a terminal, or a class name control it."""
    header, cat, owl = class_lines(FIGURES)
    assert header.split() == ["Class", "Images", "Precision", "Recall", "F1"]
    assert cat.split() == ["cat", "10", "1.000", "0.800", "0.889"]
    assert owl.split()[-4:] == ["0", "-", "-", "-"]
    assert "\x1b" not in owl
    assert max(map(len, (header, cat, owl))) <= 80


def test_a_small_matrix_is_a_table_and_a_large_one_its_confusions() -> None:
    """A hundred columns say nothing in a terminal."""
    _, cat, dog = confusion_lines(COUNTS, NAMES)
    assert cat.split() == ["1", "cat", "8", "2"]
    assert dog.split()[-2:] == ["0", "1,500"]
    counts = np.diag([5] * 30)
    counts[3, 4], counts[9, 1] = 2, 3
    names = [f"class {number}" for number in range(30)]
    assert confusion_lines(counts, names) == [
        "3 images of class 9 taken for class 1",
        "2 images of class 3 taken for class 4",
    ]
    assert confused_lines(np.diag([1, 1]), NAMES) == ["No image was taken for another class."]


SPECIES = [f"Amanita muscaria variety {number}" for number in range(3)]


@pytest.mark.parametrize(
    ("names", "degrees"), [(["cat", "dog", "owl", "cow"], 0), (["snowdrop", "daffodil"], 0), (SPECIES[:2], 90)]
)
def test_names_below_a_matrix_do_not_run_into_each_other(names: list[str], degrees: int) -> None:
    """Two long names were written one over the other."""
    figure = confusion_figure(np.eye(len(names), dtype=np.int64), names, "Title")
    assert {label.get_rotation() for label in figure.axes[0].get_xticklabels()} == {degrees}


def test_long_names_that_differ_at_their_end_are_told_apart() -> None:
    """`Amanita muscaria va...` would be taken for `Amanita muscaria va...`."""
    assert shortened_names([*SPECIES[:2], "Amanita", "Boletus edulis var. edulis"], 22) == [
        "Amanita m...variety 0",
        "Amanita m...variety 1",
        "Amanita",
        "Boletus edulis var....",
    ]
    lines = confused_lines(np.eye(3, k=1, dtype=np.int64), [f"The northern {name}" for name in SPECIES])
    assert len(set(lines)) == len(lines) == 2
    assert max(map(len, lines)) <= 80


def test_an_image_that_is_predicted_rightly_is_not_taken_for_another() -> None:
    """`worst()` of a good model has right images too: `dog, taken for dog`."""
    assert image_line(MISTAKE) == "cat, taken for <i> (90%): /photos/a.jpg"
    assert image_line(replace(MISTAKE, predicted="cat")) == "cat, predicted cat (90%): /photos/a.jpg"


def test_pairs_of_classes_that_are_not_listed_are_counted() -> None:
    """With a hundred classes thirty pairs would be taken for all that are confused."""
    names = [f"c{number}" for number in range(7)]
    counts = 3 - np.eye(7, dtype=np.int64)
    lines = confused_lines(counts, names)
    assert (len(lines), lines[-1]) == (31, "and 12 more pairs of classes")
    confusions = [Confusion(3, true, told) for true in range(7) for told in range(7) if true != told]
    assert "and 12 more pairs of classes" in confused_list(confusions, names)
    assert "more" not in confused_list(confusions[:30], names)


def test_names_that_fit_above_a_column_stand_there_without_a_number() -> None:
    """Of digits the row of the 2 would be called `3 2`, and what was taken for an 8 stand below a 9."""
    digits = [str(digit) for digit in range(3)]
    counts = np.diag([5, 6, 7])
    header, *rows = confusion_lines(counts, digits)
    assert header.split()[-3:] == digits
    assert [row.split() for row in rows] == [["0", "5", "0", "0"], ["1", "0", "6", "0"], ["2", "0", "0", "7"]]
    headings = re.findall(r"<th[^>]*>(.*?)</th>", confusion_table(counts, digits))
    assert headings[1:] == digits
    assert ">2 1<" not in confusion_table(counts, digits)
    assert re.findall(r"<td>(.*?)</td>", confusion_table(COUNTS, ("cat", "a long name"))) == ["1 cat", "2 a long name"]


@pytest.mark.parametrize(("classes", "count"), [(2, 12_345), (8, 12_345), (8, 1_234_567)])
def test_counts_of_many_images_are_whole(classes: int, count: int) -> None:
    """Of 10,000 images and more in a cell, the table would say `10...`."""
    lines = confusion_lines(np.diag([count] * classes), [f"class {number}" for number in range(classes)])
    assert [f"{count:,}" in line for line in lines] == [False] + [True] * classes
    assert len({len(line) for line in lines}) == 1


def test_names_in_a_page_are_text() -> None:
    """A folder's name would be markup."""
    for html in (
        class_table([FIGURES[0].model_copy(update={"name": "<b>"})]),
        confusion_table(COUNTS, NAMES),
        pictures([MISTAKE], lambda _: None),
    ):
        assert "<b>d" not in html
        assert "<i>" not in html
        assert "&lt;" in html


def test_a_picture_names_its_file() -> None:
    """Who sees a wrong label on a page could not find the photo."""
    shown = pictures([replace(MISTAKE, path='photos/a "b".jpg')], lambda _: "data:,x")
    assert 'title="photos/a &quot;b&quot;.jpg"' in shown


def test_a_picture_has_the_image_s_proportions_and_a_missing_one_says_so(tmp_path: Path) -> None:
    """A page would show squeezed photos, or break at the first file that is gone."""
    Image.new("RGB", (400, 100), (200, 30, 30)).save(tmp_path / "wide.png")
    uri = thumbnail_uri(tmp_path / "wide.png")
    assert uri is not None
    assert uri.startswith("data:image/jpeg;base64,")
    assert len(uri) < 2000
    assert thumbnail_uri(tmp_path / "missing.png") is None
    assert "cannot be read" in pictures([MISTAKE], thumbnail_uri)
    assert SIDE_PIXELS == 112


def test_a_drive_that_hangs_costs_one_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose training is over would not return, or wait for each of forty pictures."""
    Image.new("RGB", (40, 10), (200, 30, 30)).save(tmp_path / "wide.png")
    make, answers, asked = thumbnails.thumbnail_uri, threading.Event(), list[str]()
    paths = [str(tmp_path / "wide.png")] * 3

    def hanging(path: str) -> str | None:
        asked.append(path)
        assert len(asked) == 1 or answers.wait(60)
        return make(path)

    monkeypatch.setattr(thumbnails, "thumbnail_uri", hanging)
    monkeypatch.setattr(thumbnails, "PATIENCE_SECONDS", 5.0)
    thumbnail = Thumbnails()
    first = thumbnail(paths[0])
    monkeypatch.setattr(thumbnails, "PATIENCE_SECONDS", 0.2)
    others = [thumbnail(path) for path in paths[1:]]
    answers.set()
    assert first == make(paths[0])
    assert (others, len(asked)) == ([None, None], 2)


def test_a_photo_with_a_damaged_exif_block_has_a_picture(tmp_path: Path) -> None:
    """One such photo, which is trained on like any other, would cost the whole page."""
    Image.new("RGB", (40, 10), (200, 30, 30)).save(tmp_path / "photo.webp", exif=b"no block of EXIF")
    assert thumbnail_uri(tmp_path / "photo.webp") is not None


@pytest.mark.slow
def test_matrices_of_any_size_are_drawn(*, whole: bool) -> None:
    """The names of a thousand classes would make a picture that no memory holds."""
    for classes in (2, 45, 300) if whole else (300,):
        image = png(confusion_figure(np.eye(classes, dtype=np.int64), [f"class {n}" for n in range(classes)], "Title"))
        assert image.startswith(b"\x89PNG")
        assert len(image) < 3_000_000
