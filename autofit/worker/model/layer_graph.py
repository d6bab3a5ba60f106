"""The graph of a network's layers, read from its configuration: the public place where Keras shows the connections."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import keras

from autofit.errors import UserError

Call: TypeAlias = tuple[str, int]
"""A call of a layer or operation, which may have several: its name, and the number of the call in this network."""

_CALLS_OF_GRAPHS = ("Functional.call", "Sequential.call")


class LayerGraph(NamedTuple):
    """The calls of a network with one input and one output.

    Attributes:
        predecessors: each call with those whose outputs are its arguments. Layer after layer as the network lists them,
            the calls of a layer together: where a layer is called several times, a call may stand before those that it
            needs.
        source: the input.
        target: the call whose output is that of the network.
    """

    predecessors: dict[Call, list[Call]]
    source: Call
    target: Call


def layer_graph(network: keras.Model) -> LayerGraph:
    """Read the graph of a functional or sequential network.

    Raises:
        UserError: it is neither, or has several inputs or outputs.
    """
    if not has_graph(network):
        raise UserError(f"network {network.name!r} is no graph of layers with one input and one output: train it whole")
    if isinstance(network, keras.Sequential):
        chain = [("", 0), *((layer.name, 0) for layer in network.layers)]
        return LayerGraph({call: chain[max(at - 1, 0) : at] for at, call in enumerate(chain)}, chain[0], chain[-1])
    config = network.get_config()
    predecessors = {
        (layer["name"], number): calls_in(arguments)
        for layer in config["layers"]
        for number, arguments in enumerate(layer["inbound_nodes"] or [()])
    }
    ends = *calls_of(config["input_layers"]), *calls_of(config["output_layers"])
    return LayerGraph(predecessors, *(_as_counted(end, predecessors) for end in ends))


def _as_counted(end: Call, predecessors: dict[Call, list[Call]]) -> Call:
    """An input or output as its calls are counted: as an end, those of a network in the network begin with one."""
    name, number = end
    return end if end in predecessors else (name, number - 1)


def has_graph(layer: keras.Layer) -> bool:
    """Whether a layer is a functional or sequential network, built, with one input and one output.

    A derived class with a `call` of its own is none: what it computes need not be its graph.
    """
    if not isinstance(layer, keras.Model) or type(layer).call.__qualname__ not in _CALLS_OF_GRAPHS:
        return False
    return len(layer.inputs or ()) == len(layer.outputs or ()) == 1


def operations(network: keras.Model) -> dict[str, Any]:
    """The layers of a functional or sequential network, and the operations that are none, by name."""
    return {each.name: each for each in getattr(network, "operations", network.layers)}


def calls_in(arguments: object) -> list[Call]:
    """The calls whose outputs are arguments, which are in the form of a configuration."""
    if isinstance(arguments, dict):
        if arguments.get("class_name") == "__keras_tensor__":
            name, number, _ = arguments["config"]["keras_history"]
            return [(name, number)]
        return [call for value in arguments.values() for call in calls_in(value)]
    if isinstance(arguments, list | tuple):
        return [call for value in arguments for call in calls_in(value)]
    return []


def calls_of(ends: object) -> list[Call]:
    """The calls of inputs or outputs: each is `[name, call, tensor]`, alone or in a list or dictionary of them."""
    if isinstance(ends, dict):
        return [call for value in ends.values() for call in calls_of(value)]
    if isinstance(ends, list | tuple):
        return (
            [(ends[0], ends[1])] if isinstance(ends[0], str) else [call for value in ends for call in calls_of(value)]
        )
    return []
