"""Images of one patient in a real run: their accuracy is that on other patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import autofit
from autofit.config.standard_error import standard_error
from tests.support.views import RecordingView

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]

NETWORK: dict[str, Any] = {"backbone": "MobileNet", "image_size": 64}
PATIENTS, EACH = 24, 6


def drawn(folder: Path, noise: float = 6.0) -> Path:
    """The table of images that show nothing but their patient, whose label has nothing to do with it.

    Without noise the images of a patient are equal.
    """
    random = np.random.default_rng(0)
    rows = ["path,label,patient"]
    for patient in range(PATIENTS):
        state = "ill" if patient * 7 % PATIENTS < PATIENTS // 2 else "well"
        look = random.integers(0, 256, (4, 4, 3))
        for number in range(EACH):
            pixels = np.clip(look + random.normal(0, noise, look.shape), 0, 255).astype(np.uint8)
            image = Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST)
            image.save(folder / f"{patient:02}-{number}.png")
            rows.append(f"{patient:02}-{number}.png,{state},{patient}")
    (folder / "list.csv").write_text("\n".join(rows))
    return folder / "list.csv"


@pytest.mark.usefixtures("cache")
def test_a_head_is_chosen_and_judged_by_other_patients(tmp_path: Path, weights: Path) -> None:
    """Patients would be learnt by heart, and the accuracy promise what no new patient gets."""
    table = drawn(tmp_path)
    of_images, of_patients = (_run(table, weights, column) for column in (None, "patient"))
    apart, together = (result.record.stages[0] for result in (of_images, of_patients))
    assert apart.chosen_by == together.chosen_by == "cross-validation"
    assert apart.cross_validated_accuracy is not None
    assert together.cross_validated_accuracy is not None
    assert apart.cross_validated_accuracy > 0.8
    assert together.cross_validated_accuracy < 0.7
    assert of_patients.record.validation_standard_error is not None
    assert of_patients.record.validation_standard_error > 1.5 * _error_of_images(of_patients)
    assert of_images.record.validation_standard_error == _error_of_images(of_images)
    figures = of_patients.evaluate(table)
    assert (figures.groups, figures.images) == (PATIENTS, PATIENTS * EACH)
    assert of_images.evaluate(table).groups == 0
    assert of_patients.evaluate(of_patients.run_dir / "samples.csv").standard_error == figures.standard_error


@pytest.mark.usefixtures("cache")
def test_copies_of_an_image_are_kept_together_and_named(tmp_path: Path, weights: Path) -> None:
    """A folder with copies would promise an accuracy that no new image gets, and not even say that it has them."""
    result = _run(drawn(tmp_path, noise=0.0), weights, None)
    (head,) = result.record.stages
    assert head.cross_validated_accuracy is not None
    assert head.cross_validated_accuracy < 0.7
    count = result.record.validated_images
    assert any(line.startswith(f"At least {count} of {count} validation images are among") for line in result.warnings)
    assert "byte for byte" in result.summary()


def _error_of_images(result: autofit.Result) -> float:
    """The standard error of the validation accuracy if all images were independent."""
    return standard_error(result.history["val_accuracy"][0], result.record.validated_images)


def _run(table: Path, weights: Path, column: str | None) -> autofit.Result:
    """A run of the head alone."""
    return autofit.run(
        table,
        group_column=column,
        run_dir=table.parent / f"run-{column}",
        view=RecordingView(),
        fine_tune_epochs=0,
        weights=weights,
        **NETWORK,
    )
