"""Divides a network into a chain of segments with about equal activations, which the backward pass computes again.

Segments end where everything passes through one tensor (`articulation_points`), so that only this tensor has to be kept
until the backward pass (Chen et al. 2016, arXiv:1604.06174).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import accumulate, groupby, pairwise
from typing import Any

import keras

from autofit.errors import UserError
from autofit.worker.model.cut_points import articulation_points
from autofit.worker.model.keras_internals import tensors_in
from autofit.worker.model.layer_graph import Call, LayerGraph, has_graph, layer_graph, operations

_SLACK = 0.3
"""How far a boundary may be from an even division, as a share of a segment, if the tensor there is smaller."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """The part of a network between two consecutive tensors through which everything passes.

    `values` is the number of values in the outputs of its layers, for an image; `kept_values` the number of values in
    the tensor at its end.
    """

    start: keras.KerasTensor
    end: keras.KerasTensor
    network: keras.Model
    values: int
    kept_values: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a network: its parts, which share the network's layers, are called one after the other."""

    parts: tuple[keras.Model, ...]

    def __call__(self, inputs: Any, **keywords: Any) -> Any:
        """Compute the segment's output."""
        for part in self.parts:
            inputs = part(inputs, **keywords)
        return inputs

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The variables that train, each once."""
        return _unique(part.trainable_variables for part in self.parts)

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        """The other variables: frozen weights, moving averages, states of seed generators."""
        return _unique(part.non_trainable_variables for part in self.parts)


def _unique(lists: Any) -> list[keras.Variable]:
    return list({id(variable): variable for each in lists for variable in each}.values())


def segments_of(network: keras.Model, count: int) -> list[Segment]:
    """Cut a functional or sequential network into at most `count` segments, which in sequence compute the network.

    Raises:
        UserError: the network is neither, or has several inputs or outputs.
    """
    pieces = list(_pieces(network))
    ends = boundaries([piece.values for piece in pieces], [piece.kept_values for piece in pieces], count)
    bounds = pairwise([0, *ends, len(pieces)])
    return [_joined(pieces[first:last]) for first, last in bounds]


def boundaries(values: Sequence[int], kept_values: Sequence[int], count: int) -> list[int]:
    """The number of pieces before the end of each segment, without the last segment.

    Args:
        values: the number of output values of each piece.
        kept_values: the number of values in the tensor at its end. Of the ends near an even division, the one with the
            smallest tensor is chosen.
        count: the wanted number of segments; there may be fewer.
    """
    sums = list(accumulate(values))
    if not sums or count < 1:
        return []
    share = max(sums[-1] / count, 1)
    found: list[int] = []
    for number in range(1, count):
        candidates = range(found[-1] + 1 if found else 1, len(sums))
        near = [at for at in candidates if abs(sums[at - 1] - number * share) <= _SLACK * share]
        if near:
            found.append(min(near, key=lambda at: (kept_values[at - 1], abs(sums[at - 1] - number * share))))
    return found


def _joined(pieces: Sequence[_Piece]) -> Segment:
    """The segment of consecutive pieces, with a part for each run of pieces of the same (perhaps nested) network."""
    parts = []
    for _, group in groupby(pieces, key=lambda piece: id(piece.network)):
        row = list(group)
        parts.append(keras.Model(row[0].start, row[-1].end))
    return Segment(tuple(parts))


def _pieces(network: keras.Model) -> Iterator[_Piece]:
    """The pieces of a network, in order, with the pieces of a nested network in its place."""
    graph = layer_graph(network)
    found, tensors = operations(network), tensors_in(network)
    tensors[graph.source[0]] = network.inputs[0]
    order = list(TopologicalSorter(graph.predecessors).static_order())
    passed = _passed(graph, tensors)
    for before, after in pairwise(passed):
        inside = order[order.index(before) + 1 : order.index(after) + 1]
        operation = found[after[0]]
        if inside == [after] and has_graph(operation):
            yield from _pieces(operation)
            continue
        outputs = [tensors[name] for name, _ in inside]
        yield _Piece(
            start=tensors[before[0]],
            end=tensors[after[0]],
            network=network,
            values=sum(map(_values, outputs)),
            kept_values=_values(tensors[after[0]]),
        )


def _passed(graph: LayerGraph, tensors: dict[str, Any]) -> list[Call]:
    """The calls whose output, a float tensor, everything passes through; also the network's input and output."""
    calls = Counter(name for name, _ in graph.predecessors)
    ends = {graph.source, graph.target}

    def is_boundary(call: Call) -> bool:
        tensor = tensors[call[0]]
        return call in ends or (
            calls[call[0]] == 1 and isinstance(tensor, keras.KerasTensor) and "float" in tensor.dtype
        )

    return [call for call in articulation_points(graph.predecessors, graph.source, graph.target) if is_boundary(call)]


def _values(output: Any) -> int:
    """The number of values of an output for an image; a dimension that depends on the image counts as 1."""
    tensors = output if isinstance(output, list | tuple) else [output]
    return sum(math.prod(size or 1 for size in tensor.shape[1:]) for tensor in tensors)


def can_be_cut(network: Callable[..., Any]) -> bool:
    """Whether a network, or a layer, can be cut into segments."""
    return most_segments(network) > 1


def most_segments(network: Callable[..., Any]) -> int:
    """The largest number of segments into which a network, or a layer, can be cut; 1 if it cannot be."""
    if not isinstance(network, keras.Model) or not has_graph(network):
        return 1
    try:
        return max(1, len(list(_pieces(network))))
    except UserError:
        return 1
