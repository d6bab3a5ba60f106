"""What `benchmarks/check.py` plants and how it judges, on a folder of drawn shades."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import autofit


@pytest.fixture
def benchmark() -> ModuleType:
    """The benchmark as a module."""
    return import_module("check")


def test_what_is_planted_is_found_and_counted(benchmark: ModuleType, tmp_path: Path) -> None:
    """A figure in the documents would be about something else."""
    for number in range(40):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        path = tmp_path / "photos" / f"{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((96, 72), Image.Resampling.BICUBIC).save(path)
    photos = benchmark._photos(tmp_path / "photos", 40, 0)
    planted = benchmark.Planted(photos, tmp_path / "planted", 0)
    assert len(planted.wrong) == len(planted.twice) == benchmark.LEAST_PLANTED
    wrong = [path for path in planted.wrong if f"/{int(Path(path).stem) // 20}/" not in path]
    assert len(wrong) == len(planted.wrong)  # the photos are numbered class by class
    found = benchmark.judged(autofit.check(tmp_path / "planted", find_wrong_labels=False), planted)
    assert found["equal images"] == found["copies: saved again"] == found["copies: half"] == 1.0
    assert found["other pairs told as alike"] == 0
    assert found["wrong labels in the first 8 %"] == 0
