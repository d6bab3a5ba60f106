"""The style of all plots, and a figure as PNG for a file or SVG for a page.

matplotlib is imported inside functions (it takes a second) and used through `Figure`, never through pyplot: a notebook
keeps its own figures, backend and style.
"""

from __future__ import annotations

import importlib
import io
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from autofit.printable import one_line
from autofit.report.fonts import OWN_FONT, boxes_noted, families_for
from autofit.report.markup import Html, element, escaped, figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#24292f"
BLUE, ORANGE, RED = "#3a7fc1", "#d5822a", "#d1483f"  # distinguishable on white and on black
DOTS_PER_INCH = 150
PANEL_INCHES = (4.8, 3.6)
MOST_TICKS = 7

STYLE: Any = {  # matplotlib 3.11 types the keys as one literal each, older ones as str
    "font.family": OWN_FONT,
    "font.size": 10,
    "text.usetex": False,
    "text.parse_math": False,  # a name with two dollar signs is no formula
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linestyle": "-",
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "svg.hashsalt": "autofit",  # the same figure gives the same page
}

NO_FONT = (
    "letters that no installed font has are boxes in this picture: install a font that has them, such as Noto Sans CJK "
    "for Chinese, Japanese and Korean"
)


def scale_by_doubling(axes: Axes, sizes: Sequence[int], *, has_figures: bool = False) -> None:
    """Set ticks at powers of two around the sizes, few enough that their labels do not overlap.

    `has_figures` leaves room on both sides for figures beside the points.
    """
    from matplotlib.ticker import NullLocator

    low, high = math.floor(math.log2(min(sizes))), max(math.ceil(math.log2(max(sizes))), 1)
    margin = 0.4 + 0.1 * (high - low) if has_figures else 0.3
    axes.set_xscale("log", base=2)
    axes.set_xlim(2 ** (low - margin), 2 ** (high + margin))
    axes.set_xticks([2**power for power in range(low, high + 1, math.ceil((high - low + 1) / MOST_TICKS))])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda size, _: f"{size:,.0f}")


def svg(figure: Figure, prefix: str = "") -> str:
    """The figure as an `<svg>` element for a page: transparent, and drawn in the colour of the text around it.

    `prefix` is put before its ids, which must be unique in a page.
    """
    text, boxes = _drawn_svg(figure, letters_as="path")
    if boxes:  # the browser may have a font that matplotlib has not
        text, _ = _drawn_svg(figure, letters_as="none")
    return _prefixed(text[text.index("<svg") :].replace(INK, "currentColor"), prefix)


def _drawn_svg(figure: Figure, letters_as: str) -> tuple[str, list[str]]:
    """The figure as matplotlib writes it, and its warnings about letters that no font has.

    Args:
        figure: the figure to draw.
        letters_as: `path`: as outlines, the same everywhere; `none`: as text, in a font of the browser's.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with _style(**{"svg.fonttype": letters_as}), boxes_noted() as boxes:
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return buffer.getvalue(), boxes


def _prefixed(text: str, prefix: str) -> str:
    """The SVG text with a prefix before each id and each reference to one."""
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", text)


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG, on white."""
    buffer = io.BytesIO()
    with _style(), boxes_noted() as boxes:
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, facecolor="white")
    if boxes:
        warnings.warn(NO_FONT, stacklevel=2)
    return buffer.getvalue()


@contextmanager
def _style(**changes: Any) -> Iterator[None]:
    """Apply the style of autofit's plots with these changes, and restore the user's style afterwards."""
    with _matplotlib().rc_context(STYLE | changes):
        yield


def _matplotlib() -> ModuleType:
    """matplotlib, also where MPLBACKEND names a backend that does not exist: a `Figure` needs none.

    Raises:
        Exception: whatever a broken installation of it raises.
    """
    try:
        return importlib.import_module("matplotlib")
    except ValueError:
        named = os.environ.pop("MPLBACKEND", None)
        if named is None:
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        del sys.modules[name]  # what was half imported would be taken for whole
    try:
        return importlib.import_module("matplotlib")
    finally:
        os.environ["MPLBACKEND"] = named


def drawings_or_reason(draw: Callable[[], Iterable[str]]) -> Html:
    """Drawings for a page; if matplotlib fails, a line that says why, so that the page is written without pictures."""
    try:
        return rendered(draw)
    except Exception as error:  # noqa: BLE001 - whatever a broken installation of it raises, or a folder it cannot write
        why = one_line(error) or type(error).__name__
        return element("p", escaped(f"The picture is missing, matplotlib fails ({why})."), "bad")


def rendered(draw: Callable[[], Iterable[str]]) -> Html:
    """Drawings for a page, which take a second."""
    return figures(draw())


@contextmanager
def canvas(
    title: str, panels: int, height: float = PANEL_INCHES[1], names: Iterable[str] = ()
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure with panels side by side. Draw within this context: artists take their style when they are made.

    Args:
        title: the text above the figure; empty for none.
        panels: the number of panels.
        height: the height of the figure in inches.
        names: names from the user's data that will be drawn; they decide which fonts are used.
    """
    _matplotlib()  # before the fonts, for it mends what keeps matplotlib from being imported
    with _style(**{"font.family": families_for([title, *names])}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(PANEL_INCHES[0] * panels, height), layout="constrained")
        if title:
            figure.suptitle(title, x=0.01, ha="left", weight="bold", size=11)
        yield figure, list(figure.subplots(1, panels, squeeze=False)[0])
