"""Where a network can be cut, what is chosen, and that the two parts are the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from autofit.errors import UserError
from autofit.worker.model.cut_points import CutPoint, articulation_points, choose_cut, cut_points, split_at

pytestmark = pytest.mark.slow  # imports TensorFlow

SIZE = (16, 16, 3)


@st.composite
def acyclic_graphs(draw: st.DrawFn) -> dict[int, list[int]]:
    """Predecessors of up to nine nodes, each of them smaller."""
    count = draw(st.integers(1, 9))
    return {
        node: draw(st.lists(st.sampled_from(range(node)), unique=True) if node else st.just([]))
        for node in range(count)
    }


def reaches(predecessors: Mapping[int, list[int]], source: int, target: int, without: int | None = None) -> bool:
    """Whether there is a path, by following every edge back."""
    pending, seen = [target], {without}
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        if node == source:
            return True
        seen.add(node)
        pending.extend(predecessors[node])
    return False


@given(acyclic_graphs(), st.data())
def test_articulation_points_are_the_nodes_whose_removal_disconnects(
    graph: dict[int, list[int]], data: st.DataObject
) -> None:
    """A cut beside which something passes would lose it, and a good cut would be missed."""
    source, target = data.draw(st.sampled_from(sorted(graph))), data.draw(st.sampled_from(sorted(graph)))
    found = articulation_points(graph, source, target)
    if not reaches(graph, source, target):
        assert found == []
        return
    ends = {source, target}
    assert found == sorted(ends | {n for n in graph if n not in ends and not reaches(graph, source, target, without=n)})


def chosen(found: list[CutPoint], wanted: str) -> CutPoint:
    cut = choose_cut(found, wanted)
    assert cut is not None
    return cut


def points(*shares: float, values: Callable[[int], int] = lambda _: 8) -> list[CutPoint]:
    return [CutPoint(f"layer_{at}", share, (values(at),), ends_block=True) for at, share in enumerate(shares)]


def test_a_share_is_the_nearest_end_of_a_block() -> None:
    """Many more layers would train than was asked for."""
    between = CutPoint("between", 0.5, (1,), ends_block=False)
    assert chosen([*points(0.1, 0.4), between, *points(0.9)], "0.5").name == "layer_1"


def test_of_blocks_at_about_the_same_share_the_smallest_output_is_chosen() -> None:
    """The cache would have four times the size that it needs."""
    sizes = [400, 100, 100, 400, 1]
    name = chosen(points(0.67, 0.69, 0.71, 0.73, 0.9, values=sizes.__getitem__), "0.7").name
    assert name == "layer_2"


def test_auto_leaves_some_blocks_to_train_and_most_frozen() -> None:
    """The default would train everything, or nothing."""
    assert 0.5 <= chosen(points(*np.linspace(0, 0.99, 100).tolist()), "auto").share <= 0.9


@pytest.mark.parametrize("wanted", ["input", "0", "0.0"])
def test_nothing_is_below_the_input(wanted: str) -> None:
    """The first layer would be frozen where everything was to train; a network without cuts could not be trained."""
    assert choose_cut(points(0.1, 0.5), wanted) is choose_cut([], wanted) is None


@pytest.mark.parametrize("wanted", ["1.5", "-0.1", "nan"])
def test_a_number_that_is_no_share_is_refused(wanted: str) -> None:
    """A cut at the nearest end would be made without a word."""
    with pytest.raises(UserError, match="no share of the layers"):
        choose_cut(points(0.5), wanted)


def test_a_name_that_is_no_cut_is_refused_with_the_nearest() -> None:
    """The user would have to guess which layers can be given."""
    with pytest.raises(UserError, match=r"'layer_11' is no layer through which everything passes: choose .*layer_1\b"):
        choose_cut(points(0.1, 0.5), "layer_11")


def test_a_network_without_cuts_is_refused() -> None:
    """The error would be about an empty list."""
    with pytest.raises(UserError, match="cannot be cut"):
        choose_cut([], "auto")


def test_a_name_inside_a_network_is_enough_where_it_is_the_only_one() -> None:
    """Users know the names of the backbone's layers, not the path to them."""
    inside = [CutPoint(name, 0.5, (1,), ends_block=True) for name in ("a/one", "a/two", "b/two")]
    assert chosen(inside, "one").name == chosen(inside, "a/one").name == "a/one"
    with pytest.raises(UserError, match="is the name of 2 layers"):
        choose_cut(inside, "two")


def block(flow: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """A residual block: convolution, normalization, activation, addition."""
    inner = layers.Conv2D(4, 3, padding="same", name=f"{name}_conv")(flow)
    inner = layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(inner))
    return layers.Add(name=f"{name}_add")([flow, inner])


def small() -> keras.Model:
    """Convolution, two residual blocks, pooling."""
    inputs = keras.Input(SIZE)
    flow = layers.Conv2D(4, 3, name="first")(inputs)
    flow = block(block(flow, "a"), "b")
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D(name="pool")(flow)), name="small")


def behind_operations() -> keras.Model:
    """Residual blocks of operations that are no layers."""
    inputs = keras.Input(SIZE)
    flow = layers.Conv2D(4, 3)(inputs)
    flow = keras.ops.add(flow, layers.Conv2D(4, 1)(flow))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(flow)))


def nested() -> keras.Model:
    """A network between other layers."""
    inputs = keras.Input(SIZE)
    flow = small_without_top()(layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, layers.Dense(2)(flow))


def nested_in_training_mode() -> keras.Model:
    """A network between other layers whose normalizations use the statistics of the batch."""
    inputs = keras.Input(SIZE)
    flow = small_without_top()(layers.Rescaling(1 / 255)(inputs), training=True)
    return keras.Model(inputs, layers.Dense(2)(flow))


def small_without_top() -> keras.Model:
    whole = small()
    return keras.Model(whole.input, whole.get_layer("pool").output, name="inside")


def sequential() -> keras.Model:
    return keras.Sequential([keras.Input(SIZE), layers.Rescaling(1 / 255), small_without_top(), layers.Dense(2)])


def named_like_a_part() -> keras.Model:
    """A network within a network, beside layers that have the names of the parts."""
    inputs = keras.Input(SIZE)
    flow = layers.Rescaling(1 / 255, name="inside_lower")(inputs)
    flow = layers.Dense(2, name="upper")(small_without_top()(flow))
    return keras.Model(inputs, layers.Dense(2, name="lower")(flow))


def test_layers_that_are_bypassed_are_no_cuts() -> None:
    """A part of a residual block as a cut would lose what bypasses it."""
    found = cut_points(small())
    assert [point.name for point in found] == ["first", "a_add", "b_add", "pool"]
    assert [point.share for point in found] == [0.25, 0.5, 0.75, 0.75]
    assert [point.shape for point in found] == [(14, 14, 4)] * 3 + [(4,)]


def test_a_convolution_is_not_cut_from_its_normalization() -> None:
    """They could not be folded into each other, and the values before an activation are no better to cache."""
    inputs = keras.Input(SIZE)
    flow = inputs
    for name in "abc":
        flow = layers.ZeroPadding2D(name=f"{name}_pad")(flow)
        flow = layers.BatchNormalization(name=f"{name}_bn")(layers.Conv2D(2, 3, name=f"{name}_conv")(flow))
        flow = layers.ReLU(name=f"{name}_relu")(flow)
    found = cut_points(keras.Model(inputs, flow))
    assert [point.name for point in found if point.ends_block] == ["a_relu", "b_relu"]


def test_a_layer_that_is_called_twice_is_no_cut() -> None:
    """Its first call would be taken for its last."""
    inputs = keras.Input(SIZE)
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    flow = shared(layers.ReLU(name="between")(shared(inputs)))
    found = cut_points(keras.Model(inputs, layers.Conv2D(2, 3, name="last")(flow)))
    assert [point.name for point in found] == ["between"]


PARTED = [small, behind_operations, nested, nested_in_training_mode, sequential, named_like_a_part]


@pytest.mark.parametrize("make", PARTED)
def test_the_two_parts_are_the_network(make: Callable[[], keras.Model]) -> None:
    """Something else would be trained than what is saved."""
    network = make()
    images = np.random.default_rng(0).uniform(0, 255, (2, *SIZE)).astype("float32")
    expected = np.asarray(network(images))
    found = cut_points(network)
    assert len(found) >= 2
    for point in found:
        lower, upper = split_at(network, point.name)
        assert lower.output_shape[1:] == point.shape
        np.testing.assert_array_equal(upper(lower(images)), expected)
        ours = {id(variable) for part in (lower, upper) for variable in part.weights}
        assert ours == {id(variable) for variable in network.weights}


def test_a_part_can_be_cut_again() -> None:
    """A user's network with its head inside a nested network would end in a traceback when it is fine-tuned."""
    top = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)], name="top")
    network = keras.Sequential([keras.Input(SIZE), small_without_top(), top])
    images = np.random.default_rng(0).uniform(0, 255, (2, *SIZE)).astype("float32")
    below, head = split_at(network, f"top/{top.layers[0].name}")
    lower, upper = split_at(below, "inside/a_add")
    np.testing.assert_array_equal(head(upper(lower(images))), np.asarray(network(images)))


class OwnCall(keras.Model):  # type: ignore[misc]  # Keras is not typed
    """A functional model that computes something else than its graph."""

    def call(self, inputs: object) -> object:
        """Twice the output of the graph."""
        return super().call(inputs) * 2


def several_inputs() -> keras.Model:
    first, second = keras.Input(SIZE), keras.Input(SIZE)
    return keras.Model([first, second], layers.Add()([first, second]))


def own_call() -> keras.Model:
    inputs = keras.Input(SIZE)
    return OwnCall(inputs, layers.Conv2D(2, 3)(inputs))


@pytest.mark.parametrize("make", [several_inputs, own_call])
def test_a_network_that_is_no_graph_is_refused(make: Callable[[], keras.Model]) -> None:
    """It would be cut into parts that are not the network."""
    with pytest.raises(UserError, match="no graph of layers with one input and one output"):
        cut_points(make())


BACKBONES = {
    "MobileNet": 82,
    "MobileNetV3Small": 55,
    "DenseNet121": 75,
    "NASNetMobile": 2,
    "InceptionV3": 27,
    "ConvNeXtTiny": 26,
}


SOME_BACKBONES = {"MobileNet"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SOME_BACKBONES else pytest.mark.whole) for name in BACKBONES]
)
def test_backbones_of_keras_can_be_cut(name: str) -> None:
    """`auto` would fail on a network that users choose by its name."""
    keras.utils.set_random_seed(0)
    side = 75 if name == "InceptionV3" else 32
    network = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=(side, side, 3), pooling="avg"
    )
    found = cut_points(network)
    images = np.random.default_rng(0).uniform(-1, 1, (1, side, side, 3)).astype("float32")
    lower, upper = split_at(network, chosen(found, "auto").name)

    assert len(found) == BACKBONES[name]
    np.testing.assert_allclose(upper(lower(images)), network(images), rtol=1e-4, atol=1e-6)
