"""Fixtures of whole runs that several files share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autofit import api
from tests.support.drawn import draw_tinted
from tests.support.extractions import IMAGES, network
from tests.support.shared import made_once
from tests.support.views import RecordingView


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def weights(calibrated: Callable[[str], Path]) -> Path:
    """Of MobileNet, whose BatchNormalization has seen images."""
    return calibrated("MobileNet")


@pytest.fixture(scope="session")
def few_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three classes; `IMAGES` in all."""
    return made_once(tmp_path_factory, "few-photos", lambda folder: draw_tinted(folder, IMAGES // 3))


@pytest.fixture(scope="session")
def alone(few_photos: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache that one process has filled with the features of these photos."""

    def extract(cache: Path) -> None:
        api.extract(few_photos, cache=cache, view=RecordingView(), **network(weights))

    return made_once(tmp_path_factory, "extracted-alone", extract)
