"""Values as data and back: in their places, with their types, and never more than the caller's own objects allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autofit.protocol.callback_state import set_parts
from autofit.protocol.object_state import Packer, filled


def there_and_back(value: Any, existing: Any) -> Any:
    packer = Packer(10**6)
    return filled(existing, packer.pack(value), packer.arrays)


def test_an_array_is_filled_in_place_only_if_it_is_of_its_type() -> None:
    """A half would be cut to 0, or a state in float64 to float32: a restart would not be bit-equal."""
    value, existing = np.array([0.5, 0.7]), np.zeros(2)
    assert there_and_back(value, existing) is existing
    np.testing.assert_array_equal(existing, value)
    for other in (np.zeros(2, int), np.zeros(2, np.float32)):
        np.testing.assert_array_equal(there_and_back(value, other), value)
        assert not other.any()


def test_an_object_in_two_places_is_filled_for_one_of_them() -> None:
    """The second value would overwrite the first."""
    shared = np.zeros(2)
    found = there_and_back([np.ones(2), np.full(2, 2.0)], [shared, shared])
    assert [array.tolist() for array in found] == [[1, 1], [2, 2]]
    both = [0]
    assert there_and_back({"a": [1], "b": [2]}, {"a": both, "b": both}) == {"a": [1], "b": [2]}


class OfKeras:
    """Stands for a callback of Keras: its methods assign a setting, which no table calls a state."""

    def __init__(self) -> None:
        self.filename = "mine.csv"


OfKeras.__module__ = "keras.src.callbacks.stand_in"


class Mine(OfKeras):
    """A user's callback."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []


def test_a_checkpoint_changes_no_setting_of_keras_s_callbacks() -> None:
    """A stranger's run would write to any file of the user who resumes it."""
    packer, callback = Packer(10**6), Mine()
    parts = {"filename": packer.pack("/home/me/.profile"), "seen": packer.pack([0.5])}
    assert set_parts(callback, parts, packer.arrays) == {"filename"}
    assert (callback.filename, callback.seen) == ("mine.csv", [0.5])


def test_a_checkpoint_fills_no_module_and_no_object_of_python() -> None:
    """A stranger's run would set what `print` is in the notebook of the user who resumes it."""
    for existing in (np, print):
        for packed in ({"object": {"there": 1}}, {"self": {"object": {"there": 1}}}):
            with pytest.raises(ValueError, match="there is no"):
                filled(existing, packed, {})
