"""Runs a batch through a network in training mode, in slices whose size does not change the result.

The head's dropout mask is drawn once for the whole batch and cut into slices, so it does not depend on the micro-batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from types import CellType, FunctionType, ModuleType
from typing import Any, Protocol

import keras
import tensorflow as tf

from autofit.worker.execution.layer_losses import regularized, summed
from autofit.worker.execution.recompute import Recomputed, recomputed
from autofit.worker.model.keras_internals import all_layers, draws_random_numbers, keeps_values, shared_seed_states

_KERAS = frozenset({"keras", "keras_hub"})
"""Packages whose layers are known: of what does not train in them, a call changes the averages of BatchNormalization,
the states of seed generators, and the vector of SpectralNormalization."""

RANDOM = frozenset({"random", "dropout"})
"""Names in the code of a layer that draws random numbers without a seed generator of its own: `keras.random.normal`."""

_DIVIDES_SINCE = (3, 14)


class Network(Protocol):
    """What a training step needs to know of a network.

    Attributes:
        trainable: the variables that train.
        state: the others, which a call may change; also the state of the seed generator from which layers without one
            of their own draw.
        regularized: the layers whose outputs are regularized.
    """

    trainable: list[keras.Variable]
    state: list[keras.Variable]
    regularized: list[keras.Layer]

    def draw(self, count: tf.Tensor) -> tf.Tensor:
        """Draw the random numbers for a batch of `count` samples, one row each; called inside a stateless scope."""

    def __call__(self, inputs: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
        """Compute the probabilities `(n, classes)` of `n` samples, with their rows of random numbers."""

    def penalty(self) -> tf.Tensor | float:
        """The regularization losses, as for a whole batch."""


class WholeNetwork:
    """A model that is not split into backbone and head: each slice draws its own random numbers. See `Network`.

    `segments` is the number of segments whose activations are computed again in the backward pass; 0 for none.
    """

    def __init__(self, model: keras.Model, segments: int = 0) -> None:
        self._model = model
        self._run = recomputed(model, segments)
        self.trainable = list(model.trainable_variables)
        self.state = [*model.non_trainable_variables, *shared_seed_states()]
        self.regularized = regularized(model)

    def draw(self, count: tf.Tensor) -> tf.Tensor:
        """Draw nothing: `(count, 0)`."""
        return tf.zeros((count, 0))

    def __call__(self, inputs: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
        """Run the model in training mode."""
        del drawn
        return self._run(tf.cast(inputs, tf.float32), training=True)

    def penalty(self) -> tf.Tensor | float:
        """The model's own losses, computed inside a stateless scope."""
        return summed([*self._model.losses, *(self._run.losses if isinstance(self._run, Recomputed) else ())])


class SplitNetwork:
    """A backbone and a head whose layers are called one by one; without the backbone if features are the input.

    `segments` is the number of segments of the backbone, or of its part in the head, whose activations are computed
    again in the backward pass; 0 for none.
    """

    def __init__(
        self,
        features: keras.Model | None,
        head: keras.Model,
        head_layers: Sequence[keras.layers.Layer],
        segments: int = 0,
    ) -> None:
        self._features = None if features is None else recomputed(features, segments)
        self._head_layers = list(head_layers)
        self._runs = [recomputed(layer, segments) for layer in self._head_layers]
        self.dropout = next((x for x in self._head_layers if isinstance(x, keras.layers.Dropout)), None)
        self._dropout_width = _width_at(self.dropout, head, self._head_layers)
        parts = [part for part in (features, head) if part is not None]
        self.trainable = [variable for part in parts for variable in part.trainable_variables]
        own = [variable for part in parts for variable in part.non_trainable_variables]
        self.state = [*own, *shared_seed_states()]
        self.regularized = list[keras.Layer]()  # see `penalty`

    def draw(self, count: tf.Tensor) -> tf.Tensor:
        """Draw the dropout mask `(count, width)` by applying dropout to ones, so that it equals that of `model.fit`."""
        if self.dropout is None:
            return tf.zeros((count, 0))
        return self.dropout(tf.ones((count, self._dropout_width)), training=True)

    def __call__(self, inputs: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
        """Run the backbone and the head in training mode, with the drawn mask in place of the head's dropout."""
        flow = tf.cast(inputs, tf.float32)
        if self._features is not None:
            flow = self._features(flow, training=True)
        for layer, run in zip(self._head_layers, self._runs, strict=True):
            if layer is self.dropout:
                flow = tf.cast(flow, drawn.dtype) * drawn
            else:  # without an argument, some of Keras's random layers take a call for one in training
                flow = run(flow, training=False) if isinstance(layer, keras.Model) else run(flow)
        return flow

    def penalty(self) -> tf.Tensor | float:
        """Zero: neither `keras.applications` nor autofit's head has regularizers; a user's are left out."""
        return 0.0


def _width_at(dropout: keras.layers.Layer | None, head: keras.Model, layers: Sequence[keras.layers.Layer]) -> int:
    """The number of features of a sample at the dropout layer of the head."""
    width = int(head.input_shape[-1])
    for layer in layers:
        if layer is dropout:
            break
        width = int(layer.output_shape[-1] if isinstance(layer, keras.Model) else getattr(layer, "units", width))
    return width


def slices_decide(model: keras.Model, network: Network, *, in_inference: bool = False) -> str | None:
    """Why the micro-batch size changes the result of this training; None if it does not.

    It does if BatchNormalization trains, which takes its statistics from a slice, or if a layer draws random numbers
    inside the slices, which then differ. It may do so with a layer of the user's own that keeps values or adds a loss,
    and with SpectralNormalization: what they do in a call, they do once for each slice. So it is with a regularizer of
    a layer's output, unless it is a sum that Keras divides by the number of samples. With `in_inference` the layers are
    called in inference mode, but for the head's dropout: those of Keras draw nothing then.
    """
    own_dropout, draws = network.dropout if isinstance(network, SplitNetwork) else None, not in_inference
    for layer in [model, *all_layers(model)]:
        if isinstance(layer, keras.layers.BatchNormalization):
            if layer.trainable:
                return "BatchNormalization trains on each micro-batch"
        elif (draws and draws_random_numbers(layer) and layer is not own_dropout) or _calls(layer, RANDOM):
            return f"{layer.name} draws random numbers in each micro-batch"
        elif _may_change_by_call(layer) and keeps_values(layer):
            return f"{layer.name} has weights that do not train, and may change them with each micro-batch"
        elif _calls(layer, {"add_loss"}):
            return f"{layer.name} adds a loss for each micro-batch"
        if layer.activity_regularizer is not None and not _is_divided(layer.activity_regularizer):
            return f"{layer.name} has an activity_regularizer, which takes each micro-batch as a whole"
    return None


def _is_divided(regularizer: keras.regularizers.Regularizer) -> bool:
    """Whether what a regularizer of a layer's output gives is a mean over the samples.

    Keras divides it by their number since 3.14 (`Layer.__call__`, keras/src/layers/layer.py).
    """
    divides = tuple(map(int, keras.__version__.split(".")[:2])) >= _DIVIDES_SINCE
    return divides and type(regularizer) in {keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2}


def _may_change_by_call(layer: keras.Layer) -> bool:
    """Whether a call may change a layer's values: of Keras's own, without BatchNormalization, only in one class."""
    is_own = type(layer).__module__.partition(".")[0] not in _KERAS
    return is_own or isinstance(layer, keras.layers.SpectralNormalization)


def _calls(layer: keras.Layer, names: AbstractSet[str]) -> bool:
    """Whether the user's code of a layer names one of these; what a call does is known only after it."""
    if type(layer) is keras.layers.Lambda:
        call = layer.function
    elif _may_change_by_call(layer):
        call = type(layer).call
    else:
        return False
    return not names.isdisjoint(_names_in(call, type(layer), set()))


def _names_in(call: Any, owner: type, seen: set[int]) -> set[str]:
    """The names in the code of a function, in what it calls of its class and of its module, and those of their modules.

    `from keras.random import normal` brings "random" by the module of the function, not by its name.
    """
    code = getattr(call, "__code__", None)
    if code is None or id(code) in seen:
        return set()
    seen.add(id(code))
    cells = zip(code.co_freevars, getattr(call, "__closure__", None) or (), strict=False)
    known = {**call.__globals__, **{name: cell.cell_contents for name, cell in cells if cell != CellType()}}
    found = set(code.co_names)
    for name in {*code.co_names, *code.co_freevars}:
        value = known.get(name, getattr(owner, name, None))
        where = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        parts = where.split(".") if isinstance(where, str) else []
        found.update(parts)
        if isinstance(value, FunctionType) and parts[:1] not in [["keras"], ["tensorflow"], ["numpy"]]:
            found |= _names_in(value, owner, seen)
    return found
