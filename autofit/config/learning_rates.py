"""Learning rates: the defaults, when they fall, and what is usual. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from autofit.storage.records import Record

DEFAULT_LEARNING_RATE = 1e-3

PRETRAINED_LEARNING_RATE = 1e-4
"""The default for all layers of a pretrained network: at 1e-3 Adam ruined MobileNet's ImageNet weights on 308 photos of
food (accuracy 0.18, against 0.65 at 1e-4)."""

SCALE_FREE = frozenset({"adam", "adamw", "adamax", "nadam", "rmsprop", "lion"})
"""Optimizers whose updates are about as large as the learning rate, whatever the size of the gradients."""

FALLING_SHARE = 0.3
"""The share of the updates, the last ones, in which the learning rate of a training from scratch falls to zero
(docs/decisions/0071)."""

FAR = 10.0
"""A rate that is above or below the usual rates by this factor is warned about; for pretrained layers, which ten times
the default has ruined, any that is above."""


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
    if usual is None:
        return None
    is_far = not usual.least / FAR < learning_rate < usual.most * FAR
    is_risky = usual is PRETRAINED_RATES and learning_rate > usual.most
    if not is_far and not is_risky:
        return None
    layers = " for layers of a pretrained network" if trains_pretrained else ""
    where, risk = ("over", "may ruin the weights") if learning_rate > usual.most else ("under", "may learn nothing")
    return (
        f"learning_rate {learning_rate:g} is {'far ' if is_far else ''}{where} what is usual with {optimizer}{layers} "
        f"({usual.least:g} to {usual.most:g}): it {risk}"
    )


class RateFall(Record):
    """Updates over which the learning rate falls from its full height to zero.

    Attributes:
        begin: the number of updates before it.
        end: the number of updates at its end, more than `begin`.
    """

    begin: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.end <= self.begin:
            raise ValueError(f"the learning rate falls from update {self.begin} to {self.end}")
        return self


def fall_at_the_end(updates: int, after: int = 0) -> RateFall:
    """The fall in the last of `updates` updates, of which `after` belong to an earlier training."""
    return RateFall(begin=updates - max(1, round(FALLING_SHARE * (updates - after))), end=updates)


def falls_of_other_length(falls: Sequence[RateFall], done: int, updates: int) -> tuple[RateFall, ...]:
    """The falls of a training that is made longer or shorter.

    A fall that has not begun is planned anew, as if so many updates had been asked for at once. One that has begun ends
    later or earlier. After one that is over, the learning rate is at its full height again, and falls in the last of
    the additional updates.

    Args:
        falls: the falls so far, at least one.
        done: the number of updates that were made.
        updates: the number of all updates now, at least `done`.
    """
    *earlier, last = falls
    if updates == last.end:
        return tuple(falls)
    if done >= last.end:
        return (*falls, fall_at_the_end(updates, after=done))
    again = fall_at_the_end(updates, after=earlier[-1].end if earlier else 0)
    if done <= min(last.begin, again.begin):
        return (*earlier, again)
    return (*earlier, RateFall(begin=min(last.begin, done, updates - 1), end=updates))
