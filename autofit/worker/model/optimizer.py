"""The optimizer of a training: of fine-tuning, the user's own, or by name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import keras

from autofit.protocol.job import ModelSource
from autofit.worker.model.falling_rate import FallingRate
from autofit.worker.model.fine_tuning import fine_tuning_optimizer
from autofit.worker.model.precision import inner_optimizer
from autofit.worker.model.registered_objects import not_registered


def optimizer_for(
    model: keras.Model, source: ModelSource, scope: Callable[[], AbstractContextManager[Any]]
) -> keras.optimizers.Optimizer:
    """The optimizer that a request asks for, with its variables."""
    with scope():
        optimizer = _asked_optimizer(model, source)
        if not optimizer.built:  # built before the first trace, since otherwise the step would be traced twice
            optimizer.build(model.trainable_variables)
    return optimizer


def _asked_optimizer(model: keras.Model, source: ModelSource) -> keras.optimizers.Optimizer:
    if source.fine_tuning is not None:
        return fine_tuning_optimizer(model.trainable_variables, source.learning_rate, source.fine_tuning)
    if source.optimizer_config is not None:
        try:
            given = keras.optimizers.get(copy.deepcopy(source.optimizer_config))  # a copy, since Keras changes it
            return unscaled(given, model)
        except (TypeError, ValueError) as error:
            raise not_registered(error) or error from error
    rate = FallingRate(source.learning_rate, source.rate_falls) if source.rate_falls else source.learning_rate
    return keras.optimizers.get({"class_name": source.optimizer, "config": {"learning_rate": rate}})


def unscaled(optimizer: keras.optimizers.Optimizer, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer without a wrapper that scales the loss; the step has its own scale, which a checkpoint holds."""
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    inner = inner_optimizer(optimizer)
    inner.loss_scale_factor = None
    return inner


def each_of(optimizer: keras.optimizers.Optimizer) -> list[keras.optimizers.Optimizer]:
    """The optimizer, and those among which it divides the variables, as Keras's `MultiOptimizer` does."""
    return [optimizer, *getattr(optimizer, "optimizers", ())]


def rate_of(optimizer: keras.optimizers.Optimizer) -> float | None:
    """The present learning rate of an optimizer; None if it has none, but divides the variables among others."""
    rate = getattr(optimizer, "learning_rate", None)
    return None if rate is None else float(keras.ops.convert_to_numpy(rate))
