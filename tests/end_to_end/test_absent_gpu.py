"""A GPU that the driver shows and TensorFlow does not find: here CUDA's libraries are really absent."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autofit
from autofit.process.gpu_causes import NO_GPU_ADVICE, NO_GPU_FOUND
from tests.support.drawn import draw_tinted
from tests.support.fake_machine import fake_nvml

pytestmark = pytest.mark.slow


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos, on a machine whose driver shows two GPUs."""
    if any(Path("/dev").glob("nvidia[0-9]")):
        pytest.skip("there is a GPU here")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())
    (tmp_path / "photos").mkdir()
    draw_tinted(tmp_path / "photos", 4)
    return tmp_path / "photos"


def train(photos: Path) -> object:
    return autofit.run(photos, run_dir=photos.parent / "run", batch_size=4, image_size=32, weights=None)


def probe(photos: Path) -> object:
    del photos
    return autofit.probe(image_size=32, weights=None, max_batch=4)


@pytest.mark.parametrize("call", [train, pytest.param(probe, marks=pytest.mark.whole)])
def test_the_error_says_what_is_missing(photos: Path, call: Callable[[Path], Any]) -> None:
    """The user would read that TensorFlow finds no GPU, or train for days on the CPU, and not know what to install."""
    with pytest.raises(autofit.UserError) as refused:
        call(photos)
    said = str(refused.value)
    assert said.startswith(f"{NO_GPU_FOUND}: {NO_GPU_ADVICE}; the doctor finds ")
    assert re.search(r"CUDA packages are missing \(nvidia-.*\), and no cuDNN was found", said)
    assert "\n" not in said
