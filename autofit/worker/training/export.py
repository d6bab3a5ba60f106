"""The files that a training writes for its user: the model and the history."""

from __future__ import annotations

import json
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from autofit.dataset import ImageIndex
from autofit.dataset.table import csv_line
from autofit.printable import as_cell
from autofit.protocol.epoch_stages import stages_of_epochs
from autofit.storage.probabilities import write_probabilities
from autofit.storage.run_directory import RunDirectory
from autofit.storage.safe_files import rename_durably, write_atomically
from autofit.worker.model.builder import BuiltModel
from autofit.worker.model.head import scoring_layer
from autofit.worker.model.precision import as_float32
from autofit.worker.training.calibration import calibrated, divide_logits
from autofit.worker.training.train_state import TrainState
from autofit.worker.training.training_progress import TrainingProgress


def write_model(
    built: BuiltModel,
    files: RunDirectory,
    index: ImageIndex,
    probabilities: NDArray[np.float32] | None,
    epoch: int | None,
) -> None:
    """Write the model as it is now, the names and the kind of its outputs, and what was said of validation images.

    The number of its epoch, from zero, tells whether a run that ends early has saved its best model.
    It is written with layers of float32, also where it was trained in mixed precision, and has them from then on.
    That the outputs are independent of each other is written where an image may have several labels.
    """
    if not built.compiled:
        del built.model.optimizer  # it was there for the callbacks; its state would treble the file
    as_float32(built.model, built.precision)
    save_model(built.model, files.model)
    labels: dict[str, Any] = {"schema": "autofit/labels/1", "labels": index.class_names, "outputs": built.outputs}
    labels |= {"multi_label": True} if index.is_multi_label else {}
    labels |= {} if epoch is None else {"epoch": epoch}
    write_atomically(files.labels, (json.dumps(labels, indent=2) + "\n").encode())
    write_probabilities(files.validation, probabilities)


def write_best(
    state: TrainState,
    built: BuiltModel,
    files: RunDirectory,
    index: ImageIndex,
    progress: TrainingProgress,
    *,
    must: bool = True,
) -> None:
    """Write the best epoch's model, for the last time in this process: the model has its weights from then on.

    Args:
        state: with the best weights.
        built: the model.
        files: of the run.
        index: its images and classes.
        progress: with the number of that epoch, and the calibration of its model.
        must: whether it is the model of a finished run; else there may be no epoch to write, or no room.

    Raises:
        OSError: it cannot be written, and must be.
    """
    if not (must or state.best):
        return
    state.show_best()
    probabilities, calibration = state.probabilities, progress.calibration
    if calibration is not None:
        divide_logits(scoring_layer(built.head_layers), calibration.temperature)
        probabilities = None if probabilities is None else calibrated(probabilities, calibration.temperature)
    with nullcontext() if must else suppress(OSError):
        write_model(built, files, index, probabilities, progress.best_epoch)


def save_model(model: keras.Model, path: Path) -> None:
    """Save a model so that a reader sees the old file or the new one, also after a power cut."""
    temporary = path.with_name(f".{path.stem}.part.keras")
    model.save(temporary)
    rename_durably(temporary, path)


def write_history(path: Path, progress: TrainingProgress) -> None:
    """Write one row an epoch, epochs counted from zero as Keras's `CSVLogger` does; the last column names its stage."""
    history, names = progress.history, list(progress.history)
    rows = [csv_line(["epoch", *map(as_cell, names), "stage"])]
    epochs = max((len(values) for values in history.values()), default=0)
    for epoch, stage in enumerate(stages_of_epochs(epochs, progress.stages, progress.stage)):
        rows.append(",".join([str(epoch), *(repr(history[name][epoch]) for name in names), stage]))
    write_atomically(path, ("\n".join(rows) + "\n").encode("utf-8", "backslashreplace"))
