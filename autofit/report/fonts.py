"""The fonts of a plot: matplotlib's own, and installed ones for the letters that it lacks.

DejaVu Sans has no Chinese, Japanese, Korean or Indian letters, and names of classes are in the user's language.
"""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

OWN_FONT = "DejaVu Sans"  # comes with matplotlib
PLACEHOLDERS = "Last Resort"  # a font of boxes for every letter, which comes with matplotlib too
UNREADABLE = (OSError, RuntimeError, ValueError)
"""The exceptions that matplotlib raises for a file that is no font."""

WEIGHT_OF_A_FONT = "findfont: Failed to find font weight"


def families_for(words: Iterable[str]) -> list[str]:
    """The font families that together have the letters of these words; the first family with a letter draws it.

    Letters that no installed font has appear as boxes.
    """
    from matplotlib import font_manager

    missing = {ord(letter) for word in words for letter in word if letter > "\x7f"}
    if not missing:
        return [OWN_FONT]
    missing -= _letters(font_manager.findfont(OWN_FONT))
    families = [OWN_FONT]
    for font in itertools.chain(_usual_first(font_manager.fontManager.ttflist), _new_fonts()):
        if not missing:
            break
        if font.name.startswith(PLACEHOLDERS) or font.name in families:
            continue
        if found := missing & _letters(font.fname):
            families.append(font.name)
            missing -= found
    return families


def _usual_first(fonts: Iterable[FontEntry]) -> list[FontEntry]:
    return sorted(fonts, key=lambda font: (_is_unusual(font), font.name, font.fname))


def _new_fonts() -> Iterator[FontEntry]:
    """The fonts that were installed after matplotlib wrote its permanent list of fonts; they are added to it."""
    from matplotlib import font_manager

    fonts = font_manager.fontManager
    known = len(fonts.ttflist)
    for file in sorted({*font_manager.findSystemFonts()} - {font.fname for font in fonts.ttflist}):
        with suppress(*UNREADABLE):
            fonts.addfont(file)
    yield from _usual_first(fonts.ttflist[known:])


def _is_unusual(font: FontEntry) -> bool:
    """Whether a font is bold or slanted; names are drawn in a family's regular font."""
    return font.style != "normal" or str(font.weight) not in {"400", "normal"}


def _letters(file: str) -> frozenset[int]:
    """The code points that a font has; empty if it cannot be read."""
    from matplotlib import ft2font

    try:
        return frozenset(ft2font.FT2Font(file).get_charmap())
    except UNREADABLE:
        return frozenset()


@contextmanager
def boxes_noted() -> Iterator[list[str]]:
    """Collect matplotlib's warnings about letters that no font has, instead of showing them; all others are shown.

    The warning that a family has no bold letters is dropped: the text is then drawn in regular ones.
    """
    boxes: list[str] = []
    log = logging.getLogger("matplotlib.font_manager")
    log.addFilter(_is_of_use)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield boxes
    finally:
        log.removeFilter(_is_of_use)
    for warning in caught:
        if str(warning.message).startswith("Glyph "):
            boxes.append(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _is_of_use(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(WEIGHT_OF_A_FONT)
