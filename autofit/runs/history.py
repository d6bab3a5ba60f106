"""The best epoch and other facts of a history, `{metric: [value per epoch]}` as in Keras. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from autofit.config.multi_label_figures import MEAN_AVERAGE_PRECISION
from autofit.protocol.messages import FINE_TUNING, StageName, StageRecord

History = dict[str, list[float]]

VALIDATION_ACCURACY = "validation accuracy"
"""The name of the accuracy on the validation images in `best_figures`."""


def best_epoch(history: History, recorded: int | None = None) -> int | None:
    """The best epoch, from zero: the recorded one, else the one with the lowest validation loss, or training loss.

    Args:
        history: each metric's value at the end of each epoch.
        recorded: the epoch whose model the run has saved; None if unknown.

    Returns:
        None if no epoch has a finite loss.
    """
    losses = history.get("val_loss") or history.get("loss") or []
    if recorded is not None and recorded < len(losses) and math.isfinite(losses[recorded]):
        return recorded
    finite = [(loss, epoch) for epoch, loss in enumerate(losses) if math.isfinite(loss)]
    return min(finite)[1] if finite else None


ACCURACIES = ("accuracy", "acc", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy")
"""The names that Keras gives the accuracy."""

OF_THE_TOP = re.compile(r"(^|_)top")


class EpochPlace(NamedTuple):
    """Where an epoch of a run is: its stage, empty for a training without; its number there, from zero; of how many.

    `epochs` is 0 if the stage is unfinished, or unknown.
    """

    stage: StageName | Literal[""]
    number: int
    epochs: int
    is_solved: bool = False


def place_of(stages: Sequence[StageRecord], epoch: int) -> EpochPlace:
    """The place of an epoch, counted from zero over all stages.

    Args:
        stages: the finished stages; an epoch after them is one of the fine-tuning, or of its refit.
        epoch: the epoch.
    """
    before = 0
    for stage in stages:
        if epoch < before + stage.epochs:
            return EpochPlace(stage.name, epoch - before, stage.epochs, stage.method == "solved")
        before += stage.epochs
    if not stages:
        return EpochPlace("", epoch, 0)
    names = {stage.name for stage in stages}
    return EpochPlace("refit" if "fine-tune" in names else "fine-tune", epoch - before, 0)


def stage_of(stages: Sequence[StageRecord], epoch: int) -> str:
    """The stage of an epoch, as in `place_of`."""
    return place_of(stages, epoch).stage


def kept_stage(history: History, recorded: int | None, stages: Sequence[StageRecord]) -> StageRecord | None:
    """The stage whose model was saved; None if it is not finished, or no epoch has a finite loss.

    Args:
        history: as in `best_epoch`.
        recorded: as in `best_epoch`.
        stages: the finished stages. Those before it may have been fitted on all images, and it may not.
    """
    best = best_epoch(history, recorded)
    if best is None or not stages:
        return None
    made, last = stage_of(stages, best), stages[-1]
    if last.name == "refit" and last.refitted and made in FINE_TUNING:
        return last
    return next((stage for stage in stages if stage.name == made), None)


def accuracy_name(history: History) -> str | None:
    """The training metric that measures accuracy, under whatever name; of several the one that Keras calls so.

    The share of images whose class is among the five most probable ones is no accuracy, though Keras names it
    `top_k_categorical_accuracy`.
    """
    names = [name for name in history if not name.startswith("val_")]
    others = (name for name in names if "accuracy" in name and not OF_THE_TOP.search(name))
    return next((name for name in ACCURACIES if name in names), None) or next(others, None)


def quality_metric(history: History) -> tuple[str, str] | None:
    """The metric, besides the loss, that measures how good a model is: in words, and its name in the history.

    It is the mean average precision if images may have several labels, else the accuracy; None if there is neither.
    """
    if MEAN_AVERAGE_PRECISION in history:
        return "mean average precision", MEAN_AVERAGE_PRECISION
    name = accuracy_name(history)
    return None if name is None else ("accuracy", name)


def finished_epochs(history: History) -> int:
    """How many epochs the history has."""
    return max((len(values) for values in history.values()), default=0)


def best_figures(history: History, epoch: int) -> list[tuple[str, float]]:
    """Quality and loss of one epoch, on the validation images if there are any, else on the training images."""
    prefix, words = ("val_", "validation") if history.get("val_loss") else ("", "training")
    named = [quality_metric(history) or ("accuracy", "accuracy"), ("loss", "loss")]
    columns = [(f"{words} {shown}", history.get(prefix + name, [])) for shown, name in named]
    return [(shown, values[epoch]) for shown, values in columns if epoch < len(values)]
