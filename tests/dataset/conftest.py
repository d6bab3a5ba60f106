"""A small data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.datasets import photos


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Ten cats and five dogs."""
    return photos(tmp_path / "pets", dog=5, cat=10)
