"""The figures of an epoch by which the best one is chosen, and how two models are compared by them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

from autofit.config.monitoring import higher_is_better
from autofit.config.standard_error import standard_error
from autofit.errors import UserError


def monitored(logs: Mapping[str, float], monitor: str) -> float:
    """The figure of an epoch by which the best epoch is chosen.

    Raises:
        UserError: it is none of the model's metrics.
    """
    if monitor == "auto":
        return logs.get("val_loss", logs["loss"])
    require_monitored(monitor, logs)
    return logs[monitor]


def require_monitored(monitor: str, names: Collection[str]) -> None:
    """Check that a figure is among the metrics.

    Raises:
        UserError: it is not; the message names them.
    """
    if monitor not in names:
        raise UserError(f"monitor {monitor!r} is none of the metrics here: {', '.join(names)}; choose another monitor")


class Figures(NamedTuple):
    """The figures by which a model is compared with others.

    Attributes:
        value: the monitored figure; with `auto` a loss.
        accuracy: how much of the validation is right, or another figure of which more is better; None if unknown.
    """

    value: float
    accuracy: float | None = None

    @classmethod
    def known(cls, value: float | None, accuracy: float | None) -> Figures | None:
        """The figures; None if there is no model yet."""
        return None if value is None else cls(value, accuracy)


def is_better(one: Figures, other: Figures | None, monitor: str, *, by_accuracy: bool) -> bool:
    """Whether a model is better than another; any is better than none and than one with a value of NaN.

    Args:
        one: the figures of the model.
        other: those of the other; None if there is none.
        monitor: what is compared.
        by_accuracy: with `auto`, whether the more accurate one is better, and only of two that are as accurate the one
            with the lower loss.
    """
    if other is None or math.isnan(other.value):
        return True
    if math.isnan(one.value):
        return False
    if monitor != "auto":
        return one.value > other.value if higher_is_better(monitor) else one.value < other.value
    if by_accuracy and one.accuracy is not None and not as_accurate(one.accuracy, other.accuracy):
        return one.accuracy > (other.accuracy or 0.0)
    return one.value < other.value


def is_clearly_worse(one: Figures, other: Figures, monitor: str, images: int, *, by_accuracy: bool) -> bool:
    """Whether a model is worse than another by more than the standard error of an accuracy on so many images.

    A smaller difference is chance, and so is the loss of two that are alike, which rises with the confidence. What the
    user monitors, and a loss alone, is compared as it is.
    """
    by_accuracy = by_accuracy and monitor == "auto"
    if not by_accuracy or one.accuracy is None or other.accuracy is None or math.isnan(one.value):
        return is_better(other, one, monitor, by_accuracy=by_accuracy)
    least = other.accuracy - (standard_error(other.accuracy, images) if images else 0.0)
    return one.accuracy < least and not as_accurate(one.accuracy, least)


def as_accurate(one: float, other: float | None) -> bool:
    """Whether two accuracies are those of as many images, or one is not known: a solved head's is no float32."""
    return other is None or math.isclose(one, other, rel_tol=1e-6)
