"""How good a model is class by class, and where it is wrong: as text for a terminal and as HTML for a page. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from autofit.printable import printable
from autofit.report.markup import Html, breakable, bullets, element, escaped, join, picture, table
from autofit.report.tables import LEAST_FLEXIBLE, Layout, shortened_names
from autofit.report.width import COLUMNS, TABLE_EDGES, columns
from autofit.report.words import count_of, metric_words
from autofit.runs.predicted_images import ClassFigures, Confusion, PredictedImage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASS_HEADERS = ("Class", "Images", "Precision", "Recall", "F1")
CLASSES = Layout((COLUMNS - TABLE_EDGES - 4 * 11, 9, 9, 9, 9), numbers=range(1, 5))
MOST_CLASSES = 30
MOST_COLUMNS = 8
MOST_CLASSES_IN_A_TABLE = 20
"""With more classes a page lists those that are confused: the matrix of 1,000 classes has 25 MB."""
NONE = "-"
CORNER = "True \\ predicted"
COUNT_WIDTH = 5
WORDS_WIDTH = 30
"""The width of the words beside the two names in a line about confused classes."""

Thumbnail = Callable[[str], str | None]


def class_cells(figures: ClassFigures) -> list[str]:
    """The figures of a class under `CLASS_HEADERS`; a dash for a figure that is undefined."""
    shares = (figures.precision, figures.recall, figures.f1)
    return [figures.name, f"{figures.images:,}", *(NONE if one is None else metric_words(one) for one in shares)]


def class_lines(classes: Sequence[ClassFigures]) -> list[str]:
    """Precision, recall and F1 of each class as the lines of a plain-text table."""
    return CLASSES.lines([CLASS_HEADERS, *map(class_cells, classes)])


def class_table(classes: Sequence[ClassFigures]) -> Html:
    """The same for a page."""
    rows = [[breakable(cell) for cell in class_cells(one)] for one in classes]
    return table(CLASS_HEADERS, rows, numbers=len(CLASS_HEADERS) - 1)


def confusion_lines(counts: NDArray[np.int64], class_names: Sequence[str]) -> list[str]:
    """The counts as the lines of a table, titled as by `_titles`; for many classes the most frequent confusions."""
    if len(class_names) > MOST_COLUMNS:
        return confused_lines(counts, class_names)
    width = max(COUNT_WIDTH, len(f"{counts.max():,}"))
    first = max(COLUMNS - TABLE_EDGES - len(class_names) * (width + 2), LEAST_FLEXIBLE)
    of_columns, of_rows = _titles(class_names)
    rows: list[Sequence[str]] = [(CORNER, *of_columns)]
    rows += [(name, *(f"{count:,}" for count in row)) for name, row in zip(of_rows, counts.tolist(), strict=True)]
    return Layout((first, *[width] * len(class_names)), range(1, len(class_names) + 1)).lines(rows)


def _titles(class_names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The titles of the columns and of the rows of a confusion matrix.

    The columns have the names if these fit, else numbers that stand beside the names of the rows. Numbers alone would
    mislead where names are numbers: a class named `2` that has the number 3 would be taken for the class `3`.
    """
    if all(cell_len(printable(name)) <= COUNT_WIDTH for name in class_names):
        return [*class_names], [*class_names]
    numbers = [f"{place}" for place in range(1, len(class_names) + 1)]
    return numbers, [f"{number} {name}" for number, name in zip(numbers, class_names, strict=True)]


def confused_lines(counts: NDArray[np.int64], class_names: Sequence[str]) -> list[str]:
    """The pairs of classes that are confused, the most frequent first, as lines within the width of text."""
    return _confused(_confusions(counts), shortened_names(class_names, (columns() - WORDS_WIDTH) // 2))


def _confusions(counts: NDArray[np.int64]) -> list[Confusion]:
    pairs = zip(*counts.nonzero(), strict=True)
    return [Confusion(int(counts[true, told]), int(true), int(told)) for true, told in pairs if true != told]


def _confused(confusions: Sequence[Confusion], names: Sequence[str]) -> list[str]:
    ordered = sorted(confusions, key=lambda one: (-one.images, one.true, one.told))
    lines = [
        f"{count_of(one.images, 'image')} of {names[one.true]} taken for {names[one.told]}"
        for one in ordered[:MOST_CLASSES]
    ]
    if more := len(ordered) - len(lines):
        lines.append(f"and {count_of(more, 'more pair')} of classes")
    return lines or ["No image was taken for another class."]


def confused_list(confusions: Sequence[Confusion], class_names: Sequence[str]) -> Html:
    """The same for a page."""
    return bullets(_confused(confusions, class_names))


def confusion_html(counts: NDArray[np.int64], class_names: Sequence[str]) -> Html:
    """The counts for a page: a table, or the most frequent confusions of so many classes that it would be too large."""
    if len(class_names) > MOST_CLASSES_IN_A_TABLE:
        return confused_list(_confusions(counts), class_names)
    return confusion_table(counts, class_names)


def confusion_table(counts: NDArray[np.int64], class_names: Sequence[str]) -> Html:
    """The counts for a page, with the titles of `_titles`; a cell is darker, the larger its share of its true class."""
    of_columns, of_rows = _titles(class_names)
    totals = counts.sum(axis=1).tolist()
    rows = [
        [breakable(name), *(_shaded(count, total) for count in row)]
        for name, row, total in zip(of_rows, counts.tolist(), totals, strict=False)
    ]
    return table((CORNER, *of_columns), rows, numbers=len(class_names), kind="whole")


def _shaded(count: int, total: int) -> Html:
    if not count:
        return element("span", escaped("0"), "soft")
    share = count / total
    return Html(f'<span class="cell" style="--share:{100 * share:.0f}%">{escaped(f"{count:,}")}</span>')


def image_line(image: PredictedImage) -> str:
    """An image, its true class and its predicted class, in one line."""
    told = f"{_verb(image)} {image.predicted} ({image.probability:.0%})"
    return printable(f"{image.label}, {told}: {image.path}")


def _verb(image: PredictedImage) -> str:
    return "predicted" if image.is_right else "taken for"


def pictures(images: Sequence[PredictedImage], thumbnail: Thumbnail) -> Html:
    """Images as small pictures, with the true and the predicted class below each."""
    return element("div", join(_figure(image, thumbnail(image.path)) for image in images), "pictures")


def _figure(image: PredictedImage, uri: str | None) -> Html:
    shown = picture(uri, image.path) if uri else element("span", escaped("cannot be read"), "soft")
    predicted = element("b", breakable(f"{image.predicted} {image.probability:.0%}"), "" if image.is_right else "bad")
    words = join([element("span", breakable(image.label)), element("span", escaped(_verb(image)), "soft"), predicted])
    return element("figure", join([shown, element("figcaption", words)]))
