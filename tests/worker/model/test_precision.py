"""The numbers that layers compute with: which layers have 16 bits, and what stays float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from autofit.config.backbones import ModelSpec
from autofit.config.precisions import Precision
from autofit.errors import UserError
from autofit.worker.model.builder import BuiltModel, build, build_from_function
from autofit.worker.model.keras_internals import all_layers
from autofit.worker.model.precision import as_float32, computes_in_float16, in_precision, layers_in
from autofit.worker.model.sent_model import sent
from autofit.worker.training.export import save_model

pytestmark = pytest.mark.slow

SIZE, CLASSES = (32, 32), 3
IMAGES = np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3)).astype(np.float32)


def built_in(precision: Precision, cut: str | None = None) -> BuiltModel:
    """A small backbone with random weights and a head with a hidden layer."""
    spec = ModelSpec(
        backbone="MobileNet",
        weights="none",
        image_size=SIZE,
        trainable="all",
        hidden_units=4,
        cut=cut,
        precision=precision,
    )
    return build(spec, CLASSES, lambda _: None)


def small(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A user's network: a network inside, a layer with a policy of its own, logits and softmax apart."""
    inner = keras.Sequential([keras.Input(shape), layers.Conv2D(4, 3), layers.BatchNormalization()], name="inner")
    inputs = keras.Input(shape)
    flow = layers.Conv2D(4, 3, dtype="float64", name="own")(inner(layers.Rescaling(1 / 255)(inputs)))
    logits = layers.Dense(classes, name="logits")(layers.GlobalAveragePooling2D()(flow))
    return keras.Model(inputs, layers.Activation("softmax", name="softmax")(logits))


def policies(model: keras.Model) -> dict[str, str]:
    """The name of each layer's policy."""
    return {layer.name: layer.dtype_policy.name for layer in all_layers(model)}


def test_a_backbone_computes_in_16_bits_and_weights_head_and_output_stay_float32() -> None:
    """Small updates would be rounded away, small probabilities to zero; or nothing be saved at all."""
    built, plain = built_in("mixed_bfloat16"), built_in("float32")
    assert built.features is not None
    assert {v.dtype for v in built.model.variables if "seed" not in v.path} == {"float32"}
    assert policies(built.features)["conv_pw_6"] == "mixed_bfloat16"
    assert {policies(built.model)[layer.name] for layer in built.head_layers} == {"float32"}
    assert built.features(IMAGES).dtype == "bfloat16"
    assert built.model(IMAGES).dtype == "float32"
    for one, other in zip(built.model.get_weights(), plain.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_policy_of_the_process_is_as_before() -> None:
    """Layers that a user makes afterwards, with isolation="inline", would be others than they asked for."""
    with layers_in("mixed_bfloat16"), pytest.raises(ValueError, match="inside"), layers_in("mixed_float16"):
        raise ValueError("inside")
    assert keras.config.dtype_policy().name == "float32"


def test_a_policy_of_the_process_does_not_reach_a_backbone_or_its_head() -> None:
    """With isolation="inline" a notebook's own policy would train another network than the request says."""
    with layers_in("mixed_float16"):
        assert set(policies(built_in("float32").model).values()) == {"float32"}


def test_a_users_model_is_copied_with_the_policy_but_for_its_output_and_layers_with_their_own() -> None:
    """A model of one's own would be trained in float32 though another was asked for, or lose its weights."""
    model = small((*SIZE, 3), CLASSES)
    copy = in_precision(model, "mixed_float16")
    found = policies(copy)
    assert (found["own"], found["logits"], found["softmax"]) == ("float64", "float32", "float32")
    assert {found[layer.name] for layer in copy.get_layer("inner").layers} == {"mixed_float16"}
    assert computes_in_float16(copy)
    assert not computes_in_float16(model)
    np.testing.assert_allclose(copy(IMAGES), model(IMAGES), atol=2e-3)


def test_a_compiled_model_keeps_the_state_of_its_optimizer() -> None:
    """A training that goes on would begin with other momenta, and another learning rate at that step."""
    model = small((*SIZE, 3), CLASSES)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(IMAGES, np.arange(4) % CLASSES, verbose=0)
    copy = in_precision(model, "mixed_bfloat16")
    assert int(copy.optimizer.iterations) == 1
    momenta = [[np.asarray(v) for v in one.optimizer.variables] for one in (model, copy)]
    assert len(momenta[0]) > 3
    for one, other in zip(*momenta, strict=True):
        np.testing.assert_array_equal(one, other)


@keras.saving.register_keras_serializable("test_precision")
class OnlyFloat32(layers.Layer):  # type: ignore[misc]
    """Multiplies by a tensor of its own, which has 32 bits."""

    def call(self, inputs: Any) -> Any:
        """Multiply, without a cast."""
        import tensorflow as tf  # noqa: PLC0415

        return tf.multiply(inputs, tf.constant(0.5, tf.float32))


def test_a_layer_that_cannot_is_told_in_one_line() -> None:
    """The user would get a traceback of TensorFlow."""

    def network(shape: tuple[int, int, int], classes: int) -> keras.Model:
        stem = [keras.Input(shape), OnlyFloat32(), layers.Flatten()]
        return keras.Sequential([*stem, layers.Dense(classes, "softmax")])

    build_from_function(network, SIZE, CLASSES, seed=0)
    advice = 'leave the option out, or give layers that cannot dtype="float32"'
    with pytest.raises(
        UserError, match=rf"^precision 'mixed_bfloat16': the model function failed .*{advice}$"
    ) as caught:
        build_from_function(network, SIZE, CLASSES, seed=0, precision="mixed_bfloat16")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_saved_layer_that_cannot_is_told_in_one_line() -> None:
    """The user would get a traceback, or advice that a model which is built already cannot follow."""
    stem = [keras.Input((*SIZE, 3)), layers.Conv2D(4, 3), OnlyFloat32(), layers.Flatten()]
    model = keras.Sequential([*stem, layers.Dense(CLASSES, "softmax")])
    with pytest.raises(UserError, match=r"^precision 'mixed_bfloat16'.*or give a function that builds the model, with"):
        build_from_function(sent(model), SIZE, CLASSES, seed=0, precision="mixed_bfloat16")


def test_a_layer_for_which_float32_was_asked_keeps_it() -> None:
    """Nobody could follow the advice in that line, and a layer that needs 32 bits would have 16."""

    def network(shape: tuple[int, int, int], classes: int) -> keras.Model:
        stem = [keras.Input(shape), layers.Conv2D(4, 3, name="conv"), OnlyFloat32(dtype="float32", name="own")]
        return keras.Sequential([*stem, layers.Flatten(), layers.Dense(classes, "softmax", name="output")])

    found = policies(build_from_function(network, SIZE, CLASSES, seed=0, precision="mixed_bfloat16").model)
    assert (found["conv"], found["own"], found["output"]) == ("mixed_bfloat16", "float32", "float32")


@keras.saving.register_keras_serializable("test_precision")
class Block(layers.Layer):  # type: ignore[misc]
    """A layer that makes two others, one of which is to compute in float32."""

    def __init__(self, units: int, name: str | None = None) -> None:
        super().__init__(name=name)
        self.units = units
        self.hidden = layers.Dense(units, "relu", name="hidden")
        self.exact = layers.Dense(units, dtype="float32", name="exact")

    def build(self, shape: Any) -> None:
        """Build both."""
        self.hidden.build(shape)
        self.exact.build((None, self.units))

    def call(self, inputs: Any) -> Any:
        """Apply both."""
        return self.exact(self.hidden(inputs))

    def get_config(self) -> dict[str, Any]:
        """Its arguments; it leaves out the policy."""
        return {"units": self.units, "name": self.name}


def of_blocks(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A network of a user's own layers, in the middle and at the end."""
    stem = [keras.Input(shape), layers.Rescaling(1 / 255), layers.Conv2D(8, 3, name="conv"), layers.Flatten()]
    model = keras.Sequential([*stem, Block(6, name="middle"), Block(classes, name="end"), layers.Softmax()])
    model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("is_sent", [False, True], ids=["by a function", "as a model"])
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_layers_inside_a_users_own_layer_have_the_policy(precision: Precision, *, is_sent: bool) -> None:
    """They would stay in float32, and save neither memory nor time, without a word; or the model be refused."""
    whole = sent(of_blocks((*SIZE, 3), CLASSES)) if is_sent else of_blocks
    built = build_from_function(whole, SIZE, CLASSES, seed=0, precision=precision)
    plain = build_from_function(whole, SIZE, CLASSES, seed=0)
    middle, end = (built.model.get_layer(name) for name in ("middle", "end"))
    assert [middle.hidden.compute_dtype, middle.exact.compute_dtype] == [precision.removeprefix("mixed_"), "float32"]
    assert {layer.compute_dtype for layer in (end, end.hidden, end.exact)} == {"float32"}
    assert {v.dtype for v in built.model.trainable_variables} == {"float32"}
    assert built.compiled
    assert built.model(IMAGES).dtype == "float32"
    for one, other in zip(built.model.get_weights(), plain.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(built.model(IMAGES), plain.model(IMAGES), atol=2e-2)


def test_a_saved_network_in_a_users_function_has_the_policy(tmp_path: Path) -> None:
    """Whoever loads a pretrained network in a function would train in float32 though 16 bits were asked for."""
    small((*SIZE, 3), CLASSES).get_layer("inner").save(tmp_path / "inner.keras")

    def network(shape: tuple[int, int, int], classes: int) -> keras.Model:
        inner = keras.models.load_model(tmp_path / "inner.keras")
        ends = [layers.GlobalAveragePooling2D(), layers.Dense(classes, "softmax", name="output")]
        return keras.Sequential([keras.Input(shape), inner, *ends])

    found = policies(build_from_function(network, SIZE, CLASSES, seed=0, precision="mixed_float16").model)
    assert found["output"] == "float32"
    assert [name for name, policy in found.items() if policy == "float32"] == ["output"]


def test_a_copy_computes_with_what_its_normalization_was_adapted_to() -> None:
    """The copy would see images that are not normalized, as another network than the one that was given."""
    normalization = layers.Normalization()
    normalization.adapt(IMAGES)
    ends = [layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(CLASSES, "softmax")]
    model = keras.Sequential([keras.Input((*SIZE, 3)), normalization, *ends])
    np.testing.assert_allclose(in_precision(model, "mixed_float16")(IMAGES), model(IMAGES), atol=2e-2)


def test_a_function_that_fails_anyhow_is_not_blamed_on_the_precision() -> None:
    """The user would look for a layer that cannot compute in 16 bits."""

    def network(shape: tuple[int, int, int], classes: int) -> keras.Model:
        raise ValueError(f"no network for {shape} and {classes}")

    with pytest.raises(UserError, match=r"^the model function failed with ValueError: no network for"):
        build_from_function(network, SIZE, CLASSES, seed=0, precision="mixed_float16")


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_users_own_policy_is_kept(precision: str) -> None:
    """A compiled model in mixed precision was refused for the scale of its loss, or would be trained in float32."""

    def network(shape: tuple[int, int, int], classes: int) -> keras.Model:
        with layers_in(precision):
            model = keras.Sequential(
                [keras.Input(shape), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(classes, "softmax")]
            )
            model.compile("adam", "sparse_categorical_crossentropy")
            return model

    built = build_from_function(network, SIZE, CLASSES, seed=0)
    assert set(policies(built.model).values()) == {precision}
    assert built.outputs == "probabilities"


def test_the_saved_model_is_float32_and_predicts_alike(tmp_path: Path) -> None:
    """It would be slow, or not run at all, on a machine without such units; and export would give it to runtimes."""
    built = built_in("mixed_bfloat16")
    trained = np.asarray(built.model(IMAGES))
    as_float32(built.model, built.precision)
    save_model(built.model, tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    assert set(policies(opened).values()) == {"float32"}
    np.testing.assert_allclose(opened(IMAGES), trained, atol=2e-2)
