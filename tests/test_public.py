"""The public names of `import autofit`, compared with a literal list, so that a change is a decision."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import autofit
from autofit import errors

PUBLIC = [
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
LOADS_KERAS = {"ImageSequence"}


def test_the_public_names_are_these_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new name would have to be supported for ever; or a name that users have would disappear."""
    assert autofit.__all__ == PUBLIC
    monkeypatch.setitem(sys.modules, "keras", sys)
    assert dir(autofit) == sorted([*PUBLIC, "__version__"])
    monkeypatch.delitem(sys.modules, "keras")
    assert dir(autofit) == sorted({*PUBLIC, "__version__"} - LOADS_KERAS)


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - LOADS_KERAS))
def test_each_public_name_is_the_object_of_its_module(name: str) -> None:
    """A lazy name would not exist, or be another object than the one in its module."""
    value = getattr(autofit, name)
    assert getattr(importlib.import_module(value.__module__), name) is value
    assert value.__doc__


@pytest.mark.slow
def test_probe_is_a_function_whatever_was_imported() -> None:
    """The import of a package with a similar name would replace the function with a module."""
    modules = ["autofit.api", "autofit.runs.plan", "autofit.probing", "autofit.probing.loop"]
    check = (
        "import importlib, sys\n"
        "for module in sys.argv[1:]:\n"
        "    for name in [name for name in sys.modules if name.partition('.')[0] == 'autofit']:\n"
        "        del sys.modules[name]\n"  # as in a new process, but for the packages of others
        "    importlib.import_module(module)\n"
        "    import autofit\n"
        "    importlib.import_module(module)\n"
        "    autofit.Result\n"
        "    print(module, autofit.probe.__module__)\n"
    )
    command = [sys.executable, "-c", check, *modules]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == [f"{module} autofit.api.probes" for module in modules], done.stderr


@pytest.mark.slow
def test_the_image_sequence_is_a_keras_sequence() -> None:
    """The one public name that needs Keras would fail, and no other test would show it."""
    import keras

    assert issubclass(autofit.ImageSequence, keras.utils.Sequence)


@pytest.mark.parametrize("name", ["Run", "train", "_nothing", "api2"])
def test_a_name_that_does_not_exist_is_an_attribute_error(name: str) -> None:
    """`hasattr` would raise, or an import of something private succeed by chance."""
    assert not hasattr(autofit, name)
    with pytest.raises(AttributeError, match=f"module 'autofit' has no attribute '{name}'"):
        getattr(autofit, name)


def project_metadata() -> dict[str, Any]:
    """The `[project]` table of pyproject.toml."""
    text = (Path(autofit.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def test_the_version_is_that_of_the_project_metadata() -> None:
    """A bug report would name another version than the installed one."""
    assert autofit.__version__ == project_metadata()["version"]


def test_python_has_a_lower_bound_and_no_upper_one() -> None:
    """The installer would refuse autofit on a new Python for which TensorFlow has wheels, or take an old release."""
    project = project_metadata()
    assert project["requires-python"] == ">=3.11"
    classifiers = [c for c in project["classifiers"] if c.startswith("Programming Language :: Python :: 3.")]
    assert classifiers == [f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14)]


@pytest.mark.parametrize("file", ["README.md", "Makefile", "CONTRIBUTING.md"])
def test_the_documents_name_the_same_bound_of_python(file: str) -> None:
    """A reader would look for an older Python that autofit does not need."""
    text = " ".join((Path(autofit.__file__).parents[1] / file).read_text(encoding="utf-8").split())
    assert "Python 3.11 or newer" in text
    assert not re.search(r"3\.11 to 3\.|3\.12 or 3\.13|\(3, 13\)", text)


@pytest.mark.parametrize("name", ["run", "Result", "ImageSequence"])
def test_on_windows_each_name_is_refused_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user would get an ImportError of `fcntl`; or could not even catch the error by its name."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(autofit.UserError, match="on Windows use WSL 2"):
        getattr(autofit, name)


@pytest.mark.parametrize(
    ("name", "base", "code"),
    [
        ("AutofitError", Exception, 4),
        ("UserError", errors.AutofitError, 2),
        ("DoesNotFitError", errors.AutofitError, 3),
        ("TrainingFailedError", errors.AutofitError, 4),
        ("StorageError", errors.TrainingFailedError, 4),
        ("InterruptedRunError", errors.AutofitError, 130),
    ],
)
def test_the_tree_of_errors_is_the_documented_one(name: str, base: type[Exception], code: int) -> None:
    """A user's `except` would no longer catch, or a script would read another exit code than the documented one."""
    error = getattr(autofit, name)
    assert error.__bases__ == (base,)
    assert error.exit_code == code
