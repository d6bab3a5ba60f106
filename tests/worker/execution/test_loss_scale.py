"""The scale of a loss in float16."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from autofit.worker.execution.loss_scale import FIRST_SCALE, GROWTH_STEPS, LEAST_SCALE, MOST_SCALE, LossScale


def after_finite(scale: LossScale, steps: int) -> LossScale:
    """The scale after so many steps with finite gradients."""
    for _ in range(steps):
        scale = scale.after(is_finite=True)
    return scale


def test_the_scale_begins_at_two_to_the_fifteenth_and_doubles_after_so_many_finite_steps() -> None:
    """A scale that never grows back would leave small gradients zeros for the rest of the training."""
    before = after_finite(LossScale(), GROWTH_STEPS - 1)
    assert (before.value, before.finite_steps) == (2.0**15, 1_999)
    assert before.after(is_finite=True) == LossScale(value=2 * FIRST_SCALE)


def test_a_gradient_that_is_not_finite_halves_the_scale_and_begins_the_count_anew() -> None:
    """The next step would overflow again; or the scale grow at once, and overflow every other step."""
    assert after_finite(LossScale(), 1_500).after(is_finite=False) == LossScale(value=FIRST_SCALE / 2)


def test_the_scale_stays_within_its_bounds() -> None:
    """Below 1 a scale makes small gradients smaller; far above, the loss itself overflows."""
    assert LossScale(value=LEAST_SCALE).after(is_finite=False).value == LEAST_SCALE
    assert after_finite(LossScale(value=MOST_SCALE), GROWTH_STEPS).value == MOST_SCALE


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), 2.0**25])
def test_a_scale_from_a_damaged_checkpoint_is_refused(value: float) -> None:
    """All gradients would be zeros, or none finite, and the training would go on without learning."""
    with pytest.raises(ValidationError):
        LossScale.model_validate({"value": value})
