"""Builds a backbone with its initial weights, and hashes weights."""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import keras

from autofit.config.backbones import Backbone
from autofit.errors import UserError
from autofit.printable import printable
from autofit.protocol.job import ModelSource
from autofit.storage.model_file import require_plain_model
from autofit.storage.safe_files import sha256_of_file
from autofit.worker.model.classifier_weights import classes_of_top, load_without_top, weighted_layers
from autofit.worker.model.imagenet_rescaling import is_unscaled, lacks_rescaling, with_rescaling

WEIGHTS_SUFFIXES = (".h5", ".keras")  # .weights.h5 too

# The exceptions of h5py, zipfile and Keras for a file that is damaged, or was saved from another network.
_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, UserWarning)


def load_backbone(
    backbone: Backbone, image_size: tuple[int, int], weights: str, on_message: Callable[[str], None]
) -> keras.Model:
    """The backbone without its top, from preprocessed images `(n, height, width, 3)` to pooled features `(n, d)`.

    Keras adds the pooling: ConvNeXt has a LayerNormalization after it; the others have only the pooling.

    Args:
        backbone: the architecture.
        image_size: (height, width) in pixels.
        weights: "imagenet", which downloads on first use and may take minutes, "none", or a file.
        on_message: called with a line about what was loaded from a file, or which of several ImageNet files was taken.

    Raises:
        UserError: the weights cannot be downloaded or read, or do not fit.
    """
    if weights == "imagenet":
        return _with_imagenet(backbone, image_size, on_message)
    if weights == "none":
        return _construct(backbone, image_size, None)
    path = Path(weights)
    _check_file(path)
    model, classes = _loaded(_construct(backbone, image_size, None), backbone, path)
    top = f"; its top for {classes:,} classes was left out" if classes else ""
    scale = (
        "; inputs are not rescaled as for Keras's ImageNet weights, nor were they there" if is_unscaled(model) else ""
    )
    on_message(f"weights of {len(weighted_layers(model)):,} layers loaded from {printable(path.name)}{top}{scale}")
    return model


def require_same_weights(source: ModelSource) -> None:
    """Check that the weights file of a run has the content that it had when the run began.

    Stages are done by workers of their own, each of which loads the file. One that cannot be read is named where it is
    loaded.

    Raises:
        UserError: it has another content.
    """
    with suppress(OSError):
        if source.weights_sha256 and sha256_of_file(Path(source.spec.weights)) != source.weights_sha256:
            raise UserError(
                f"weights file {source.spec.weights} has another content than when the run began: bring that file "
                "back, then resume"
            )


def frozen_hash(variables: Iterable[keras.Variable]) -> str:
    """SHA-256 (hex) over dtype, shape and bytes of the variables, in their order, without their names."""
    digest = hashlib.sha256()
    for variable in variables:
        array = keras.ops.convert_to_numpy(variable)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def weights_sha256(model: keras.Model) -> str:
    """SHA-256 (hex) of all weights in model order, trained or not, BatchNormalization's statistics among them.

    The states of random seeds and of metrics are left out (`model.weights`, not `model.variables`): no prediction
    depends on them.
    """
    return frozen_hash(model.weights)


def first_sentence(error: BaseException) -> str:
    """The first sentence of an error of another library, short enough for one line."""
    lines = str(error).strip().splitlines()
    return lines[0].split(". ")[0].rstrip(".") if lines else type(error).__name__


def _construct(backbone: Backbone, image_size: tuple[int, int], weights: str | None) -> keras.Model:
    function = getattr(keras.applications, backbone.name)
    return function(weights=weights, include_top=False, input_shape=(*image_size, 3), pooling="avg")


def _with_imagenet(backbone: Backbone, image_size: tuple[int, int], on_message: Callable[[str], None]) -> keras.Model:
    """Build the backbone and load its ImageNet weights; Keras downloads them if its cache lacks them."""
    cached = imagenet_cache() / backbone.weights_file_for(image_size)
    was_there = cached.exists()
    try:
        with warnings.catch_warnings():
            # MobileNet v1 and v2 warn that a size without weights of its own gets those for 224 pixels: as intended.
            warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
            model = _construct(backbone, image_size, "imagenet")
    except Exception as error:
        if _is_no_download(error):
            message = _replaced_message if was_there else _offline_message
            raise UserError(message(backbone, cached, error)) from error
        # Keras downloads into the final file and has no checksum for MobileNet v1 and v2: a kill leaves a part.
        if isinstance(error, _UNREADABLE) and cached.exists():
            raise UserError(
                f"the ImageNet weights in {cached} cannot be read ({first_sentence(error)}): delete the file, run again"
            ) from error
        raise
    if serves := _sizes_served(backbone, image_size):
        on_message(f"ImageNet weights: {serves}")
    return model


def _sizes_served(backbone: Backbone, image_size: tuple[int, int]) -> str:
    """A sentence that says that the file for 224 pixels is used for a size without a file of its own; else empty."""
    height, width = image_size
    if not backbone.weights_sizes or (height == width and height in backbone.weights_sizes):
        return ""
    own = ", ".join(map(str, backbone.weights_sizes))
    return f"{backbone.name} has files of its own for {own} pixels; the one for 224 serves {height}x{width} too"


def imagenet_cache() -> Path:
    """The folder of the weights that Keras has downloaded, found as `keras.utils.get_file` does."""
    home = Path(os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser())
    return (home if os.access(home, os.W_OK) else Path("/tmp/.keras")) / "models"  # noqa: S108 - Keras's own choice


def _is_no_download(error: Exception) -> bool:
    """Whether Keras could not fetch a file; it raises a bare `Exception` for the errors of urllib (`get_file`)."""
    return "URL fetch failure" in str(error) or isinstance(error, ConnectionError | TimeoutError | HTTPException)


def _replaced_message(backbone: Backbone, cached: Path, error: Exception) -> str:
    """Keras downloads a file again whose checksum differs, and deletes the file if the download fails."""
    reason = first_sentence(error).rpartition(" -- ")[2]
    gone = "" if cached.exists() else ", and Keras has deleted it"
    return (
        f"{cached} was not Keras's own file with the ImageNet weights of {backbone.name} (its checksum differs){gone}"
        f"; Keras's could not be downloaded ({reason}): put that one there, or give your file with --weights FILE"
    )


def _offline_message(backbone: Backbone, cached: Path, error: Exception) -> str:
    reason = first_sentence(error).rpartition(" -- ")[2]
    return (
        f"the ImageNet weights of {backbone.name} could not be downloaded ({reason}): copy {cached.name} into "
        f"{cached.parent} (KERAS_HOME moves it), or train without them: --weights none (weights=None in Python)"
    )


def _check_file(path: Path) -> None:
    """Refuse a weights file of a wrong kind before the backbone is built."""
    if not path.name.endswith(WEIGHTS_SUFFIXES):
        raise UserError(f"weights file {path} is of no known kind: give a .weights.h5, .h5 or .keras file")
    if not path.is_file():
        raise UserError(f"weights file {path} does not exist: give an existing file, or --weights imagenet or none")


def _loaded(model: keras.Model, backbone: Backbone, path: Path) -> tuple[keras.Model, int | None]:
    """The network with the weights of a file, and the number of classes of a top that was left out, None without one.

    It is another network than `model` where the weights need inputs of another scale.
    """
    try:
        require_plain_model(path)
        classes = classes_of_top(path, int(model.output_shape[-1]))
        with warnings.catch_warnings():
            # Keras 3.15 only warns if a part of the file is missing, and leaves the initial weights there.
            warnings.filterwarnings("error", message="Skipping nested container", category=UserWarning)
            if classes is None:
                model.load_weights(path)
            else:
                load_without_top(model, backbone, path, classes)
        return with_rescaling(model) if lacks_rescaling(model, backbone, path) else model, classes
    except _UNREADABLE as error:
        raise UserError(
            f"weights file {path} does not fit {backbone.name} ({first_sentence(error)}): "
            f"give weights saved from keras.applications.{backbone.name}, with its top or without"
        ) from error
