"""A user's own model: gets it from the user's function, and refuses one whose training micro-batches would change."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from autofit.config.precisions import Precision
from autofit.errors import UserError
from autofit.printable import one_line
from autofit.worker.model.keras_internals import all_layers, compiled_with
from autofit.worker.model.optimizer import each_of
from autofit.worker.model.precision import FLOAT32, inner_optimizer, layers_in
from autofit.worker.model.weights import first_sentence

ModelFunction = Callable[[tuple[int, int, int], int], keras.Model]

# Both divide by the number of samples (`keras.losses`); "mean_with_sample_weight" divides by the sum of the weights.
_MEAN_REDUCTIONS = ("sum_over_batch_size", "mean")


def imported_function(reference: str, import_paths: Sequence[str]) -> ModelFunction:
    """Import the user's function, `module:function`, from a module that is installed or in one of the folders.

    Raises:
        UserError: its module cannot be imported, or has no such function.
    """
    sys.path.extend(path for path in import_paths if path not in sys.path)
    module, _, name = reference.partition(":")
    try:
        function: ModelFunction = getattr(importlib.import_module(module), name)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise  # running out of memory has its own verdict
    except (ImportError, AttributeError) as error:
        raise UserError(f"model {reference}: {one_line(error)}") from error
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__}: {first_sentence(error)}"
        raise UserError(f"model {reference}: its module cannot be imported ({why})") from error
    return function


def model_in(
    function: ModelFunction, precision: Precision, shape: tuple[int, int, int], num_classes: int
) -> keras.Model:
    """Call the user's function with the policy of this precision for the layers that it makes.

    With float32, the policy is that of the process.

    Raises:
        UserError: it failed, or returned something else; the message says if it does so only with this precision.
    """
    if precision == FLOAT32:
        return call_model_function(function, shape, num_classes)
    try:
        with layers_in(precision):
            return call_model_function(function, shape, num_classes)
    except UserError as error:
        call_model_function(function, shape, num_classes)  # it may fail in the same way
        raise UserError(
            f'precision {precision!r}: {error}: leave the option out, or give layers that cannot dtype="float32"'
        ) from error


def call_model_function(function: ModelFunction, shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Call the user's function, which must return a built `keras.Model`.

    Raises:
        UserError: it failed, or returned something else.
    """
    try:
        model = function(shape, num_classes)
    except (MemoryError, tf.errors.ResourceExhaustedError, UserError):
        raise  # running out of memory is not the function's fault, and has its own verdict
    except Exception as error:
        raise UserError(f"the model function failed with {type(error).__name__}: {first_sentence(error)}") from error
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        raise UserError(f"the model function returned {kind}: return a keras.Model")
    if not getattr(model, "inputs", None):
        raise UserError(
            f"the model function returned {type(model).__name__} without inputs: "
            f"start a Sequential with keras.Input({shape}), or build a functional model"
        )
    return model


def check_model(
    model: keras.Model, shape: tuple[int, int, int], num_classes: int, *, multi_label: bool = False
) -> None:
    """Refuse a model with other shapes, or one whose training would be different in micro-batches.

    A single output may stand for two classes, unless an image may have several labels.

    Raises:
        UserError: the model is refused; the message says why.
    """
    _check_shapes(model, shape, num_classes, may_be_one_unit=num_classes == 2 and not multi_label)  # noqa: PLR2004
    _check_training(model)
    if model.compiled:
        _check_loss(model)
        _check_weights(model)
        check_optimizer(model.optimizer)


def _check_shapes(model: keras.Model, shape: tuple[int, int, int], num_classes: int, *, may_be_one_unit: bool) -> None:
    """Require one input that takes `(n, *shape)` and one output of `(n, num_classes)`, for any n."""
    given = [tuple(tensor.shape) for tensor in model.inputs]
    if len(given) != 1 or not _accepts(given[0], (None, *shape)):
        raise UserError(f"the model takes {_listed(given)}: it needs one input of shape {(None, *shape)}")
    given = [tuple(tensor.shape) for tensor in model.outputs]
    named = "a dictionary of " if isinstance(model.compute_output_shape((None, *shape)), dict) else ""
    if not named and given == [(None, 1)] and may_be_one_unit:
        return
    if named or given != [(None, num_classes)]:
        raise UserError(f"the model gives {named}{_listed(given)}: it needs one output of shape {(None, num_classes)}")


def _accepts(given: tuple[int | None, ...], needed: tuple[int | None, ...]) -> bool:
    return len(given) == len(needed) and all(have in (None, need) for have, need in zip(given, needed, strict=True))


def _listed(shapes: list[tuple[int | None, ...]]) -> str:
    return " and ".join(map(str, shapes))


def _check_training(model: keras.Model) -> None:
    # compute_loss too: it cannot be seen from outside over what it averages
    for method in ("train_step", "test_step", "compute_loss"):
        if getattr(getattr(model, method), "__func__", None) is not getattr(keras.Model, method):
            raise UserError(f"the model has a {method} of its own, which micro-batches cannot keep: remove it")
    for layer in all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization) and layer.synchronized:
            raise UserError(f"layer {layer.name!r} has synchronized=True, which micro-batches cannot keep: remove it")


def _check_loss(model: keras.Model) -> None:
    """Require that a compiled model has one loss, a mean over the samples."""
    losses = _as_list(model.loss)
    if len(losses) != 1:
        raise UserError(f"the model is compiled with {len(losses)} losses: compile it with one")
    if losses[0] is None:
        raise UserError("the model is compiled without a loss: give compile() a loss, or leave the model uncompiled")
    check_reduction(losses[0])


def _check_weights(model: keras.Model) -> None:
    """Refuse loss weights and weighted metrics of a compiled model, which would be ignored."""
    weights = compiled_with(model, "loss_weights")
    if any(weight not in (None, 1) for weight in _as_list(weights)):
        raise UserError(f"the model is compiled with loss_weights={weights!r}, which are not used: leave them out")
    if compiled_with(model, "weighted_metrics"):
        raise UserError("the model is compiled with weighted_metrics, which are not weighted: give them as metrics")


def _as_list(given: Any) -> list[Any]:
    """An argument of `compile` as a list; it may be one value, a list, or a dictionary by outputs."""
    if isinstance(given, dict):
        return list(given.values())
    return list(given) if isinstance(given, list | tuple) else [given]


def check_reduction(loss: object) -> None:
    """Require that a loss is a mean over the samples.

    Raises:
        UserError: it has another reduction.
    """
    reduction = getattr(loss, "reduction", _MEAN_REDUCTIONS[0])  # names and functions become a mean in Keras
    if reduction not in _MEAN_REDUCTIONS:
        raise UserError(f'the loss has reduction={reduction!r}: use "sum_over_batch_size", a mean over the samples')


def check_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse an optimizer that needs support by the training loop; without it the weights would silently be wrong.

    Raises:
        UserError: it is such an optimizer.
    """
    if any(getattr(one, "use_ema", False) for one in each_of(inner_optimizer(optimizer))):
        raise UserError("the optimizer has use_ema=True, whose averages are not supported: compile without it")
