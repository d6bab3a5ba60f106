"""Experiment trackers, by their own callbacks, over a kill and a resume."""

from __future__ import annotations

import contextlib
import importlib.util
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import CHILDREN, child_environment
from tests.support.run_files import result_of

pytestmark = pytest.mark.slow


def train(photos: Path, folder: Path, epochs: int) -> None:
    """Train in a process of its own that MLflow records."""
    program = [sys.executable, str(CHILDREN / "tracked_training.py"), str(photos), str(epochs)]
    done = subprocess.run(
        program, cwd=folder, env=child_environment(), capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(600)  # MLflow takes long to import
@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed")
def test_mlflow_has_one_run_of_a_training_that_was_killed_and_trained_on(photos: Path, tmp_path: Path) -> None:
    """Each attempt would be another run in MLflow, or an epoch be missing or have the figures of another."""
    train(photos, tmp_path, 3)
    train(photos, tmp_path, 4)

    result = result_of(tmp_path / "run")
    assert "crashed" in [attempt["verdict"] for attempt in result["attempts"]]
    assert result["result_changed"] is False
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as store:
        runs = store.execute("SELECT name, status FROM runs").fetchall()
        rows = store.execute("SELECT key, step, value FROM metrics ORDER BY step").fetchall()
    assert runs == [("flowers", "FINISHED")]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        values = {step: value for key, step, value in rows if key == name}
        assert list(values.values()) == pytest.approx(result["history"][name])
        assert list(values) == [0, 1, 2, 3]
    repeated = [value for key, step, value in rows if (key, step) == ("val_loss", 1)]
    assert repeated == pytest.approx([repeated[0]] * 2)  # the epoch that was recorded and not committed
