"""The table at the end of `make test-faults`, made of tests that are known to fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TESTS = """
import pytest

def test_good(count, whole):
    count(promise=2, cases=30 if whole else 4)
    count(promise=10)

def test_bad(count):
    for case in range(9):
        count(promise=2)
        assert case < 2

@pytest.mark.skip
def test_skipped(count):
    count(promise=6)

def test_bad_before_it_counts(count):
    raise OSError

@pytest.fixture
def torn_down():
    yield
    raise OSError

def test_bad_afterwards(count, torn_down):
    count(promise=5)
"""
TABLE = """
promise                                                                    cases  failures
    failed before it was counted                                               0         1
 2  a kill at any instant costs the steps since the last checkpoint           {}         1
 5  no damaged checkpoint is ever loaded                                       1         1
10  100 attempts leave nothing behind                                          1         0
"""


ROOT_CONFTEST = """
from tests.support.fault_table import install as pytest_configure
from tests.support.whole import pytest_addoption, whole
"""
"""As tests/conftest.py: under pytest-xdist the process that prints the table loads no other."""


@pytest.mark.parametrize("parallel", [[], ["-n", "2"]], ids=["one process", "two workers"])
@pytest.mark.parametrize(
    ("arguments", "cases"),
    [(["a/b", "--whole"], 33), pytest.param([], " 7", marks=pytest.mark.whole)],
    ids=["whole", "quick"],
)
def test_the_table_shows_what_failed(tmp_path: Path, arguments: list[str], cases: object, parallel: list[str]) -> None:
    """The table would show a broken promise as kept, or a share of the cases as all of them."""
    (tmp_path / "conftest.py").write_text(ROOT_CONFTEST)
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_it.py").write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        *arguments,
        *parallel,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert TABLE.format(cases) in done.stdout
    assert done.returncode == 1
