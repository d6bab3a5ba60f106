"""A model of Keras on its way to a worker."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from autofit.worker.model.sent_model import sent

pytestmark = pytest.mark.slow

SHAPE = (4, 4, 3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("updates", [0, 2])
def test_a_compiled_model_arrives_with_its_optimizer_and_without_a_false_alarm(updates: int) -> None:
    """Keras warns of each optimizer that has not been used yet that its state is left out; there is none."""
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.Adam(0.25), "sparse_categorical_crossentropy")
    for _ in range(updates):
        model.train_on_batch(np.ones((2, *SHAPE)), np.array([0, 1]))
    arrived = sent(model)(SHAPE, 2)
    assert float(arrived.optimizer.learning_rate) == 0.25
    assert int(arrived.optimizer.iterations) == updates
    for array, expected in zip(arrived.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(array, expected)
