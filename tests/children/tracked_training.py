"""A training that MLflow records, whose worker kills itself once; started by `test_trackers.py`.

tracked_training.py PHOTOS EPOCHS

The working folder gets the run directory `run`, the marker `killed`, and MLflow's store. `OneRun` is the class that
docs/guides/callbacks.md shows.
"""

# ruff: noqa: ARG002 - Keras gives callbacks their logs by name

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import keras
import mlflow
import mlflow.keras
import survivor_network  # type: ignore[import-not-found]  # lies beside this script

import autofit


class OneRun(keras.callbacks.Callback):  # type: ignore[misc]
    """One MLflow run for all attempts of a training, found again by its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def on_train_begin(self, logs: Any = None) -> None:
        """Go on with the run of this name, or begin it."""
        found = mlflow.search_runs(filter_string=f"attributes.run_name = '{self.name}'", output_format="list")
        mlflow.start_run(run_id=found[0].info.run_id if found else None, run_name=self.name)

    def on_train_end(self, logs: Any = None) -> None:
        """Write what is not written yet, and mark the run as finished."""
        mlflow.flush_async_logging()
        mlflow.end_run()


class Flush(keras.callbacks.Callback):  # type: ignore[misc]
    """Waits until an epoch is written."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Wait."""
        mlflow.flush_async_logging()


class KilledOnce(keras.callbacks.Callback):  # type: ignore[misc]
    """Kills its worker once, when the second epoch is recorded and not committed."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """`kill -9` of this process."""
        marker = Path("killed").absolute()
        if epoch == 1 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    autofit.run(
        sys.argv[1],
        model=survivor_network.network,
        image_size=32,
        epochs=int(sys.argv[2]),
        batch_size=32,
        micro_batch_size=32,
        run_dir="run",
        callbacks=[OneRun("flowers"), mlflow.keras.MlflowCallback(), Flush(), KilledOnce()],
    )
