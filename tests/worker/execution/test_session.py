"""A session of which a batch of features does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from autofit.worker.execution.session import Session
from autofit.worker.model.builder import BuiltModel
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError

pytestmark = pytest.mark.slow


class FullStep:
    """A step whose gradients fail."""

    pads = False
    replicas = 1

    def __init__(self, error: Exception) -> None:
        self._error = error

    def accumulate(self, *_: object) -> None:
        """Fail."""
        raise self._error


def train(error: Exception) -> None:
    step: Any = FullStep(error)
    nothing: Any = None
    built = BuiltModel(nothing, nothing, nothing, (), frozen=True, compiled=False)
    session = Session(built, nothing, nothing, step, nothing, None, None)
    session.train_on_features(nothing, np.zeros(3, np.int64), np.ones(3, np.float32), nothing)


def test_features_that_do_not_fit_end_the_attempt_as_out_of_memory() -> None:
    """The attempt would end without a commit, and the steps since the last checkpoint be trained again."""
    with pytest.raises(OutOfDeviceMemoryError, match="a batch of features does not fit"):
        train(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"))


def test_another_error_stays_what_it_is() -> None:
    """A wrong shape would be taken for too little memory."""
    with pytest.raises(tf.errors.InvalidArgumentError, match="wrong shape"):
        train(tf.errors.InvalidArgumentError(None, None, "wrong shape"))
