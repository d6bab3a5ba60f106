"""The rates and the updates of a fine-tuning."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.config.fine_tuning import FineTuning
from autofit.worker.model.fine_tuning import LayerwiseAdamW, WarmupCosine, fine_tuning_optimizer, layerwise_rates

pytestmark = pytest.mark.slow  # loads Keras

PEAK = 0.01
SETTINGS = FineTuning(updates=20, warmup_updates=5, lowest_rate=0.25, weight_decay=0.1, clip_norm=1.0)


def variables(*shapes: tuple[int, ...]) -> list[keras.Variable]:
    random = np.random.default_rng(0)
    return [keras.Variable(random.normal(size=shape).astype("float32")) for shape in shapes]


def values(given: list[keras.Variable]) -> list[np.ndarray]:
    return [variable.numpy() for variable in given]


def test_rates_rise_geometrically_from_the_lowest_kernel_to_the_head() -> None:
    """Low layers would be changed as much as the new head, and forget what they know."""
    shapes = [(3,), (3, 3), (3,), (3, 3), (3, 2), (2,)]
    assert layerwise_rates(shapes, 0.25) == [0.25, 0.25, 0.25, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("shapes", [[], [(2,)], [(3, 2)], [(3, 2), (2,)]])
def test_a_head_alone_has_the_whole_rate(shapes: list[tuple[int, ...]]) -> None:
    """It would learn at a part of the rate, or divide by zero."""
    assert layerwise_rates(shapes, 0.1) == [1.0] * len(shapes)


@given(st.integers(1, 300), st.integers(0, 300))
def test_the_rate_rises_to_its_peak_and_falls_to_nearly_zero(updates: int, warmup: int) -> None:
    """The last updates would move the weights as far as the middle ones, or the first ones ruin them."""
    warmup = min(warmup, updates - 1)
    rates = np.asarray(WarmupCosine(PEAK, warmup, updates)(np.arange(updates)))
    assert (rates > 0).all()
    assert rates.max() == pytest.approx(PEAK, rel=1e-6)
    assert rates[: warmup + 1].argmax() >= warmup - 1
    assert (np.diff(rates[max(warmup - 1, 0) :]) <= 1e-9).all()
    assert rates[-1] <= PEAK * max(2.5 / (updates - warmup), 1.0 if updates - warmup < 3 else 0.0) + 1e-9


def test_with_one_rate_for_all_it_is_the_adamw_of_keras() -> None:
    """The recipe would be another than the one that was measured."""
    ours, theirs = variables((4, 3), (2, 5)), variables((4, 3), (2, 5))
    first = LayerwiseAdamW(rates=[1.0, 1.0], decoupled_decay=0.1, learning_rate=PEAK, global_clipnorm=1.0)
    second = keras.optimizers.AdamW(learning_rate=PEAK, weight_decay=0.1, global_clipnorm=1.0)
    first.build(ours)
    second.build(theirs)
    for seed in range(5):
        gradients = [10 * np.random.default_rng(seed).normal(size=v.shape).astype("float32") for v in ours]
        first.apply([keras.ops.convert_to_tensor(each) for each in gradients], ours)
        second.apply([keras.ops.convert_to_tensor(each) for each in gradients], theirs)
    for one, other in zip(values(ours), values(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_a_lower_layer_moves_by_its_share() -> None:
    """All layers would move alike. The first update of Adam moves each weight by the rate."""
    given = variables((2, 2), (2, 2), (2, 2))
    optimizer = fine_tuning_optimizer(
        given, PEAK, FineTuning(updates=9, warmup_updates=0, lowest_rate=0.25, weight_decay=0)
    )
    optimizer.build(given)
    before = values(given)
    optimizer.apply([keras.ops.ones((2, 2))] * 3, given)
    moved = [np.abs(now - then).mean() / PEAK for now, then in zip(values(given), before, strict=True)]
    assert moved == pytest.approx([0.25, 0.5, 1.0], rel=1e-3)


def test_only_kernels_decay() -> None:
    """Biases and scales of normalizations would be drawn to zero."""
    given = variables((3,), (3, 3), (3,))
    optimizer = fine_tuning_optimizer(given, PEAK, SETTINGS)
    optimizer.build(given)
    before = values(given)
    optimizer.apply([keras.ops.zeros(variable.shape) for variable in given], given)
    changed = [not np.array_equal(now, then) for now, then in zip(values(given), before, strict=True)]
    assert changed == [False, True, False]


def test_a_restored_optimizer_goes_on_with_the_same_updates() -> None:
    """A resumed fine-tuning would begin its warm-up again."""

    def trained(steps: range, given: list[keras.Variable], optimizer: keras.optimizers.Optimizer) -> None:
        for step in steps:
            random = np.random.default_rng(step)
            optimizer.apply(
                [keras.ops.convert_to_tensor(random.normal(size=v.shape).astype("float32")) for v in given], given
            )

    def fresh() -> tuple[list[keras.Variable], keras.optimizers.Optimizer]:
        given = variables((4, 3), (3,), (3, 2))
        optimizer = fine_tuning_optimizer(given, PEAK, SETTINGS)
        optimizer.build(given)
        return given, optimizer

    whole, first = fresh()
    trained(range(12), whole, first)
    begun, second = fresh()
    trained(range(7), begun, second)
    resumed, third = fresh()
    for source, target in ((begun, resumed), (second.variables, third.variables)):
        for one, other in zip(source, target, strict=True):
            other.assign(one)
    trained(range(7, 12), resumed, third)
    for one, other in zip(values(whole), values(resumed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_optimizer_can_be_made_again_from_its_configuration() -> None:
    """Keras could neither save nor copy it."""
    optimizer = fine_tuning_optimizer(variables((2, 2), (2,)), PEAK, SETTINGS)
    scope = {"WarmupCosine": WarmupCosine, "LayerwiseAdamW": LayerwiseAdamW}
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer), custom_objects=scope)
    assert again.get_config() == optimizer.get_config()
    assert isinstance(again, LayerwiseAdamW)


def test_the_schedule_goes_on_where_a_callback_sets_the_rate() -> None:
    """Keras raises a TypeError, or there is nothing to assign to: the run would end, and end so again when resumed."""
    given, told = variables((2, 2)), []
    optimizer = fine_tuning_optimizer(given, PEAK, SETTINGS)
    optimizer.build(given)
    optimizer.on_rate_set = lambda: told.append(1)
    before = float(optimizer.learning_rate)
    optimizer.learning_rate = 9.0
    optimizer.learning_rate.assign(9.0)
    optimizer.learning_rate = optimizer.learning_rate * 0.5
    assert len(told) == 3
    assert float(optimizer.learning_rate) == before == pytest.approx(PEAK / SETTINGS.warmup_updates)
    optimizer.apply([keras.ops.ones((2, 2))], given)
    assert float(optimizer.learning_rate) == pytest.approx(2 * before)
