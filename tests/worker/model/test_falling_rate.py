"""The learning rate of a training from scratch."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from autofit.config.backbones import ModelSpec
from autofit.config.learning_rates import RateFall
from autofit.protocol.job import ModelSource
from autofit.worker.model.falling_rate import FallingRate
from autofit.worker.model.objective import make_objective

pytestmark = pytest.mark.slow  # loads Keras

RATE = 0.01
FALL = RateFall(begin=7, end=10)


def rates(updates: int, *falls: RateFall) -> np.ndarray:
    schedule = FallingRate(RATE, falls)
    return np.array([float(schedule(step)) for step in range(updates)])


def test_it_is_constant_and_then_falls_along_half_a_cosine() -> None:
    """Keras has the same schedule, whose warm-up may begin at the peak."""
    theirs = keras.optimizers.schedules.CosineDecay(RATE, 3, warmup_target=RATE, warmup_steps=7)
    np.testing.assert_allclose(rates(12, FALL), [float(theirs(step)) for step in range(12)], rtol=1e-6)


def test_no_update_before_the_last_one_has_a_rate_of_zero() -> None:
    """An update would be made for nothing."""
    for end in range(1, 9):
        assert (rates(end, RateFall(begin=0, end=end)) > 0).all()


def test_after_a_fall_that_is_not_the_last_it_is_at_its_full_height() -> None:
    """More epochs would train at a rate of zero."""
    found = rates(20, FALL, RateFall(begin=17, end=20))
    np.testing.assert_allclose(found[10:], found[:10])
    np.testing.assert_allclose(found[:10], rates(10, FALL))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_an_optimizer_by_name_has_it(optimizer: str) -> None:
    """The falls of the plan would have no effect."""
    spec = ModelSpec(backbone=None, weights="none", image_size=(4, 4), trainable="all")
    source = ModelSource(spec=spec, num_classes=2, optimizer=optimizer, learning_rate=RATE, rate_falls=(FALL,))
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    made = make_objective(model, source, compiled=False).optimizer
    assert float(made.learning_rate) == pytest.approx(RATE)
    made.iterations.assign(9)
    assert float(made.learning_rate) == pytest.approx(RATE / 4)
