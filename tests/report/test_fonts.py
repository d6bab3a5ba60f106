"""Names of classes in letters that matplotlib's own font lacks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from autofit.report.confusion_plot import confusion_figure
from autofit.report.drawing import NO_FONT, png, svg
from autofit.report.fonts import OWN_FONT, boxes_noted, families_for

NAMES = ["猫", "собака"]  # DejaVu Sans has the second and not the first
COUNTS = np.array([[3, 1], [0, 4]])


@pytest.fixture(autouse=True)
def own_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Those of matplotlib alone, whatever this machine has."""
    from matplotlib import font_manager

    fonts = font_manager.fontManager.ttflist
    before = list(fonts)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    fonts[:] = [font for font in fonts if font.fname.startswith(str(Path(font_manager.__file__).parent))]
    yield
    fonts[:] = before


@pytest.fixture
def font_file(tmp_path: Path) -> Path:
    """A font that has the letter of the first name, and one weight that is not the usual one."""
    pen = TTGlyphPen(None)
    for place, point in enumerate([(0, 0), (0, 500), (500, 500)]):
        (pen.lineTo if place else pen.moveTo)(point)
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "cat"])
    font.setupCharacterMap({ord("猫"): "cat"})
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "cat": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (600, 0), "cat": (600, 0)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Cats Only", "styleName": "Regular"})
    font.setupOS2(usWeightClass=500)
    font.setupPost()
    file = tmp_path / "cats.ttf"
    font.save(file)
    return file


@pytest.fixture
def cat_font(font_file: Path) -> str:
    """Its family, which is installed."""
    from matplotlib import font_manager

    font_manager.fontManager.addfont(str(font_file))
    return "Cats Only"


def test_the_own_font_alone_where_it_has_all_letters() -> None:
    assert families_for(["cat", "собака", "Ärger"]) == [OWN_FONT]


def test_an_installed_font_draws_what_the_own_one_lacks(cat_font: str) -> None:
    assert families_for(NAMES) == [OWN_FONT, cat_font]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert png(confusion_figure(COUNTS, NAMES, "cats")).startswith(b"\x89PNG")


def test_a_font_that_was_installed_after_matplotlib_listed_them_is_found(
    font_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who installs a font, as the warning says, would see boxes for ever: matplotlib keeps its list in a file."""
    from matplotlib import font_manager

    no_font = font_file.with_name("cut off.ttf")
    no_font.write_bytes(font_file.read_bytes()[:100])
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(no_font), str(font_file)])
    assert families_for(NAMES) == [OWN_FONT, "Cats Only"]


def test_a_family_without_bold_letters_is_drawn_without_a_word(cat_font: str, caplog: pytest.LogCaptureFixture) -> None:
    png(confusion_figure(COUNTS, NAMES, f"猫, drawn in {cat_font}"))
    assert not caplog.records


def test_a_page_leaves_letters_that_no_font_has_to_the_browser() -> None:
    drawn = svg(confusion_figure(COUNTS, NAMES, "cats"))
    assert ">猫<" in drawn
    assert ">猫<" not in svg(confusion_figure(COUNTS, ["cat", "dog"], "cats"))


def test_a_file_says_that_letters_are_missing() -> None:
    with pytest.warns(UserWarning, match="no installed font has") as caught:
        png(confusion_figure(COUNTS, NAMES, "cats"))
    assert [str(warning.message) for warning in caught] == [NO_FONT]


def test_other_warnings_are_shown_as_they_came() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with boxes_noted() as boxes:
            warnings.warn("soon gone", DeprecationWarning, stacklevel=1)
            warnings.warn("Glyph 29483 missing from font(s) DejaVu Sans.", stacklevel=1)
    assert len(boxes) == 1
    assert [(str(one.message), one.category) for one in caught] == [("soon gone", DeprecationWarning)]
