"""Images of one patient in a real run: their accuracy is that on other patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import autofit
from autofit.protocol.messages import StageRecord
from tests.support.views import RecordingView

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]

NETWORK: dict[str, Any] = {"backbone": "MobileNet", "image_size": 64}
PATIENTS, EACH = 24, 6


def drawn(folder: Path) -> Path:
    """The table of images that show nothing but their patient, whose label has nothing to do with it."""
    random = np.random.default_rng(0)
    rows = ["path,label,patient"]
    for patient in range(PATIENTS):
        state = "ill" if patient * 7 % PATIENTS < PATIENTS // 2 else "well"
        look = random.integers(0, 256, (4, 4, 3))
        for number in range(EACH):
            pixels = np.clip(look + random.normal(0, 6, look.shape), 0, 255).astype(np.uint8)
            image = Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST)
            image.save(folder / f"{patient:02}-{number}.png")
            rows.append(f"{patient:02}-{number}.png,{state},{patient}")
    (folder / "list.csv").write_text("\n".join(rows))
    return folder / "list.csv"


@pytest.mark.usefixtures("cache")
def test_a_head_is_chosen_and_judged_by_other_patients(tmp_path: Path, weights: Path) -> None:
    """Patients would be learnt by heart, and the accuracy promise what no new patient gets."""
    table = drawn(tmp_path)
    apart, together = (_head(table, weights, column) for column in (None, "patient"))
    assert apart.chosen_by == together.chosen_by == "cross-validation"
    assert apart.cross_validated_accuracy is not None
    assert together.cross_validated_accuracy is not None
    assert apart.cross_validated_accuracy > 0.8
    assert together.cross_validated_accuracy < 0.7


def _head(table: Path, weights: Path, column: str | None) -> StageRecord:
    """What is known of the head of a run."""
    result = autofit.run(
        table,
        group_column=column,
        run_dir=table.parent / f"run-{column}",
        view=RecordingView(),
        fine_tune_epochs=0,
        weights=weights,
        **NETWORK,
    )
    return result.record.stages[0]
