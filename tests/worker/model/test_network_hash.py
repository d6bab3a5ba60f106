"""One network told from another by its layers."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from autofit.worker.model.network_hash import network_sha256

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
