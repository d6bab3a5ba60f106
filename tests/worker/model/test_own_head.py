"""The head of a user's own network: where it begins, what is refused, and what trains above and below it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from autofit.errors import UserError
from autofit.worker.execution.sliced_model import SplitNetwork
from autofit.worker.model.builder import BuiltModel, TrainedPart, build_from_function
from autofit.worker.model.head import scoring_layer
from autofit.worker.model.own_head import split_head
from tests.support.own_network import CUT, network

pytestmark = pytest.mark.slow

SIZE, CLASSES = (32, 32), 3
HEAD, TUNED, WHOLE = TrainedPart(), TrainedPart(CUT), TrainedPart("input")


def built(part: TrainedPart | None, function: Any = network, **more: Any) -> BuiltModel:
    return build_from_function(function, SIZE, CLASSES, seed=0, part=part, **more)


def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (4, *SIZE, 3)).astype("float32")


def trained(model: Any) -> list[str]:
    return ["/".join(variable.path.split("/")[-2:]) for variable in model.trainable_variables]


OF_HEAD = ["scores/kernel", "scores/bias"]
OF_THIRD = ["third/kernel", "third/bias"]
BELOW_CUT = ["first/kernel", "first/bias", "thin/kernel"]


@pytest.mark.parametrize(
    ("part", "frozen", "expected"),
    [(HEAD, True, OF_HEAD), (TUNED, True, OF_THIRD + OF_HEAD), (WHOLE, False, BELOW_CUT + OF_THIRD + OF_HEAD)],
)
def test_what_trains_is_above_the_cut_whatever_the_user_froze(
    part: TrainedPart, *, frozen: bool, expected: list[str]
) -> None:
    """A base that was frozen for the head, as in Keras's guide, would stay frozen in fine-tuning without a word."""
    model = built(part)
    assert (model.frozen, trained(model.model)) == (frozen, expected)
    assert model.features is not None
    assert model.head is not None
    assert trained(model.head) == expected if frozen else trained(model.features) + trained(model.head) == expected
    assert not any(x.trainable for x in model.model.get_layer("base").layers if x.name == "normalized")


@pytest.mark.parametrize("part", [HEAD, TUNED, WHOLE])
def test_both_parts_are_the_model(part: TrainedPart) -> None:
    """Something else would be trained than what is saved."""
    model = built(part)
    assert model.features is not None
    assert model.head is not None
    flow = features = model.features(images(), training=False)
    assert tuple(features.shape[1:]) == model.feature_shape
    for layer in model.head_layers:
        flow = layer(flow)
    expected = model.model(images(), training=False)
    np.testing.assert_allclose(model.head(features, training=False), expected, rtol=1e-5)
    np.testing.assert_allclose(flow, expected, rtol=1e-5)


def test_without_a_part_the_network_trains_as_the_user_left_it() -> None:
    """A call without the new options would train another part of the network than before."""
    model = built(None)
    assert (model.features, model.head, model.head_layers, model.frozen, model.note) == (None, None, (), False, "")
    assert trained(model.model) == OF_HEAD


def body(flow: Any) -> Any:
    return layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="kernel")(flow))


def functional(top: Callable[[], list[Any]]) -> Any:
    """A model function whose network ends with these layers, one after the other."""

    def function(shape: tuple[int, int, int], classes: int) -> keras.Model:
        del classes
        inputs = keras.Input(shape)
        flow = body(inputs)
        for layer in top():
            flow = layer(flow)
        return keras.Model(inputs, flow)

    return function


def softmax(**more: Any) -> layers.Dense:
    return layers.Dense(CLASSES, **{"activation": "softmax", **more})


def nested() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), layers.Dropout(0.1), softmax()])


TOPS: dict[str, tuple[Callable[[], list[Any]], int]] = {
    "dense": (lambda: [softmax()], 1),
    "dropout": (lambda: [layers.Dropout(0.5), softmax()], 2),
    "dropout below a hidden layer": (lambda: [layers.Dropout(0.5), layers.Dense(5), softmax()], 1),
    "activation": (lambda: [layers.Dense(CLASSES), layers.Activation("softmax")], 2),
    "softmax": (lambda: [layers.Dropout(0.5), layers.Dense(CLASSES), layers.Softmax()], 3),
    "nested": (lambda: [nested()], 2),
    "noise": (lambda: [layers.GaussianNoise(0.1), softmax()], 1),
}


@pytest.mark.parametrize("name", TOPS)
def test_the_head_is_the_last_dense_with_its_dropout_and_softmax(name: str) -> None:
    """A layer below would train with the head, or the solved weights be set in another layer than the last Dense."""
    top, count = TOPS[name]
    model = built(HEAD, functional(top))
    assert len(model.head_layers) == count
    assert scoring_layer(model.head_layers).units == CLASSES
    assert model.features is not None
    assert model.head is not None
    expected = model.model(images(), training=False)
    features = model.features(images(), training=False)
    np.testing.assert_allclose(model.head(features, training=False), expected, rtol=1e-4, atol=1e-6)


def test_a_sequential_network_is_split_inside_the_networks_that_it_contains() -> None:
    """The most usual form of a user's network would be refused."""
    base = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(*SIZE, 3), pooling="avg")
    base(images())  # an earlier call, whose tensors are not those of the network
    whole = keras.Sequential([keras.Input((*SIZE, 3)), layers.Rescaling(1 / 127.5, -1), base, softmax()])
    model = built(TrainedPart("conv_pw_11_relu"), lambda *_: whole)
    assert (model.cut, model.feature_shape) == (f"{base.name}/conv_pw_11_relu", (2, 2, 512))
    assert model.features is not None
    assert model.head is not None
    expected = whole(images(), training=False)
    np.testing.assert_allclose(model.head(model.features(images(), training=False)), expected, rtol=1e-4)


@keras.saving.register_keras_serializable("autofit_tests_of_own_heads")
class WithItsOwnCall(keras.Model):  # type: ignore[misc]
    """A network whose layers cannot be seen."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Compute the output."""
        return super().call(inputs, training=training)


def subclassed(shape: tuple[int, int, int], classes: int) -> keras.Model:
    inputs = keras.Input(shape)
    return WithItsOwnCall(inputs, layers.Dense(classes, activation="softmax")(body(inputs)))


def compiled(shape: tuple[int, int, int], classes: int) -> keras.Model:
    model = network(shape, classes)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def only_a_head(shape: tuple[int, int, int], classes: int) -> keras.Model:
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(classes, activation="softmax")])


REFUSED: dict[str, tuple[Any, str]] = {
    "subclassed": (subclassed, "the model is a WithItsOwnCall with a call of its own, whose head cannot be told from"),
    "compiled": (compiled, "the model is compiled, and its optimizer, loss and metrics would not be used by"),
    "no weights": (only_a_head, "the model has no layer with weights below its last one, '.*': there is nothing pre"),
    "logits": (functional(lambda: [layers.Dense(CLASSES)]), "ends with Dense '.*' with activation='linear'"),
    "sigmoid": (functional(lambda: [softmax(activation="sigmoid")]), "with activation='sigmoid'"),
    "no bias": (functional(lambda: [softmax(use_bias=False)]), "ends with Dense '.*' with use_bias=False"),
    "constraint": (functional(lambda: [softmax(kernel_constraint="max_norm")]), "with a constraint"),
    "no dense": (functional(lambda: [softmax(), layers.Dropout(0.1)]), "the model ends with Dropout"),
    "shared": (functional(lambda: [layers.Dense(CLASSES), *[softmax()] * 2]), "takes more than the output of one"),
    "added losses": (
        functional(lambda: [layers.Dense(4, activity_regularizer="l2"), softmax()]),
        "add losses of their",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_without_such_a_head_is_refused(name: str) -> None:
    """The run would end in a traceback, or train something else than what was asked for."""
    function, said = REFUSED[name]
    with pytest.raises(UserError, match=said) as raised:
        built(HEAD, function)
    assert "\n" not in str(raised.value)
    assert "leave" in str(raised.value)


def test_one_unit_for_two_classes_is_refused() -> None:
    """A head of two units would be solved for one."""
    model = keras.Sequential([keras.Input((*SIZE, 3)), layers.Conv2D(2, 3), layers.Flatten()])
    model.add(layers.Dense(1, activation="sigmoid"))
    with pytest.raises(UserError, match=r"of 1 unit for 2 classes: end it with Dense\(2, activation='softmax'\)"):
        split_head(model, 2)


def test_with_several_labels_the_head_has_sigmoids() -> None:
    """A softmax would be taken for independent labels, or independent labels be refused."""
    model = built(HEAD, functional(lambda: [softmax(activation="sigmoid")]), multi_label=True)
    assert len(model.head_layers) == 1
    with pytest.raises(UserError, match=r"with activation='softmax': end it with Dense\(3, activation='sigmoid'\)"):
        built(HEAD, multi_label=True)


def test_a_cut_that_the_network_does_not_have_is_refused_before_the_head_is_solved() -> None:
    """The run would fail after the features were extracted."""
    with pytest.raises(UserError, match="fine_tune_from 'seventh' is no layer through which everything passes"):
        built(TrainedPart(later_cut="seventh"))
    # one kernel: nothing would train above a cut
    with pytest.raises(UserError, match=r"cannot be cut .* give fine_tune_from 'input'"):
        built(TrainedPart(later_cut="auto"), functional(TOPS["dense"][0]))


@pytest.mark.parametrize("name", ["features", "upper"])
def test_the_head_may_have_any_name(name: str) -> None:
    """Keras's error about a name that is used twice would end the run."""
    model = built(TUNED, renamed(name))
    assert [layer.name for layer in model.head_layers[1:]] == ["dropout_of_it", name]


def renamed(name: str) -> Any:
    def function(shape: tuple[int, int, int], classes: int) -> keras.Model:
        whole = network(shape, classes)
        flow = layers.Dropout(0.1, name="dropout_of_it")(whole.layers[-3].output)
        return keras.Model(whole.inputs[0], layers.Dense(classes, activation="softmax", name=name)(flow))

    return function


def test_random_layers_above_the_cut_draw_nothing() -> None:
    """Keras's layers for augmentation draw wherever they are not told that it is inference, each slice anew."""

    def function(shape: tuple[int, int, int], classes: int) -> keras.Model:
        inputs = keras.Input(shape)
        flow = layers.RandomTranslation(0.3, 0.3)(layers.Conv2D(4, 3, name="low")(inputs))
        return keras.Model(inputs, layers.Dense(classes, activation="softmax")(body(flow)))

    model = built(TrainedPart("low"), function)
    assert model.features is not None
    assert model.head is not None
    stepped = SplitNetwork(None, model.head, model.head_layers)(model.features(images()), keras.ops.zeros((4, 0)))
    np.testing.assert_allclose(stepped, model.model(images(), training=False), rtol=1e-5)


def test_regularizers_are_left_out_and_said_and_stay_in_the_saved_model() -> None:
    """The loss of fine-tuning could not be compared with the head's, or the user's model be changed."""
    model = built(
        HEAD,
        functional(
            lambda: [layers.Dense(4, kernel_regularizer="l2"), softmax(kernel_regularizer="l2", name="last")],
        ),
    )
    assert model.model.losses == []
    assert model.note.startswith("regularizers of weights are not used with trainable 'head' and fine_tune_epochs")
    assert model.model.get_layer("last").get_config()["kernel_regularizer"] is not None


def test_layers_that_were_never_trained_are_named() -> None:
    """A hidden layer of random weights would stay below a solved head without a word."""
    model = built(HEAD, functional(lambda: [layers.Dense(5, name="hidden"), softmax()]))
    assert model.note.startswith("layer 'hidden' looks as if never trained")

    def pretrained(shape: tuple[int, int, int], classes: int) -> keras.Model:
        whole = functional(lambda: [layers.Dense(5, name="hidden"), softmax()])(shape, classes)
        whole.get_layer("hidden").bias.assign(np.ones(5))
        return whole

    assert built(HEAD, pretrained).note == ""
