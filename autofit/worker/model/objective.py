"""The objective of a training: loss, metrics and optimizer, either autofit's or those of a compiled model."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from autofit.config.learning_rates import DEFAULT_LEARNING_RATE
from autofit.config.multi_label_figures import THRESHOLD
from autofit.config.training_options import DEFAULT_OPTIMIZER
from autofit.errors import UserError
from autofit.printable import first_of
from autofit.protocol.job import ModelSource
from autofit.worker.model.mean_loss import require_mean
from autofit.worker.model.multi_label import LabelCrossentropy, LabelScores
from autofit.worker.model.optimizer import optimizer_for, unscaled
from autofit.worker.model.outputs import (
    COUNTED_AS_TOLD,
    counted_as_told,
    label_classes,
    naming_metrics,
    require_outputs,
    single_loss,
    takes_logits,
)
from autofit.worker.model.registered_objects import not_registered

SHOWN_METRICS = 3


@dataclass(frozen=True, slots=True)
class Objective:
    """Loss, metrics and optimizer of one training.

    `loss_function(labels, probabilities, sample_weight=...)` is a mean over the samples. `one_hot_classes` is 0 where
    labels are class numbers of shape `(n,)`; otherwise they are turned into `(n, one_hot_classes)`. `metric_classes` is
    the same for each metric. With `columns` above 0 an image may have any number of labels: labels are 0 or 1, float32
    `(n, columns)`, and so are the weights.
    `unit_threshold` is given where one unit stands for two classes: above it, it tells the second. Labels are then 0 or
    1, float32 `(n, 1)`. `note` is a line for the user about what is counted otherwise than Keras would.
    """

    loss_function: keras.losses.Loss
    loss: keras.metrics.Mean
    metrics: Sequence[keras.metrics.Metric]
    optimizer: keras.optimizers.Optimizer
    one_hot_classes: int
    metric_classes: Sequence[int] = ()
    columns: int = 0
    unit_threshold: float | None = None
    note: str = ""

    @property
    def labels_spec(self) -> tf.TensorSpec:
        """The spec of the labels that a step takes."""
        return tf.TensorSpec((None, self.columns), tf.float32) if self.columns else tf.TensorSpec((None,), tf.int64)

    @property
    def weights_spec(self) -> tf.TensorSpec:
        """The spec of the sample weights that a step takes."""
        return tf.TensorSpec((None, self.columns) if self.columns else (None,), tf.float32)

    def drawn_labels(self, count: int, classes: int, random: np.random.Generator) -> np.ndarray:
        """Random labels for `count` samples."""
        if self.columns:
            return random.integers(0, 2, (count, self.columns)).astype(np.float32)
        return random.integers(0, classes, count)

    def ones(self, labels: np.ndarray) -> np.ndarray:
        """Sample weights of 1."""
        return np.ones(labels.shape, np.float32)

    def told(self, probabilities: tf.Tensor) -> tf.Tensor:
        """The classes that the model predicts for each sample, 0 or 1, float32 `(n, classes)`."""
        if self.columns:
            return tf.cast(probabilities >= THRESHOLD, tf.float32)
        if self.unit_threshold is not None:
            return tf.one_hot(tf.cast(probabilities[:, 0] > self.unit_threshold, tf.int64), 2)
        return tf.one_hot(tf.argmax(probabilities, axis=-1), probabilities.shape[-1])

    def encode(self, labels: tf.Tensor) -> tf.Tensor:
        """Labels in the form that the loss takes."""
        if self.unit_threshold is not None:
            return tf.cast(labels, tf.float32)[:, None]
        return tf.one_hot(labels, self.one_hot_classes) if self.one_hot_classes else labels

    def update_metrics(self, labels: tf.Tensor, outputs: tf.Tensor) -> None:
        """Count the outputs `(n, classes)` for samples of these class numbers `(n,)`."""
        if self.unit_threshold is not None:
            labels = self.encode(labels)
        widths = self.metric_classes or [self.one_hot_classes] * len(self.metrics)
        for metric, width in zip(self.metrics, widths, strict=True):
            metric.update_state(tf.one_hot(labels, width) if width else labels, outputs)

    @property
    def metric_variables(self) -> list[keras.Variable]:
        """The variables of the metrics, without those of the mean loss."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def reset(self) -> None:
        """Reset all metrics."""
        for metric in (self.loss, *self.metrics):
            metric.reset_state()

    def results(self) -> dict[str, Any]:
        """The metrics' values under the names and in the order of `model.fit`'s logs."""
        named: dict[str, Any] = {}
        for metric in self.metrics:
            value = metric.result()
            named.update(value if isinstance(value, dict) else {metric.name: value})
        named["loss"] = self.loss.result()
        return dict(sorted(named.items()))


def make_objective(
    model: keras.Model,
    source: ModelSource,
    *,
    compiled: bool,
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Objective:
    """The objective of a model: its own if it is compiled, else cross-entropy, accuracy and the named optimizer.

    The variables of an optimizer that is not the model's own are made in `scope`.

    Raises:
        UserError: autofit cannot train with what the model is compiled with, or an optimizer was given besides that.
    """
    if source.multi_label:
        return _multi_label_objective(model, source, compiled=compiled, scope=scope)
    if compiled:
        _refuse_beside_a_compiled_model(source)
        return _objective_of_compiled(model, source.num_classes)
    if _is_one_unit(model, source.num_classes):
        return _objective_of_one_unit(model, source, scope)
    loss = given_loss(source) or keras.losses.SparseCategoricalCrossentropy()
    metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy"), *_given_metrics(source)]
    one_hot = label_classes(loss, source.num_classes)
    return _built(
        Objective(
            loss_function=loss,
            loss=keras.metrics.Mean(name="loss"),
            metrics=metrics,
            optimizer=optimizer_for(model, source, scope),
            one_hot_classes=one_hot,
            metric_classes=[label_classes(metric, source.num_classes, one_hot) for metric in metrics],
        ),
        model,
    )


def _is_one_unit(model: keras.Model, num_classes: int) -> bool:
    return num_classes == 2 and model.output_shape[-1] == 1  # noqa: PLR2004 - one output tells two classes apart


def _threshold_of(loss: keras.losses.Loss) -> float:
    """The value above which the single output of a model means the second class."""
    return 0.0 if takes_logits(loss) else 0.5


def _objective_of_one_unit(
    model: keras.Model, source: ModelSource, scope: Callable[[], AbstractContextManager[Any]]
) -> Objective:
    """Binary cross-entropy of a single output for two classes, unless another loss is given, and accuracy."""
    loss = given_loss(source) or keras.losses.BinaryCrossentropy()
    threshold = _threshold_of(loss)
    return _built(
        Objective(
            loss_function=loss,
            loss=keras.metrics.Mean(name="loss"),
            metrics=[keras.metrics.BinaryAccuracy(name="accuracy", threshold=threshold), *_given_metrics(source)],
            optimizer=optimizer_for(model, source, scope),
            one_hot_classes=0,
            unit_threshold=threshold,
        ),
        model,
    )


def _multi_label_objective(
    model: keras.Model, source: ModelSource, *, compiled: bool, scope: Callable[[], AbstractContextManager[Any]]
) -> Objective:
    """Binary cross-entropy, with mean average precision and F1."""
    if compiled:
        raise UserError("multi_label has a loss of its own: leave the model uncompiled, ending with a sigmoid")
    return _built(
        Objective(
            loss_function=LabelCrossentropy(),
            loss=keras.metrics.Mean(name="loss"),
            metrics=[LabelScores(source.num_classes)],
            optimizer=optimizer_for(model, source, scope),
            one_hot_classes=0,
            columns=source.num_classes,
        ),
        model,
    )


def given_loss(source: ModelSource) -> keras.losses.Loss | None:
    """The loss that the user gave as an option; None if there is none.

    Raises:
        UserError: its class is not registered here.
    """
    return None if source.loss is None else single_loss(_from_config(source.loss))


def _given_metrics(source: ModelSource) -> list[keras.metrics.Metric]:
    """The metrics that the user gave as an option."""
    metrics = _numbered([_metric(given) for given in source.metrics if given not in ("accuracy", "acc")])
    names = ["loss", "accuracy", *(metric.name for metric in metrics)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"two metrics are named {twice!r} (loss and accuracy are always there): give one another name")
    return metrics


def _numbered(metrics: list[keras.metrics.Metric]) -> list[keras.metrics.Metric]:
    """The metrics; those that are named by their class are numbered as in Keras: `auc`, `auc_1`."""
    met = Counter[str]()
    for metric in metrics:
        name = metric.name
        if name.replace("_", "") == type(metric).__name__.lower():
            metric.name = f"{name}_{met[name]}" if met[name] else name
            met[name] += 1
    return metrics


def _metric(given: Any) -> keras.metrics.Metric:
    try:
        found = keras.metrics.get(given) if isinstance(given, str) else _from_config(given)
    except ValueError as error:
        raise UserError(
            f"metrics: Keras has none named {given!r}: give a name or an object of keras.metrics"
        ) from error
    if isinstance(found, keras.metrics.Metric):
        if isinstance(given, str):
            found.name = given  # as `model.fit` does: `mse`, and not `mean_squared_error`
        return found
    name = given if isinstance(given, str) else found.__name__
    return keras.metrics.MeanMetricWrapper(found, name=name)


def _from_config(given: Any) -> Any:
    """A Keras object from its configuration; a name is returned as it is."""
    if isinstance(given, str):
        return given
    try:
        return keras.saving.deserialize_keras_object(copy.deepcopy(given))  # a copy, since Keras changes it
    except (TypeError, ValueError) as error:
        raise not_registered(error) or error from error


def _refuse_beside_a_compiled_model(source: ModelSource) -> None:
    """Refuse options for loss, metrics, optimizer or learning rate, which would be ignored."""
    if source.fine_tuning is not None:
        raise UserError("fine-tuning a compiled model would leave out its optimizer: leave the model uncompiled")
    if source.loss is not None or source.metrics or source.optimizer_config is not None:
        raise UserError("loss, metrics or an optimizer beside a compiled model: set them in compile()")
    for name, given, usual in (
        ("optimizer", source.optimizer, DEFAULT_OPTIMIZER),
        ("learning_rate", source.learning_rate, DEFAULT_LEARNING_RATE),
    ):
        if given != usual:
            raise UserError(f"{name} {given!r} beside a compiled model: set it in compile(), or leave it uncompiled")


def _objective_of_compiled(model: keras.Model, num_classes: int) -> Objective:
    """The objective of a compiled model. Its metrics exist only after a call, so they are called with two samples."""
    loss_function = single_loss(model.loss)
    is_one_unit = _is_one_unit(model, num_classes)
    one_hot = 0 if is_one_unit else label_classes(loss_function, num_classes)
    labels = np.zeros((2, 1), np.float32) if is_one_unit else np.zeros(2, np.int64)
    shown = keras.ops.one_hot(labels, num_classes) if one_hot else keras.ops.convert_to_tensor(labels)
    with naming_metrics():
        model.compute_metrics(None, shown, keras.ops.zeros((2, model.output_shape[-1])) + 1.0 / num_classes)
    metrics = [inner for metric in model.metrics for inner in getattr(metric, "metrics", ())]
    threshold = _threshold_of(loss_function) if is_one_unit else None
    counted = [counted_as_told(metric, threshold) for metric in metrics] if threshold == 0.0 else metrics
    objective = Objective(
        loss_function=loss_function,
        loss=keras.metrics.Mean(name="loss"),
        metrics=counted,
        optimizer=unscaled(model.optimizer, model),
        one_hot_classes=one_hot,
        metric_classes=[0 if is_one_unit else label_classes(metric, num_classes, one_hot) for metric in metrics],
        unit_threshold=threshold,
        note="; ".join(_notes(model, are_counted_as_told=counted != metrics)),
    )
    return _built(objective, model)


def _notes(model: keras.Model, *, are_counted_as_told: bool) -> Iterator[str]:
    """What is counted otherwise than Keras would, of a compiled model."""
    if are_counted_as_told:
        yield COUNTED_AS_TOLD
    own = [metric.name for metric in model.metrics if not hasattr(metric, "metrics") and metric.name != "loss"]
    if own:
        yield f"metrics that the model's layers count themselves are left out: {first_of(own, SHOWN_METRICS)}"


def _built(objective: Objective, model: keras.Model) -> Objective:
    """Build the variables of the optimizer and the metrics.

    In the first trace that would be too late: the step would be traced twice, and metrics such as `F1Score` fail.

    Raises:
        UserError: a metric cannot be counted, or gives several numbers, or the loss is no mean over the samples.
    """
    if not objective.optimizer.built:
        objective.optimizer.build(model.trainable_variables)
    width = int(model.output_shape[-1])
    labels = tf.zeros((2, objective.columns)) if objective.columns else tf.zeros((2,), tf.int64)
    require_outputs(objective.metrics)
    with naming_metrics():
        objective.update_metrics(labels, tf.fill((2, width), 1.0 / width))
    for name, value in objective.results().items():
        if count := np.size(value) if np.ndim(value) else 0:
            raise UserError(f"metrics: {name!r} gives {count} numbers: let it give one, such as by average='macro'")
    objective.reset()
    require_mean(objective, width)
    return objective
