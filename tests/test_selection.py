"""Which tests run, and in which order: with `--whole` and `--only-more`, and the slow ones first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = """
from tests.support.order import in_order
from tests.support.whole import pytest_addoption, whole, without_left_out

def pytest_configure(config):
    config.addinivalue_line("markers", "slow: as in pyproject.toml")
    config.addinivalue_line("markers", "whole: as in pyproject.toml")

def pytest_collection_modifyitems(config, items):
    items[:] = in_order(without_left_out(config, items))
"""
TESTS = """
import pytest
from tests.support.shared import made_once

@pytest.fixture
def made():
    return 1

def test_fast():
    pass

@pytest.mark.slow
def test_makes(made):
    pass

@pytest.mark.slow
def test_reads(made):
    pass

@pytest.mark.whole
def test_left_out():
    pass

def test_asks(whole):
    pass
"""
ALONE = """
import pytest

@pytest.mark.slow
def test_alone():
    pass
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["makes", "alone", "reads", "fast", "asks", "counted"]),
        (["--whole"], ["makes", "alone", "reads", "fast", "left_out", "asks", "counted"]),
        (["--whole", "--only-more"], ["left_out", "asks", "counted"]),
    ],
    ids=["a share", "whole", "only more"],
)
def test_what_runs_and_in_which_order(tmp_path: Path, arguments: list[str], expected: list[str]) -> None:
    """A case would run nowhere, or `make test-faults` all that `make test` runs; or processes wait for each other."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_a.py").write_text(TESTS)
    (tmp_path / "test_b.py").write_text(ALONE)
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "test_c.py").write_text("def test_counted():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "--collect-only"]
    files = ["test_a.py", "test_b.py", "faults/test_c.py"]
    done = subprocess.run(
        [*command, "-q", *arguments, *files], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    found = [line.partition("::test_")[2] for line in done.stdout.splitlines() if "::" in line]
    assert found == expected, done.stdout + done.stderr
