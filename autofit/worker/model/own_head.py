"""The head of a user's own network: its last Dense layer with the softmax; and the network below, with the features.

The head is what `trainable="head"` trains and what can be solved; a cut for fine-tuning is in the network below it
(docs/decisions/0075).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from autofit.errors import UserError
from autofit.printable import first_of
from autofit.worker.model.cut_points import INSIDE, Place, places_of, split_at
from autofit.worker.model.keras_internals import all_layers
from autofit.worker.model.layer_graph import has_graph

OR_WHOLE = "or leave trainable and fine_tune_epochs out, and all that it lets train trains"
"""What else can be done about a network without such a head."""

SHOWN = 3
"""The most layers that a line names."""


class OwnHead(NamedTuple):
    """A user's network in two parts, which share its layers.

    Attributes:
        below: from images `(n, height, width, 3)` to features `(n, d)`.
        layers: the head's layers in order: perhaps a Dropout, the Dense, perhaps its activation as a layer of its own.
    """

    below: keras.Model
    layers: tuple[keras.Layer, ...]


def refuse_compiled(model: keras.Model) -> None:
    """Refuse a compiled model, of whose loss and optimizer a head that is solved makes no use.

    Raises:
        UserError: it is compiled.
    """
    if model.compiled:
        raise UserError(
            "the model is compiled, and its optimizer, loss and metrics would not be used by trainable 'head' and "
            "fine_tune_epochs: leave compile() out, or leave these two options out"
        )


def split_head(model: keras.Model, num_classes: int, *, multi_label: bool = False) -> OwnHead:
    """Split a user's network below its head.

    Args:
        model: the network.
        num_classes: the number of its outputs.
        multi_label: whether each output has a sigmoid of its own; else all have one softmax.

    Raises:
        UserError: its layers cannot be seen, it does not end with such a head, or no layer below the head has weights.
    """
    if not has_graph(model):
        raise UserError(
            f"the model is a {type(model).__name__} with a call of its own, whose head cannot be told from the layers "
            f"below it: build it with keras.Model(inputs, outputs) or keras.Sequential, {OR_WHOLE}"
        )
    places = list(places_of(model))
    begin = _begin_of_head(places, num_classes, "sigmoid" if multi_label else "softmax")
    if not any(place.kernels for place in places[:begin]):
        raise UserError(
            f"the model has no layer with weights below its last one, {places[-1].operation.name!r}: there is nothing "
            "pretrained to keep; leave trainable and fine_tune_epochs out"
        )
    below, _ = split_at(model, _output_below(places[begin - 1].name, places[begin].name))
    return OwnHead(below, tuple(place.operation for place in places[begin:]))


def leave_out_regularizers(model: keras.Model) -> str:
    """Take the regularizers of its weights out of a model's losses; a saved model has them still.

    The solved head has a penalty of its own, and fine-tuning weight decay. A loss with other terms could not be
    compared with the head's. The model has been called with images before.

    Returns:
        A line for the user if there were any; else empty.

    Raises:
        UserError: layers add losses when they are called.
    """
    found = [weight for weight in model.weights if getattr(weight, "regularizer", None) is not None]
    for weight in found:
        weight.regularizer = None
    if model.losses:
        raise UserError(
            "the model's layers add losses of their own (activity_regularizer, add_loss), which a solved head and "
            f"fine-tuning do not use: leave them out, {OR_WHOLE}"
        )
    if not found:
        return ""
    return (
        "regularizers of weights are not used with trainable 'head' and fine_tune_epochs: a solved head has a penalty "
        "of its own, and fine-tuning weight decay"
    )


def untrained_words(below: keras.Model) -> str:
    """A line about layers below the head that look as if they were never trained; empty if there are none.

    They are those in which every number but the kernel is as Keras begins: the bias of a Dense, or all of a
    BatchNormalization. Convolutions are left out: in some of Keras's own pretrained networks their biases are zeros.
    """
    found = [layer.name for layer in all_layers(below) if _is_as_begun(layer)]
    if not found:
        return ""
    names = first_of([repr(name) for name in found], SHOWN)
    looks = f"layer {names} looks" if len(found) == 1 else f"layers {names} look"
    return (
        f"{looks} as if never trained, with values of zeros and ones: below the head nothing changes before "
        "fine-tuning, and then only above its cut"
    )


def _is_as_begun(layer: keras.Layer) -> bool:
    if not isinstance(layer, keras.layers.Dense | keras.layers.BatchNormalization):
        return False
    vectors = {weight.path.rpartition("/")[2]: weight for weight in layer.weights if len(weight.shape) == 1}
    begins = {"gamma": 1.0, "moving_variance": 1.0}
    return bool(vectors) and all(
        np.all(keras.ops.convert_to_numpy(weight) == begins.get(name, 0.0)) for name, weight in vectors.items()
    )


def _begin_of_head(places: Sequence[Place], num_classes: int, activation: str) -> int:
    """The index of the head's first layer among all layers of the network.

    Raises:
        UserError: the network does not end with such a head.
    """
    dense, applies = len(places) - 1, activation
    if _is_activation(places[dense].operation, activation):
        dense, applies = dense - 1, "linear"
    why = _why_no_head(places[dense], num_classes, applies) if dense >= 0 else "no Dense"
    if why:
        raise UserError(
            f"the model ends with {why}: end it with Dense({num_classes}, activation={activation!r}), perhaps after a "
            f"Dropout, {OR_WHOLE}"
        )
    begin = dense - (dense > 0 and type(places[dense - 1].operation) is keras.layers.Dropout)
    if begin == 0 or not all(place.is_cut for place in places[begin - 1 :]):
        at = places[dense].operation.name
        raise UserError(f"the model's last layer {at!r} takes more than the output of one layer, {OR_WHOLE}")
    return begin


def _is_activation(operation: Any, name: str) -> bool:
    """Whether a layer only applies this activation."""
    is_softmax = type(operation) is keras.layers.Softmax and operation.axis == -1 and name == "softmax"
    return is_softmax or (type(operation) is keras.layers.Activation and operation.activation is _activation(name))


def _activation(name: str) -> Any:
    return keras.activations.get(name)


def _why_no_head(place: Place, num_classes: int, activation: str) -> str:
    """What a layer is, if it is not a plain Dense of so many units with this activation; else empty."""
    layer = place.operation
    kind = f"{type(layer).__name__} {layer.name!r}"
    if type(layer) is not keras.layers.Dense:
        return kind
    if layer.units != num_classes:
        return f"{kind} of {layer.units:,} {'unit' if layer.units == 1 else 'units'} for {num_classes:,} classes"
    if layer.activation is not _activation(activation):
        return f"{kind} with activation={getattr(layer.activation, '__name__', type(layer.activation).__name__)!r}"
    if not layer.use_bias:
        return f"{kind} with use_bias=False"
    if layer.kernel_constraint is not None or layer.bias_constraint is not None:
        return f"{kind} with a constraint, which a solved head would not keep"
    return "" if len(layer.weights) == len(("kernel", "bias")) else f"{kind} with more weights than kernel and bias"


def _output_below(below: str, head: str) -> str:
    """The name of the layer or nested network whose output the head takes.

    Args:
        below: the name of the last layer below the head; the last one of a nested network may be inside of that.
        head: the name of the head's first layer, which may be in a nested network too.
    """
    inner, outer = below.split(INSIDE), head.split(INSIDE)
    shared = 0
    while shared < len(inner) - 1 and inner[shared] == outer[shared]:
        shared += 1
    return INSIDE.join(inner[: shared + 1])
