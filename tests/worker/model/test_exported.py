"""An exported model takes the place of the one before it, also after a kill in between."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from autofit.errors import UserError
from autofit.protocol.model_jobs import ExportFormat
from autofit.worker.model.exported import open_exported, replaced, write_exported

pytestmark = pytest.mark.slow  # loads Keras


def made(folder: Path, content: str) -> Path:
    folder.mkdir()
    (folder / "saved_model.pb").write_text(content)
    return folder


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """A model of both would be opened, or the one before stay beside it in a hidden folder."""
    target = made(tmp_path / "model", "before")
    with replaced(target) as written:
        made(written, "after")
        assert (target / "saved_model.pb").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (target / "saved_model.pb").read_text() == "after"


def test_a_kill_between_both_leaves_nothing_behind(tmp_path: Path) -> None:
    """The model before would be in a hidden folder for good, and lost where the next export fails."""
    target = tmp_path / "model"
    made(tmp_path / ".old-model", "before")
    made(tmp_path / ".part-model", "after")
    with pytest.raises(ValueError, match="fails"), replaced(target):
        raise ValueError("the next export fails")
    assert (target / "saved_model.pb").read_text() == "before"
    made(tmp_path / ".old-model", "long before")
    with replaced(target) as written:
        made(written, "after")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def failing(error: Exception) -> Any:
    """A model whose exporter raises an error."""

    def export(*_: object, **__: object) -> None:
        raise error

    return SimpleNamespace(export=export)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOSPC, "No space left on device"),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[4]"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_machine_lacks_is_not_put_down_to_the_format(error: Exception, tmp_path: Path) -> None:
    """A user with a full disk or too little memory would try one format after another."""
    with pytest.raises(type(error)) as raised:
        write_exported(failing(error), tmp_path / "model", "onnx")
    assert raised.value is error


def test_what_a_format_cannot_hold_is_named_without_the_place_in_the_graph(tmp_path: Path) -> None:
    """The reason would be `Graph execution error:`."""
    error = ValueError("Graph execution error:\n\nDetected at node x\nno such operation")
    with pytest.raises(UserError, match=r"exported to onnx \(no such operation\): try another format"):
        write_exported(failing(error), tmp_path / "model", "onnx")


def test_each_image_that_sets_the_scales_is_a_sign_of_life(tmp_path: Path) -> None:
    """The export of a large network would be killed as hung: a hundred images take more time than silence may."""
    model = keras.Sequential([keras.Input((4, 6, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    beats: list[None] = []
    images = np.zeros((3, 4, 6, 3), np.uint8)
    write_exported(model, tmp_path / "model.tflite", "litert", images, lambda: beats.append(None))
    assert len(beats) == len(images)


@pytest.mark.parametrize("export_format", ["onnx", "litert"])
def test_what_a_runtime_cannot_open_is_a_users_error(tmp_path: Path, export_format: ExportFormat) -> None:
    """tf2onnx writes an operation that it does not know, such as GELU's, and the export was said to have failed."""
    written = tmp_path / "model"
    written.write_bytes(b"an operation of no runtime")
    with pytest.raises(UserError, match=rf"cannot be exported to {export_format} \(.+\): try another format"):
        open_exported(written, export_format)
