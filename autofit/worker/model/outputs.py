"""What a user's model gives, probabilities or logits; and the form of the labels that its loss and metrics take.

In Keras these follow from the loss and from the labels in the user's data. autofit has class numbers, so it determines
what a user's own function takes by calling it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from autofit.config.multi_label_figures import THRESHOLD
from autofit.errors import UserError
from autofit.protocol.model_jobs import OutputKind
from autofit.worker.model.finite_weights import first_not_finite, of_weights
from autofit.worker.model.keras_internals import wrapped_function

TOLERANCE, TOLERANCE_OF_BFLOAT16 = 1e-3, 1e-2
"""The tolerance for a probability, and for the sum of a row; the first one suffices for float16."""

COUNTED_AS_TOLD = (
    "the accuracy counts logits above 0, as predictions do: Keras's own would count those above 0.5 "
    "(BinaryAccuracy(threshold=0.0) says so in compile)"
)
"""Said where `counted_as_told` has replaced a metric."""

_PLACE_IN_GRAPH = re.compile(r"\{\{.*?\}\}|\[Op:\w+\].*")
"""Of what a user did not write, in messages of TensorFlow."""

CROSS_ENTROPIES = ("categoricalcrossentropy", "sparsecategoricalcrossentropy", "categoricalfocalcrossentropy")
"""Keras's losses that take probabilities, unless they have from_logits=True; names without underscores."""


def output_kind(model: keras.Model, shape: tuple[int, int, int], loss: Any = None) -> OutputKind:
    """What a model gives, by its loss and by its outputs for a bright and a dark image.

    Args:
        model: the user's model.
        shape: the shape of an image, (height, width, 3).
        loss: the loss that the model is trained with, if it is not compiled; None for autofit's, of probabilities.

    Raises:
        UserError: the loss takes something else than the model gives, so that the model would learn something wrong.
    """
    single = single_loss(model.loss) if model.compiled else loss
    rows = _rows(model, shape)
    if rows.shape[1] == 1:
        return kind_of_one_unit(model, single, rows)
    are_probabilities = _are_probabilities(model, rows)
    if single is None:
        if not are_probabilities:
            raise UserError(
                f"the model is not compiled and its outputs are no probabilities (two rows sum to "
                f"{rows[0].sum():.4g} and {rows[1].sum():.4g}): end it with a softmax, or compile it with a loss that "
                "has from_logits=True"
            )
        return "probabilities"
    if takes_logits(single):
        if are_probabilities:
            raise UserError(
                "the model ends with a softmax and its loss has from_logits=True, which would apply another: "
                "leave out one of the two"
            )
        return "binary logits" if "binary" in _plain_name(single) else "logits"
    lie_between = _lie_between(model, rows)
    if are_probabilities or lie_between:
        return "probabilities"
    if _plain_name(single) in CROSS_ENTROPIES and is_kerass_own(single):
        raise UserError(
            f"the model's outputs are no probabilities (a row sums to {rows[0].sum():.4g}), but its loss "
            f"{loss_name(single)} takes them: end the model with a softmax, or give the loss from_logits=True"
        )
    return "logits"


def kind_of_one_unit(model: keras.Model, loss: Any, rows: np.ndarray) -> OutputKind:
    """What a model for two classes with a single output gives.

    Args:
        model: the user's model.
        loss: the loss that it is trained with; None for the binary cross-entropy of probabilities.
        rows: its outputs for some images, (n, 1).

    Raises:
        UserError: the loss takes something else than the model gives.
    """
    name = "" if loss is None else loss_name(loss)
    if loss is not None and is_kerass_own(loss) and _plain_name(loss) not in LOSSES_OF_ONE_UNIT:
        raise UserError(
            f"the model ends with one unit for two classes, and its loss is {name}: compile it with "
            "binary_crossentropy, or end it with Dense(2, activation='softmax')"
        )
    activation = getattr(model.layers[-1], "activation", None)
    is_linear, is_sigmoid = activation is keras.activations.linear, activation is keras.activations.sigmoid
    if loss is not None and takes_logits(loss):
        if is_sigmoid:
            raise UserError(
                "the model ends with a sigmoid and its loss has from_logits=True, which would apply another: "
                "leave out one of the two"
            )
        return "one logit"
    lies_between = _lie_between(model, rows)
    if is_linear or not lies_between:
        raise UserError(
            "the model ends with one unit for two classes that gives no probability: end it with a sigmoid, or compile "
            "it with BinaryCrossentropy(from_logits=True)"
        )
    return "one probability"


def label_outputs(model: keras.Model, shape: tuple[int, int, int]) -> OutputKind:
    """What a model for independent labels gives, by its outputs for a bright and a dark image.

    Raises:
        UserError: it does not give a probability for each label.
    """
    rows = _rows(model, shape)
    if not _lie_between(model, rows):
        raise UserError("with multi_label each output of the model is a probability: end it with a sigmoid")
    if rows.shape[1] > 1 and _are_probabilities(model, rows):
        raise UserError(
            "with multi_label labels do not exclude each other, as in a softmax: end the model with a sigmoid"
        )
    return "probabilities"


def _rows(model: keras.Model, shape: tuple[int, int, int]) -> np.ndarray:
    """A model's outputs for a bright and a dark image.

    Raises:
        UserError: they are no numbers, as its weights are none.
    """
    images = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype("float32")
    images[1] /= 64  # on a bright image two sigmoids may saturate to 0 and 1, which sum to 1 like a softmax
    rows = np.asarray(keras.ops.convert_to_numpy(model(images, training=False)).astype("float32"))
    if not np.isfinite(rows).all() and (weight := first_not_finite(model.variables)):
        raise UserError(of_weights(weight, "so are its outputs"))
    return rows


def _are_probabilities(model: keras.Model, rows: np.ndarray) -> bool:
    """Whether the rows are probabilities that sum to 1, as those of a softmax."""
    tolerance = _tolerance(model)
    return bool(np.all(rows > -tolerance) and np.all(np.abs(rows.sum(axis=1) - 1) < tolerance))


def _lie_between(model: keras.Model, rows: np.ndarray) -> bool:
    """Whether all values are from 0 to 1."""
    tolerance = _tolerance(model)
    return bool(np.all((rows > -tolerance) & (rows < 1 + tolerance)))


def _tolerance(model: keras.Model) -> float:
    return TOLERANCE_OF_BFLOAT16 if "bfloat16" in model.outputs[0].dtype else TOLERANCE


def probabilities_of(outputs: NDArray[np.float32], kind: OutputKind) -> NDArray[np.float32]:
    """The probabilities (n, classes) from a model's outputs; the outputs themselves if they are probabilities.

    A single output (n, 1) is that of the second of two classes.
    """
    from scipy.special import expit, softmax  # noqa: PLC0415 - takes 0.2 s

    if kind == "probabilities":
        return outputs
    if kind == "one probability":
        return np.concatenate([1 - outputs, outputs], axis=1)
    if kind == "one logit":
        outputs = np.concatenate([-outputs, outputs], axis=1)
    found = softmax(outputs, axis=1) if kind == "logits" else expit(outputs)
    return np.asarray(found, np.float32)


def class_count(model: keras.Model, kind: OutputKind) -> int:
    """The number of classes that a model's outputs stand for: two for a single output."""
    return 2 if kind in {"one probability", "one logit"} else int(model.output_shape[-1])


LOSSES_OF_ONE_UNIT = ("binarycrossentropy", "binaryfocalcrossentropy", "meansquarederror", "meanabsoluteerror")
"""Keras's losses for a single output for two classes, with labels of 0 and 1; names without underscores."""


class _MeanOf(keras.losses.Loss):
    """The mean over the samples of a loss function."""

    def __init__(self, function: Any) -> None:
        super().__init__(name=getattr(function, "__name__", "loss"))
        self.function = function

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """The loss of each sample, `(n,)`."""
        return self.function(y_true, y_pred)


def single_loss(given: Any) -> keras.losses.Loss:
    """The argument of `compile(loss=...)` as one loss; it may be an object, a name, a function, or a list with one.

    Raises:
        UserError: it is not a single loss.
    """
    listed = list(given.values()) if isinstance(given, dict) else given
    if isinstance(listed, list | tuple) and len(listed) == 1:
        listed = listed[0]
    found = listed if isinstance(listed, keras.losses.Loss) or callable(listed) else keras.losses.get(listed)
    if isinstance(found, keras.losses.Loss):
        return found
    if callable(found):
        return _MeanOf(found)
    raise UserError(f"model is compiled with the loss {given!r}, which is no single loss: give one loss for one output")


def as_given(loss: keras.losses.Loss) -> Any:
    """The function that `single_loss` made a loss of, which a saved model can name; else the loss itself."""
    return loss.function if isinstance(loss, _MeanOf) else loss


def takes_logits(loss: keras.losses.Loss) -> bool:
    """Whether a loss has `from_logits=True`."""
    return bool(getattr(loss, "from_logits", False) or loss.get_config().get("from_logits", False))


def loss_name(loss: keras.losses.Loss) -> str:
    """The name of a loss's function or class, as its user wrote it."""
    return str(loss.name if isinstance(loss, _MeanOf) else type(loss).__name__)


def _plain_name(loss: keras.losses.Loss) -> str:
    return loss_name(loss).replace("_", "").lower()


def is_kerass_own(thing: Any) -> bool:
    """Whether a loss or metric is Keras's own, and not the user's."""
    found = getattr(thing, "function", None) if isinstance(thing, _MeanOf) else type(thing)
    wrapped = wrapped_function(thing)  # may be a user's
    return all(str(getattr(part, "__module__", "")).split(".")[0] == "keras" for part in (found, wrapped or found))


def label_classes(thing: Any, num_classes: int, of_loss: int = 0) -> int:
    """The width of the one-hot labels that a loss or metric takes; 0 if it takes class numbers.

    For Keras's own, the name tells. A user's loss gets class numbers if it can be called with them, as `fit` gives it
    the labels of `image_dataset_from_directory`; a user's metric gets, if possible, the same labels as the loss.

    Args:
        thing: the loss or metric.
        num_classes: the number of classes.
        of_loss: for a metric, what the loss takes.

    Raises:
        UserError: it can be called with neither.
    """
    name = thing.name if isinstance(thing, _MeanOf) else type(thing).__name__
    if is_kerass_own(thing):
        wrapped = getattr(wrapped_function(thing), "__name__", "")
        by_name = "sparse" in f"{name}{wrapped}".lower()
        return 0 if getattr(thing, "sparse_y_true", by_name) else num_classes  # an IoU says so, whatever its name
    why = ""
    for width in (of_loss, num_classes - of_loss):
        try:
            _call_with_labels(thing, width, num_classes)
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises for labels of the wrong form
            said = str(error).strip()
            why = f"{type(error).__name__}: {said.splitlines()[0][:200]}" if said else ""
            continue
        return width
    raise UserError(
        f"{thing.name!r} takes neither class numbers of shape (n,) nor one-hot labels of shape (n, {num_classes}) "
        f"({why}): make it take one of them"
    )


def require_outputs(metrics: Sequence[keras.metrics.Metric]) -> None:
    """Refuse metrics of Keras that take the model's outputs for class numbers, as `MeanIoU` does by default.

    Raises:
        UserError: one does; its figures would be of probabilities rounded down.
    """
    for metric in metrics:
        takes_numbers = getattr(metric, "sparse_y_pred", False) and not isinstance(metric, keras.metrics.BinaryIoU)
        if takes_numbers and is_kerass_own(metric):
            raise UserError(
                f"metrics: {metric.name!r} takes the model's outputs for class numbers, and they are one for each "
                "class: give it sparse_y_pred=False"
            )


def counted_as_told(metric: keras.metrics.Metric, threshold: float) -> keras.metrics.Metric:
    """The metric; in place of the accuracy of one unit that Keras makes of a name, one that counts what is predicted.

    `compile(metrics=["accuracy"])` counts outputs above 0.5, whatever the loss, and so logits above 0.5, not 0.
    """
    is_usual = type(metric) is keras.metrics.BinaryAccuracy and metric.threshold == THRESHOLD
    return keras.metrics.BinaryAccuracy(metric.name, threshold=threshold) if is_usual else metric


@contextmanager
def naming_metrics() -> Iterator[None]:
    """Let whatever a metric raises that cannot be counted be an error of what the user gave."""
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise  # running out of memory has its own verdict
    except Exception as error:
        said = _PLACE_IN_GRAPH.sub("", str(error)).strip().partition("\n")[0]
        why = f"{type(error).__name__}: {said[:200]}"
        raise UserError(f"metrics: one cannot be counted with this model's labels and outputs ({why})") from error


def _call_with_labels(thing: Any, width: int, num_classes: int) -> None:
    """Call a loss or metric with more samples than classes, so that labels of the wrong form do not fit by accident.

    Raises:
        Exception: it cannot be called with these labels, or does not give a finite number.
    """
    numbers = np.arange(num_classes + 2) % num_classes
    labels = np.eye(num_classes, dtype=np.float32)[numbers] if width else numbers
    outputs = np.random.default_rng(0).dirichlet(np.ones(num_classes), len(numbers)).astype(np.float32)
    if isinstance(thing, keras.metrics.Metric):
        thing.update_state(keras.ops.convert_to_tensor(labels), keras.ops.convert_to_tensor(outputs))
        thing.reset_state()
        return
    if not is_kerass_own(thing) and type(thing).call is not keras.losses.Loss.call:
        told = keras.ops.convert_to_tensor(labels, "float32")
        found = np.shape(thing.call(told, keras.ops.convert_to_tensor(outputs)))
        if found == (len(numbers), 1) and not isinstance(thing, _MeanOf):  # Keras makes one number of a row's
            found = found[:1]
        if found not in {(), (len(numbers),)}:
            raise ValueError(f"it gives {found} and not a number for each of {len(numbers)} samples")
    value = float(thing(keras.ops.convert_to_tensor(labels), keras.ops.convert_to_tensor(outputs)))
    if not np.isfinite(value):
        raise ValueError(f"it gives {value}")
