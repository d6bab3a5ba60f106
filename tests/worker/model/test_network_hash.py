"""One network told from another by its layers."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from autofit.worker.model.network_hash import graph_sha256, network_sha256

pytestmark = pytest.mark.slow


def network(activation: str = "relu", width: int = 4, rate: float = 0.5, block: str = "relu") -> keras.Model:
    """A network with another network in it."""
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, activation=block)])
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(4, activation=activation)(inputs)
    hidden = keras.layers.Dropout(rate)(inner(hidden))
    return keras.Model(inputs, keras.layers.Dense(width)(hidden))


class Opaque(keras.layers.Layer):  # type: ignore[misc]  # Keras is not typed
    """A layer that cannot describe its settings."""

    def __init__(self, thing: object) -> None:
        super().__init__()
        self.thing = thing

    def get_config(self) -> dict[str, Any]:
        """Fail."""
        raise NotImplementedError

    def call(self, inputs: Any) -> Any:
        """Do nothing."""
        return inputs


@pytest.mark.parametrize("changed", [{"activation": "tanh"}, {"width": 5}, {"rate": 0.4}, {"block": "tanh"}], ids=str)
def test_a_network_with_another_setting_is_another(changed: dict[str, Any]) -> None:
    """A run would go on with the weights of a network that they were not trained in."""
    assert network_sha256(network(**changed)) != network_sha256(network())


def wired(operation: str, **call: Any) -> keras.Model:
    """A network whose layers are connected by operations that are no layers, with another network in it."""
    inner = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8), keras.layers.Dropout(0.5)])
    inputs = keras.Input((8,))
    first = keras.layers.Dense(8)(inputs)
    second = keras.layers.Dense(8)(first)
    space = {"inputs": inputs, "first": first, "second": second, "keras": keras}
    hidden = inner(eval(operation, space), **call)  # noqa: S307
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.add([hidden, second])))


@pytest.mark.parametrize(
    "other",
    [
        {"operation": "inputs / 127.5 - 1.0"},
        {"operation": "inputs / 127.5"},
        {"operation": "first - second"},
        {"operation": "second - first"},
        {"operation": "inputs / 255.0", "training": False},
    ],
    ids=str,
)
def test_layers_that_are_connected_otherwise_are_another_network(other: dict[str, Any]) -> None:
    """A call with an edited network would return the result of the one before it, without a word."""
    first = graph_sha256(wired("inputs / 255.0"))
    assert graph_sha256(wired("inputs / 255.0")) == first
    assert graph_sha256(wired(**other)) != first
    assert graph_sha256(wired(**other)) == graph_sha256(wired(**other))


@pytest.mark.parametrize("changed", [{"activation": "tanh"}, {"width": 5}, {"rate": 0.4}, {"block": "tanh"}], ids=str)
def test_a_graph_with_another_setting_is_another(changed: dict[str, Any]) -> None:
    """The hash that knows the connections would know less of the layers than the one before it."""
    assert graph_sha256(network(**changed)) != graph_sha256(network())
    assert graph_sha256(network(**changed), with_modules=False) != graph_sha256(network(), with_modules=False)


def test_a_file_that_is_renamed_leaves_a_checkpoint_its_network() -> None:
    """A run begun by a script, whose classes are in `__main__`, could not be resumed by the module of that name."""

    def owned(module: str) -> keras.Model:
        own = type("Own", (keras.layers.Layer,), {"__module__": module, "call": lambda _, inputs: inputs})
        return keras.Sequential([keras.Input((4,)), own(), keras.layers.Dense(2)])

    assert graph_sha256(owned("train")) != graph_sha256(owned("moved"))
    assert graph_sha256(owned("train"), with_modules=False) == graph_sha256(owned("moved"), with_modules=False)


def test_names_and_values_do_not_count_in_a_graph() -> None:
    """The same cell would be another run when it is run again, or when the model was trained in between."""
    first = graph_sha256(network())
    again = network()
    again.layers[-1].kernel.assign(again.layers[-1].kernel + 1)
    base = again.layers[1]
    keras.Model(again.inputs, base(again.layers[0].output))  # its layers are in another network too
    again.compile("sgd", "mse")
    assert graph_sha256(again) == first


def test_names_and_values_do_not_count() -> None:
    """No run could be resumed: Keras numbers layers anew, and weights train."""
    first = network_sha256(network())
    again = network()
    again.layers[-1].kernel.assign(again.layers[-1].kernel + 1)
    assert network_sha256(again) == first


def test_a_layer_without_a_description_counts_by_its_class() -> None:
    """A network with a layer of the user's own could not be trained, or not be resumed."""
    made = [keras.Sequential([keras.Input((4,)), Opaque(object())]) for _ in range(2)]
    assert network_sha256(made[0]) == network_sha256(made[1])
    assert graph_sha256(made[0]) == graph_sha256(made[1])
