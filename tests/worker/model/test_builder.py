import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from autofit.config.backbones import ModelSpec, find
from autofit.errors import UserError
from autofit.protocol.messages import Phase
from autofit.worker.model.builder import BuiltModel, build, build_from_function
from autofit.worker.model.weights import frozen_hash, weights_sha256
from tests.support.shared import made_once

pytestmark = [
    pytest.mark.slow,
    # Keras 3.13 to 3.15 over NumPy 2.3 and later, whenever a variable becomes an array, as in every save.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

CLASSES = 3
SIZE = (32, 32)


def spec(backbone: str = "MobileNet", **changes: Any) -> ModelSpec:
    fields: dict[str, Any] = {"backbone": backbone, "weights": "none", "image_size": SIZE, "trainable": "head"}
    return ModelSpec.model_validate(fields | changes)


def built(backbone: str = "MobileNet", **changes: Any) -> BuiltModel:
    return build(spec(backbone, **changes), CLASSES, lambda _: None)


def some_images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)


def network(model: BuiltModel) -> keras.Model:
    """The backbone inside."""
    return next(layer for layer in model.model.layers if isinstance(layer, keras.Model))


def batch_normalizations(model: BuiltModel) -> list[keras.layers.BatchNormalization]:
    return [layer for layer in network(model).layers if isinstance(layer, layers.BatchNormalization)]


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    """MobileNet without its top, with weights that no spec's seed gives."""
    keras.utils.set_random_seed(99)
    return keras.applications.MobileNet(weights=None, include_top=False, input_shape=(*SIZE, 3))


@pytest.fixture(scope="module", params=[".weights.h5", pytest.param(".keras", marks=pytest.mark.whole)])
def weights_file(request: pytest.FixtureRequest, mobilenet: keras.Model, tmp_path_factory: Any) -> Path:
    """MobileNet's weights in a file of each kind that Keras 3 writes."""
    path: Path = tmp_path_factory.mktemp("weights") / f"mine{request.param}"
    (mobilenet.save_weights if request.param == ".weights.h5" else mobilenet.save)(path)
    return path


# What is built


@pytest.mark.parametrize("hidden_units", [0, 4])
def test_a_head_from_zeros_begins_with_a_guess(hidden_units: int) -> None:
    """The first epochs of a training would be spent on undoing a random head; without the wish, Keras's is built."""
    begun = built(head_from_zeros=True, hidden_units=hidden_units)
    assert np.all(begun.model.predict_on_batch(some_images()) == np.float32(1 / CLASSES))
    assert all(np.any(layer.kernel) for layer in begun.head_layers[:1] if hidden_units)
    assert np.any(built(hidden_units=hidden_units).head_layers[-1].kernel)


@pytest.mark.parametrize(
    ("backbone", "module"),
    [
        pytest.param("VGG16", "vgg16", id="caffe"),
        pytest.param("MobileNet", "mobilenet", id="tf"),
        pytest.param("DenseNet121", "densenet", id="torch", marks=pytest.mark.whole),
        pytest.param("EfficientNetB0", "efficientnet", id="none", marks=pytest.mark.whole),
    ],
)
def test_raw_images_are_preprocessed_as_keras_does(backbone: str, module: str) -> None:
    """Pretrained weights would see other pixels than they were trained on, and accuracy would quietly drop."""
    model = built(backbone)
    assert model.features is not None
    raw = some_images().astype("float32")
    expected = getattr(keras.applications, module).preprocess_input(raw.copy())

    if find(backbone).preprocessing != "none":
        pixels = keras.Model(model.features.inputs[0], model.features.get_layer("preprocessing").output)
        np.testing.assert_allclose(pixels(raw), expected, atol=1e-4)
    np.testing.assert_allclose(model.features(raw), network(model)(expected), rtol=1e-3, atol=1e-4)


def test_head_and_features_are_the_model() -> None:
    """A trained head would not be in the model that is saved."""
    model = built(hidden_units=5, dropout=0.5)
    assert model.features is not None
    assert model.head is not None
    names = [layer.name for layer in model.head_layers]
    model.head_layers[-1].kernel.assign(model.head_layers[-1].kernel * 3)

    whole = model.model(some_images())

    assert names == ["hidden", "dropout", "probabilities"]
    assert whole.shape == (2, CLASSES)
    np.testing.assert_allclose(np.sum(whole, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(model.head(model.features(some_images())), whole)


def test_a_plain_head_is_one_layer() -> None:
    """A hidden layer or a dropout that the user did not choose would be trained and saved."""
    assert [type(layer) for layer in built().head_layers] == [layers.Dense]


def test_uint8_and_float32_images_predict_alike() -> None:
    """Validation on uint8 batches and a user's prediction on floats would disagree."""
    model = built().model
    raw = some_images()

    np.testing.assert_array_equal(model(raw), model(raw.astype("float32")))


def test_the_image_size_is_height_then_width() -> None:
    """Images that are not square would be refused by their own model."""
    model = built(image_size=(40, 56)).model

    assert model.input_shape == (None, 40, 56, 3)


def test_the_same_spec_gives_the_same_weights() -> None:
    """An attempt after a crash would start from another network than the first."""
    first, second, other = (weights_sha256(built(seed=seed, hidden_units=4).model) for seed in (7, 7, 8))

    assert first == second != other


def test_saved_models_open_without_autofit(tmp_path: Path, *, whole: bool) -> None:
    """A user could not open the model on a machine that has only Keras."""
    code = """
import sys
sys.modules["autofit"] = None
import keras, numpy
images = numpy.load("images.npy")
for name in sys.argv[1:]:
    numpy.save(name + ".npy", keras.models.load_model(name + ".keras").predict(images, verbose=0))
"""
    names = ("VGG16", "MobileNet", "ConvNeXtTiny") if whole else ("MobileNet",)
    models = {name: built(name, hidden_units=4, dropout=0.2) for name in names}
    np.save(tmp_path / "images.npy", some_images())
    for name, model in models.items():
        model.model.save(tmp_path / f"{name}.keras")

    subprocess.run([sys.executable, "-I", "-c", code, *models], cwd=tmp_path, check=True, capture_output=True)

    for name, model in models.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), model.model(some_images()), atol=1e-5)


def test_channels_first_is_refused() -> None:
    """Images would be read with height for channels."""
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(UserError, match="channels_last"):
            built()
    finally:
        keras.config.set_image_data_format("channels_last")


# What trains


def test_a_cut_for_later_is_checked_when_the_head_is_built() -> None:
    """Minutes or hours of extraction would pass before a name with a typing error is told."""
    assert build(spec(), CLASSES, lambda _: None, later_cut="conv_pw_11_relu").cut is None
    with pytest.raises(UserError, match="fine_tune_from 'conv_pw_99_relu' is no layer through which everything passes"):
        build(spec(), CLASSES, lambda _: None, later_cut="conv_pw_99_relu")


def test_head_only_trains_the_head() -> None:
    """The backbone would train although its features are computed once and cached."""
    model = built(hidden_units=4)
    assert model.head is not None

    trained = {variable.path for variable in model.model.trainable_variables}

    assert model.frozen
    assert trained == {variable.path for variable in model.head.trainable_variables}
    assert len(trained) == 4


def test_pretrained_batch_normalization_keeps_its_statistics(weights_file: Path) -> None:
    """Fine-tuning would replace the pretrained statistics by those of a micro-batch."""
    model = built(weights=str(weights_file), trainable="all")
    before = frozen_hash(variable for layer in batch_normalizations(model) for variable in layer.weights)

    model.model(some_images(), training=True)

    assert not model.frozen
    assert not any(layer.trainable for layer in batch_normalizations(model))
    assert before == frozen_hash(variable for layer in batch_normalizations(model) for variable in layer.weights)
    assert network(model).get_layer("conv1").trainable_variables


def test_batch_normalization_trains_from_scratch() -> None:
    """A network without pretrained weights would not learn at all."""
    model = built(trainable="all")
    statistics = batch_normalizations(model)[0].moving_mean
    before = np.array(statistics)

    model.model(some_images(), training=True)

    assert all(layer.trainable for layer in batch_normalizations(model))
    assert not np.array_equal(before, statistics)


# Where the weights come from


def test_a_weights_file_is_loaded(weights_file: Path, mobilenet: keras.Model) -> None:
    """The user's weights would be ignored and the run would start from noise."""
    model = built(weights=str(weights_file))

    assert weights_sha256(network(model)) == weights_sha256(mobilenet)


@pytest.mark.parametrize(("weights", "expected"), [("none", [Phase.BUILD]), ("FILE", [Phase.WEIGHTS, Phase.BUILD])])
def test_phases_are_announced(weights: str, expected: list[Phase], weights_file: Path) -> None:
    """A long download would look like a hang."""
    heard: list[Phase] = []

    build(spec(weights=weights.replace("FILE", str(weights_file))), CLASSES, heard.append)

    assert heard == expected


def damaged(folder: Path, mobilenet: keras.Model) -> str:
    path = folder / "half.weights.h5"
    mobilenet.save_weights(path)
    os.truncate(path, path.stat().st_size // 2)
    return str(path)


def made_for_another(folder: Path, mobilenet: keras.Model) -> str:  # noqa: ARG001
    path = folder / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), layers.Dense(2)]).save_weights(path)
    return str(path)


def no_archive(folder: Path, mobilenet: keras.Model) -> str:  # noqa: ARG001
    path = folder / "text.keras"
    path.write_text("no weights")
    return str(path)


@pytest.mark.parametrize("make", [damaged, made_for_another, no_archive])
def test_a_weights_file_that_does_not_fit_is_refused(
    make: Callable[[Path, keras.Model], str], tmp_path: Path, mobilenet: keras.Model
) -> None:
    """The run would end in a traceback of h5py, or start from noise."""
    path = make(tmp_path, mobilenet)

    with pytest.raises(UserError, match="does not fit MobileNet") as caught:
        built(weights=path)

    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "exists", "expected"),
    [("gone.weights.h5", False, "does not exist"), ("weights.pt", True, "no known kind")],
)
def test_a_weights_file_that_cannot_be_right_is_refused(
    name: str, *, exists: bool, expected: str, tmp_path: Path
) -> None:
    """A typo would cost a build."""
    if exists:
        (tmp_path / name).touch()

    with pytest.raises(UserError, match=expected):
        built(weights=str(tmp_path / name))


@pytest.fixture(scope="module")
def without_network(tmp_path_factory: Any, mobilenet: keras.Model) -> tuple[Path, list[str]]:
    """Keras's cache, and what building with ImageNet weights says where nothing can be downloaded."""
    home = made_once(tmp_path_factory, "imagenet-offline", lambda home: build_offline(home, mobilenet))
    said = (home / "said").read_text().splitlines()
    return home / "models", [line[5:] for line in said if line.startswith("SAID ")]


def build_offline(home: Path, mobilenet: keras.Model) -> None:
    """Build where nothing can be downloaded, with a folder for Keras's cache; `said` gets what is printed.

    The cache has a good file for MobileNet at 32 pixels, half a file at 128, and one for ResNet50 that is not Keras's.
    """
    (home / "models").mkdir()
    mobilenet.save(home / "models" / "good.h5")
    good = (home / "models" / "good.h5").read_bytes()
    (home / "models" / find("MobileNet").weights_file_for((32, 32))).write_bytes(good)
    (home / "models" / find("MobileNet").weights_file_for((128, 128))).write_bytes(good[: len(good) // 2])
    (home / "models" / find("ResNet50").weights_file_for((32, 32))).write_bytes(good)
    code = """
import sys, warnings
warnings.simplefilter("error", UserWarning)
from autofit.config.backbones import ModelSpec
from autofit.errors import UserError
from autofit.worker.model.builder import build
from autofit.worker.model.weights import weights_sha256
for name, size in (("MobileNet", 32), ("MobileNet", 128), ("MobileNetV2", 64), ("ResNet50", 32)):
    try:
        spec = ModelSpec(backbone=name, weights="imagenet", image_size=(size, size), trainable="head")
        said = []
        built = build(spec, 2, lambda phase: None, on_message=said.append)
        print("SAID", weights_sha256(built.model.layers[2]), *said)
    except UserError as error:
        print("SAID", error)
"""
    offline = {"KERAS_HOME": str(home), "https_proxy": "http://127.0.0.1:9", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | offline, check=True, capture_output=True, text=True, timeout=120
    )
    (home / "said").write_text(done.stdout)


@pytest.mark.whole
def test_cached_imagenet_weights_need_no_network(
    without_network: tuple[Path, list[str]], mobilenet: keras.Model
) -> None:
    """A machine without a network could not train with the weights it has, or a size without its own would warn."""
    _, (cached, _, _, _) = without_network

    sha256, said = cached.split(" ", 1)
    assert sha256 == weights_sha256(mobilenet)
    assert said.startswith("ImageNet weights: MobileNet has files of its own for 128, 160, 192, 224 pixels; ")
    assert said.endswith("the one for 224 serves 32x32 too")


@pytest.mark.whole
def test_an_incomplete_download_is_named(without_network: tuple[Path, list[str]]) -> None:
    """A killed download would make every later run fail with a message of h5py's."""
    folder, (_, half, _, _) = without_network

    assert str(folder / "mobilenet_1_0_128_tf_no_top.h5") in half
    assert half.endswith("delete the file, run again")


@pytest.mark.whole
def test_missing_imagenet_weights_say_where_to_put_them(without_network: tuple[Path, list[str]]) -> None:
    """Someone without a network would not learn which file to copy where, or how to train without it."""
    folder, (_, _, missing, _) = without_network

    assert "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5" in missing
    assert str(folder) in missing
    assert "--weights none" in missing


@pytest.mark.whole
def test_a_cached_file_that_keras_refuses_is_called_so(without_network: tuple[Path, list[str]]) -> None:
    """It would be said to be missing, although it was there."""
    folder, (_, _, _, refused) = without_network

    assert refused.startswith(f"{folder / 'resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5'} was not Keras's own")
    assert "its checksum differs), and Keras has deleted it; Keras's could not be downloaded (" in refused
    assert refused.endswith("--weights FILE")


# Hashes


def test_a_hash_tells_dtype_shape_order_and_bytes_apart() -> None:
    """A checkpoint would be continued on another frozen backbone."""
    values = [np.zeros((2, 3), "float32"), np.zeros((3, 2), "float32"), np.zeros((2, 3), "int32")]
    values.append(np.array([[0, 0, 0], [0, 0, 1]], "float32"))
    variables = [keras.Variable(value, dtype=value.dtype) for value in values]

    hashes = [frozen_hash([variable]) for variable in variables]

    assert len({*hashes, frozen_hash(variables), frozen_hash(reversed(variables))}) == 6
    assert hashes[0] == frozen_hash([keras.Variable(values[0])])


def test_a_random_seed_is_no_weight() -> None:
    """Two models that predict alike would have different hashes."""
    model = built(dropout=0.5).model
    before = weights_sha256(model)

    model(some_images(), training=True)

    assert weights_sha256(model) == before


# Models of users


def tiny(inputs: Any, outputs: int = CLASSES, activation: str | None = "softmax") -> Any:
    return layers.Dense(outputs, activation=activation)(layers.GlobalAveragePooling2D()(inputs))


def softmax_model(shape: tuple[int | None, ...], outputs: int = CLASSES, activation: str | None = "softmax") -> Any:
    inputs = keras.Input(shape)
    return keras.Model(inputs, tiny(inputs, outputs, activation))


def compiled(loss: Any, activation: str | None = "softmax", optimizer: Any = "adam", **more: Any) -> Any:
    model = softmax_model((*SIZE, 3), activation=activation)
    model.compile(optimizer, loss, **more)
    return model


def with_own(method: str) -> Any:
    """A model of a class that overrides one method of Keras's."""
    inputs = keras.Input((*SIZE, 3))
    return type("Own", (keras.Model,), {method: lambda *_: None})(inputs, tiny(inputs))


def two_inputs() -> keras.Model:
    first, second = keras.Input((*SIZE, 3)), keras.Input((*SIZE, 3))
    return keras.Model([first, second], tiny(first + second))


def two_outputs(*, named: bool = False) -> keras.Model:
    inputs = keras.Input((*SIZE, 3))
    if named:
        return keras.Model(inputs, {"label": tiny(inputs)})
    return keras.Model(inputs, [tiny(inputs), tiny(inputs)])


def synchronized() -> keras.Model:
    inner = keras.Sequential([keras.Input((*SIZE, 3)), layers.BatchNormalization(synchronized=True, name="sync")])
    inputs = keras.Input((*SIZE, 3))
    return keras.Model(inputs, tiny(inner(inputs)))


def saturating_sigmoids() -> keras.Model:
    """Gives 1, 0, 0 on any bright image, which sums to 1 as probabilities do."""
    model = softmax_model((*SIZE, 3), activation="sigmoid")
    model.set_weights([np.array([[1, -2, -2]] * 3, "float32"), np.zeros(3, "float32")])
    return model


def replaced_step() -> keras.Model:
    model = softmax_model((*SIZE, 3))
    model.train_step = lambda _: None
    return model


def raises(error: Exception) -> Any:
    raise error


SUM = keras.losses.SparseCategoricalCrossentropy(reduction="sum")

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no model": (lambda: 5, "returned builtins.int"),
    "failed": (lambda: raises(KeyError("depth")), "failed with KeyError: 'depth'"),
    "unbuilt": (lambda: keras.Sequential([layers.Flatten(), layers.Dense(3)]), "Sequential without inputs"),
    "subclassed": (type("Mine", (keras.Model,), {}), "Mine without inputs"),
    "other size": (lambda: softmax_model((64, 64, 3)), r"takes \(None, 64, 64, 3\)"),
    "grey": (lambda: softmax_model((*SIZE, 1)), r"takes \(None, 32, 32, 1\)"),
    "fixed batch": (
        lambda: keras.Sequential([keras.Input((*SIZE, 3), batch_size=8), layers.Flatten(), layers.Dense(3)]),
        r"takes \(8, 32, 32, 3\)",
    ),
    "two inputs": (two_inputs, "takes .* and .* needs one input"),
    "other classes": (lambda: softmax_model((*SIZE, 3), 4), r"gives \(None, 4\).*\(None, 3\)"),
    "two outputs": (two_outputs, r"gives \(None, 3\) and \(None, 3\)"),
    "named output": (lambda: two_outputs(named=True), "gives a dictionary"),
    "train_step": (lambda: with_own("train_step"), "train_step of its own"),
    "test_step": (lambda: with_own("test_step"), "test_step of its own"),
    "compute_loss": (lambda: with_own("compute_loss"), "compute_loss of its own"),
    "replaced step": (replaced_step, "train_step of its own"),
    "synchronized": (synchronized, "'sync' has synchronized=True"),
    "summed loss": (lambda: compiled(SUM), "reduction='sum'"),
    "summed loss in a list": (lambda: compiled([SUM]), "reduction='sum'"),
    "two losses": (lambda: compiled(["mse", "mae"]), "2 losses"),
    "averaged weights of a scaled loss": (
        lambda: compiled("mse", optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(use_ema=True))),
        "use_ema=True",
    ),
    "averaged weights": (lambda: compiled("mse", optimizer=keras.optimizers.Adam(use_ema=True)), "use_ema=True"),
    "weighted loss": (lambda: compiled("mse", loss_weights=0.5), "loss_weights=0.5, which are not used"),
    "weighted losses": (lambda: compiled(["mse"], loss_weights=[2.0]), r"loss_weights=\[2.0\], which"),
    "weighted metrics": (lambda: compiled("mse", weighted_metrics=["accuracy"]), "weighted_metrics, which"),
    "no loss": (lambda: compiled(None), "without a loss"),
    "logits": (lambda: softmax_model((*SIZE, 3), activation=None), "no probabilities"),
    "sigmoid": (saturating_sigmoids, "no probabilities"),
}


@pytest.mark.parametrize(("make", "expected"), REFUSED.values(), ids=REFUSED)
def test_models_that_cannot_be_trained_faithfully_are_refused(make: Callable[[], Any], expected: str) -> None:
    """The run would train something else than the user wrote, or fail late and unclearly."""
    with pytest.raises(UserError, match=expected) as caught:
        build_from_function(lambda _shape, _classes: make(), SIZE, CLASSES, seed=0)

    assert "\n" not in str(caught.value)


ACCEPTED: dict[str, tuple[Callable[[], Any], bool]] = {
    "functional": (lambda: softmax_model((*SIZE, 3)), False),
    "any size": (lambda: softmax_model((None, None, 3)), False),
    "sequential": (
        lambda: keras.Sequential([keras.Input((*SIZE, 3)), layers.Flatten(), layers.Dense(3, activation="softmax")]),
        False,
    ),
    "loss by name": (lambda: compiled("sparse_categorical_crossentropy"), True),
    "a whole loss": (lambda: compiled("sparse_categorical_crossentropy", loss_weights=[1.0]), True),
    "loss of logits": (lambda: compiled(keras.losses.SparseCategoricalCrossentropy(from_logits=True), None), True),
    "mean": (lambda: compiled(keras.losses.SparseCategoricalCrossentropy(reduction="mean")), True),
    "weight of 1": (lambda: compiled("sparse_categorical_crossentropy", loss_weights=1.0), True),
}


@pytest.mark.parametrize(("make", "is_compiled"), ACCEPTED.values(), ids=ACCEPTED)
def test_models_of_users_are_taken_as_they_are(make: Callable[[], Any], *, is_compiled: bool) -> None:
    """A model that can be trained would be refused, or its own loss replaced."""
    model = build_from_function(lambda _shape, _classes: make(), SIZE, CLASSES, seed=0)

    assert model.compiled is is_compiled
    assert model.features is model.head is None
    assert not model.frozen


def test_a_model_function_is_given_shape_classes_and_seed() -> None:
    """A user's model would start from other weights in each attempt."""
    made = [build_from_function(softmax_model, (20, 30), 5, seed).model for seed in (1, 1, 2)]

    assert made[0].input_shape == (None, 20, 30, 3)
    assert made[0].output_shape == (None, 5)
    assert weights_sha256(made[0]) == weights_sha256(made[1]) != weights_sha256(made[2])


def test_out_of_memory_in_a_model_function_is_no_fault_of_the_user() -> None:
    """A smaller attempt would not be made, and the user would look for an error that is not there."""
    error = tf.errors.ResourceExhaustedError(None, None, "OOM")

    with pytest.raises(tf.errors.ResourceExhaustedError):
        build_from_function(lambda _shape, _classes: raises(error), SIZE, CLASSES, seed=0)
