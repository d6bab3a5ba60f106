"""The graph of a network's layers, read from its configuration, where Keras shows the connections publicly."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import keras

from autofit.errors import UserError

Call: TypeAlias = tuple[str, int]
"""A call of a layer or operation, which may be called several times: its name, and the number of the call."""

_CALLS_OF_GRAPHS = ("Functional.call", "Sequential.call")


class LayerGraph(NamedTuple):
    """The calls of a network with one input and one output.

    Attributes:
        predecessors: for each call, the calls whose outputs are its arguments. They are in the order in which the
            network lists its layers, with all calls of a layer together, so that a call of a layer that is called
            several times may come before its predecessors.
        source: the input.
        target: the call whose output is the network's output.
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
    if "layers" not in config:  # of a derived class that is made from other arguments, as KerasHub's are
        config = keras.Model(network.inputs, network.outputs).get_config()
    predecessors = {
        (layer["name"], number): calls_in(arguments)
        for layer in config["layers"]
        for number, arguments in enumerate(layer["inbound_nodes"] or [()])
    }
    ends = *calls_of(config["input_layers"]), *calls_of(config["output_layers"])
    return LayerGraph(predecessors, *(_as_counted(end, predecessors) for end in ends))


def _as_counted(end: Call, predecessors: dict[Call, list[Call]]) -> Call:
    """An input or output of the network with the number of its call as in `predecessors`.

    As an input or output, the calls of a nested network are numbered from one.
    """
    name, number = end
    return end if end in predecessors else (name, number - 1)


def has_graph(layer: keras.Layer) -> bool:
    """Whether a layer is a functional or sequential network that is built and has one input and one output.

    A derived class with its own `call` does not count, since it may compute something else than its graph.
    """
    if not isinstance(layer, keras.Model) or type(layer).call.__qualname__ not in _CALLS_OF_GRAPHS:
        return False
    return len(layer.inputs or ()) == len(layer.outputs or ()) == 1


def operations(network: keras.Model) -> dict[str, Any]:
    """The layers of a functional or sequential network, and its operations that are not layers, by name."""
    return {each.name: each for each in getattr(network, "operations", network.layers)}


def calls_in(arguments: object) -> list[Call]:
    """The calls whose outputs are among the arguments in a configuration."""
    if isinstance(arguments, dict):
        if arguments.get("class_name") == "__keras_tensor__":
            name, number, _ = arguments["config"]["keras_history"]
            return [(name, number)]
        return [call for value in arguments.values() for call in calls_in(value)]
    if isinstance(arguments, list | tuple):
        return [call for value in arguments for call in calls_in(value)]
    return []


def calls_of(ends: object) -> list[Call]:
    """The calls of inputs or outputs in a configuration: `[name, call, tensor]`, or a list or dictionary of such."""
    if isinstance(ends, dict):
        return [call for value in ends.values() for call in calls_of(value)]
    if isinstance(ends, list | tuple):
        return (
            [(ends[0], ends[1])] if isinstance(ends[0], str) else [call for value in ends for call in calls_of(value)]
        )
    return []
