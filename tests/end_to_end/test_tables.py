"""A table with splits, a missing file and a class of one image, from the first line to the test of the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import autofit
from autofit.errors import UserError
from tests.support.views import RecordingView

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]


def table(path: Path) -> Path:
    """Twelve images to train on, six to validate and six to test; of training, one does not exist, one is alone."""
    rows = [
        (f"{name}/{number:03}", name.upper(), split)
        for name in ("blue", "red")
        for number, split in enumerate(["training"] * 6 + ["val"] * 3 + ["Test"] * 3)
    ]
    rows += [("green/000", "GREEN", "train"), ("red/lost", "RED", "train")]
    path.write_text("\n".join(["id;class;split", *(";".join(row) for row in rows), ""]), encoding="utf-16")
    return path


def test_a_table_is_followed_to_the_test_of_the_model(photos: Path, tmp_path: Path) -> None:
    """Images for the test would be trained on, or their figures not reach result.json, the summary and the page."""
    view = RecordingView()
    result = autofit.run(
        table(tmp_path / "list.csv"),
        images_in=photos,
        model="autofit.demo.network:digit_network",
        image_size=32,
        epochs=1,
        batch_size=4,
        micro_batch_size=4,
        max_bad_images=0.2,
        audit=True,
        run_dir=tmp_path / "run",
        view=view,
    )
    assert view.messages[0] == "14 images of 3 classes to train on, 6 to validate, 6 to test"
    assert view.messages[1] == "to train on by class: BLUE (6), GREEN (1), RED (7)"
    assert [image.path for image in result.quarantined] == [f"{photos}/red/lost"]
    log = [json.loads(line) for line in (tmp_path / "run" / "audit.jsonl").read_text().splitlines()]
    assert max(sample for update in log for sample in update.get("samples", [0])) < 14
    tested = [(photos / name / f"{number:03}.png", name.upper()) for name in ("blue", "red") for number in (9, 10, 11)]
    again = result.evaluate([path for path, _ in tested], [label for _, label in tested])
    assert result.record.tested_images == 6
    assert result.record.test_accuracy == pytest.approx(again.accuracy)
    assert result.record.test_loss == pytest.approx(again.loss, rel=1e-5)
    assert "Test accuracy" in result.summary()
    assert "Test accuracy" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_other_data_is_refused_before_anything_starts(photos: Path, tmp_path: Path) -> None:
    """A test set of unknown classes would be found out after the training."""
    (tmp_path / "tested" / "violet").mkdir(parents=True)
    (tmp_path / "tested" / "violet" / "a.png").write_bytes((photos / "red" / "000.png").read_bytes())
    with pytest.raises(UserError, match="has the class 'violet' that training has no images of"):
        autofit.run(photos, test=tmp_path / "tested", run_dir=tmp_path / "run")
