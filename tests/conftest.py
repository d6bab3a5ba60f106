"""Fixtures that several folders of tests share, and how tests are distributed over processes."""

from __future__ import annotations

import atexit
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import settings
from PIL import Image

import autofit
from autofit.process import launch
from autofit.report import drawing
from autofit.report.markup import Html
from tests.support import fault_table, fork_server
from tests.support.order import in_order
from tests.support.paths import CHILDREN
from tests.support.shared import made_once
from tests.support.whole import pytest_addoption, whole, without_left_out

__all__ = ["pytest_addoption", "whole"]  # pytest finds them here

# Keras in a test's own process computes as the worker does: worker/runtime/tf_settings.py says why oneDNN is off.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

# Nor do tests read or write the profiles and the cache of whoever runs them; the workers that they start inherit this.
for variable in ("AUTOFIT_PROFILES", "XDG_DATA_HOME", "AUTOFIT_CACHE"):
    os.environ[variable] = tempfile.mkdtemp(prefix="autofit-test-")
    atexit.register(shutil.rmtree, os.environ[variable], ignore_errors=True)

# All processes of a session share those that fork workers.
if fork_server.FOLDER not in os.environ:
    os.environ[fork_server.FOLDER] = tempfile.mkdtemp(prefix="autofit-test-")
    (Path(os.environ[fork_server.FOLDER]) / fork_server.OWNER).write_text(str(os.getpid()))
    atexit.register(shutil.rmtree, os.environ[fork_server.FOLDER], ignore_errors=True)

# A shell without job control starts what follows `&` with SIGINT ignored, nohup with SIGHUP, and children inherit that:
# the programs to which tests send these would never see them. A handler, unlike SIG_IGN, is reset to the default in a
# child; that of SIGHUP does nothing, so that nohup still holds for the tests themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)

# An example that takes long on a busy machine says nothing.
settings.register_profile("autofit", deadline=None)
settings.load_profile("autofit")
# The same examples each time, so that a change is judged by itself; `make test-faults` looks for others.
settings.register_profile("same examples", deadline=None, derandomize=True)

GIBIBYTES_A_PROCESS = 6
"""Memory for one of the processes that test side by side: a training with TensorFlow takes up to 2 GB."""
MOST_PROCESSES = 4

ONLY_SLOW = re.compile(r"^pytestmark = (\[\s*)?pytest\.mark\.slow\b", re.MULTILINE)
"""What a file contains in which all tests are slow."""


def pytest_configure(config: pytest.Config) -> None:
    """Print the table of the fault tests, in whichever process their reports arrive, and choose the examples."""
    fault_table.install(config)
    if not config.getoption("--whole"):
        settings.load_profile("same examples")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Choose how many processes `-n auto` starts: one for each core and, as slow tests often wait, one more."""
    by_memory = psutil.virtual_memory().total // (GIBIBYTES_A_PROCESS * 2**30)
    by_cores = len(os.sched_getaffinity(0)) + ("not slow" not in config.option.markexpr)
    return max(1, min(by_cores, by_memory, MOST_PROCESSES))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not asked for, and begin with what takes long."""
    items[:] = in_order(without_left_out(config, items))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a file of slow tests that will not run: most of them load Keras."""
    if "not slow" in config.option.markexpr and collection_path.match("test_*.py"):
        return ONLY_SLOW.search(collection_path.read_text(encoding="utf-8")) is not None or None
    return None


def pytest_collection_finish() -> None:
    """Let the garbage collector ignore what was imported and collected: it would go through all of it in vain."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _forked_workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the workers of a test where it, or its file, says `forked_workers`; not where it says that with False.

    Its runs' pages are without pictures: matplotlib takes as long as the rest of a small run.
    """
    marker = request.node.get_closest_marker("forked_workers")
    if marker and marker.args != (False,):
        monkeypatch.setattr(launch, "start_process", fork_server.start_worker)
        monkeypatch.setattr(drawing, "rendered", lambda _draw: Html(""))


@pytest.fixture(autouse=True)
def nothing_stays_warm() -> Iterator[None]:
    """End the worker that a test's predictions have left: it would hold memory while others run."""
    yield
    if warm_model := sys.modules.get("autofit.runs.warm_model"):
        warm_model.WARM.close()


PLENTY_BYTES = 3 * 10**9
PHOTOS_A_CLASS = {"blue": 50, "green": 60, "red": 71}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """181 PNG files of 32x32 pixels in three classes; without a fifth of each class 145 remain to train on."""

    def draw(folder: Path) -> None:
        random = np.random.default_rng(0)
        for channel, (name, count) in enumerate(PHOTOS_A_CLASS.items()):
            (folder / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 160, (32, 32, 3))
                pixels[..., 2 - channel] += 95
                Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number:03d}.png")

    return made_once(tmp_path_factory, "photos", draw)


@pytest.fixture(scope="session")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`calibrated(backbone)`: weights whose BatchNormalization has seen images. Random ones give constant features."""

    def calibrated(backbone: str) -> Path:
        def calibrate(folder: Path) -> None:
            program = [sys.executable, str(CHILDREN / "calibrate.py"), backbone, str(folder / "calibrated.weights.h5")]
            subprocess.run(program, check=True, capture_output=True)

        return made_once(tmp_path_factory, f"weights-{backbone}", calibrate) / "calibrated.weights.h5"

    return calibrated


@pytest.fixture(scope="session")
def outside_bytes(tmp_path_factory: pytest.TempPathFactory) -> int:
    """What a worker that trains a whole network may use besides its allocator, on this machine and these versions."""

    def measure(folder: Path) -> None:
        network: dict[str, Any] = {"model": "autofit.demo.network:digit_network", "image_size": 32}
        report = autofit.probe(**network, memory_limit=PLENTY_BYTES, max_batch=1)
        assert report.allocator_limit_bytes is not None
        (folder / "bytes").write_text(str(report.memory_limit_bytes - report.allocator_limit_bytes))

    return int((made_once(tmp_path_factory, "outside-bytes", measure) / "bytes").read_text())
