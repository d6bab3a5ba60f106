"""One batch shape where shapes are tuned: what convolutions see in whole runs that are padded as on a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.drawn import draw_tinted
from tests.support.paths import CHILDREN
from tests.support.shared import made_once

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]

Runs = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, calibrated: Callable[[str], Path]) -> Runs:
    """The runs of `counted_shapes.py` on 75 photos: 60 to train on, 15 to validate, in batches of 16."""
    weights = calibrated("MobileNet")

    def make(folder: Path) -> None:
        photos = folder / "photos"
        photos.mkdir()
        draw_tinted(photos, 25)
        program = [sys.executable, *map(str, (CHILDREN / "counted_shapes.py", photos, weights, folder))]
        done = subprocess.run(program, check=True, capture_output=True, text=True)
        (folder / "runs.json").write_text(done.stdout.splitlines()[-1])

    made: Runs = json.loads((made_once(tmp_path_factory, "shapes", make) / "runs.json").read_text())
    return made


@pytest.mark.whole
def test_all_batches_have_one_shape(runs: Runs) -> None:
    """Each shape would cost seconds of tuning: that of the last batch of an epoch, and of a validation."""
    assert runs["plain-whole"]["shapes"] == [12, 15, 16]
    assert runs["padded-whole"]["shapes"] == [16]
    assert runs["padded-cached"]["shapes"] == [16]  # 75 images, and the comparison with live batches


@pytest.mark.whole
def test_a_ramp_has_a_shape_for_each_power_of_two(runs: Runs) -> None:
    """Small batches would be computed as large ones; or each epoch have a shape of its own."""
    assert runs["padded-ramp"]["shapes"] == [4, 16]


@pytest.mark.whole
def test_padding_changes_no_result(runs: Runs) -> None:
    """Rows of zeros would count in the loss or the accuracy; for the gradients see `test_steps.py`."""
    for name, values in runs["plain-whole"]["history"].items():
        np.testing.assert_allclose(runs["padded-whole"]["history"][name], values, rtol=1e-4, err_msg=name)
