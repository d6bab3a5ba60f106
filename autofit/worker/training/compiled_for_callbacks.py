"""A model that its user has not compiled, compiled for callbacks: they evaluate it, and ask which way figures improve.

`self.model.evaluate` takes labels in the form of the loss. Metrics that take another form, or that Keras does not know,
are there as well; but in what the model is saved with, as by `ModelCheckpoint`, there are only Keras's own and the
user's, so that it opens without autofit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from autofit.worker.model.fine_tuning import of_kerass_own
from autofit.worker.model.keras_internals import direction_of, set_compiled_metrics
from autofit.worker.model.multi_label import LabelScores
from autofit.worker.model.objective import Objective
from autofit.worker.model.outputs import as_given


class ShownMetric(keras.metrics.Metric):
    """A metric under the name of one of its figures, of labels in another form than its own.

    Args:
        metric: the metric.
        one_hot_classes: the width of the labels that it gets; 0 for class numbers.
        width: the width of the labels that it takes.
        figure: the name of one figure of several; None where it has one.
    """

    def __init__(
        self, metric: keras.metrics.Metric, one_hot_classes: int, width: int, figure: str | None = None
    ) -> None:
        super().__init__(name=figure or metric.name)
        self._metric, self._one_hot_classes, self._width, self._figure = metric, one_hot_classes, width, figure
        if (direction := "up" if figure else direction_of(metric)) is not None:
            self._direction = direction  # where Keras's callbacks look for it

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count samples.

        Args:
            y_true: class numbers `(n,)` or one-hot rows `(n, classes)`, as the loss takes them; or rows of 0 and 1.
            y_pred: the model's outputs, `(n, classes)`.
            sample_weight: of each sample.
        """
        labels = y_true
        if self._width and not self._one_hot_classes:
            labels = keras.ops.one_hot(keras.ops.reshape(keras.ops.cast(y_true, "int64"), (-1,)), self._width)
        elif self._one_hot_classes and not self._width:
            labels = keras.ops.argmax(y_true, axis=-1)
        self._metric.update_state(labels, y_pred, sample_weight=sample_weight)

    def result(self) -> Any:
        """The figure of all samples so far."""
        return self._metric.result()[self._figure] if self._figure else self._metric.result()

    def reset_state(self) -> None:
        """Begin anew."""
        self._metric.reset_state()


def compile_for_callbacks(model: keras.Model, objective: Objective) -> None:
    """Compile a model with the optimizer, the loss and copies of the metrics of its training.

    In place of a fine-tuning's optimizer it is one that a saved model opens with; the caller sets the model's own.
    """
    loss = keras.losses.BinaryCrossentropy() if objective.columns else as_given(objective.loss_function)
    metrics = list(_metrics(objective))
    saved = [metric for metric in metrics if not isinstance(metric, ShownMetric)]
    optimizer = of_kerass_own(objective.optimizer)
    model.compile(optimizer, loss, metrics=saved, jit_compile=False, auto_scale_loss=False)
    if len(saved) < len(metrics):
        set_compiled_metrics(model, metrics)
    classes = int(model.output_shape[-1])
    numbers = keras.ops.zeros((1, objective.columns)) if objective.columns else keras.ops.zeros((1,), "int64")
    model.compute_metrics(None, objective.encode(numbers), keras.ops.zeros((1, classes)) + 1.0 / classes)
    model.reset_metrics()


def _metrics(objective: Objective) -> Iterator[keras.metrics.Metric]:
    """New metrics of the same kinds, of labels in the form of the loss."""
    of_loss = objective.one_hot_classes
    widths = objective.metric_classes or [of_loss] * len(objective.metrics)
    for metric, width in zip(objective.metrics, widths, strict=True):
        if isinstance(metric, LabelScores):
            yield from (ShownMetric(LabelScores(objective.columns), 0, 0, figure) for figure in metric.result())
        elif bool(width) == bool(of_loss):
            yield _copy(metric)
        elif type(metric) is keras.metrics.SparseCategoricalAccuracy:
            yield keras.metrics.CategoricalAccuracy(name=metric.name)
        else:
            yield ShownMetric(_copy(metric), of_loss, width)


def _copy(metric: keras.metrics.Metric) -> keras.metrics.Metric:
    return type(metric).from_config(metric.get_config())
