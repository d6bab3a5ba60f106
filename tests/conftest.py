"""What several tests share: drawn photos that a small network learns in seconds."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

# Keras in a test's own process computes as the worker does: worker/runtime/tf_settings.py says why oneDNN is off.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

# Nor do tests read or write the profiles and the cache of whoever runs them; the workers that they start inherit this.
os.environ["AUTOFIT_PROFILES"] = tempfile.mkdtemp(prefix="autofit-test-profiles-")
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="autofit-test-data-")
os.environ["AUTOFIT_CACHE"] = tempfile.mkdtemp(prefix="autofit-test-cache-")

# An example that takes long on a busy machine says nothing.
settings.register_profile("autofit", deadline=None)
settings.load_profile("autofit")

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
