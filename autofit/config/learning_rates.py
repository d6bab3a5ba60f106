"""Learning rates: the defaults, when they fall, and what is usual. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Final, NamedTuple, Self

from pydantic import Field, model_validator

from autofit.storage.records import Record

DEFAULT_LEARNING_RATE = 1e-3

PRETRAINED_LEARNING_RATE = 1e-4
"""The default for all layers of a pretrained network: at 1e-3 Adam ruined MobileNet's ImageNet weights on 308 photos of
food (accuracy 0.18, against 0.65 at 1e-4)."""

SCALE_FREE = frozenset({"adam", "adamw", "adamax", "nadam", "rmsprop", "lion"})
"""Optimizers whose updates are about as large as the learning rate, whatever the size of the gradients."""

DEFAULT_RATES: Final[Mapping[str, float]] = MappingProxyType(
    {"sgd": 1e-2, "adagrad": 1e-2, "ftrl": 1e-2, "adadelta": 1.0, "lion": 1e-4}
)
"""The defaults of optimizers that learn too little, or too fast, at 0.001 (docs/decisions/0074)."""

BATCHES_OF_DEFAULT = (32, 256)
"""The default rate grows from the first of these batch sizes to the second; further was not measured."""

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


def default_learning_rate(
    optimizer: str, *, trains_pretrained: bool, batch_size: int | None = None, is_classic: bool = False
) -> float:
    """The learning rate where the user gives none (docs/decisions/0074).

    For optimizers with scale-free updates it grows with the square root of the batch size (Malladi et al. 2022,
    arXiv:2205.10287), but not for layers of a pretrained network, where that was not measured.

    Args:
        optimizer: its name in Keras, in lower case.
        trains_pretrained: whether all layers of a pretrained network train.
        batch_size: the batch size that the user has given; None if it follows from the data.
        is_classic: whether the recipe is `classic`, which has one rate for all optimizers and batch sizes.
    """
    if trains_pretrained:
        return PRETRAINED_LEARNING_RATE if optimizer in SCALE_FREE else DEFAULT_LEARNING_RATE
    if is_classic:
        return DEFAULT_LEARNING_RATE
    rate, (least, most) = DEFAULT_RATES.get(optimizer, DEFAULT_LEARNING_RATE), BATCHES_OF_DEFAULT
    if batch_size is None or optimizer not in SCALE_FREE:
        return rate
    return float(f"{rate * math.sqrt(min(max(batch_size, least), most) / least):.3g}")


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
