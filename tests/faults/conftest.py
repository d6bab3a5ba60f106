"""Tests of each promise under faults made on purpose.

`make test` tries a share of the cases, `make test-faults` all of them:

    def test_kills(count: Callable[..., None], *, whole: bool) -> None:
        for case in range(500 if whole else 40):
            count(promise=2)
            ...
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Generator

import pytest

from tests.support.fault_table import PROMISES, attach, counted, install
from tests.support.paths import AUTOFIT_PATH, load_child
from tests.support.stub_runs import Stub, draw_images


def pytest_configure(config: pytest.Config) -> None:
    """Print the table, also where only this folder is tested."""
    install(config)


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`count(promise=2, cases=1)`: enter cases in the table, each just before it is tried."""
    tried = counted(request.node)

    def count(promise: int, cases: int = 1) -> None:
        assert promise in PROMISES
        tried[promise] += cases

    return count


@pytest.fixture
def autofit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let programs in any folder import autofit; with one thread: Python warns of a fork beside OpenBLAS's."""
    monkeypatch.setenv("PYTHONPATH", AUTOFIT_PATH)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Stub:
    """Runs of the stub on two dozen images."""
    images = tmp_path_factory.mktemp("images")
    draw_images(images)
    return Stub(load_child("stub_parent"), images, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="session")
def strace() -> list[str]:
    """The start of a command that injects faults into system calls."""
    path = shutil.which("strace")
    if path is None:
        pytest.skip("strace is not installed")
    command = [path, "-f", "-qq"]
    options = ["--seccomp-bpf", "-o", "/dev/null", "-e", "trace=write", "-e", "inject=write:error=EIO"]
    tried = subprocess.run([*command, *options, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace cannot trace here: {tried.stderr.strip()}")
    return command


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the test has counted to its report."""
    report = yield
    attach(report, item)
    return report
