"""The factor by which a loss in float16 is multiplied, so that small gradients are no zeros. Pure.

It grows while gradients are finite, and is halved where one is not: that update is skipped (Micikevicius et al. 2018,
section 3.2: arXiv:1710.03740).
"""

from __future__ import annotations

from pydantic import Field

from autofit.storage.records import Record

FIRST_SCALE, LEAST_SCALE, MOST_SCALE = 2.0**15, 1.0, 2.0**24
"""All powers of two: a multiplication changes the exponent of a number and nothing else."""

GROWTH_STEPS = 2_000
"""So many updates in a row with finite gradients, and the scale is doubled."""


class LossScale(Record):
    """The scale of the next step; a checkpoint holds it.

    Attributes:
        value: the factor.
        finite_steps: updates with finite gradients since the scale was changed.
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
