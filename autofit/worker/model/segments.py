"""A network as a chain of segments with about equal activations, for computing these again in the backward pass.

Segments end where everything passes through one tensor (`articulation_points`), so that this tensor is all that has to
be kept of them until the backward pass (Chen et al. 2016, arXiv:1604.06174).
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
"""How far from its even place a boundary may lie, as a share of a segment, for a smaller tensor there."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What lies between two tensors of a network, one right after the other, through which everything passes.

    `values` is how many values its layers put out for an image, `kept_values` how many the tensor at its end has.
    """

    start: keras.KerasTensor
    end: keras.KerasTensor
    network: keras.Model
    values: int
    kept_values: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a network: the parts in it are called one after the other, and share the network's layers."""

    parts: tuple[keras.Model, ...]

    def __call__(self, inputs: Any, **keywords: Any) -> Any:
        """Compute its output."""
        for part in self.parts:
            inputs = part(inputs, **keywords)
        return inputs

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The variables that train, each once."""
        return _unique(part.trainable_variables for part in self.parts)

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        """The other ones: frozen weights, averages, states of seed generators."""
        return _unique(part.non_trainable_variables for part in self.parts)


def _unique(lists: Any) -> list[keras.Variable]:
    return list({id(variable): variable for each in lists for variable in each}.values())


def segments_of(network: keras.Model, count: int) -> list[Segment]:
    """Cut a functional or sequential network into at most `count` segments; one after the other, they are the network.

    Raises:
        UserError: the network is neither, or has several inputs or outputs.
    """
    pieces = list(_pieces(network))
    ends = boundaries([piece.values for piece in pieces], [piece.kept_values for piece in pieces], count)
    bounds = pairwise([0, *ends, len(pieces)])
    return [_joined(pieces[first:last]) for first, last in bounds]


def boundaries(values: Sequence[int], kept_values: Sequence[int], count: int) -> list[int]:
    """After how many pieces each segment but the last ends.

    Args:
        values: what each piece puts out.
        kept_values: the size of the tensor at its end; of those near an even division the smallest is chosen.
        count: how many segments are wanted; there may be fewer.
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
    """The segment of pieces in a row: a part for those of each network, which may be inside one another."""
    parts = []
    for _, group in groupby(pieces, key=lambda piece: id(piece.network)):
        row = list(group)
        parts.append(keras.Model(row[0].start, row[-1].end))
    return Segment(tuple(parts))


def _pieces(network: keras.Model) -> Iterator[_Piece]:
    """The pieces of a network in order, those of a network inside it in the place of that network."""
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
    """The calls through whose one tensor of floats everything passes, the input and the output of the network too."""
    calls = Counter(name for name, _ in graph.predecessors)
    ends = {graph.source, graph.target}

    def is_boundary(call: Call) -> bool:
        tensor = tensors[call[0]]
        return call in ends or (
            calls[call[0]] == 1 and isinstance(tensor, keras.KerasTensor) and "float" in tensor.dtype
        )

    return [call for call in articulation_points(graph.predecessors, graph.source, graph.target) if is_boundary(call)]


def _values(output: Any) -> int:
    """The values of an output for an image; a dimension that depends on the image counts as one."""
    tensors = output if isinstance(output, list | tuple) else [output]
    return sum(math.prod(size or 1 for size in tensor.shape[1:]) for tensor in tensors)


def can_be_cut(network: Callable[..., Any]) -> bool:
    """Whether a network, or one layer of it, is a graph that can be cut into segments."""
    return most_segments(network) > 1


def most_segments(network: Callable[..., Any]) -> int:
    """Into how many segments a network, or one layer of it, can be cut; 1 if not at all."""
    if not isinstance(network, keras.Model) or not has_graph(network):
        return 1
    try:
        return max(1, len(list(_pieces(network))))
    except UserError:
        return 1
