"""The comparison of an exported model with the saved one, where memory is short."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.jobs.export import in_parts
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError

pytestmark = pytest.mark.slow  # loads TensorFlow


@pytest.mark.parametrize("most", [8, 3, 1])
def test_fewer_images_are_compared_at_once_where_memory_runs_out(most: int) -> None:
    """A model that was trained and predicts with one image at a time could not be exported on the same machine."""
    shrinks: list[Shrink] = []
    images = np.arange(8, dtype=np.float32).reshape(8, 1)

    def model(part: np.ndarray) -> np.ndarray:
        if len(part) > most:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return part * 2

    np.testing.assert_array_equal(in_parts(model, images, MicroBatcher(8, shrinks.append)), images * 2)
    assert bool(shrinks) == (most < len(images))


def test_one_image_that_does_not_fit_ends_the_export() -> None:
    """It would be tried for ever."""

    def model(_: np.ndarray) -> np.ndarray:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    with pytest.raises(OutOfDeviceMemoryError):
        in_parts(model, np.zeros((8, 1), np.float32), MicroBatcher(8, lambda _: None))
