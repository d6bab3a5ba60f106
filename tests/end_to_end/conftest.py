"""Fixtures of whole runs that several files share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def weights(calibrated: Callable[[str], Path]) -> Path:
    """Of MobileNet, whose BatchNormalization has seen images."""
    return calibrated("MobileNet")
