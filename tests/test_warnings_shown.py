"""Warnings that are errors end neither a call nor a command."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from autofit.report.progress import showing
from autofit.warnings_shown import warnings_shown
from tests.support.paths import AUTOFIT_PATH
from tests.support.views import RecordingView

WARNS_AT_AN_IMPORT = """
import builtins, warnings
real = builtins.__import__
def warning(name, *rest, **more):
    if name == "typer":
        warnings.warn("typer will change", DeprecationWarning, stacklevel=2)
    return real(name, *rest, **more)
builtins.__import__ = warning
"""


def test_a_warning_is_shown_and_not_raised() -> None:
    """A package that warns of its next release would end a training."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        with pytest.raises(DeprecationWarning):
            warnings.warn("before", DeprecationWarning, stacklevel=1)
        with warnings_shown(), pytest.warns(DeprecationWarning, match="shown"):
            warnings.warn("shown", DeprecationWarning, stacklevel=1)
        with warnings_shown():
            warnings.warn("still ignored", PendingDeprecationWarning, stacklevel=1)
        with showing(RecordingView()), pytest.warns(DeprecationWarning, match="in a call"):
            warnings.warn("in a call", DeprecationWarning, stacklevel=1)
        with pytest.raises(DeprecationWarning):
            warnings.warn("after", DeprecationWarning, stacklevel=1)


@pytest.mark.slow
def test_a_command_whose_packages_warn_runs(tmp_path: Path) -> None:
    """With PYTHONWARNINGS=error in a profile, no command would work any more after an update of a package."""
    (tmp_path / "sitecustomize.py").write_text(WARNS_AT_AN_IMPORT)
    environment = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONPATH": f"{tmp_path}:{AUTOFIT_PATH}"}
    done = subprocess.run(
        [sys.executable, "-m", "autofit", "cache", "path"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "typer will change" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "code"), [(["cache", "path"], 0), (["report", "nowhere"], 2)])
def test_a_command_in_a_batch_job_ends_with_its_exit_code(arguments: list[str], code: int) -> None:
    """With PYTHONINSPECT=1 each command would end with a traceback, and one that failed with another exit code."""
    environment = {**os.environ, "PYTHONINSPECT": "1", "PYTHONPATH": AUTOFIT_PATH}
    done = subprocess.run(
        [sys.executable, "-m", "autofit", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stdout + done.stderr
