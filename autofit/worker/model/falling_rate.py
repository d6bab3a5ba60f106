"""The learning rate of a training from scratch: constant, then falling to zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import keras

from autofit.config.learning_rates import RateFall


class FallingRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that is constant, but for some updates at whose end it has fallen to zero.

    That is the constant rate with cooldown of Hägele et al. 2024 (arXiv:2405.18392); a fall is half a cosine. It is
    a function of the optimizer's count of updates, which a checkpoint holds.

    Args:
        full_rate: the constant rate.
        falls: the updates in which it falls, the earliest first.
    """

    def __init__(self, full_rate: float, falls: Sequence[RateFall]) -> None:
        self.full_rate, self.falls = full_rate, tuple(falls)

    def __call__(self, step: Any) -> Any:
        """The rate of the update that follows `step` others; it is not zero before the last one."""
        done = keras.ops.cast(step, "float32")
        share: Any = 1.0
        for fall in self.falls[:-1]:
            share *= keras.ops.where(done < fall.end, _height(done, fall), 1.0)
        return self.full_rate * share * _height(done, self.falls[-1])

    def of_kerass_own(self) -> keras.optimizers.schedules.LearningRateSchedule:
        """Keras's own schedule with the same rates, but for falls before the last one."""
        last = self.falls[-1]
        if not last.begin:
            return keras.optimizers.schedules.CosineDecay(self.full_rate, last.end)
        return keras.optimizers.schedules.CosineDecay(
            self.full_rate, last.end - last.begin, warmup_target=self.full_rate, warmup_steps=last.begin
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The schedule of these arguments."""
        return cls(config["full_rate"], [RateFall(**fall) for fall in config["falls"]])

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"full_rate": self.full_rate, "falls": [fall.model_dump() for fall in self.falls]}


def _height(done: Any, fall: RateFall) -> Any:
    """The share of the full rate after `done` updates: 1 before the fall, 0 after it."""
    fallen = keras.ops.clip((done - fall.begin) / (fall.end - fall.begin), 0.0, 1.0)
    return 0.5 * (1.0 + keras.ops.cos(math.pi * fallen))
