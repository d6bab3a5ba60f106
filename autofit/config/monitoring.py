"""The figure by which epochs are compared: its name, and whether more of it is better. Pure."""

from __future__ import annotations

import re

from autofit.errors import UserError

LOWER = (
    *("loss", "error", "entropy", "hinge", "divergence", "deviance", "poisson", "cosh", "mse", "mae", "rmse", "mape"),
    *("msle", "brier"),
)
HIGHER = (
    *("acc", "auc", "precision", "recall", "f1", "score", "iou", "top", "sensitivity", "specificity", "kappa", "map"),
    *("similarity", "correlation", "positives", "negatives", "r2", "io_u"),
)
"""Parts of names of metrics that improve as they fall, or as they rise; `LOWER` wins if a name has parts of both."""

FALSE = ("false_positives", "false_negatives")
"""Metrics that improve as they fall, although `HIGHER` has a part of their names."""


def monitor_choice(name: str, value: object) -> str:
    """Check the name of a metric, with `val_` in front for that of the validation images; or `auto`.

    Raises:
        UserError: it does not say whether more of it is better.
    """
    text = str(value).strip()
    if text.lower() in {"auto", "val_loss", "val_accuracy", "loss", "accuracy"}:
        return text.lower()
    if not re.fullmatch(r"\w{1,80}", text) or not any(word in text.lower() for word in (*LOWER, *HIGHER)):
        raise UserError(
            f"{name} {text[:80]!r} does not say whether more of it is better: give val_loss, val_accuracy, loss, "
            "accuracy or the name of a metric of Keras, such as val_auc"
        )
    return text


def judged_by(monitor: str, figure: str = "") -> str:
    """By what the models of stages are compared, in words: one may be better by this and worse by another figure.

    Args:
        monitor: the figure that the user has named, or `auto`.
        figure: the one that `auto` meant, if it was no accuracy that is shown.
    """
    if figure:
        return f"by validation {figure}"
    return "by validation" if monitor == "auto" or monitor.startswith("val_") else f"by training {monitor}"


def higher_is_better(monitor: str) -> bool:
    """Whether an epoch is better if it has more of this."""
    text = monitor.lower()
    return not any(word in text for word in (*FALSE, *LOWER))
