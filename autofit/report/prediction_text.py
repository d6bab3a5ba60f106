"""A model's predictions, and how good it is on images with known classes: as text, a table and CSV. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from rich.cells import cell_len

from autofit.printable import as_cell, printable
from autofit.report.markup import Html, breakable, element, escaped, fragment, table
from autofit.report.tables import Layout
from autofit.report.width import COLUMNS, columns, padded_text, wrapped, wrapped_lines
from autofit.report.words import count_of, metric_words
from autofit.runs.evaluation import NOT_FINITE, Evaluation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Named = tuple[str, float]
"""A class and its probability."""

MOST_IMAGES = 20
UNREADABLE, NO_LABEL = "cannot be read", "no label"
COLUMNS_BEFORE = ("path", "label", "confidence")
"""The columns of a table of predictions before those of the classes."""
OF_CLASS = "probability of "
BETWEEN_LABELS = "|"
CLASS_HEADERS = ("Class", "Images", "Right", "Accuracy", "Predicted")
LABEL_HEADERS = ("Label", "Images", "Right", "Recall", "Predicted")
CLASSES = Layout((COLUMNS - 4 * 11 - 2, 9, 9, 9, 9), numbers=range(1, 5))


def told_words(told: Sequence[Named] | None) -> str:
    """The prediction for an image, such as `cat 98.0%, dog 1.2%`; `told` is None for an image that cannot be read."""
    if told is None:
        return UNREADABLE
    return ", ".join(f"{printable(name)} {share_words(share)}" for name, share in told) or NO_LABEL


def share_words(probability: float) -> str:
    """A probability in per cent; 100% only if it is exactly 1."""
    return "99.9%" if 0.9995 <= probability < 1 else f"{probability:.1%}"  # noqa: PLR2004


def prediction_lines(
    paths: Sequence[str],
    told: Sequence[Sequence[Named] | None],
    most: int | None = MOST_IMAGES,
    *,
    least_width: int = 0,
) -> list[str]:
    """A line for each image: the prediction, then the whole path, so that it can be copied.

    Args:
        paths: the paths of the images.
        told: for each image its labels or its most probable classes; None if it cannot be read.
        most: how many images are shown; None means all.
        least_width: the least width of the column with the classes.
    """
    shown = [told_words(one) for one in islice(told, most)]
    width = min(max([least_width, *map(cell_len, shown)]), columns() // 2)
    lines = [f"{padded_text(words, width)}  {printable(path)}" for words, path in zip(shown, paths, strict=False)]
    return [*lines, *([f"and {count_of(len(paths) - len(shown), 'more image')}"] if len(shown) < len(paths) else [])]


def prediction_table(paths: Sequence[str], told: Sequence[Sequence[Named] | None], *, multi_label: bool = False) -> str:
    """The same for a cell of a notebook."""
    headers = ("Image", "Labels") if multi_label else ("Image", "Class", "Probability", "Next")
    cells = _cells_of_labels if multi_label else _cells
    rows = [cells(path, one) for path, one in zip(paths[:MOST_IMAGES], told[:MOST_IMAGES], strict=True)]
    parts = [table(headers, rows)]
    if len(paths) > MOST_IMAGES:
        words = f"and {count_of(len(paths) - MOST_IMAGES, 'more image')}: .to_dataframe() has all"
        parts.append(element("p", escaped(words), "lead"))
    return fragment(parts)


def _cells(path: str, told: Sequence[Named] | None) -> list[Html]:
    if not told:
        return [escaped(path), element("b", escaped(UNREADABLE), "bad"), escaped(""), escaped("")]
    (name, share), *others = told
    next_one = told_words(others[:1]) if others else ""
    return [escaped(path), element("b", escaped(name)), escaped(share_words(share)), escaped(next_one)]


def _cells_of_labels(path: str, told: Sequence[Named] | None) -> list[Html]:
    return [escaped(path), element("b", escaped(told_words(told)), "bad" if told is None else "")]


def file_words(path: str, images: int, unreadable: int, by_class: Mapping[str, int]) -> str:
    """A summary of a file of predictions: its name, and the numbers of all images and of each class, largest first."""
    bad = f", {unreadable:,} of them cannot be read" if unreadable else ""
    shown = [f"{printable(name)} {count:,}" for name, count in islice(by_class.items(), MOST_IMAGES)]
    more = len(by_class) - len(shown)
    rest = [f"and {count_of(more, 'more class', 'more classes')}"] if more else []
    classes = wrapped_lines(", ".join([*shown, *rest]), columns())
    return "\n".join([f"{printable(path)}: {count_of(images, 'image')}{bad}", *classes])


def csv_header(class_names: Sequence[str]) -> list[str]:
    """The names of the columns of `csv_rows`."""
    return [*COLUMNS_BEFORE, *map(as_cell, class_columns(class_names))]


def class_columns(class_names: Sequence[str]) -> list[str]:
    """The names of the columns of probabilities: the class names; for a class `label` it is `probability of label`.

    A class `probability of label` has one `probability of` more, so that no two columns have one name.
    """
    return [f"{OF_CLASS}{name}" if _is_name_of_column(name) else name for name in class_names]


def _is_name_of_column(name: str) -> bool:
    while name.startswith(OF_CLASS):
        name = name.removeprefix(OF_CLASS)
    return name in COLUMNS_BEFORE


def csv_rows(
    paths: Sequence[str],
    labels: Sequence[str | tuple[str, ...] | None],
    rows: NDArray[np.float32],
    class_names: Sequence[str],
) -> Iterator[list[str]]:
    """A row for each image; the cells of an image that cannot be read are empty. `csv_header` names the columns.

    Args:
        paths: the paths of the images.
        labels: the class of each image, or a tuple of classes, written as by `_joined`; None if it cannot be read.
        rows: probabilities, float32 (n, classes).
        class_names: the names of the columns of `rows`.
    """
    for path, label, row in zip(paths, labels, rows, strict=True):
        if label is None:
            yield [as_cell(path), "", "", *("" for _ in class_names)]
        else:
            name = _joined(label) if isinstance(label, tuple) else label
            yield [as_cell(path), as_cell(name), str(row.max()), *map(str, row)]


def _joined(labels: tuple[str, ...]) -> str:
    """The labels of an image in a cell: `cat|dog`, or a JSON list where a name has a `|` or would look like a list.

    Tables of labels are read in both forms.
    """
    is_ambiguous = any(BETWEEN_LABELS in name or name.startswith("[") for name in labels)
    return json.dumps(labels, ensure_ascii=False) if is_ambiguous else BETWEEN_LABELS.join(labels)


def evaluation_text(figures: Evaluation) -> str:
    """The figures of a model on images with known classes: accuracy, its standard error, and figures of each class.

    For a multi-label model: the share of images with all labels right, mean average precision, F1, and figures of each
    label.
    """
    rows = [_class_headers(figures), *_class_cells(figures)]
    return "\n".join([*map(wrapped, _evaluation_lines(figures)), "", *CLASSES.lines(rows)])


def evaluation_card(figures: Evaluation) -> str:
    """The same for a cell of a notebook."""
    first, *others = _evaluation_lines(figures)
    opening = [element("p", element("b", escaped(first))), *(element("p", escaped(line), "lead") for line in others)]
    rows = [[breakable(cell) for cell in row] for row in _class_cells(figures)]
    return fragment([*opening, table(_class_headers(figures), rows, numbers=len(CLASS_HEADERS) - 1)])


def _class_headers(figures: Evaluation) -> Sequence[str]:
    return CLASS_HEADERS if figures.mean_average_precision is None else LABEL_HEADERS


def _class_cells(figures: Evaluation) -> Iterator[Sequence[str]]:
    for one in figures.classes:
        share = metric_words(one.right / one.images) if one.images else "-"
        yield one.name, f"{one.images:,}", f"{one.right:,}", share, f"{one.predicted:,}"


def _error_line(groups: int) -> str:
    if not groups:
        return "± is its standard error: other images of this kind would differ by about that."
    images = f"{count_of(groups, 'group')} of images"
    return f"± is its standard error by {images}: other groups of this kind would differ by about that."


def _evaluation_lines(figures: Evaluation) -> list[str]:
    accuracy = f"{metric_words(figures.accuracy)} ± {metric_words(figures.standard_error)}"
    views = f", {figures.views} views each" if figures.views > 1 else ""
    right = "Accuracy" if figures.mean_average_precision is None else "All labels right"
    lines = [
        f"{right} {accuracy} on {count_of(figures.images, 'image')}{views}; loss {metric_words(figures.loss)}.",
        _error_line(figures.groups),
    ]
    if figures.mean_average_precision is not None and figures.f1 is not None:
        mean, f1 = metric_words(figures.mean_average_precision), metric_words(figures.f1)
        lines.append(f"Mean average precision {mean}; F1 {f1} at a probability of 0.5.")
    if figures.own_images:
        are, them, they = ("is", "it", "It does") if figures.own_images == 1 else ("are", "them", "They do")
        lines.append(
            f"Warning: {figures.own_images:,} of these images {are} the run's own: it has trained on {them}, or chosen "
            f"its model by {them}. {they} not tell how good it is on others."
        )
    reasons = [image.reason for image in figures.unreadable]
    without_answer = reasons.count(NOT_FINITE)
    if unread := len(reasons) - without_answer:
        lines.append(f"{count_of(unread, 'image')} could not be read and did not count.")
    if without_answer:
        lines.append(f"{count_of(without_answer, 'image')} did not count: {NOT_FINITE}.")
    return lines
