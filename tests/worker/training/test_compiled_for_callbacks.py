"""The model that callbacks find: it evaluates labels as the loss takes them, and is saved without autofit's classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from autofit.config.fine_tuning import FineTuning
from autofit.config.learning_rates import RateFall
from autofit.storage.model_file import model_configuration
from autofit.worker.model.falling_rate import FallingRate
from autofit.worker.model.fine_tuning import fine_tuning_optimizer
from autofit.worker.model.multi_label import LabelCrossentropy, LabelScores
from autofit.worker.model.objective import Objective
from autofit.worker.model.outputs import single_loss
from autofit.worker.training.compiled_for_callbacks import compile_for_callbacks

pytestmark = pytest.mark.slow  # loads Keras

NUMBERS = np.array([0, 1, 1, 0])
ROWS = np.eye(2, dtype=np.float32)[NUMBERS]


def compiled(activation: str, loss: Any, metrics: Sequence[Any], **form: Any) -> keras.Model:
    """A network whose outputs are its inputs, as callbacks find it."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Activation(activation)])
    mean, optimizer = keras.metrics.Mean(name="loss"), keras.optimizers.SGD()
    compile_for_callbacks(model, Objective(single_loss(loss), mean, metrics, optimizer, **form))
    return model


def accuracy() -> keras.metrics.Metric:
    """The metric that is always there."""
    return keras.metrics.SparseCategoricalAccuracy(name="accuracy")


@pytest.mark.parametrize(
    ("loss", "labels", "widths"),
    [("sparse_categorical_crossentropy", NUMBERS, (0, 0, 2)), ("categorical_crossentropy", ROWS, (2, 0, 2))],
)
def test_metrics_take_labels_as_the_loss_does(loss: str, labels: np.ndarray, widths: tuple[int, ...]) -> None:
    """A metric of other labels than the loss would fail with any callback, or in `self.model.evaluate`."""
    of_loss, *of_metrics = widths
    metrics = [accuracy(), keras.metrics.AUC(name="auc")]
    model = compiled("softmax", loss, metrics, one_hot_classes=of_loss, metric_classes=of_metrics)
    found = model.evaluate(ROWS * 5, labels, verbose=0, return_dict=True)
    assert (found["accuracy"], found["auc"]) == (1.0, 1.0)
    assert model.evaluate(-ROWS * 5, labels, verbose=0, return_dict=True)["accuracy"] == 0.0


def test_several_labels_have_both_figures() -> None:
    """A training with several labels an image would end at its first callback."""
    model = compiled("sigmoid", LabelCrossentropy(), [LabelScores(2)], one_hot_classes=0, columns=2)
    found = model.evaluate(ROWS * 20 - 10, ROWS, verbose=0, return_dict=True)
    assert (found["mean_average_precision"], found["f1"]) == (1.0, 1.0)
    assert found["loss"] == pytest.approx(4.54e-05, rel=1e-3)  # log(1 + exp(-10))


@pytest.mark.parametrize("figure", ["val_auc", "val_mean_average_precision"])
def test_a_callback_knows_which_way_a_figure_improves(figure: str) -> None:
    """`EarlyStopping` would want a `mode` for a figure that Keras's `fit` knows."""
    if figure == "val_auc":
        metrics = [keras.metrics.AUC(name="auc")]
        model = compiled("softmax", "sparse_categorical_crossentropy", metrics, one_hot_classes=0, metric_classes=[2])
    else:
        model = compiled("sigmoid", LabelCrossentropy(), [LabelScores(2)], one_hot_classes=0, columns=2)
    stopping = keras.callbacks.EarlyStopping(figure, patience=1)
    stopping.set_model(model)
    stopping.on_train_begin()
    for epoch, value in enumerate((0.5, 0.8, 0.7)):
        stopping.on_epoch_end(epoch, {figure: value})
    assert (stopping.best, stopping.stopped_epoch) == (0.8, 2)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_what_a_callback_saves_opens_without_autofit(activation: str, tmp_path: Path) -> None:
    """`load_model` of what `ModelCheckpoint` has written would want classes that no user has registered."""
    if activation == "softmax":
        metrics = [accuracy(), keras.metrics.AUC(name="auc")]
        model = compiled(activation, "categorical_crossentropy", metrics, one_hot_classes=2, metric_classes=[0, 2])
    else:
        model = compiled(activation, LabelCrossentropy(), [LabelScores(2)], one_hot_classes=0, columns=2)
    model.save(tmp_path / "saved.keras")
    assert "autofit" not in json.dumps(model_configuration(tmp_path / "saved.keras"))
    opened = keras.models.load_model(tmp_path / "saved.keras")
    np.testing.assert_array_equal(opened.predict(ROWS, verbose=0), model.predict(ROWS, verbose=0))
    assert opened.compiled


def saved_and_opened(model: keras.Model, optimizer: keras.optimizers.Optimizer, path: Path) -> keras.Model:
    """What opens of a model that a callback saves after five updates: it has their state, and nothing of autofit's."""
    optimizer.build(model.trainable_variables)
    loss = single_loss("sparse_categorical_crossentropy")
    compile_for_callbacks(model, Objective(loss, keras.metrics.Mean(name="loss"), [accuracy()], optimizer, 0))
    model.optimizer = optimizer
    for _ in range(5):
        optimizer.apply([keras.ops.ones(variable.shape) for variable in model.trainable_variables])

    model.save(path)
    opened = keras.models.load_model(path)

    assert "autofit" not in json.dumps(model_configuration(path))
    for now, before in zip(opened.optimizer.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(now, before)
    return opened


@pytest.mark.parametrize("begin", [0, 3])
@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_what_a_callback_saves_of_a_falling_rate_opens_without_autofit(kind: str, begin: int, tmp_path: Path) -> None:
    """A run from scratch that is resumed with a `ModelCheckpoint` would write files that ask for `FallingRate`."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "softmax")])
    earlier = [RateFall(begin=0, end=begin)] if begin else []
    rate = FallingRate(0.5, [*earlier, RateFall(begin=begin, end=9)])
    optimizer = keras.optimizers.get({"class_name": kind, "config": {"learning_rate": rate}})

    opened = saved_and_opened(model, optimizer, tmp_path / "saved.keras")

    assert type(opened.optimizer) is type(optimizer)
    assert float(opened.optimizer.learning_rate) == pytest.approx(float(optimizer.learning_rate))


@pytest.mark.parametrize("warmup", [0, 3])
def test_what_a_callback_saves_in_a_fine_tuning_opens_without_autofit(warmup: int, tmp_path: Path) -> None:
    """`load_model` would ask for `LayerwiseAdamW`, which the user has never heard of."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(2, "softmax")])
    settings = FineTuning(updates=9, warmup_updates=warmup)
    optimizer = fine_tuning_optimizer(model.trainable_variables, 0.5, settings)

    opened = saved_and_opened(model, optimizer, tmp_path / "saved.keras")

    assert isinstance(opened.optimizer, keras.optimizers.AdamW)
    assert opened.optimizer.weight_decay == settings.weight_decay
    assert float(opened.optimizer.learning_rate) == pytest.approx(float(optimizer.learning_rate), abs=0.5 / 9)
