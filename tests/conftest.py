"""Fixtures that several folders of tests share, and how tests are distributed over processes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import settings
from PIL import Image

from tests.support import fault_table

# Keras in a test's own process computes as the worker does: worker/runtime/tf_settings.py says why oneDNN is off.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

# Nor do tests read or write the profiles and the cache of whoever runs them; the workers that they start inherit this.
os.environ["AUTOFIT_PROFILES"] = tempfile.mkdtemp(prefix="autofit-test-profiles-")
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="autofit-test-data-")
os.environ["AUTOFIT_CACHE"] = tempfile.mkdtemp(prefix="autofit-test-cache-")

# An example that takes long on a busy machine says nothing.
settings.register_profile("autofit", deadline=None)
settings.load_profile("autofit")

GIBIBYTES_A_PROCESS = 6
"""Memory for one of the processes that test side by side: a training with TensorFlow takes up to 2 GB."""
MOST_PROCESSES = 4


def pytest_configure(config: pytest.Config) -> None:
    """Print the table of the fault tests, in whichever process their reports arrive."""
    fault_table.install(config)


def pytest_xdist_auto_num_workers() -> int:
    """Choose how many processes `-n auto` starts: one for each core, if the memory suffices."""
    by_memory = psutil.virtual_memory().total // (GIBIBYTES_A_PROCESS * 2**30)
    return max(1, min(len(os.sched_getaffinity(0)), by_memory, MOST_PROCESSES))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests: at the end both processes then have short ones left, and finish together."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


PHOTOS_A_CLASS = {"blue": 50, "green": 60, "red": 71}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 181 PNG files of 32x32 pixels in three classes; a fifth of each class leaves 145 to train on."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    random = np.random.default_rng(0)
    for channel, (name, count) in enumerate(PHOTOS_A_CLASS.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 160, (32, 32, 3))
            pixels[..., 2 - channel] += 95
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number:03d}.png")
    return folder
