"""Features that are no numbers: the error names what they come from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autofit.errors import UserError
from autofit.worker.features.finite_features import require_finite

GOOD, BAD = np.ones(3, np.float32), np.array([1, np.nan], np.float32)


class Weight:
    """A variable of Keras, as far as it is read."""

    def __init__(self, path: str, values: np.ndarray) -> None:
        self.path, self.values = path, values

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        """The values."""
        return self.values


def network(*weights: np.ndarray, precision: str = "float32", cut: str | None = None) -> Any:
    variables = [Weight(f"layer_{place}/kernel", values) for place, values in enumerate(weights)]
    return SimpleNamespace(features=SimpleNamespace(variables=variables), precision=precision, cut=cut)


@pytest.mark.parametrize(
    ("value", "made_by", "words"),
    [
        (np.nan, network(GOOD, BAD), "weights that are no numbers, such as layer_1/kernel.* damaged"),
        (np.inf, network(BAD, cut="block"), "weights that are no numbers, such as layer_0/kernel"),
        (np.inf, network(GOOD, cut="block"), "beyond those of float16 for /photos/7.png: give another fine_tune_from"),
        (np.nan, network(GOOD, precision="mixed_float16"), "for /photos/7.png.* give precision='float32'"),
        (np.nan, network(GOOD, precision="mixed_float16", cut="block"), "give precision='float32'"),
        (np.inf, network(GOOD, precision="mixed_bfloat16"), "for /photos/7.png, though .* give other weights"),
        (-np.inf, network(GOOD, np.arange(3)), "for /photos/7.png, though .* give other weights"),
    ],
)
def test_what_is_no_number_has_its_cause(value: float, made_by: Any, words: str) -> None:
    """A damaged file of weights, or float16, would be told as a learning rate that is too high, or as a crash."""
    features = np.ones((4, 2, 3), np.float32 if made_by.cut is None else np.float16)
    features[2:, 1] = value
    with pytest.raises(UserError, match=words):
        require_finite(features, np.array([5, 6, 7, 9]), made_by, "/photos/{}.png".format)


@pytest.mark.parametrize("features", [np.full((2, 3), 3e38, np.float32), np.ones((2, 3)), np.empty((0, 3), np.float16)])
def test_large_numbers_are_numbers(features: np.ndarray) -> None:
    """Features would be refused for the overflow of the check itself."""
    require_finite(features, np.arange(len(features)), network(BAD), str)
