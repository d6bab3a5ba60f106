"""A backbone of KerasHub that is given as an object: saved as a preset in the user's folder, each content once.

A run refers to a backbone by name, so that another process can build it. The name of an object is `hub:FOLDER`, where
the folder is called by its class and its content: the same object, or one that was made again alike, has the same name.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import platformdirs

from autofit.config.hub_presets import PREFIX
from autofit.errors import UserError
from autofit.printable import one_line
from autofit.storage.safe_files import fsync_folder, rename_durably
from autofit.storage.system_errors import explained

DIGEST_DIGITS = 12
SHOWN_CHARACTERS = 200
UNFINISHED = ".unfinished-"
SPARE_BYTES = 2**20
"""What a preset takes besides its weights, generously."""


def default_folder() -> Path:
    """The folder of all presets that were saved for objects. It is no cache: runs that refer to them can be resumed."""
    return platformdirs.user_data_path("autofit") / "backbones"


def named_backbone(backbone: Any) -> Any:
    """`hub:FOLDER` for an object of KerasHub, which is saved there; those in a list are replaced, others stay.

    Args:
        backbone: a backbone of KerasHub, or a task such as an `ImageClassifier`, of which the backbone and the image
            converter are used; or anything else that a call takes.

    Raises:
        UserError: the object has no backbone, or it cannot be saved.
    """
    if isinstance(backbone, list | tuple):
        return [named_backbone(each) for each in backbone]
    if not hasattr(backbone, "save_to_preset") or isinstance(backbone, type):
        return backbone
    network = getattr(backbone, "backbone", None) or backbone
    if not all(hasattr(network, name) for name in ("save_to_preset", "get_weights", "inputs")):
        raise UserError(
            f"backbone is a {type(backbone).__name__}, which has no network: give a backbone of KerasHub, or an "
            "ImageClassifier, whose preprocessing is then used"
        )
    converter = getattr(getattr(backbone, "preprocessor", None), "image_converter", None)
    folder = default_folder() / f"{type(network).__name__}-{_content_of(network, converter)}"
    if not folder.is_dir():
        try:
            _save(folder, [network, *([] if converter is None else [converter])])
        except OSError as error:
            raise UserError(explained(error, f"the backbone cannot be saved in {folder.parent}")) from None
    return f"{PREFIX}{folder}"


def _content_of(network: Any, converter: Any) -> str:
    """A hash (hex) of all that a preset says: what the parts are made of, and the weights."""
    digest = hashlib.sha256()
    for part in (network, converter):
        digest.update(json.dumps(_config_of(part), sort_keys=True, default=_plain).encode())
    for array in network.get_weights():
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:DIGEST_DIGITS]


def _config_of(part: Any) -> Any:
    """What a part is made of, without its name, which Keras counts up, and what trains, which the run decides."""
    if part is None:
        return None
    return {key: value for key, value in part.get_config().items() if key not in {"name", "trainable"}}


def _plain(value: Any) -> Any:
    """An object in a configuration, such as a network inside another, as JSON."""
    keras = sys.modules.get("keras")
    return keras.saving.serialize_keras_object(value) if keras and hasattr(value, "get_config") else repr(value)


def _save(folder: Path, parts: list[Any]) -> None:
    """Save a preset completely or not at all.

    Raises:
        UserError: KerasHub cannot save it.
        OSError: it cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    needed = SPARE_BYTES + sum(array.nbytes for array in parts[0].get_weights())
    if shutil.disk_usage(folder.parent).free < needed:  # else the library for the weights prints tracebacks
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        for part in parts:
            _save_part(part, unfinished)
        for file in sorted(unfinished.rglob("*")):
            if file.is_file():
                rename_durably(file, file)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
        fsync_folder(folder.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _save_part(part: Any, folder: Path) -> None:
    try:
        part.save_to_preset(str(folder))
    except OSError:
        raise
    except Exception as error:
        raise UserError(
            f"backbone is a {type(part).__name__} that KerasHub cannot save ({type(error).__name__}: "
            f"{one_line(error)[:SHOWN_CHARACTERS]}): give its preset as 'hub:PRESET'"
        ) from error
