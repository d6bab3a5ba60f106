"""Writes a model in the formats of other runtimes, by Keras's exporters, and opens it again by these runtimes."""

from __future__ import annotations

import contextlib
import io
import shutil
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from autofit.errors import UserError
from autofit.protocol.model_jobs import ExportFormat
from autofit.storage.system_errors import OF_STORAGE
from autofit.worker.execution.microbatch import Blame, blame
from autofit.worker.runtime.exceptions import first_line

Forward = Callable[[np.ndarray], np.ndarray]
"""From raw pixels, float32 (n, height, width, 3) from 0 to 255, to probabilities, float32 (n, classes)."""

EXTRA = "pip install 'autofit-keras[export]'"
KERAS_FORMATS = {"litert": "litert", "onnx": "onnx", "savedmodel": "tf_saved_model"}


def write_exported(
    model: keras.Model,
    target: Path,
    export_format: ExportFormat,
    calibration: np.ndarray | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> None:
    """Write a model in another format.

    Args:
        model: the model, which takes raw pixels.
        target: the file, or the folder of a SavedModel.
        export_format: the format.
        calibration: images, uint8 (n, height, width, 3), that set the scales of 8-bit integers; None for floating
            point. Only for LiteRT. Operations without an integer implementation in LiteRT stay in floating point.
        on_image: called before each of these images is predicted, which takes seconds in a large network.

    Raises:
        UserError: a package is missing, or the model has an operation that the format does not know.
        Exception: memory or the drive ran out, in the class in which that came.
    """
    options: dict[str, Any] = {}
    if calibration is not None:
        options = {
            "optimizations": [tf.lite.Optimize.DEFAULT],
            "representative_dataset": partial(_one_by_one, calibration, on_image),
        }
    with _refused(export_format), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx causes NumPy's FutureWarning
        model.export(str(target), format=KERAS_FORMATS[export_format], verbose=False, **options)


def _one_by_one(images: np.ndarray, on_image: Callable[[], None]) -> Iterator[list[np.ndarray]]:
    """Each image as the inputs of a model, float32 (1, height, width, 3)."""
    for image in images:
        on_image()
        yield [image[None].astype(np.float32)]


@contextlib.contextmanager
def _refused(export_format: ExportFormat) -> Iterator[None]:
    """Let whatever an exporter or a runtime raises be an error of what the user asked for.

    Raises:
        UserError: a package is missing, or the format does not know an operation of the model.
    """
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise  # running out of memory has its own verdict
    except ImportError as error:
        raise UserError(f"{export_format} needs a package that is not installed ({error.name}): {EXTRA}") from error
    except Exception as error:
        if _is_of_the_machine(error):
            raise
        why = first_line(error)[:300]
        raise UserError(f"this model cannot be exported to {export_format} ({why}): try another format") from error


def _is_of_the_machine(error: Exception) -> bool:
    """Whether memory or the drive ran out: another format would not help."""
    is_of_drive = isinstance(error, OSError) and error.errno in OF_STORAGE
    return is_of_drive or blame(error) is Blame.MEMORY


def open_exported(target: Path, export_format: ExportFormat) -> Forward | None:
    """Open an exported model in its own runtime; None if that is not installed.

    For LiteRT there is a fallback: the interpreter that comes with TensorFlow.

    Raises:
        UserError: the runtime does not know an operation of the model, which the exporter wrote all the same.
    """
    if export_format == "savedmodel":
        served = tf.saved_model.load(str(target))
        return lambda images: np.asarray(served.serve(images))
    if export_format == "onnx":
        try:
            import onnxruntime  # noqa: PLC0415 - optional
        except ImportError:
            return None
        with _refused(export_format):
            session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        return lambda images: np.asarray(session.run(None, {given.name: images})[0])
    with _refused(export_format):
        return _litert(_interpreter()(model_path=str(target)))


def _interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - optional
    except ImportError:
        return tf.lite.Interpreter
    return Interpreter


def _litert(interpreter: Any) -> Forward:
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()

    def one(image: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(given["index"], image[None])
        interpreter.invoke()
        return np.array(interpreter.get_tensor(answer["index"])[0])

    interpreter.allocate_tensors()
    return lambda images: np.stack([one(image) for image in images])


@contextlib.contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """A temporary path beside the target; what is written there replaces the target when the block has succeeded.

    A folder (SavedModel) cannot be replaced atomically, so the old one is moved aside until the new one is in its
    place. After a kill in between, the next call puts it back.
    """
    temporary, old = target.with_name(f".part-{target.name}"), target.with_name(f".old-{target.name}")
    _remove(temporary)
    if old.is_dir() and not target.exists():
        old.rename(target)
    _remove(old)
    try:
        yield temporary
        if target.is_dir():
            target.rename(old)
            temporary.rename(target)
            _remove(old)
        else:
            temporary.replace(target)
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
