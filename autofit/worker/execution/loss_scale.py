"""The factor by which the loss is multiplied in float16, so that small gradients do not underflow to zero. Pure.

It grows while gradients are finite. If one is not, the update is skipped and the factor is halved (Micikevicius et al.
2018, section 3.2: arXiv:1710.03740).
"""

from __future__ import annotations

from pydantic import Field

from autofit.storage.records import Record

FIRST_SCALE, LEAST_SCALE, MOST_SCALE = 2.0**15, 1.0, 2.0**24
"""All are powers of two, so that a multiplication changes only the exponent of a number, without rounding."""

GROWTH_STEPS = 2_000
"""After so many updates in a row with finite gradients, the scale is doubled."""


class LossScale(Record):
    """The scale of the next step; a checkpoint holds it.

    Attributes:
        value: the factor.
        finite_steps: how many updates had finite gradients since the scale was last changed.
    """

    value: float = Field(FIRST_SCALE, ge=LEAST_SCALE, le=MOST_SCALE)
    finite_steps: int = Field(0, ge=0)

    def after(self, *, is_finite: bool) -> LossScale:
        """The scale after a step whose gradients were finite, or not."""
        if not is_finite:
            return LossScale(value=max(self.value / 2, LEAST_SCALE))
        if self.finite_steps + 1 < GROWTH_STEPS:
            return LossScale(value=self.value, finite_steps=self.finite_steps + 1)
        return LossScale(value=min(self.value * 2, MOST_SCALE))
