"""A session of which a batch of features does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.execution.session import Session
from autofit.worker.model.builder import BuiltModel
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError

pytestmark = pytest.mark.slow

FULL = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


def refuse(shrink: Shrink) -> None:
    """Fail: nothing has to be repeated."""
    pytest.fail(f"{shrink}")


class SmallStep:
    """A step that fails with an error where a slice has more than `most` rows."""

    pads = False
    replicas = 1

    def __init__(self, most: int, error: Exception) -> None:
        self._most, self._error = most, error
        self.sizes: list[int] = []
        self.counted: list[int] = []

    def accumulate(self, features: Any, labels: np.ndarray, weights: np.ndarray, rows: int) -> tuple[Any, ...]:
        """Compute gradients."""
        del features, weights
        self._require(min(rows, len(labels)))
        self.sizes.append(rows)
        return ()

    def commit(self, computed: tuple[Any, ...], count: int) -> dict[str, Any]:
        """Make an update."""
        del computed
        return {"count": count}

    def __call__(self, features: Any, labels: np.ndarray, tally: Any) -> None:
        """Count a slice."""
        del features, tally
        self._require(len(labels))
        self.counted.append(len(labels))

    def _require(self, rows: int) -> None:
        if rows > self._most:
            raise self._error


def batches(step: Any, micro: MicroBatcher, count: int = 2) -> None:
    """Train on some batches of eight and validate with one."""
    nothing: Any = None
    built = BuiltModel(nothing, nothing, nothing, (), frozen=True, compiled=False)
    session = Session(built, nothing, nothing, step, step, None, None)
    features, labels = np.zeros((8, 4)), np.zeros(8, np.int64)
    for _ in range(count):
        assert session.train_on_features(features, labels, np.ones(8, np.float32), micro) == {"count": 8}
    session.evaluate_features(features, labels, nothing, micro)


def test_a_batch_of_features_that_does_not_fit_is_repeated_in_parts() -> None:
    """The next attempt would take it whole again: smaller micro-batches of images do not help a head."""
    step, shrinks = SmallStep(2, FULL), list[Shrink]()
    micro = MicroBatcher(4, shrinks.append)
    batches(step, micro)
    assert step.sizes == [2, 2]
    assert step.counted == [2, 2, 2, 2]
    assert [(shrink.before, shrink.after) for shrink in shrinks] == [(8, 4), (4, 2)]
    assert micro.size == 4  # of the images


def test_a_batch_of_features_that_fits_is_taken_whole() -> None:
    """Its sums would have other last bits than before."""
    step = SmallStep(8, FULL)
    batches(step, MicroBatcher(4, refuse))
    assert (step.sizes, step.counted) == ([8, 8], [8])


def test_features_of_one_image_that_do_not_fit_end_the_attempt_as_out_of_memory() -> None:
    """The attempt would end without a commit, and the steps since the last checkpoint be trained again."""
    with pytest.raises(OutOfDeviceMemoryError, match="a single image does not fit"):
        batches(SmallStep(0, FULL), MicroBatcher(4, lambda _: None))


def test_another_error_stays_what_it_is() -> None:
    """A wrong shape would be taken for too little memory."""
    with pytest.raises(tf.errors.InvalidArgumentError, match="wrong shape"):
        batches(
            SmallStep(0, tf.errors.InvalidArgumentError(None, None, "wrong shape")),
            MicroBatcher(4, refuse),
        )
