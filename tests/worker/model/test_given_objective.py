"""Optimizers, schedules, losses, metrics and models that are given as objects of Keras."""

from __future__ import annotations

import json
from typing import Any

import cloudpickle
import keras
import numpy as np
import pytest

from autofit.api.code_identity import IN_FULL, differing
from autofit.api.workers import code_of_run, payload_of
from autofit.config.backbones import ModelSpec
from autofit.config.options import Options, begins_with_head, make_options
from autofit.config.request_difference import difference
from autofit.errors import UserError
from autofit.protocol.job import ModelSource
from autofit.runs.model_source import model_source, workload
from autofit.worker.model.builder import build_from_function
from autofit.worker.model.objective import make_objective
from autofit.worker.model.optimizer import each_of, rate_of
from autofit.worker.model.outputs import label_classes, single_loss
from autofit.worker.model.precision import in_precision

pytestmark = pytest.mark.slow

schedules = keras.optimizers.schedules
SPEC = ModelSpec(backbone=None, weights="none", image_size=(4, 4), trainable="all")
LABELS = np.array([0, 2, 1])
ROWS = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6]], np.float32)


@keras.saving.register_keras_serializable("given")  # type: ignore[untyped-decorator]
def own_loss(labels: Any, probabilities: Any) -> Any:
    """A loss of class numbers."""
    return 2.0 * keras.losses.sparse_categorical_crossentropy(labels, probabilities)


@keras.saving.register_keras_serializable("given")
class Summed(keras.losses.Loss):  # type: ignore[misc]
    """A loss that is a sum over the samples, of which its configuration says nothing."""

    def __init__(self, name: str = "summed") -> None:
        super().__init__(name, reduction="sum")

    def call(self, labels: Any, probabilities: Any) -> Any:
        """The loss of each sample."""
        return keras.losses.sparse_categorical_crossentropy(labels, probabilities)

    def get_config(self) -> dict[str, Any]:
        """Its only argument."""
        return {"name": self.name}


@keras.saving.register_keras_serializable("given")
class Averaging(keras.optimizers.SGD):  # type: ignore[misc]
    """An optimizer that keeps averages of the weights, of which its configuration says nothing."""

    def __init__(self, learning_rate: float = 0.1) -> None:
        super().__init__(learning_rate, use_ema=True)

    def get_config(self) -> dict[str, Any]:
        """Its only argument."""
        return {"learning_rate": 0.1}


def unregistered(labels: Any, probabilities: Any) -> Any:
    """The same, not registered."""
    return own_loss(labels, probabilities)


def network(activation: str | None = "softmax") -> keras.Model:
    """A small classifier."""
    return keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(3, activation)])


def sent(**given: Any) -> ModelSource:
    """The source that a worker reads from `job.json` for these options."""
    options = Options.model_validate_json(make_options(model="autofit.demo.network:digit_network", **given).to_json())
    return ModelSource.model_validate_json(model_source(options, 3).to_json())


def test_an_optimizer_object_arrives_as_it_was_given() -> None:
    """Its momentum or schedule would be lost on the way to the worker, or on a resume."""
    rate = schedules.CosineDecay(0.1, 100)
    optimizer = make_objective(
        network(), sent(optimizer=keras.optimizers.SGD(rate, momentum=0.9)), compiled=False
    ).optimizer

    assert isinstance(optimizer, keras.optimizers.SGD)
    assert optimizer.momentum == 0.9
    optimizer.iterations.assign(50)
    assert float(optimizer.learning_rate) == pytest.approx(0.05)


def test_a_schedule_goes_with_an_optimizer_by_name() -> None:
    """The rate would stay at its first value."""
    source = sent(optimizer="rmsprop", learning_rate=schedules.PiecewiseConstantDecay([10], [0.3, 0.1]))
    optimizer = make_objective(network(), source, compiled=False).optimizer
    assert isinstance(optimizer, keras.optimizers.RMSprop)
    assert source.learning_rate == 0.3
    optimizer.iterations.assign(11)
    assert float(optimizer.learning_rate) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        ("categorical_crossentropy", 1.0),
        (keras.losses.CategoricalCrossentropy(), 1.0),
        (keras.losses.SparseCategoricalCrossentropy(), 1.0),
        (own_loss, 2.0),
    ],
)
def test_a_loss_is_used_as_fit_would_use_it(loss: Any, value: float) -> None:
    """Another loss would be trained, or this one with labels in another form."""
    objective = make_objective(network(), sent(loss=loss), compiled=False)
    found = float(objective.loss_function(objective.encode(LABELS), ROWS))
    assert found == pytest.approx(value * -np.log([0.7, 0.4, 0.2]).mean(), rel=1e-5)


def test_metrics_get_the_labels_that_they_take() -> None:
    """A metric of one-hot labels would count class numbers as such."""
    given = [keras.metrics.TopKCategoricalAccuracy(2, name="top2"), "accuracy", "sparse_top_k_categorical_accuracy"]
    objective = make_objective(network(), sent(metrics=[*given, own_loss]), compiled=False)
    objective.update_metrics(keras.ops.convert_to_tensor(LABELS), keras.ops.convert_to_tensor(ROWS))
    found = {name: round(float(value), 4) for name, value in objective.results().items() if name != "loss"}
    assert found == {
        "accuracy": 0.6667,
        "own_loss": round(2 * float(-np.log([0.7, 0.4, 0.2]).mean()), 4),
        "sparse_top_k_categorical_accuracy": 1.0,
        "top2": 1.0,
    }


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_metric_that_is_built_by_its_first_call_counts(is_compiled: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """`F1Score` would have no variables when the steps are compiled: an AttributeError, or 0 for each validation."""
    model, source = network(), sent(loss="categorical_crossentropy", metrics=[keras.metrics.F1Score("macro")])
    if is_compiled:
        model.compile(loss="categorical_crossentropy", metrics=[keras.metrics.F1Score("macro")])
        source = sent()
    objective = make_objective(model, source, compiled=is_compiled)
    assert len(objective.metrics[-1].variables) == len(keras.metrics.F1Score("macro").variables) + 4
    assert float(objective.results()["f1_score"]) == 0.0
    objective.update_metrics(keras.ops.convert_to_tensor(LABELS), keras.ops.convert_to_tensor(ROWS))
    assert float(objective.results()["f1_score"]) == pytest.approx(5 / 9)


def test_a_metric_of_several_numbers_is_refused() -> None:
    """A history has a number for each epoch, and the run would end in an error of NumPy's after the first."""
    with pytest.raises(UserError, match=r"metrics: 'f1_score' gives 3 numbers: .*average='macro'"):
        make_objective(network(), sent(metrics=[keras.metrics.F1Score()]), compiled=False)


@pytest.mark.parametrize("is_compiled", [False, True])
def test_an_iou_gets_the_labels_that_it_says_it_takes(is_compiled: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """`MeanIoU` has no "sparse" in its name, and would fail on one-hot labels with an error of TensorFlow's."""
    metrics = [keras.metrics.MeanIoU(3, sparse_y_pred=False, name="a"), keras.metrics.OneHotMeanIoU(3, name="b")]
    model, source = network(), sent(metrics=metrics)
    if is_compiled:
        model.compile(loss="sparse_categorical_crossentropy", metrics=metrics)
        source = sent()
    objective = make_objective(model, source, compiled=is_compiled)
    objective.update_metrics(keras.ops.convert_to_tensor(LABELS), keras.ops.convert_to_tensor(ROWS))
    found = objective.results()
    assert float(found["a"]) == float(found["b"]) == pytest.approx(0.5)


def test_a_metric_that_cannot_be_counted_is_refused() -> None:
    """`MeanIoU` would round probabilities down to class 0; another would end the training with TensorFlow's words."""
    with pytest.raises(UserError, match=r"'mean_io_u.*' takes the model's outputs .*sparse_y_pred=False"):
        make_objective(network(), sent(metrics=[keras.metrics.MeanIoU(3)]), compiled=False)
    model = network()
    model.compile(loss="sparse_categorical_crossentropy", metrics=["mean_squared_error"])
    with pytest.raises(UserError, match=r"^metrics: one .*\(InvalidArgumentError: Incompatible shapes"):
        make_objective(model, sent(), compiled=True)


def test_two_metrics_of_a_class_are_numbered_as_in_keras() -> None:
    """A list with two thresholds, which `fit` takes, would be refused; or the second hide the first."""
    recalls = [keras.metrics.AUC(curve="PR"), keras.metrics.AUC(), keras.metrics.AUC(name="mine")]
    objective = make_objective(network(), sent(metrics=recalls), compiled=False)
    assert list(objective.results()) == ["accuracy", "auc", "auc_1", "loss", "mine"]
    with pytest.raises(UserError, match="two metrics are named 'mine'"):
        make_objective(network(), sent(metrics=[recalls[2], keras.metrics.AUC(name="mine")]), compiled=False)


def test_a_metric_has_the_name_that_it_was_given_by_as_in_keras() -> None:
    """`val_mse`, which `fit` has for "mse", would be no metric of the run."""
    objective = make_objective(network(), sent(metrics=["mse", "AUC", "mean_absolute_error"]), compiled=False)
    assert list(objective.results()) == ["AUC", "accuracy", "loss", "mean_absolute_error", "mse"]


def test_a_loss_that_raises_with_a_blank_message_is_refused() -> None:
    """The run would end in an IndexError about that message."""

    def blank(*_: Any) -> Any:
        raise ValueError("\n")

    with pytest.raises(UserError, match="'blank' takes neither class numbers"):
        label_classes(single_loss(blank), 3)


def without_decay_of_biases() -> keras.optimizers.Optimizer:
    """An optimizer that decays some weights only."""
    optimizer = keras.optimizers.AdamW(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def divided(bias: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """An optimizer for biases, and SGD for other weights; of a Keras without such, the one for biases."""
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        return bias
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.5), {".*bias": bias})
    return keras.optimizers.MultiOptimizer(optimizers)


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="this Keras has none")
def test_an_optimizer_that_divides_the_variables_arrives_with_those_that_it_has() -> None:
    """A training that diverges would end in an AttributeError of Keras's, and not say at which rate."""
    optimizer = make_objective(
        network(), sent(optimizer=divided(keras.optimizers.Adam(0.25))), compiled=False
    ).optimizer
    assert {rate_of(one) for one in each_of(optimizer)} == {None, 0.25, 0.5}


def test_a_model_whose_optimizer_leaves_out_variables_is_refused() -> None:
    """A copy of the model would be sent, whose optimizer decays all of its weights."""
    ends = [keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((4, 4, 3)), *ends])
    model.compile(without_decay_of_biases(), "sparse_categorical_crossentropy")
    with pytest.raises(UserError, match=r"excluded by exclude_from_weight_decay\(\) cannot be saved"):
        payload_of(model, None)
    with pytest.raises(UserError, match=r"excluded by exclude_from_weight_decay\(\) cannot be saved"):
        in_precision(model, "mixed_bfloat16")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": keras.optimizers.SGD(), "learning_rate": 0.1}, "leave learning_rate out"),
        ({"optimizer": keras.optimizers.SGD}, "is the class SGD itself"),
        ({"optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(use_ema=True))}, "use_ema"),
        ({"optimizer": Averaging()}, "use_ema"),
        ({"optimizer": divided(keras.optimizers.Adam(use_ema=True))}, "use_ema"),
        ({"optimizer": divided(without_decay_of_biases())}, "give model= as a function"),
        ({"optimizer": without_decay_of_biases()}, "give model= as a function"),
        ({"loss": keras.losses.CategoricalCrossentropy(reduction="sum")}, "reduction='sum'"),
        ({"loss": Summed()}, "reduction='sum'"),
        ({"loss": unregistered}, "unregistered cannot be kept with the run: decorate it"),
        ({"loss": lambda *labels: labels}, "loss is a lambda"),
        ({"metrics": [unregistered]}, "unregistered cannot be kept with the run"),
    ],
)
def test_an_object_that_cannot_be_kept_is_refused(given: dict[str, Any], message: str) -> None:
    """It would be found out in the worker, or at the first resume."""
    with pytest.raises(UserError, match=message):
        make_options(**given)


def test_a_model_with_a_lambda_is_refused_by_what_to_do() -> None:
    """It would be the model function that failed, of which a user who gives a model knows nothing."""
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Lambda(lambda values: values), *network().layers])
    payload: Any = payload_of(model, None)
    with pytest.raises(UserError, match=r"does not open there .*: give a function .* without Lambda layers of lambdas"):
        build_from_function(payload.model, (4, 4), 3, seed=0)


def compiled(optimizer: Any = "adam", loss: Any = "mse", metrics: Any = None) -> keras.Model:
    """The network, compiled."""
    model = network()
    model.compile(optimizer, loss, metrics=metrics)
    return model


@pytest.mark.parametrize(
    "other",
    [
        network,
        lambda: compiled(keras.optimizers.Adam(0.1)),
        lambda: compiled("sgd"),
        lambda: compiled(loss="sparse_categorical_crossentropy"),
        lambda: compiled(loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1)),
        lambda: compiled(metrics=["accuracy"]),
        lambda: compiled(metrics=[keras.metrics.AUC(name="mine")]),
    ],
    ids=["uncompiled", "rate", "optimizer", "loss", "smoothing", "metrics", "name"],
)
def test_a_model_that_is_compiled_with_something_else_is_another(other: Any) -> None:
    """The same call after another `compile` would give the result of the run before it."""
    assert code_of_model(other()) != code_of_model(compiled())


def test_a_model_that_is_compiled_likewise_is_the_same() -> None:
    """Keras numbers metrics, and the second call in a session would be another run."""
    made = [compiled(keras.optimizers.SGD(0.1), own_loss, [keras.metrics.AUC(), "accuracy"]) for _ in range(2)]
    assert code_of_model(made[0]) == code_of_model(made[1])


def code_of_model(model: keras.Model) -> dict[str, str]:
    """By what a rerun knows a model."""
    return code_of_run(make_options(model=model), payload_of(model, None))


def test_an_optimizer_that_scales_the_loss_is_the_one_inside() -> None:
    """It was refused; or gradients that nothing has scaled would be divided, and the training stand still."""
    scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5, momentum=0.9))
    optimizer = make_objective(network(), sent(optimizer=scaling), compiled=False).optimizer
    assert (type(optimizer), float(optimizer.learning_rate), optimizer.momentum) == (keras.optimizers.SGD, 0.5, 0.9)
    factor = make_objective(network(), sent(optimizer=keras.optimizers.SGD(loss_scale_factor=64.0)), compiled=False)
    assert factor.optimizer.loss_scale_factor is None


def test_logits_of_a_backbones_head_are_refused() -> None:
    """A softmax would be applied twice."""
    with pytest.raises(UserError, match="the head ends with a softmax"):
        make_options(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metrics": ["no_such"]}, "Keras has none named 'no_such'"),
        ({"metrics": [keras.metrics.AUC(name="loss")]}, "two metrics are named 'loss'"),
    ],
)
def test_metrics_that_are_none_are_refused(given: dict[str, Any], message: str) -> None:
    """The run would end in forty lines, or lose a metric."""
    with pytest.raises(UserError, match=message):
        make_objective(network(), sent(**given), compiled=False)


def test_objects_are_about_epochs_and_other_ones_are_another_request() -> None:
    """A solved head would leave them out, or a rerun give the old result, or a probe of fewer variables be used."""
    plain, heavy = (
        make_options(optimizer=keras.optimizers.SGD()),
        make_options(optimizer=keras.optimizers.SGD(0.01, 0.9)),
    )
    assert plain.optimizer == heavy.optimizer == "sgd"
    assert plain != heavy
    assert workload(plain, 3) != workload(heavy, 3)
    assert not begins_with_head(make_options(trainable="all", optimizer=keras.optimizers.Adam()))


def test_a_registered_loss_goes_along_and_its_code_is_part_of_the_request() -> None:
    """A worker would not know it; or a loss that was changed would be taken for the same."""
    options = make_options(loss=own_loss)
    payload = payload_of(None, (), options)
    assert payload is not None
    assert list(payload.registered.by_name) == ["given>own_loss"]
    assert {what.removesuffix(IN_FULL) for what in code_of_run(options, payload)} == {"loss, metrics or optimizer"}
    keras.saving.get_custom_objects().pop("given>own_loss")
    cloudpickle.loads(cloudpickle.dumps(payload))
    assert "given>own_loss" in keras.saving.get_custom_objects()


def test_a_built_model_is_sent_with_its_weights() -> None:
    """It would be called with a shape, or begin with other weights."""
    model = network()
    options = make_options(model=model)
    payload = payload_of(model, (), options)
    assert options.image_size == (4, 4)
    assert payload is not None
    assert payload.model is not None
    arrived = cloudpickle.loads(cloudpickle.dumps(payload)).model
    built = build_from_function(arrived, (4, 4), 3, seed=1)
    for there, here in zip(model.get_weights(), built.model.get_weights(), strict=True):
        np.testing.assert_array_equal(there, here)
    assert built.outputs == "probabilities"
    again = payload_of(network(), (), options)
    other = payload_of(network("sigmoid"), (), options)
    codes = [json.dumps(code_of_run(options, one)) for one in (payload, again, other)]
    assert codes[0] == codes[1] != codes[2]


def of_own_block(factor: float) -> keras.Model:
    """A model with a layer of a notebook's own, which multiplies in its code."""
    source = f"class Block(keras.layers.Layer):\n    def call(self, inputs):\n        return inputs * {factor}\n"
    space: dict[str, Any] = {"keras": keras, "__name__": "__main__"}
    exec(source, space)  # noqa: S102 - as a notebook does
    block = keras.saving.register_keras_serializable("given")(space["Block"])
    inputs = keras.Input((4, 4, 3))
    return keras.Model(inputs, keras.layers.Dense(3)(block()(inputs)))


def test_the_code_of_a_layer_in_a_built_model_is_part_of_the_request() -> None:
    """A model whose own layer, or own loss, was edited would return the result of the run before it."""
    first, again, other = (code_of_model(of_own_block(factor)) for factor in (2.0, 2.0, 3.0))
    keras.saving.get_custom_objects().pop("given>Block")
    assert first == again
    assert differing(first, other) == ["model's own layers or loss"]
    assert differing({"model": first["model"]}, other) == []  # a run of an earlier version


def test_a_loss_of_logits_makes_an_uncompiled_model_one_of_logits() -> None:
    """Its outputs would be refused, or shown as probabilities."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    built = build_from_function(lambda *_: network(None), (4, 4), 3, seed=0, loss=loss)
    assert built.outputs == "logits"


def test_the_same_call_in_the_same_session_is_the_same_request() -> None:
    """Keras numbers its objects: the cell that is run again would be refused, or its metric be named auc_1."""

    def call() -> Options:
        rate = schedules.CosineDecay(0.1, 20)
        return make_options(optimizer=keras.optimizers.SGD(rate), metrics=[keras.metrics.AUC()])

    first = call()
    assert Options.model_validate_json(first.to_json()) == call()
    assert difference(first, call()) is None
    other = make_options(optimizer=keras.optimizers.SGD(schedules.CosineDecay(0.1, 30)), metrics=[keras.metrics.AUC()])
    assert difference(first, other) == "optimizer with other settings"
