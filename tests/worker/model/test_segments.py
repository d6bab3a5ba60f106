"""Where a network is cut so that its activations can be computed again, and that the segments are the network."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from autofit.worker.model.segments import boundaries, can_be_cut, most_segments, segments_of

pytestmark = pytest.mark.slow  # imports TensorFlow

SIZE = (16, 16, 3)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 12))
def test_segments_are_in_order_and_none_is_empty(values: list[int], count: int) -> None:
    """An empty segment has no tensors to be a network of."""
    ends = [0, *boundaries(values, values, count), len(values)]
    assert all(before < after for before, after in pairwise(ends))
    assert len(ends) - 1 <= count


def most_held(ends: list[int], values: list[int], kept_values: list[int]) -> int:
    """The values of a segment and of the tensors that are kept of those before it, where this is most."""
    held, kept = [], 0
    for start, end in pairwise([0, *ends, len(values)]):
        held.append(kept + sum(values[start:end]))
        kept += kept_values[end - 1]
    return max(held)


PIECES = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=9)


@given(PIECES, st.integers(1, 5))
def test_no_other_division_holds_less_at_once(pieces: list[tuple[int, int]], count: int) -> None:
    """Compared with all divisions into at most so many segments; and none with fewer segments holds as little."""
    values, kept = [size for size, _ in pieces], [size for _, size in pieces]
    found = boundaries(values, kept, count)
    others = [[*ends] for most in range(count) for ends in combinations(range(1, len(values)), most)]
    least = min(most_held(ends, values, kept) for ends in others)
    assert most_held(found, values, kept) == least
    assert len(found) == min(len(ends) for ends in others if most_held(ends, values, kept) == least)


def test_more_segments_than_save_memory_are_not_made() -> None:
    """Tensors as large as the activations between them: each further segment would keep one more."""
    assert len(boundaries([10] * 20, [10] * 20, 16)) == 4


def residual(flow: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    inner = layers.Conv2D(filters, 3, padding="same", activation="relu")(flow)
    return layers.BatchNormalization()(layers.Concatenate()([flow, inner]))


def functional() -> keras.Model:
    inputs = flow = keras.Input(SIZE)
    for filters in (4, 3, 2):
        flow = residual(flow, filters)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(flow * 2.0))


def nested() -> keras.Model:
    """A network inside a network, at the end: there its calls are counted in another way."""
    inputs = keras.Input(SIZE)
    return keras.Model(inputs, functional()(layers.Rescaling(1 / 255)(inputs)))


def sequential() -> keras.Model:
    return keras.Sequential(
        [keras.Input(SIZE), layers.Conv2D(3, 3), functional_of((14, 14, 3)), layers.Dense(3), layers.ReLU()]
    )


def functional_of(shape: tuple[int, int, int]) -> keras.Model:
    inputs = keras.Input(shape)
    return keras.Model(inputs, layers.Conv2D(4, 3)(layers.ReLU()(layers.Conv2D(4, 3)(inputs))))


def shared() -> keras.Model:
    """The same layer twice: where it is called, nothing can be cut."""
    inputs, layer = keras.Input(SIZE), layers.Conv2D(3, 3, padding="same")
    return keras.Model(inputs, layers.ReLU()(layer(layers.ReLU()(layer(inputs)))))


def a_part() -> keras.Model:
    """The upper part of a network: its layers have other outputs in the whole one."""
    whole = functional()
    return keras.Model(whole.layers[3].output, whole.outputs[0])


@pytest.mark.parametrize("count", [1, 2, 4, 50])
@pytest.mark.parametrize("make", [functional, nested, sequential, shared, a_part])
def test_segments_one_after_the_other_are_the_network(make: Callable[[], keras.Model], count: int) -> None:
    """The recomputed network would be another one, or train other variables."""
    network = make()
    segments = segments_of(network, count)
    assert 1 <= len(segments) <= count
    assert count == 1 or len(segments) > 1
    flow = inputs = np.random.default_rng(0).random((2, *network.input_shape[1:]), np.float32)
    for part in (part for segment in segments for part in segment.parts):
        flow = part(flow, training=False)
    np.testing.assert_allclose(flow, network(inputs, training=False), rtol=1e-6, atol=1e-6)
    found = {id(variable) for segment in segments for variable in segment.trainable_variables}
    assert found == {id(variable) for variable in network.trainable_variables}


class OfItsOwn(keras.Model):  # type: ignore[misc]
    """A derived model."""

    def call(self, inputs: object) -> object:
        """Do nothing."""
        return inputs


def test_what_is_no_graph_cannot_be_cut() -> None:
    """A layer, a derived model and a network of one layer would fail while they are built."""
    inputs = keras.Input(SIZE)
    assert not can_be_cut(layers.Dense(3))
    assert not can_be_cut(OfItsOwn())
    assert not can_be_cut(keras.Model(inputs, layers.Conv2D(1, 1)(inputs)))
    assert can_be_cut(functional())
    assert most_segments(layers.Dense(3)) == most_segments(OfItsOwn()) == 1


@pytest.mark.parametrize("make", [functional, nested, sequential])
def test_a_network_is_cut_into_no_more_segments_than_is_said(make: Callable[[], keras.Model]) -> None:
    """A rung would be measured that is the same network as one before it, or one left out that is not."""
    network = make()
    most = most_segments(network)
    assert 1 < len(segments_of(network, 1000)) <= most
