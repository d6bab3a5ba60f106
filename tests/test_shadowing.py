"""Files that have the name of a module which is needed: found, left out where that is possible, else named."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from autofit import shadowing
from autofit.report.progress import showing
from autofit.shadowing import PACKAGES, cause_in_a_shadow, packages_to_name, shadows_in
from tests.support.paths import AUTOFIT_PATH
from tests.support.views import RecordingView


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working folder of this process and of programs that it starts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shadowing, "_said", set())
    return tmp_path


def package(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()


def python(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run Python in the working folder; its exit code, and the last line that it printed."""
    everything = {**os.environ, "PYTHONPATH": AUTOFIT_PATH, **environment}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=everything, capture_output=True, text=True, check=False)
    return done.returncode, [*(done.stdout + done.stderr).splitlines(), ""][-2]


def test_files_and_packages_in_the_place_of_modules_are_found(folder: Path) -> None:
    """A file would not be named, or photos in a folder `test` be taken for a module."""
    for name in ("keras.py", "random.py", "scipy.cpython-311.so", "test.py", "training.py", "numpy.txt"):
        (folder / name).touch()
    package(folder, "tensorflow")
    (folder / "json").mkdir()
    found = [module for module, _ in shadows_in(str(folder))]
    assert found == ["keras", "random", "scipy", "tensorflow"]
    assert [module for module, _ in shadows_in(str(folder), checkouts=False)] == ["keras", "random", "scipy"]
    assert shadows_in(str(folder / "nowhere")) == []


def test_what_was_installed_into_a_folder_is_the_package_itself(folder: Path) -> None:
    """`pip install --target` would make each package of the folder one to rename."""
    package(folder, "numpy")
    (folder / "numpy-2.1.0.dist-info").mkdir()
    (folder / "pynvml.py").touch()
    (folder / "nvidia_ml_py-13.0.dist-info").mkdir()
    assert shadows_in(str(folder)) == []


def test_all_packages_that_are_needed_are_known() -> None:
    """A new dependency could be hidden without a word."""
    needed = {re.split(r"[^\w-]", line)[0] for line in metadata.requires("autofit-keras") or [] if "extra" not in line}
    assert {name.replace("-", "_") for name in needed} <= set(PACKAGES.values())
    assert len(needed) > 10


def test_an_error_that_comes_from_such_a_file_names_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user would read of a defect of autofit, or of a module that has no attribute."""
    hiding = folder / "keras.py"
    hiding.write_text("def (")
    monkeypatch.syspath_prepend(str(folder))
    line = f"{hiding} is imported in place of the package keras: rename it"
    with pytest.raises(SyntaxError) as caught:
        runpy.run_path(str(hiding))
    assert cause_in_a_shadow(caught.value) == line
    hiding.write_text("1 / 0")
    with pytest.raises(ZeroDivisionError) as raised:
        runpy.run_path(str(hiding))
    later = RuntimeError()
    assert cause_in_a_shadow(later) == ""
    later.__cause__ = raised.value
    assert cause_in_a_shadow(later) == line


def test_each_call_says_once_which_package_is_hidden(folder: Path) -> None:
    """A `keras.py` beside a notebook would be found when the model is opened, after the training."""
    (folder / "keras.py").touch()
    (folder / "random.py").touch()  # of Python's own, and not imported from here: the doctor names it
    view = RecordingView()
    with showing(view):
        pass
    [said] = view.messages
    assert said.startswith(f"{folder / 'keras.py'} has the name of the package keras, ")
    assert said.endswith(": rename it")
    assert packages_to_name() == []


@pytest.mark.slow
def test_the_command_does_not_import_from_the_working_folder(folder: Path) -> None:
    """`python -m autofit` beside a `numpy.py` would end with an error, where the command `autofit` works."""
    for name in ("numpy.py", "random.py", "enum.py", "psutil.py"):
        (folder / name).write_text("1 / 0")
    for paths in (AUTOFIT_PATH, f":{AUTOFIT_PATH}"):
        code, said = python("-m", "autofit", "profiles", "list", PYTHONPATH=paths)
        assert (code, "Error" in said) == (0, False), said


def test_a_program_beside_such_a_file_hears_its_name(folder: Path) -> None:
    """It would end with a traceback through NumPy, or with `cannot import name`."""
    (folder / "program.py").write_text("import autofit\nautofit.run('photos')\n")
    for name, whose in (("numpy", "the package numpy"), ("typing", "Python's own module typing")):
        (folder / f"{name}.py").touch()
        code, said = python("program.py")
        assert code == 1
        assert said.endswith(f"UserError: {folder / name}.py is imported in place of {whose}: rename it")
        (folder / f"{name}.py").unlink()


def test_a_command_that_finds_such_a_file_in_pythonpath_names_it(folder: Path) -> None:
    """It would be called a defect of autofit."""
    hiding = folder / "more" / "numpy.py"
    hiding.parent.mkdir()
    hiding.touch()
    code, said = python("-m", "autofit", "cache", "path", PYTHONPATH=f"more:{AUTOFIT_PATH}")
    assert (code, said) == (
        2,
        f"autofit: {hiding} is imported in place of the package numpy: rename it",
    )
