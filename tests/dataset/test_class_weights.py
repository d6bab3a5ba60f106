"""Weights of classes in the loss, by what a user calls the classes."""

from __future__ import annotations

import numpy as np
import pytest

from autofit.config.options import make_options
from autofit.dataset.class_weights import weights_by_class
from autofit.errors import UserError


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        ({"0": 2.0, "dogs": 3.0}, [2.0, 1.0, 3.0]),
        ({"cats": 0.0}, [0.0, 1.0, 1.0]),
    ],
)
def test_weights_are_of_classes_by_number_or_name(given: dict[str, float], weights: list[float]) -> None:
    """Another class would be weighted."""
    assert weights_by_class(given, ["cats", "cows", "dogs"]) == weights


def test_a_number_is_the_class_that_is_named_so() -> None:
    """Classes named 1, 2, 10 would be weighted by their places."""
    assert weights_by_class({"1": 5.0}, ["0", "10", "1"]) == [1.0, 1.0, 5.0]


def test_a_class_whose_name_begins_with_a_blank_can_be_named() -> None:
    """A folder may be called so; the weight would be refused as that of no class."""
    names = [" cats", "dogs"]
    given = make_options(class_weight={" cats": 2.0, " dogs ": 3.0}).class_weight
    assert isinstance(given, dict)
    assert weights_by_class(given, names) == [2.0, 3.0]
    with pytest.raises(UserError, match="which is no class"):
        weights_by_class({"9" * 5000: 1.0}, names)


@pytest.mark.parametrize("given", [{"mice": 1.0}, {"3": 1.0}, {"-1": 1.0}, {"0": 1.0, "cats": 2.0}])
def test_weights_of_no_class_or_twice_of_one_are_refused(given: dict[str, float]) -> None:
    """They would be ignored."""
    with pytest.raises(UserError, match=r"which is no class: give names|twice"):
        weights_by_class(given, ["cats", "cows", "dogs"])


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (["0", "1"], {"True": 2.0, "False": 3.0}),
        (["False", "True"], {True: 2.0, False: 3.0}),
        (["False", "True"], {1: 2.0, 0: 3.0}),
        (["false", "true"], {np.True_: 2.0, np.False_: 3.0}),
        (["0", "1"], {np.float64(1): 2.0, 0.0: 3.0}),
        (["3", "7"], {np.float32(7): 2.0, "3.0": 3.0}),
    ],
)
def test_classes_in_another_notation_are_the_same(names: list[str], given: dict[object, float]) -> None:
    """The weights of a DataFrame's labels would be refused where the table that pandas wrote of it is trained on."""
    kept = make_options(class_weight=given).class_weight
    assert isinstance(kept, dict)
    assert weights_by_class(kept, names) == [3.0, 2.0]


@pytest.mark.parametrize(
    ("names", "given"),
    [(["0", "1"], {"True": 2.0, "1": 3.0}), (["0", "1", "2"], {"True": 2.0}), (["cats", "dogs"], {"True": 2.0})],
    ids=["twice", "three classes", "no truths"],
)
def test_truths_are_of_two_classes_that_are_such(names: list[str], given: dict[str, float]) -> None:
    """One of two weights would be ignored; or a class be weighted that nobody has named."""
    with pytest.raises(UserError, match=r"which is no class: give names|twice"):
        weights_by_class(given, names)
