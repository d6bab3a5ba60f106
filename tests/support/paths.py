"""The small programs that tests start, and the environment in which they find this autofit."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import autofit

CHILDREN = Path(__file__).parents[1] / "children"
"""Small programs that tests run in processes of their own."""

FIXTURES = Path(__file__).parents[1] / "fixtures"
"""Files that tests read: runs of earlier releases."""

AUTOFIT_PATH = str(Path(autofit.__file__).parents[1])
"""The PYTHONPATH with which a program in any folder imports the autofit under test."""


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a child program: that of this process now, with autofit found from any folder."""
    return {**os.environ, "PYTHONPATH": AUTOFIT_PATH, **more}


def load_child(name: str) -> ModuleType:
    """Import a program of `tests/children` as a module."""
    spec = importlib.util.spec_from_file_location(name, CHILDREN / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
