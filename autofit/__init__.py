"""autofit: train image classifiers without ever losing the run to memory.

    import autofit
    result = autofit.run("photos/", backbone="ResNet50", epochs=10)

All names except the errors are lazy: importing autofit loads neither TensorFlow nor Keras nor NumPy.
"""

from __future__ import annotations

import sys

from autofit.errors import (
    AutofitError,
    DoesNotFitError,
    InterruptedRunError,
    StorageError,
    TrainingFailedError,
    UserError,
)
from autofit.shadowing import NamesShadows, is_command, leave_out_working_folder

if is_command():
    leave_out_working_folder()
with NamesShadows():
    import importlib
    from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autofit.api import check, estimate, evaluate, load_images, probe, resume, run, sweep, write_report
    from autofit.api.export import export
    from autofit.api.extracting import extract
    from autofit.api.result import Result
    from autofit.demo.sample import sample
    from autofit.worker.image_sequence import ImageSequence

__all__ = [
    "AutofitError",
    "DoesNotFitError",
    "ImageSequence",
    "InterruptedRunError",
    "Result",
    "StorageError",
    "TrainingFailedError",
    "UserError",
    "check",
    "estimate",
    "evaluate",
    "export",
    "extract",
    "load_images",
    "probe",
    "resume",
    "run",
    "sample",
    "sweep",
    "write_report",
]
__version__ = "0.1.0"

_MODULES = {
    "ImageSequence": "autofit.worker.image_sequence",
    "Result": "autofit.api.result",
    "check": "autofit.api",
    "estimate": "autofit.api",
    "evaluate": "autofit.api",
    "export": "autofit.api",
    "extract": "autofit.api",
    "load_images": "autofit.api",
    "probe": "autofit.api",
    "resume": "autofit.api",
    "run": "autofit.api",
    "sample": "autofit.demo.sample",
    "sweep": "autofit.api",
    "write_report": "autofit.api",
}
_LOADS_KERAS = {"ImageSequence"}


def __getattr__(name: str) -> object:
    """Import a public name at its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'autofit' has no attribute {name!r}")
    refuse_windows()
    with NamesShadows():
        from autofit.warnings_shown import warnings_shown  # noqa: PLC0415 - `import autofit` alone needs none of it
    with NamesShadows(), warnings_shown():
        return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """The public names; those that load Keras only once it is loaded: a console's completion looks each name up."""
    hidden = set() if "keras" in sys.modules else _LOADS_KERAS
    return sorted({*__all__, "__version__"} - hidden)


def refuse_windows() -> None:
    """Refuse to run on Windows, which lacks the locks, sessions and signals of POSIX.

    Raises:
        UserError: on Windows.
    """
    if sys.platform == "win32":
        raise UserError("autofit runs on Linux (and, best effort, macOS): on Windows use WSL 2")
