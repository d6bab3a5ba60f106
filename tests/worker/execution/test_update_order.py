"""An update of one variable after another: the same bits, and the temporaries of one variable at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf

from autofit.config.backbones import ModelSpec
from autofit.protocol.job import ModelSource
from autofit.worker.execution.loss_scale import LossScale
from autofit.worker.execution.sliced_model import WholeNetwork
from autofit.worker.execution.step_options import StepOptions
from autofit.worker.execution.steps import TrainStep
from autofit.worker.execution.update_order import one_after_another
from autofit.worker.execution.update_reserve import TEMPORARIES
from autofit.worker.model.builder import build_from_function
from autofit.worker.model.fine_tuning import LayerwiseAdamW
from autofit.worker.model.objective import make_objective
from autofit.worker.model.optimizer import each_of
from tests.support.paths import CHILDREN

pytestmark = pytest.mark.slow

SIZE, CLASSES, VARIABLES = (8, 8), 3, 4
SPEC = ModelSpec(backbone=None, weights="none", image_size=SIZE, trainable="all")
OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(1e-2, clipnorm=0.1),
    "adamw": lambda: keras.optimizers.AdamW(1e-2, weight_decay=0.1, use_ema=True, ema_overwrite_frequency=2),
    "accumulating": lambda: keras.optimizers.AdamW(1e-2, weight_decay=0.1, gradient_accumulation_steps=2),
    "layerwise": lambda: LayerwiseAdamW([0.1, 0.2, 0.5, 1.0], 0.05, learning_rate=1e-2, global_clipnorm=1.0),
}


def divided(first: keras.optimizers.Optimizer, second: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """An optimizer for biases and another for all else."""
    optimizers = keras.optimizers
    if not hasattr(optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has none")
    return optimizers.MultiOptimizer(optimizers.OptimizerMap(first, {".*bias": second}))


OPTIMIZERS["divided"] = lambda: divided(keras.optimizers.Adam(1e-2, clipnorm=0.1), keras.optimizers.SGD(0.1))


def small(shape: tuple[int, int, int], classes: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes, "softmax"),
        ]
    )


def trained(optimizer: keras.optimizers.Optimizer, *, one_by_one: bool, scale: LossScale | None) -> list[np.ndarray]:
    """The weights and the state of the optimizer after five updates."""
    model = build_from_function(small, SIZE, CLASSES, seed=0).model
    source = ModelSource(spec=SPEC, num_classes=CLASSES, optimizer="sgd", learning_rate=1e-3)
    objective = replace(make_objective(model, source, compiled=False), optimizer=optimizer)
    optimizer.build(model.trainable_variables)
    images = tf.TensorSpec((None, *SIZE, 3), tf.uint8)
    step = TrainStep(WholeNetwork(model), objective, images, StepOptions(loss_scale=scale, one_by_one=one_by_one))
    pixels, numbers = np.random.default_rng(0), np.arange(6) % CLASSES
    for _ in range(5):
        drawn = pixels.integers(0, 256, (6, *SIZE, 3), np.uint8)
        step.commit(step.accumulate(drawn, numbers, np.ones(6, np.float32), 4), 6)
    assert int(step._begun) == 5
    return [np.array(v) for v in (*model.variables, *optimizer.variables)]


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("layerwise", LossScale()),
        *(
            pytest.param(name, scale, marks=pytest.mark.whole)
            for name in OPTIMIZERS
            for scale in (None, LossScale())
            if (name, scale) != ("layerwise", LossScale())
        ),
    ],
    ids=str,
)
def test_the_order_changes_no_bit(name: str, scale: LossScale | None) -> None:
    """A run that climbs to another rung would train otherwise for more than the gradients."""
    together, alone = (trained(OPTIMIZERS[name](), one_by_one=one_by_one, scale=scale) for one_by_one in (False, True))
    assert len(together) > VARIABLES
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "make",
    [lambda: keras.optimizers.SGD(1e-3), lambda: divided(keras.optimizers.SGD(1e-3), keras.optimizers.SGD(1e-3))],
    ids=["one", "divided"],
)
def test_each_variable_waits_for_the_one_before(make: Callable[[], keras.optimizers.Optimizer]) -> None:
    """TensorFlow would make all updates at once, with the temporaries of all."""
    optimizer = make()
    variables = [keras.Variable(np.ones(2, np.float32), name=name) for name in ("kernel", "bias", "bias")]
    optimizer.build(variables)

    def update(gradient: tf.Tensor) -> None:
        with one_after_another(optimizer):
            optimizer.apply([gradient] * 3, variables)

    traced = tf.function(update, autograph=False).get_concrete_function(tf.TensorSpec((2,)))
    operations = traced.graph.get_operations()
    changes = [op for op in operations if op.type == "AssignSubVariableOp"]
    assert len(changes) == 3
    for one, following in pairwise(changes):
        assert one in set(_ancestors(following))
    assert all("update_step" not in vars(one) for one in each_of(optimizer))


def _ancestors(operation: tf.Operation) -> set[tf.Operation]:
    found, left = set[tf.Operation](), [operation]
    while left:
        one = left.pop()
        above = {*one.control_inputs, *(tensor.op for tensor in one.inputs)} - found
        found |= above
        left += above
    return found


@pytest.mark.whole
def test_what_is_reserved_is_enough_and_less() -> None:
    """The update would run out after it has begun, which tears the weights; or nothing would be saved."""
    program = [sys.executable, str(CHILDREN / "update_peaks.py")]
    lines = subprocess.run(program, check=True, capture_output=True, text=True).stdout.splitlines()
    taken = {name: tuple(map(float, numbers)) for name, *numbers in map(str.split, lines)}
    assert len(taken) >= 6
    for together, reserved, alone, reserved_alone in taken.values():
        assert together <= reserved
        assert alone <= reserved_alone
    assert all(
        taken[name][3] < TEMPORARIES / 4 for name in ("sgd", "adam", *(["divided"] if "divided" in taken else []))
    )
