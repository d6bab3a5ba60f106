"""Predictions are an array with names."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.api import predictions
from autofit.api.predictions import Predictions
from autofit.dataset.label_sets import cell_of
from autofit.errors import UserError
from autofit.protocol.messages import BadImage
from autofit.report.prediction_text import csv_header, csv_rows
from tests.support.datasets import traced

ROWS = np.array([[0.7, 0.2, 0.1], [np.nan] * 3, [0.1, 0.3, 0.6]], np.float32)
PATHS = ("a.jpg", "<b>.jpg", "c.jpg")


def three() -> Predictions:
    """Two images that could be read, and one that could not."""
    return Predictions.of(ROWS, ("cat", "dog", "owl"), PATHS, [BadImage(path="<b>.jpg", reason="cut short")])


def test_predictions_are_the_array_that_they_were() -> None:
    """Code that was written for the array of probabilities would break."""
    found = three()
    assert isinstance(found, np.ndarray)
    assert found.shape == (3, 3)
    assert found.dtype == np.float32
    assert np.array_equal(np.asarray(found), ROWS, equal_nan=True)
    assert type(np.asarray(found)) is np.ndarray
    assert (found[0].argmax(), found[2, 2]) == (0, np.float32(0.6))
    assert type(found[:2]) is type(found > 0.5) is type(found * 2) is np.ndarray
    assert np.array_equal(found.argmax(axis=1), ROWS.argmax(axis=1))
    assert next(iter(found)).tolist() == ROWS[0].tolist()
    assert np.isnan(found).any(axis=1).tolist() == [False, True, False]


def test_each_image_has_its_class_and_probability() -> None:
    """The caller would have to look names up by place, and an unreadable image be the first class."""
    found = three()
    assert found.labels == ["cat", None, "owl"]
    assert found.paths == list(PATHS)
    assert found.confidence[[0, 2]].tolist() == pytest.approx([0.7, 0.6])
    assert np.isnan(found.confidence[1])
    assert [[name for name, _ in best] for best in found.top(2)] == [["cat", "dog"], [], ["owl", "dog"]]
    assert [len(best) for best in found.top(9)] == [3, 0, 3]
    assert [image.path for image in found.unreadable] == ["<b>.jpg"]
    with pytest.raises(UserError, match="k must be from 1"):
        found.top(0)


@pytest.mark.parametrize("k", [1, 2, 8, 9, 40])
def test_the_most_probable_are_those_of_a_stable_sort(k: int) -> None:
    """Of equally probable classes another would be named by `top` than by the label, or with another k."""
    rows = np.random.default_rng(0).integers(0, 4, (50, 30)).astype(np.float32)
    found = Predictions.of(rows, [f"{place}" for place in range(30)], ["a.jpg"] * 50, [])
    order = np.argsort(-rows, axis=1, kind="stable")[:, :k]
    assert [[int(name) for name, _ in best] for best in found.top(k)] == order.tolist()
    assert [int(label) for label in found.labels] == order[:, 0].tolist()


def test_only_what_is_shown_is_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook would stand still for 14 s, and take 1.2 GB, to show the first of 100,000 images of 1,000 classes."""
    found = Predictions.of(np.ones((500, 3), np.float32), ("a", "b", "c"), [f"{place}" for place in range(500)], [])
    seen: list[int] = []
    told = Predictions.told

    def noted(self: Predictions, k: int) -> list[list[tuple[str, float]] | None]:
        seen.append(len(self))
        return told(self, k)

    monkeypatch.setattr(Predictions, "told", noted)
    assert "and 480 more images" in repr(found)
    assert "and 480 more images" in str(found._repr_html_())
    assert seen == [20, 20]


def test_a_table_of_pandas_has_a_row_for_each_image() -> None:
    """A gap would move all rows below it."""
    frame = three().to_dataframe()
    assert list(frame.columns) == ["path", "label", "confidence", "cat", "dog", "owl"]
    assert list(frame["path"]) == list(PATHS)
    assert frame["owl"][2] == np.float32(0.6)
    assert frame["label"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize("copied", [copy.copy, lambda found: copy.deepcopy([found])[0], Predictions.copy])
def test_a_copy_has_the_names(copied: Callable[[Predictions], Predictions]) -> None:
    """A dict of results that is copied would say that its predictions were computed from others."""
    found = three()
    again = copied(found)
    assert (again.labels, again.paths, again.unreadable) == (found.labels, found.paths, found.unreadable)
    again += 1
    assert found.probabilities[0, 0] == ROWS[0, 0]


@pytest.mark.parametrize("multi_label", [False, True])
def test_many_classes_take_little_more_memory_than_their_rows(
    monkeypatch: pytest.MonkeyPatch, *, multi_label: bool
) -> None:
    """The labels of a hundred thousand images of ten thousand classes would take twelve gigabytes beside their four."""
    rows = np.random.default_rng(0).random((400, 5_000), np.float32) * np.float32(0.5004)
    names = [str(number) for number in range(5_000)]
    found = Predictions.of(rows, names, ["a.jpg"] * len(rows), [], multi_label)
    whole = found.top(3), found.told(3)
    monkeypatch.setattr(predictions, "ROWS_AT_ONCE", 16)
    assert (found.top(3), found.told(3)) == whole
    looks: list[Callable[[], object]] = [lambda: found.labels, lambda: found.told(1), found.__repr__, found._repr_html_]
    for look in looks:
        _, _, peak_bytes = traced(look)
        assert peak_bytes < 0.7 * rows.nbytes


def test_a_class_named_as_a_column_has_another_name_there() -> None:
    """`frame["label"]` would be two columns, and the label in a CSV file be read from the wrong one."""
    frame = Predictions.of(ROWS, ("cat", "label", "path"), PATHS, []).to_dataframe()
    assert list(frame.columns)[3:] == ["cat", "probability of label", "probability of path"]
    assert frame["label"].tolist()[0] == "cat"
    assert csv_header(("cat", "label")) == ["path", "label", "confidence", "cat", "probability of label"]


@pytest.mark.parametrize("other", ["probability of path", "probability of probability of path"])
def test_no_two_columns_have_one_name(other: str) -> None:
    """`csv.DictReader` would give the probability of one class for that of another."""
    header = csv_header(("path", other, "probability of cat"))
    assert len(set(header)) == len(header)
    assert header[-1] == "probability of cat"
    assert len(set(csv_header(("=a", "'=a", "''=a")))) == len(header)


LABEL_NAMES = st.text(st.sampled_from('ab|[]", '), min_size=1).filter(
    lambda name: name == name.strip() and not (name.startswith("[") and name.endswith("]"))  # which no label is
)


@given(st.lists(LABEL_NAMES, max_size=3, unique=True).map(tuple))
def test_several_labels_in_a_cell_are_told_apart(labels: tuple[str, ...]) -> None:
    """The cell `a|b|c` would be of `a|b` and `c`, or of three labels."""
    ((_, cell, *_),) = csv_rows(["a.jpg"], [labels], np.zeros((1, 1), np.float32), ["a"])
    read = cell_of(cell)
    assert (read if isinstance(read, tuple) else tuple(read.split("|"))) == labels


def test_usual_labels_are_joined_by_bars() -> None:
    """Programs that read the table as it was would no longer do so."""
    labels = [("cat", "big dog"), ("cat",), ()]
    rows = csv_rows(["a.jpg"] * 3, labels, np.zeros((3, 1), np.float32), ["cat"])
    assert [row[1] for row in rows] == ["cat|big dog", "cat", ""]


def test_what_is_shown_is_bounded_and_escaped() -> None:
    """A folder of a million images would freeze the browser, and a file's name act in the notebook."""
    shown = three()._repr_html_() or ""
    assert "&lt;b&gt;.jpg" in shown
    assert "<b>.jpg" not in shown
    assert "cannot be read" in shown
    assert "70.0%" in shown
    many = Predictions.of(np.tile(ROWS[:1], (500, 1)), ("cat", "dog", "owl"), [f"{n}.jpg" for n in range(500)], [])
    assert (many._repr_html_() or "").count("<tr>") == 21
    assert "and 480 more images" in (many._repr_html_() or "")
    assert repr(many).endswith("and 480 more images")
    assert repr(three()).splitlines()[1] == "cannot be read        <b>.jpg"


def test_names_survive_a_copy_to_another_process_and_are_missed_in_what_is_computed() -> None:
    """A part or a turned array would have the names of other images."""
    again = pickle.loads(pickle.dumps(three()))  # noqa: S301 - made here
    assert again.labels == ["cat", None, "owl"]
    turned = three().T
    assert turned._repr_html_() is None
    assert repr(turned).startswith("Predictions([")
    with pytest.raises(AttributeError, match="their names are with the predictions"):
        _ = turned.labels
    assert pickle.loads(pickle.dumps(turned)).shape == (3, 3)  # noqa: S301 - made here


def test_of_several_labels_an_image_has_those_that_are_likely() -> None:
    """The most probable label alone would be given, or one where there is none."""
    rows = np.array([[0.9, 0.5, 0.1], [np.nan] * 3, [0.1, 0.2, 0.3]], np.float32)
    found = Predictions.of(rows, ("cat", "dog", "owl"), PATHS, [], multi_label=True)
    assert found.labels == [("cat", "dog"), None, ()]
    lines = repr(found).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["cat 90.0%, dog 50.0%", "cannot be read", "no label"]
    shown = found._repr_html_()
    assert shown is not None
    assert "<b>cat 90.0%, dog 50.0%</b>" in shown
    assert "<b>no label</b>" in shown
    assert "owl" not in shown
    assert pickle.loads(pickle.dumps(found)).labels == found.labels  # noqa: S301 - made here
