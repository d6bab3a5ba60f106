"""Divides a network into a chain of segments whose activations the backward pass computes again.

Segments end where everything passes through one tensor (`articulation_points`), so that only this tensor has to be kept
until the backward pass (Chen et al. 2016, arXiv:1604.06174). Of all divisions the one is taken that holds the fewest
values at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import accumulate, pairwise
from typing import Any

import keras
import numpy as np

from autofit.config.rungs import SAVING
from autofit.errors import UserError
from autofit.worker.model.cut_points import articulation_points
from autofit.worker.model.keras_internals import tensors_in
from autofit.worker.model.layer_graph import Call, LayerGraph, has_graph, layer_graph, operations

_MOST_ON_LADDER = max(rung.segments for rung in SAVING["cpu"])


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

    There are fewer where more would not save memory.

    Raises:
        UserError: the network is neither, or has several inputs or outputs.
    """
    pieces = list(_pieces(network))
    bounds = pairwise([0, *_boundaries_of(pieces, count), len(pieces)])
    return [_joined(pieces[first:last]) for first, last in bounds]


def _boundaries_of(pieces: Sequence[_Piece], count: int) -> list[int]:
    return boundaries([piece.values for piece in pieces], [piece.kept_values for piece in pieces], count)


def boundaries(values: Sequence[int], kept_values: Sequence[int], count: int) -> list[int]:
    """The number of pieces before the end of each segment, without the last segment.

    While a segment is in the backward pass, its own values are held and the tensors at the ends of all segments before
    it. The division is one for which the most that is held at once is least.

    Args:
        values: the number of output values of each piece.
        kept_values: the number of values in the tensor at its end.
        count: the largest number of segments.
    """
    if not values or count < 1:
        return []
    sums, kept = np.array([0, *accumulate(values)]), np.array([0, *kept_values])
    within, too_few = int(sums[-1]), 0
    while within - too_few > 1:
        middle = (too_few + within) // 2
        if _ends_within(sums, kept, count, middle) is None:
            too_few = middle
        else:
            within = middle
    return _ends_within(sums, kept, count, within) or []


def _ends_within(sums: np.ndarray, kept: np.ndarray, count: int, most_held: int) -> list[int] | None:
    """The ends of the fewest segments that never hold more than `most_held` values; None if `count` are not enough.

    Dynamic programming over the number of segments and the end of the last one: the fewest values that are kept of the
    segments up to there.

    Args:
        sums: `(n + 1,)`, the values of the first 0 to n pieces.
        kept: `(n + 1,)`, the values in the tensor at the end of each of them.
        count: the largest number of segments.
        most_held: the bound.
    """
    pieces = len(sums) - 1
    inside = np.where(np.tri(pieces + 1, k=-1, dtype=bool), np.subtract.outer(sums, sums), np.inf)  # of start, by end
    kept_so_far = np.where(np.arange(pieces + 1) == 0, 0, np.inf)
    starts: list[np.ndarray] = []
    for _ in range(count):
        fits = kept_so_far + inside <= most_held
        reached = np.where(fits, kept_so_far, np.inf)
        starts.append(reached.argmin(axis=1))
        if fits[-1].any():
            return _traced_back(starts, pieces)
        kept_so_far = reached.min(axis=1) + kept
    return None


def _traced_back(starts: Sequence[np.ndarray], end: int) -> list[int]:
    """The start of each segment but the first, by the best start for each end of the first, second, ... segment."""
    found: list[int] = []
    for start_of in reversed(starts):
        end = int(start_of[end])
        found.append(end)
    return found[-2::-1]


def _joined(pieces: Sequence[_Piece]) -> Segment:
    """The segment of consecutive pieces."""
    return Segment(tuple(keras.Model(piece.start, piece.end) for piece in pieces))


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
    """Whether a network, or a layer, can be cut into segments that save memory."""
    return most_segments(network) > 1


def most_segments(network: Callable[..., Any]) -> int:
    """The largest number of segments that saves memory in a network, or layer, and is on the ladder; 1 if none does."""
    if not isinstance(network, keras.Model) or not has_graph(network):
        return 1
    try:
        return 1 + len(_boundaries_of(list(_pieces(network)), _MOST_ON_LADDER))
    except UserError:
        return 1
