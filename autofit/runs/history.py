"""The best epoch and other facts of a history, `{metric: [value per epoch]}` as in Keras. Pure."""

from __future__ import annotations

import math

History = dict[str, list[float]]

VALIDATION_ACCURACY = "validation accuracy"
"""The name of the accuracy on the validation images in `best_figures`."""


def best_epoch(history: History) -> int | None:
    """The epoch, from zero, with the lowest validation loss, else loss; None if no epoch has a finite loss."""
    losses = history.get("val_loss") or history.get("loss") or []
    finite = [(loss, epoch) for epoch, loss in enumerate(losses) if math.isfinite(loss)]
    return min(finite)[1] if finite else None


def accuracy_name(history: History) -> str | None:
    """The training metric that measures accuracy; Keras may name it `acc` or `sparse_categorical_accuracy` too."""
    names = [name for name in history if not name.startswith("val_")]
    return next((name for name in names if name == "acc" or "accuracy" in name), None)


def finished_epochs(history: History) -> int:
    """How many epochs the history has."""
    return max((len(values) for values in history.values()), default=0)


def best_figures(history: History, epoch: int) -> list[tuple[str, float]]:
    """Accuracy and loss of one epoch, on the validation images if there are any, else on the training images."""
    prefix, words = ("val_", "validation") if history.get("val_loss") else ("", "training")
    named = [("accuracy", accuracy_name(history) or "accuracy"), ("loss", "loss")]
    columns = [(f"{words} {shown}", history.get(prefix + name, [])) for shown, name in named]
    return [(shown, values[epoch]) for shown, values in columns if epoch < len(values)]
