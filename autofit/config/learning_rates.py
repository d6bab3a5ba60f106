"""Learning rates: the defaults, and what is usual. Pure."""

from __future__ import annotations

from typing import NamedTuple

DEFAULT_LEARNING_RATE = 1e-3

PRETRAINED_LEARNING_RATE = 1e-4
"""The default for all layers of a pretrained network: at 1e-3 Adam ruined MobileNet's ImageNet weights on 308 photos of
food (accuracy 0.18, against 0.65 at 1e-4)."""

SCALE_FREE = frozenset({"adam", "adamw", "adamax", "nadam", "rmsprop", "lion"})
"""Optimizers whose updates are about as large as the learning rate, whatever the size of the gradients."""

FAR = 10.0
"""A rate that is above or below the usual rates by more than this factor is warned about."""


class UsualRates(NamedTuple):
    """The lowest and the highest learning rate that are usual."""

    least: float
    most: float


SCALE_FREE_RATES = UsualRates(1e-5, 3e-3)
PRETRAINED_RATES = UsualRates(1e-6, 3e-4)
GRADIENT_RATES = UsualRates(1e-4, 1e-1)
"""For SGD, whose updates are proportional to the gradients."""


def default_learning_rate(optimizer: str, *, trains_pretrained: bool) -> float:
    """The learning rate where the user gives none."""
    return PRETRAINED_LEARNING_RATE if trains_pretrained and optimizer in SCALE_FREE else DEFAULT_LEARNING_RATE


def usual_rates(optimizer: str, *, trains_pretrained: bool) -> UsualRates | None:
    """The usual rates of an optimizer; None for optimizers that scale their updates in other ways."""
    if optimizer in SCALE_FREE:
        return PRETRAINED_RATES if trains_pretrained else SCALE_FREE_RATES
    return GRADIENT_RATES if optimizer == "sgd" else None


def unusual_rate(optimizer: str, learning_rate: float, *, trains_pretrained: bool) -> str | None:
    """A line about a learning rate that is far outside what is usual; None if it is not."""
    usual = usual_rates(optimizer, trains_pretrained=trains_pretrained)
    if usual is None or usual.least / FAR < learning_rate < usual.most * FAR:
        return None
    layers = " for all layers of a pretrained network" if trains_pretrained else ""
    where, risk = ("over", "may ruin the weights") if learning_rate > usual.most else ("under", "may learn nothing")
    return (
        f"learning_rate {learning_rate:g} is far {where} what is usual with {optimizer}{layers} "
        f"({usual.least:g} to {usual.most:g}): it {risk}"
    )
