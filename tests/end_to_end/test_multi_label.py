"""Several labels an image, from a table to the test of the model; and a training by epochs that is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import autofit
from autofit.errors import UserError
from tests.support.paths import child_environment
from tests.support.processes import kill_with_children
from tests.support.run_files import committed
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers, pytest.mark.usefixtures("cache")]

NAMES = ("dark", "green", "red")
REQUEST: dict[str, Any] = {"backbone": "MobileNet", "image_size": 32, "multi_label": True}
EPOCHS: dict[str, Any] = {
    **REQUEST,
    "epochs": 2,
    "batch_size": 8,
    "micro_batch_size": 3,
    "class_weight": "balanced",
    "checkpoint_every": "1",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety noisy images, of which any may be red on the left, green on the right and have a dark middle."""
    folder, random = tmp_path_factory.mktemp("drawn"), np.random.default_rng(0)
    lines = ["path,tags,split"]
    for number in range(90):
        has = random.random(3) < 0.4
        pixels = random.integers(110, 150, (32, 32, 3)).astype(np.uint8)
        pixels[:, :12, 0] = 255 if has[2] else pixels[:, :12, 0]
        pixels[:, 20:, 1] = 255 if has[1] else pixels[:, 20:, 1]
        pixels[8:24] //= 4 if has[0] else 1
        Image.fromarray(pixels).save(folder / f"{number}.png")
        labels = "|".join(name for name, there in zip(NAMES, has, strict=True) if there)
        lines.append(f"{number}.png,{labels},{'test' if number >= 74 else 'train'}")
    (folder / "list.csv").write_text("\n".join([*lines, ""]))
    return folder / "list.csv"


def test_a_table_of_several_labels_is_followed_to_the_test(table: Path, weights: Path, tmp_path: Path) -> None:
    """The labels of an image would exclude each other, or the figures be those of one label an image."""
    result = autofit.run(table, label_column="tags", weights=weights, run_dir=tmp_path / "run", **REQUEST)
    history = result.history
    assert set(history) == {
        *("loss", "mean_average_precision", "f1", "val_loss", "val_mean_average_precision", "val_f1")
    }
    assert history["val_mean_average_precision"][0] > 0.8  # chance is the share of a label, about 0.4
    assert [stage.method for stage in result.record.stages] == ["solved"]
    saved = json.loads((result.run_dir / "labels.json").read_text())
    assert (saved["labels"], saved["multi_label"]) == (list(NAMES), True)

    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    tested = [(table.parent / path, labels) for path, labels, split in rows if split == "test"]
    again = result.evaluate([path for path, _ in tested], [labels for _, labels in tested])
    assert result.record.test_mean_average_precision == pytest.approx(again.mean_average_precision)
    assert result.record.test_loss == pytest.approx(again.loss, rel=1e-5)
    assert result.record.test_accuracy is None
    assert [each.images for each in again.classes] == [figures.images for figures in result.per_class("test")]
    assert [each.images for each in again.classes] == [sum(name in labels for _, labels in tested) for name in NAMES]
    with pytest.raises(UserError, match=r"several labels each.* per_class\(\)"):
        result.confusion_matrix()

    sums = result.predict([path for path, _ in tested]).sum(axis=1)
    assert sums.max() > 1.2
    assert sums.min() < 0.8
    for text in (result.summary(), (result.run_dir / "report.html").read_text(encoding="utf-8"), result._repr_html_()):
        assert "est mean average precision" in text
        assert "ccuracy" not in text
    assert not any("at chance" in warning for warning in result.warnings)
    same = autofit.run(table, label_column="tags", weights=weights, run_dir=tmp_path / "run", **REQUEST)
    assert same.record == result.record


@pytest.mark.whole
def test_a_killed_training_of_several_labels_ends_with_the_same_weights(
    table: Path, weights: Path, tmp_path: Path
) -> None:
    """The labels of a resumed run would be those of other images, or its metrics begin anew."""
    request = {**EPOCHS, "label_column": "tags", "weights": str(weights)}
    whole = autofit.run(table, run_dir=tmp_path / "whole", **request)
    assert len(whole.history["val_loss"]) == 2
    killed = tmp_path / "killed"
    call = f"import autofit; autofit.run({str(table)!r}, run_dir={str(killed)!r}, **{request!r})"
    command = [sys.executable, "-c", f"if __name__ == '__main__':\n    {call}"]
    with subprocess.Popen(command, env=child_environment(), stdout=subprocess.DEVNULL) as parent:
        wait_until(lambda: committed(killed) > (0, 16), "the run never came so far", process=parent)
        kill_with_children(parent)
    resumed = autofit.resume(killed)
    assert len(resumed.attempts) > 1
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.history == whole.history
