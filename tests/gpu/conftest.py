"""What the tests on a card share: they are left out where there is none, and none may hang."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.machine import hardware
from autofit.machine.hardware import Hardware
from tests.support.drawn import draw_tinted

PHOTOS_A_CLASS = 100


@pytest.fixture(scope="session", autouse=True)
def card() -> Hardware:
    """This machine, with its GPU."""
    machine = hardware.detect()
    if machine.device != "gpu":
        pytest.skip("there is no GPU here that CUDA would show")
    return machine


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos, 100 of each of three classes, told apart by their colour; 240 remain to train on."""
    folder = tmp_path_factory.mktemp("photos")
    draw_tinted(folder, PHOTOS_A_CLASS)
    return folder
