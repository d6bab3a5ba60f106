"""Images that count by a column of the table, in real runs: by the solved head, by epochs, and in fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autofit
from tests.support.drawn import draw_tinted
from tests.support.shared import made_once
from tests.support.views import RecordingView

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers, pytest.mark.usefixtures("cache")]

EACH = 24
NETWORK: dict[str, Any] = {"backbone": "MobileNet", "image_size": 64, "fine_tune_epochs": 0}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tinted photos, of which more than half of each class have the label of the next one, and no weight."""

    def make(folder: Path) -> None:
        draw_tinted(folder, EACH)
        names = sorted(path.name for path in folder.iterdir())
        rows = ["path,label,trust"]
        for number, name in enumerate(names):
            for place, path in enumerate(sorted((folder / name).iterdir())):
                is_wrong = place % 5 < 3
                label = names[(number + is_wrong) % len(names)]
                rows.append(f"{name}/{path.name},{label},{0 if is_wrong else 2.5}")
        (folder / "trust.csv").write_text("\n".join(rows))

    return made_once(tmp_path_factory, "doubtful-photos", make) / "trust.csv"


def right(result: autofit.Result, table: Path) -> float:
    """The share of all photos whose own class is predicted."""
    paths = sorted(table.parent.rglob("*.jpg"))
    told = [result.class_names[place] for place in np.asarray(result.predict(paths)).argmax(axis=1)]
    return float(np.mean([name == path.parent.name for name, path in zip(told, paths, strict=True)]))


def test_a_head_is_not_solved_on_images_without_weight(table: Path, weights: Path, tmp_path: Path) -> None:
    """Labels that are known to be doubtful would be learnt like all others."""
    view, request = RecordingView(), NETWORK | {"weights": weights}
    weighed = autofit.run(table, weight_column="trust", run_dir=tmp_path / "weighed", view=view, **request)
    assert right(weighed, table) > 0.9
    assert any(line.startswith("training images count by 'trust', from 0 to 2.5; ") for line in view.messages)
    again = autofit.run(table, weight_column="trust", run_dir=tmp_path / "weighed", view=view, **request)
    assert again.weights_sha256 == weighed.weights_sha256
    with pytest.raises(autofit.UserError, match="run_dir"):
        autofit.run(table, run_dir=tmp_path / "weighed", view=view, **request)


def test_epochs_are_not_trained_on_images_without_weight(table: Path, weights: Path, tmp_path: Path) -> None:
    """The steps would take all labels for equally good, though the solved head does not."""
    by_epochs: dict[str, Any] = {"epochs": 12, "learning_rate": 0.01, "weights": weights}
    result = autofit.run(
        table, weight_column="trust", run_dir=tmp_path / "run", view=RecordingView(), **NETWORK, **by_epochs
    )
    assert right(result, table) > 0.9
