"""A confusion matrix as a plot: a row for each true class, a column for each predicted one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from autofit.report.drawing import INK, PANEL_INCHES, canvas
from autofit.report.tables import shortened_names

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

INCHES_A_CLASS, MOST_INCHES = 0.42, 24.0
MOST_CLASSES_WITH_COUNTS = 40
LONGEST_NAME = 22
MOST_SIDE_BY_SIDE = 4
INCHES_A_LETTER, INCHES_BESIDE = 0.085, 0.5
"""The width of a letter on average, and that of the title of the rows."""
DARK_SHARE = 0.55


def confusion_figure(counts: NDArray[np.int64], class_names: Sequence[str], title: str) -> Figure:
    """The counts as a figure; a cell is darker, the larger its share of its true class.

    Args:
        counts: int64 (classes, classes), a row for each true class.
        class_names: the name of each class.
        title: the text above the figure.
    """
    side = min(max(PANEL_INCHES[0], 2 + INCHES_A_CLASS * len(class_names)), MOST_INCHES)
    names = shortened_names(class_names, LONGEST_NAME)
    with canvas(title, panels=1, height=side, names=names) as (figure, (axes,)):
        figure.set_figwidth(side)
        _draw(axes, counts, names)
    return figure


def _draw(axes: Axes, counts: NDArray[np.int64], names: Sequence[str]) -> None:
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="equal")
    axes.set(xlabel="Predicted", ylabel="True")
    axes.grid(visible=False)
    places = _labelled(len(names))
    axes.set_xticks(places, [names[place] for place in places], rotation=0 if _fit_side_by_side(names) else 90)
    axes.set_yticks(places, [names[place] for place in places])
    if len(names) > MOST_CLASSES_WITH_COUNTS:
        return
    for row in range(len(names)):
        for column in range(len(names)):
            if counts[row, column]:
                ink = "white" if shares[row, column] > DARK_SHARE else INK
                axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=ink, fontsize=8)


def _fit_side_by_side(names: Sequence[str]) -> bool:
    """Whether there is room for the names of a few classes below the matrix, beside the same names on its left."""
    letters = max(map(cell_len, names), default=0)
    room = PANEL_INCHES[0] - INCHES_BESIDE - INCHES_A_LETTER * letters
    return len(names) <= MOST_SIDE_BY_SIDE and len(names) * INCHES_A_LETTER * (letters + 1) <= room


def _labelled(classes: int) -> range:
    """The classes whose names are written beside the matrix: as many as stay legible, evenly spaced."""
    room = int(MOST_INCHES / INCHES_A_CLASS)
    return range(0, classes, -(-classes // room))
