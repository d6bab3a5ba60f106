"""A whole run of the stub, as a stranger would give it away."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit import api
from autofit.runs.collect_result import collect_result
from autofit.storage.run_directory import RunDirectory
from tests.support.paths import AUTOFIT_PATH, load_child


def given_run(folder: Path, ends: str = "device_oom@2,SIGKILL@3") -> RunDirectory:
    """Make the run, of three attempts that end so, with its result and page."""
    stub, files = load_child("stub_parent"), RunDirectory(folder)
    files.create()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", AUTOFIT_PATH)
        stub.run_record().save(files.run)
        assert stub.supervisor(files, ends, view=stub.PrintedView()).run() is None
        collect_result(files, "completed", "", 1.0).save(files.result)
        api.write_report(files.path)
    return files
