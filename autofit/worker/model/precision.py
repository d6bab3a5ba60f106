"""The precision in which a network's layers compute: float32, or mixed precision.

In mixed precision a layer casts its inputs and weights to 16 bits and computes in 16 bits. The weights themselves stay
float32, and so do the layers that make the output (Micikevicius et al. 2018, arXiv:1710.03740). The policies are
Keras's dtype policies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from autofit.config.given_objects import refuse_kept_from_decay
from autofit.config.precisions import Precision
from autofit.errors import UserError
from autofit.worker.model.copied_weights import set_weights
from autofit.worker.model.keras_internals import all_layers
from autofit.worker.model.registered_objects import not_registered
from autofit.worker.model.weights import first_sentence

FLOAT32: Precision = "float32"

OUTPUT_ACTIVATIONS = (keras.layers.Activation, keras.layers.Softmax)
"""Layers that may follow after a model's last layer with weights."""


@contextmanager
def layers_in(precision: str) -> Iterator[None]:
    """Set the dtype policy for layers that are made inside the block; the old one is restored after it."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def in_precision(model: keras.Model, precision: Precision) -> keras.Model:
    """A user's model in this precision, but for the layers that make its output, which are float32.

    A model that was made under the policy is returned itself. Of any other, such as a saved one, the result is a copy
    with its weights, whose float32 layers have the policy. Layers with another policy keep it. The copy of a compiled
    model is compiled in the same way, with the state of its optimizer.

    Raises:
        UserError: the model cannot be made from its configuration.
    """
    if precision == FLOAT32:
        return model
    if not _was_made_in(model, precision):
        model = _copy_in(model, precision)
    for layer in _within_output(model):
        _set_to_float32(layer, precision)
    return model


def _was_made_in(model: keras.Model, precision: Precision) -> bool:
    """Whether of the layers with weights, but for those of the output, no more are float32 than have this policy.

    Layers for which the user asked for float32 are few; layers that were saved in it are many, and keep it under any
    policy.
    """
    output = {id(layer) for layer in _within_output(model)}
    inner = [layer for layer in all_layers(model) if layer.weights and not all_layers(layer)]
    policies = Counter(layer.dtype_policy.name for layer in inner if id(layer) not in output)
    return policies[precision] >= policies[FLOAT32]


def _copy_in(model: keras.Model, precision: Precision) -> keras.Model:
    kept = {layer.name for layer in _output_of(model)}
    config = _patched(keras.saving.serialize_keras_object(model), precision, kept)
    config.pop("compile_config", None)
    try:
        with layers_in(precision):  # for layers that the user's own layers make
            copy = keras.saving.deserialize_keras_object(config)
        set_weights(copy, model.get_weights())
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise  # running out of memory has its own verdict
    except Exception as error:  # whatever a layer's own code raises when it is called with 16 bits
        raise not_registered(error) or UserError(
            f"precision {precision!r}: the model cannot be made again with it ({type(error).__name__}: "
            f"{first_sentence(error)[:150]}): leave the option out, or give a function that builds the model, with "
            'dtype="float32" for layers that cannot'
        ) from error
    if model.compiled:
        _compile_likewise(copy, model)
    return copy


def as_float32(model: keras.Model, precision: Precision) -> None:
    """Set layers that were made in this precision to float32, for the file in which the model is saved.

    Any machine, and the formats of other runtimes, compute float32 well. Functions that were compiled before do not
    change.
    """
    for layer in all_layers(model):
        _set_to_float32(layer, precision)


def _set_to_float32(layer: keras.Layer, precision: Precision) -> None:
    if precision != FLOAT32 and layer.dtype_policy.name == precision:
        layer.dtype_policy = FLOAT32


def precision_of(model: keras.Model | None) -> Precision:
    """The coarsest precision in which a layer of the model computes; float32 without a model."""
    found = {layer.compute_dtype for layer in all_layers(model)} if model is not None else set()
    if "bfloat16" in found:
        return "mixed_bfloat16"
    return "mixed_float16" if "float16" in found else FLOAT32


def computes_in_float16(model: keras.Model) -> bool:
    """Whether gradients of this network pass through a layer in float16, in which small ones underflow to zero."""
    return any(layer.compute_dtype == "float16" for layer in all_layers(model))


def inner_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer without the wrapper that scales the loss, which Keras adds for float16."""
    return optimizer.inner_optimizer if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else optimizer


def _compile_likewise(copy: keras.Model, model: keras.Model) -> None:
    refuse_kept_from_decay("the model's optimizer", inner_optimizer(model.optimizer))
    copy.compile_from_config(model.get_compile_config())
    given, made = inner_optimizer(model.optimizer), inner_optimizer(copy.optimizer)
    if given.built:
        made.build(copy.trainable_variables)
        for variable, value in zip(made.variables, given.variables, strict=True):
            variable.assign(value)


def _output_of(model: keras.Model) -> list[keras.Layer]:
    """The layers that make a model's output: the last one with weights, and those after it."""
    found = list[keras.Layer]()
    for layer in reversed(model.layers):
        if isinstance(layer, keras.Model):
            return found + _output_of(layer)
        found.append(layer)
        if not isinstance(layer, OUTPUT_ACTIVATIONS):
            break
    return found


def _within_output(model: keras.Model) -> list[keras.Layer]:
    """The layers that make a model's output, and those inside them."""
    return [each for layer in _output_of(model) for each in (layer, *all_layers(layer))]


def _patched(value: Any, precision: str, kept: set[str]) -> Any:
    """A serialized model in which the policy float32 is replaced by another one, except in layers of these names."""
    if isinstance(value, list | tuple):
        return [_patched(item, precision, kept) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "DTypePolicy" and value.get("config") == {"name": FLOAT32}:
        return {**value, "config": {"name": precision}}
    inner = value.get("config")
    if isinstance(inner, dict) and "layers" not in inner and inner.get("name") in kept:
        return value
    return {key: _patched(item, precision, kept) for key, item in value.items()}
