"""The packages that a start of autofit loads. A parent that imports TensorFlow could be killed along with a worker."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"tensorflow", "keras", "numpy", "matplotlib", "pandas"}


@pytest.mark.parametrize(
    "arguments",
    [["-c", "import autofit"], ["-m", "autofit", "--help"], ["-m", "autofit", "cache", "--help"]],
    ids=["import", "help", "help of a command"],
)
def test_a_start_of_autofit_loads_no_numerics(arguments: list[str]) -> None:
    """`--help` would take seconds, and the parent would hold the memory and the GPU that the worker needs."""
    loaded = top_level_packages_loaded(arguments)
    assert "autofit" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.slow
def test_completion_of_the_names_loads_neither_keras_nor_plots() -> None:
    """`autofit.<TAB>` in a console, which looks each name up, would take fifteen seconds and print TensorFlow's log."""
    code = (
        "import autofit, rlcompleter; matches = rlcompleter.Completer({'autofit': autofit}).attr_matches('autofit.');"
        "assert 'autofit.run(' in matches, matches"
    )
    loaded = top_level_packages_loaded(["-c", code])
    assert "rlcompleter" in loaded
    assert loaded & {"tensorflow", "keras", "matplotlib", "pandas"} == set()


def test_a_heavy_import_would_be_seen() -> None:
    """The test above could not fail: it would read the listing wrongly and find nothing in it."""
    assert top_level_packages_loaded(["-c", "import numpy.linalg"]) & HEAVY == {"numpy"}


def top_level_packages_loaded(arguments: list[str]) -> set[str]:
    """The packages that Python with these arguments imports, as `-X importtime` lists them on stderr."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 0, [line for line in lines if not line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}
