"""The layers at which a network can be cut in two: those that every path from its input to its output passes.

In graph theory such a node is an articulation point (Tarjan 1972, https://doi.org/10.1137/0201010). If a network is
frozen below the cut and trains above it, only the output of this one layer is needed for each image.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, NamedTuple, TypeVar

import keras

from autofit.config.cuts import AUTO_CUT, AUTO_SHARE, WHOLE
from autofit.errors import UserError
from autofit.worker.model.keras_internals import all_layers, tensors_in
from autofit.worker.model.layer_graph import Call, has_graph, layer_graph, operations

INSIDE = "/"
"""The separator between the name of a nested network and the name of a layer in it."""

_SHARES = {AUTO_CUT: AUTO_SHARE, WHOLE: 0.0}
_ABOUT = 0.05
_NEAREST = 3
_NORMALIZATIONS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization, keras.layers.GroupNormalization)

N = TypeVar("N", bound=Hashable)


@dataclass(frozen=True, slots=True)
class CutPoint:
    """A layer at which a network can be cut.

    Attributes:
        name: the name of the layer; `outer/inner` for a layer of a nested network.
        share: the share of all layers with kernels that are at or below the cut, from 0 to 1.
        shape: the shape of the layer's output for an image; None for a size that depends on the image.
        ends_block: whether the next layer has a kernel, or there are several next layers. Otherwise a cut would
            separate a convolution from its normalization or activation.
    """

    name: str
    share: float
    shape: tuple[int | None, ...]
    ends_block: bool

    @property
    def values(self) -> float:
        """The number of values of the output for an image; infinite if that depends on the image."""
        return math.inf if None in self.shape else math.prod(size or 1 for size in self.shape)


def articulation_points(predecessors: Mapping[N, Iterable[N]], source: N, target: N) -> list[N]:
    """The nodes that lie on every path from `source` to `target`, in order, with both ends.

    Args:
        predecessors: the edges of an acyclic graph: for each node the nodes before it. Nodes on no path are ignored.
        source: the node where paths begin.
        target: the node where paths end.

    Returns:
        An empty list if there is no path.
    """
    order = _order_of_paths({node: list(before) for node, before in predecessors.items()}, source, target)
    places = {node: place for place, node in enumerate(order)}
    furthest = dict.fromkeys(range(len(order)), 0)  # where the longest edge from a node ends
    for node, place in places.items():
        for before in predecessors.get(node, ()):
            if before in places:
                furthest[places[before]] = place
    found, reached = [], 0
    for place, node in enumerate(order):
        if reached <= place:  # no edge leads past this node
            found.append(node)
        reached = max(reached, furthest[place])
    return found


def _order_of_paths(predecessors: Mapping[N, Sequence[N]], source: N, target: N) -> list[N]:
    """The nodes on any path from `source` to `target`, each after its predecessors."""
    order = list(TopologicalSorter(predecessors).static_order())
    from_source = {source}
    for node in order:
        if not from_source.isdisjoint(predecessors.get(node, ())):
            from_source.add(node)
    to_target = {target}
    for node in reversed(order):
        if node in to_target:
            to_target.update(predecessors.get(node, ()))
    on_paths = from_source & to_target
    return [node for node in order if node in on_paths] if target in from_source else []


def cut_points(network: keras.Model) -> list[CutPoint]:
    """The cut points of a network with one input and one output, in order, with at least one layer with a kernel above.

    A layer that is called more than once, or has several outputs, is not a cut point.

    Raises:
        UserError: the network is neither functional nor sequential, or has several inputs or outputs.
    """
    places = list(places_of(network))
    total, below = sum(place.kernels for place in places), 0
    points = []
    for place in places:
        below += place.kernels
        if place.is_cut and below < total:
            shape = tuple(place.operation.output.shape[1:])
            points.append(CutPoint(place.name, below / total, shape, place.ends_block))
    return points


class Place(NamedTuple):
    """A layer or operation of a network.

    Attributes:
        name: its name; `outer/inner` in a nested network.
        operation: the layer or operation itself.
        kernels: the number of layers with kernels that it is or contains.
        is_cut: whether everything passes through its output, which it gives once.
        ends_block: as in `CutPoint`.
    """

    name: str
    operation: Any
    kernels: int
    is_cut: bool
    ends_block: bool


def places_of(network: keras.Model, prefix: str = "") -> Iterator[Place]:
    """The layers of a network, in order, with the layers of a nested network in its place.

    Args:
        network: the network.
        prefix: what their names begin with.

    Raises:
        UserError: the network is neither functional nor sequential, or has several inputs or outputs.
    """
    graph = layer_graph(network)
    found = operations(network)
    passed = {name for name, _ in articulation_points(graph.predecessors, graph.source, graph.target)}
    calls = Counter(name for name, _ in graph.predecessors)
    following = _following(graph.predecessors)
    for name in calls:
        if name == graph.source[0]:
            continue
        operation = found[name]
        is_cut = name in passed and calls[name] == 1 and isinstance(operation.output, keras.KerasTensor)
        if is_cut and has_graph(operation):
            yield from places_of(operation, f"{prefix}{name}{INSIDE}")
        else:
            ends_block = _ends_block(name, found, following)
            yield Place(prefix + name, operation, _kernels(operation), is_cut, ends_block)


def _following(predecessors: Mapping[Call, Sequence[Call]]) -> dict[str, list[str]]:
    """The names of the layers that take each layer's output, by name."""
    following: dict[str, list[str]] = {name: [] for name, _ in predecessors}
    for (name, _), before in predecessors.items():
        for each, _ in before:
            following[each].append(name)
    return following


def _ends_block(name: str, found: Mapping[str, Any], following: Mapping[str, Sequence[str]]) -> bool:
    """Whether the next layer has a kernel, or there are several; padding layers, which only add zeros, are skipped."""
    if _is_padding(found[name]):
        return False
    after = following[name]
    while len(after) == 1 and _is_padding(found[after[0]]):
        after = following[after[0]]
    return len(after) != 1 or _kernels(found[after[0]]) > 0


def _is_padding(operation: Any) -> bool:
    return isinstance(operation, keras.layers.ZeroPadding2D)


def _kernels(operation: Any) -> int:
    """The number of layers with kernels that a layer is or contains; 0 for an operation that is not a layer."""
    if not isinstance(operation, keras.Layer):
        return 0
    return sum(map(_has_kernel, all_layers(operation))) or int(_has_kernel(operation))


def _has_kernel(layer: keras.Layer) -> bool:
    return not isinstance(layer, _NORMALIZATIONS) and any(len(weight.shape) > 1 for weight in layer.weights)


def choose_cut(points: Sequence[CutPoint], wanted: str) -> CutPoint | None:
    """The cut point for "auto", for a share of the layers that stays frozen, or for a layer's name.

    For a share, it is a block's end near that share: the one whose output has the fewest values for an image, since
    these are cached and computed on. If no block ends near the share, it is the nearest end.

    Args:
        points: the cut points of the network, from input to output.
        wanted: "auto", "input", a number from 0 to 1 such as "0.7", or a layer's name. For a layer of a nested network,
            its own name suffices if no other layer has it.

    Returns:
        None for "input" and for 0, since then nothing is below the cut.

    Raises:
        UserError: the network has no cut points, or the layer is not one; the message names the most similar ones.
    """
    share = _share(wanted)
    if share == 0:
        return None
    if not points:
        raise UserError(
            "the network cannot be cut for fine-tuning: no layer that everything passes through has another with "
            "weights above it; give fine_tune_from 'input' to fine-tune all layers, or fine_tune_epochs 0"
        )
    if share is not None:
        ends = [point for point in points if point.ends_block] or list(points)
        near = [point for point in ends if abs(point.share - share) <= _ABOUT]
        nearest = min(ends, key=lambda point: abs(point.share - share))
        return min(reversed(near or [nearest]), key=lambda point: point.values)
    named = [point for point in points if wanted in (point.name, point.name.rpartition(INSIDE)[2])]
    if len(named) == 1:
        return named[0]
    raise UserError(f"fine_tune_from {wanted!r} {_why_not(points, wanted, len(named))}")


def _share(wanted: str) -> float | None:
    """The share that is asked for; None for a name.

    Raises:
        UserError: it is a number that is not from 0 to 1.
    """
    if wanted in _SHARES:
        return _SHARES[wanted]
    try:
        share = float(wanted)
    except ValueError:
        return None
    if not 0 <= share <= 1:
        raise UserError(f"fine_tune_from {wanted} is no share of the layers: give a number from 0 to 1")
    return share


def _why_not(points: Sequence[CutPoint], wanted: str, found: int) -> str:
    if found:
        return f"is the name of {found} layers: give it with the name of its network, as {points[0].name!r}"
    names = [point.name for point in points if point.ends_block]
    near = difflib.get_close_matches(wanted, [point.name for point in points], n=_NEAREST, cutoff=0.0)
    return f"is no layer through which everything passes: choose {', '.join(near or names[-_NEAREST:])}"


def split_at(network: keras.Model, name: str) -> tuple[keras.Model, keras.Model]:
    """The parts of a network below and above a cut point; they share its layers, and in sequence compute the same.

    Args:
        network: a functional or sequential network.
        name: the name of a cut point of the network.

    Returns:
        The part from the network's input to the output of the layer, and the part from there to the network's output.
    """
    outer, _, inner = name.partition(INSIDE)
    if inner:
        return _split_inside(network, outer, inner)
    tensor = tensors_in(network)[outer]  # a nested network's own output is another tensor
    return keras.Model(network.inputs[0], tensor, name="lower"), _from(tensor, network)


def _from(tensor: keras.KerasTensor, network: keras.Model) -> keras.Model:
    """The part of a network above a tensor; an identity network if the tensor is its output."""
    if tensor is network.outputs[0]:
        inputs = keras.Input(tensor.shape[1:], dtype=tensor.dtype)
        return keras.Model(inputs, keras.layers.Identity()(inputs), name="upper")
    return keras.Model(tensor, network.outputs[0], name="upper")


def _split_inside(network: keras.Model, outer: str, inner: str) -> tuple[keras.Model, keras.Model]:
    """Split at a layer of a nested model: the network is called again, with both parts for the nested model."""
    parts = split_at(operations(network)[outer], inner)
    lower, upper = (named_apart(part, f"{outer}_{part.name}", operations(network)) for part in parts)
    cut: list[keras.KerasTensor] = []

    def call(operation: Any, *arguments: Any, **keywords: Any) -> Any:
        if operation.name != outer:
            return operation(*arguments, **keywords)
        cut.append(lower(arguments[0], **keywords))
        return upper(cut[0], **keywords)

    inputs = keras.Input(network.inputs[0].shape[1:], dtype=network.inputs[0].dtype)
    if isinstance(network, keras.Sequential):
        outputs = inputs
        for layer in network.layers:
            outputs = call(layer, outputs)
    else:
        again = keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)
        inputs, outputs = again.inputs[0], again.outputs[0]
    return keras.Model(inputs, cut[0], name="lower"), keras.Model(cut[0], outputs, name="upper")


def named_apart(part: keras.Model, name: str, taken: Collection[str]) -> keras.Model:
    """A part of a network under a name that is not taken, as Keras requires of layers that are called in one network.

    Args:
        part: the part.
        name: its name, if that is not taken.
        taken: the names of the layers beside it.
    """
    while name in taken:
        name += "_"
    return part if part.name == name else keras.Model(part.inputs[0], part.outputs[0], name=name)
