"""The classes and functions of the user that Keras needs to open a saved model. Nothing is imported for them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from autofit.api.signature import is_signed_here
from autofit.config.option_checks import GIVEN_FUNCTION
from autofit.config.options import Options
from autofit.process.launch import import_paths_for
from autofit.protocol.object_state import INSTALLED, is_installed
from autofit.protocol.payload import OwnCode, Payload
from autofit.runs.run_record import RunRecord
from autofit.storage.model_file import model_configuration
from autofit.worker.model.registered_objects import RegisteredObjects
from autofit.worker.model.sent_model import SentModel


def objects_to_send(options: Options | None) -> RegisteredObjects | None:
    """The objects that the user has registered with Keras and a worker cannot import, or that an option needs.

    A worker cannot import objects that are defined in a notebook. Objects that cannot be pickled are left out: the run
    may not need them.
    """
    named = objects_of(options)
    return _as_sent(
        {
            name: found
            for name, found in _registered().items()
            if name in named or (_is_by_value(found) and _is_pickled(found))
        }
    )


def objects_of(options: Options | None) -> list[str]:
    """The registered names of the objects in the options."""
    if options is None:
        return []
    text = json.dumps([options.optimizer_config, options.loss, options.metrics])
    return [name for name in _registered() if json.dumps(name) in text]


def objects_in(model: SentModel) -> list[Any]:
    """The user's registered objects that a model which was given has: its layers, loss and the like."""
    return [found for name, found in sorted(_registered().items()) if model.uses(name)]


def code_to_open(run: RunRecord, model_path: Path) -> OwnCode:
    """The user's code that is needed to open the saved model of a run, as far as this process may use it.

    A module is imported by the worker only if this user started the run in this folder.
    """
    config = _saved_config(model_path)
    sent = _as_sent({name: found for name, found in _registered().items() if json.dumps(name) in config})
    reference = run.options.model
    is_module = reference is not None and reference != GIVEN_FUNCTION and is_signed_here(run.seal, reference)
    return OwnCode(
        payload=Payload(registered=sent) if sent else None,
        module=reference.partition(":")[0] if reference and is_module else None,
        import_paths=import_paths_for(function_given=bool(sent) or is_module, working_folder=Path.cwd()),
        files=_own_files() if sent else (),
    )


def _own_files() -> list[tuple[str, int, int]]:
    """The files of the modules of this process that belong to no installed package, with their sizes and times.

    All of them, since an object's module may import others. A module that loads itself when it is asked is left alone.
    """
    told: Iterable[Any] = (getattr(module, "__dict__", {}).get("__file__") for module in list(sys.modules.values()))
    found = []
    for file in sorted({file for file in told if isinstance(file, str) and not file.startswith(INSTALLED)}):
        with suppress(OSError, ValueError):  # removed since, or within an archive
            stat = Path(file).stat()
            found.append((file, stat.st_size, stat.st_mtime_ns))
    return found


def _registered() -> dict[str, Any]:
    """The registered objects of this process that belong to no installed package; empty if Keras is not imported."""
    saving = getattr(sys.modules.get("keras"), "saving", None)
    if saving is None:
        return {}
    known = saving.get_custom_objects().items()
    return {name: found for name, found in known if not is_installed(getattr(found, "__module__", None) or "")}


def _as_sent(found: dict[str, Any]) -> RegisteredObjects | None:
    return RegisteredObjects(found) if found else None


def _is_by_value(found: Any) -> bool:
    """Whether an object has to be sent by value, because it cannot be imported from any module."""
    module = sys.modules.get(found.__module__)
    return found.__module__ == "__main__" or getattr(module, found.__qualname__, None) is not found


def _is_pickled(found: Any) -> bool:
    import cloudpickle  # noqa: PLC0415 - only where something is registered

    try:
        cloudpickle.dumps(found)
    except Exception:  # noqa: BLE001 - whatever an object's own pickling raises
        return False
    return True


def _saved_config(model_path: Path) -> str:
    """The configuration in a `.keras` file; empty where it cannot be read."""
    try:
        return json.dumps(model_configuration(model_path))
    except (OSError, ValueError):
        return ""
