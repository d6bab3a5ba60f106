"""The figure of an epoch by which the best one is chosen."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

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


def as_accurate(one: float, other: float | None) -> bool:
    """Whether two accuracies are those of as many images, or one is not known: a solved head's is no float32."""
    return other is None or math.isclose(one, other, rel_tol=1e-6)
