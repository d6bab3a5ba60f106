"""Exports of a real, small model, opened by the runtimes that they are for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit.api.result import Result
from autofit.dataset.scan import scan
from autofit.errors import UserError
from autofit.input.decode import decode_image
from tests.api.test_result import finished

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]

SIZE = (32, 48)


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the photos' three classes with a small network, of random weights."""
    import keras

    folder = tmp_path_factory.mktemp("run")
    index = scan(photos)
    finished(folder, index.class_names, isolation="inline")
    absolute = [index.path(number) for number in range(len(index.paths))]
    replace(index, paths=absolute).write_csv(folder / "samples.csv")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            keras.layers.Rescaling(1 / 127.5, offset=-1),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=4)),
        ]
    )
    model.save(folder / "model.keras")
    return folder


def opened(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The model in a file or folder, in the runtime that it is for."""
    if path.is_dir():
        import tensorflow as tf

        served: Any = tf.saved_model.load(str(path))
        return lambda images: np.asarray(served.serve(images))
    if path.suffix == ".onnx":
        from onnxruntime import InferenceSession  # noqa: PLC0415

        session = InferenceSession(str(path))
        return lambda images: np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    interpreter = Interpreter(str(path))
    given = interpreter.get_input_details()[0]["index"]

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(given, images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given, images)
        interpreter.invoke()
        return np.array(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))

    return run


@pytest.mark.parametrize("export_format", ["litert", "onnx", "savedmodel"])
def test_an_exported_model_says_the_same_in_its_own_runtime(trained: Path, photos: Path, export_format: str) -> None:
    """A model in a phone would give other classes than the one that was judged."""
    import keras

    result = Result(trained)
    for _ in range(2):  # the second replaces the first
        exported = result.export(export_format)
    assert exported.parity is not None
    assert exported.parity.same == exported.parity.images > 30
    assert exported.parity.largest_difference < 1e-4
    assert exported.size_bytes > 0
    images = np.stack([decode_image(path, SIZE) for path in sorted(photos.rglob("*.png"))]).astype(np.float32)
    expected = np.asarray(keras.models.load_model(trained / "model.keras")(images))
    assert len(set(expected.argmax(axis=1))) > 1
    np.testing.assert_allclose(opened(Path(exported.path))(images), expected, atol=1e-4)
    assert not list(trained.glob(".*"))


def test_a_network_for_images_of_any_size_is_written_for_those_of_the_run(trained: Path, tmp_path: Path) -> None:
    """LiteRT took it as one for a single pixel, and the export was refused for a reason of its delegate."""
    import keras
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    for name in ("run.json", "result.json", "samples.csv"):
        shutil.copy(trained / name, tmp_path)
    layers = keras.models.load_model(trained / "model.keras").layers
    keras.Sequential([keras.Input((None, None, 3)), *layers]).save(tmp_path / "model.keras")
    exported = Result(tmp_path).export("litert")
    assert exported.parity is not None
    assert exported.parity.same == exported.parity.images > 30
    assert exported.parity.largest_difference < 1e-4
    assert Interpreter(exported.path).get_input_details()[0]["shape"].tolist() == [1, *SIZE, 3]


def test_integers_are_smaller_nearly_the_same_and_in_a_file_of_their_own(trained: Path) -> None:
    """Scales of no images would make all probabilities equal; the export before, to compare with, would be gone."""
    exported = Result(trained).export("litert", int8=True)
    assert Path(exported.path) == trained / "model-int8.tflite"
    assert exported.parity is not None
    assert exported.parity.same >= 0.9 * exported.parity.images
    assert 0 < exported.parity.largest_difference < 0.2


def test_integers_without_images_to_set_their_scales_are_one_line(trained: Path, tmp_path: Path) -> None:
    """The converter writes floating point then, which would be said to be 8-bit integers."""
    for name in ("run.json", "result.json", "model.keras"):
        shutil.copy(trained / name, tmp_path)
    listed = (trained / "samples.csv").read_text(encoding="utf-8")
    (tmp_path / "samples.csv").write_text(listed.replace(".png", ".gone.png"), encoding="utf-8")
    with pytest.raises(UserError, match="none of them can be read: bring them back to where they were, or leave int8"):
        Result(tmp_path).export("litert", int8=True)
    assert not (tmp_path / "model-int8.tflite").exists()
    assert Result(tmp_path).export("litert").parity is None


def test_what_a_format_cannot_hold_is_one_line_and_leaves_nothing(trained: Path, tmp_path: Path) -> None:
    """A traceback of a converter has a thousand lines; half a file would be taken for a model."""
    with pytest.raises(UserError, match="int8 is for litert"):
        Result(trained).export("onnx", tmp_path / "a.onnx", int8=True)
    with pytest.raises(UserError, match="give one of litert, onnx, savedmodel"):
        Result(trained).export("coreml")
    assert list(tmp_path.iterdir()) == []
