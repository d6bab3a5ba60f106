"""The files that a training writes for its user: the model and the history; and the class weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from autofit.storage.safe_files import write_atomically


def class_weights(counts: Sequence[int]) -> np.ndarray:
    """Weights by class that make all classes count alike: `n / (classes * n_of_class)`, float32.

    The "balanced" rule of King and Zeng, Logistic Regression in Rare Events Data (2001), as scikit-learn names it.
    """
    numbers = np.asarray(counts, np.float64)
    return (numbers.sum() / (len(numbers) * numbers)).astype(np.float32)


def save_model(model: keras.Model, path: Path) -> None:
    """Save a model so that a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.stem}.part.keras")
    model.save(temporary)
    temporary.replace(path)


def write_history(path: Path, history: dict[str, list[float]]) -> None:
    """Write one row an epoch, epochs counted from zero as Keras's `CSVLogger` does."""
    names = list(history)
    rows = [",".join(["epoch", *names])]
    epochs = max((len(values) for values in history.values()), default=0)
    rows += [",".join([str(epoch), *(repr(history[name][epoch]) for name in names)]) for epoch in range(epochs)]
    write_atomically(path, ("\n".join(rows) + "\n").encode())
