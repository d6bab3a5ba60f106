"""What cells say of images with any number of labels, and the sets that follow."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autofit.dataset.label_sets import (
    cell_of,
    find_separator,
    is_marked,
    label_counts,
    names_of_set,
    notes_on_sets,
    numbers_of_sets,
    require_learnable,
    set_text,
    sort_into_sets,
)
from autofit.errors import UserError


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("cat; dog", "cat; dog"),
        (" ", ()),
        (None, ()),
        (float("nan"), ()),
        ("nan", ()),
        ([], ()),
        ("[]", ()),
        (["cat", "dog"], ("cat", "dog")),
        (("cat", 3), ("cat", "3")),
        ({"b", "a"}, ("a", "b")),
        (np.array([1, 2]), ("1", "2")),
        ("['cat', 'dog, large']", ("cat", "dog, large")),
        ('["cat"]', ("cat",)),
        ("[cat, dog]", ("cat", "dog")),
        ("[{[]}]", ("{[]}",)),
        ("('cat', 'dog')", ("cat", "dog")),
        ("('cat',)", ("cat",)),
        ("{'dog', 'cat'}", ("cat", "dog")),
        ("frozenset({'cat'})", ("cat",)),
        ("set()", ()),
        ('{"choices": ["cat", "dog"]}', ("cat", "dog")),
        ("{'choices': ['cat']}", ("cat",)),
        ({"choices": []}, ()),
        ("{a: b}", "{a: b}"),
        ("(cat) or dog", "(cat) or dog"),
        ("('cat') or ('dog')", "('cat') or ('dog')"),
        (7, ("7",)),
    ],
)
def test_a_value_says_which_labels_an_image_has(value: object, cell: object) -> None:
    """A list or a gap would become the name of a class of its own."""
    assert cell_of(value) == cell


@pytest.mark.parametrize(
    "value", [1.5, ["cat", None], ["cat", ["dog"]], "['cat', None]", {"cat": 1}, '{"cat": 1}', "{}"]
)
def test_a_value_that_is_no_label_is_refused(value: object) -> None:
    """It would become a class."""
    with pytest.raises(ValueError, match="label"):
        cell_of(value)


@pytest.mark.parametrize(
    ("texts", "separator"),
    [
        (["cat;dog, large", "cat"], ";"),
        (["cat|dog", "cat"], "|"),
        (["cat,dog", "bird"], ","),
        (["scab rust", "scab", "rust"], " "),
        (["New York", "Boston", "Los Angeles"], None),
        (["York", "Los Angeles", "San Diego", "New York"], None),
        (["cat", "dog"], None),
    ],
)
def test_the_separator_is_found_out(texts: list[str], separator: str | None) -> None:
    """Two labels would be one class, or a name with a blank two."""
    assert find_separator(texts) == separator


def test_images_are_sorted_into_sets_and_what_was_understood_is_said() -> None:
    """The same set in another order would be another one, or rows of one image overwrite each other."""
    found = sort_into_sets({"a": ("x;y",), "b": ("y; x ;x",), "c": ((),), "d": ("x", "z")})
    assert found.set_of == {"a": '["x", "y"]', "b": '["x", "y"]', "c": "[]", "d": '["x", "z"]'}
    assert found.names == ("x", "y", "z")
    assert found.notes == (
        "labels are separated by ';'",
        "1 images are listed in several rows: each has the labels of all of them",
    )


def test_labels_that_are_numbers_are_in_the_order_of_numbers() -> None:
    """Label 10 would come before label 2, and the outputs not be those that the user knows."""
    assert sort_into_sets({"a": ("10,2",), "b": ("1",)}).names == ("1", "2", "10")


def test_a_set_is_read_as_it_was_written() -> None:
    """Names with separators, quotation marks or other alphabets would come back as others."""
    names = ["a;b", 'say "x"', "Ärger", ""]
    assert sorted(names_of_set(set_text(names))) == sorted(names)
    assert numbers_of_sets([set_text(["b", "a"]), "[]", '["b"]'], ["b", "a"]) == ((), (0,), (0, 1))
    for text in ("cat", '"cat"', "[1]"):
        with pytest.raises(ValueError, match=r".*"):
            names_of_set(text)


@pytest.mark.parametrize(("value", "marked"), [("1", True), (0, False), (1.0, True), (True, True), ("False", False)])
def test_a_mark_is_0_or_1(value: object, *, marked: bool) -> None:
    """An age or a gap would be taken for a label."""
    assert is_marked(value) is marked
    for other in ("2", "", None, float("nan"), 0.5):
        with pytest.raises(ValueError, match="neither 0 nor 1"):
            is_marked(other)


def test_labels_are_counted_and_those_that_cannot_be_learnt_are_named() -> None:
    """A label without an image, or on all of them, would be predicted and nobody know why."""
    sets = ((0,), (0, 1), (0, 1, 2))
    assert label_counts([0, 1, 1, 2], sets, 4) == (4, 3, 1, 0)
    assert notes_on_sets([0, 1, 1, 2], sets, ["all", "most", "one", "no"]) == [
        "multi-label: 3 of 4 images to train on have several labels, 0 have none",
        "no image to train on has the label no: it cannot be learnt",
        "all images to train on have the label all: it cannot be learnt",
    ]
    require_learnable((4, 3, 1, 0), 4, ["all", "most", "one", "no"])
    with pytest.raises(UserError, match=r"no label tells images apart .*all, no"):
        require_learnable((4, 0), 4, ["all", "no"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("['cat' 'dog']", ("cat", "dog")),
        ("[1 2]", ("1", "2")),
        ("['New York', 'dog']", ("New York", "dog")),
        ({"b", "a"}, ("a", "b")),
        (pd.NA, ()),
        (None, ()),
    ],
    ids=("array", "array of numbers", "list", "set", "NA", "none"),
)
def test_cells_of_other_programs_are_understood(value: object, expected: tuple[str, ...]) -> None:
    """The text of an array would be one label, `catdog`; or pandas's missing value a traceback."""
    assert cell_of(value) == expected


@pytest.mark.parametrize("value", [[1, 0, 0], "[0, 1]", (0, 1, 1), np.array([1, 0])], ids=str)
def test_a_row_of_marks_in_a_cell_is_no_list_of_names(value: object) -> None:
    """The classes would be called 0 and 1, whatever the images show."""
    with pytest.raises(ValueError, match="are 0 and 1, not names: give an array"):
        cell_of(value)


def test_blanks_separate_where_all_words_stand_elsewhere_too() -> None:
    """Each combination of labels would be a class of its own."""
    assert find_separator({"haze primary", "clear primary", "haze primary water", "clear water", "cloudy"}) == " "
    assert find_separator({"New York", "Los Angeles", "Paris"}) is None
    assert find_separator({"New York", "Paris"}) is None


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["cat\tdog", "cat", "dog"], ("cat", "dog")),
        (["cat & dog", "cat", "dog"], ("cat", "dog")),
        (["猫、狗", "猫"], ("狗", "猫")),
        (["猫，狗", "猫"], ("狗", "猫")),  # noqa: RUF001 - as it is written in Chinese
    ],
)
def test_labels_are_cut_at_what_separates_them(cells: list[str], names: tuple[str, ...]) -> None:
    """Two labels with a tab between would be a third one, or the mark between them be one."""
    found = sort_into_sets({f"{number}.jpg": (cell,) for number, cell in enumerate(cells)})
    assert found.names == names
    assert set(names_of_set(found.set_of["0.jpg"])) == set(names)


@pytest.mark.parametrize("cells", ["cat+dog cat dog", "a;b cat/dog cat dog", "a;b cat,dog cat dog"])
def test_labels_that_are_made_of_others_are_named(cells: str) -> None:
    """Each combination of labels would be a label of its own, without a word."""
    found = sort_into_sets({f"{number}.jpg": (cell,) for number, cell in enumerate(cells.split())})
    assert found.notes[-1].startswith("warning: these labels are made of others: 'cat")
    assert found.notes[-1].endswith("; write ; between the labels of an image")


@pytest.mark.parametrize("cell", ["0.5", "cat;nan", "cat;0.5", "cat;[dog]"])
def test_a_part_that_is_no_label_is_refused_with_its_image(cell: str) -> None:
    """A gap or a fraction among the labels of an image would end in a traceback."""
    with pytest.raises(UserError, match=r"^the labels of b\.jpg: the label "):
        sort_into_sets({"a.jpg": ("cat",), "b.jpg": (cell,)})
