"""The standard error of an accuracy."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autofit.config.standard_error import standard_error


@given(images=st.integers(1, 400), hits=st.integers(0, 400))
def test_the_standard_error_is_about_that_of_repeated_draws(images: int, hits: int) -> None:
    """All of four images right would have an error of nothing."""
    accuracy = min(hits, images) / images
    error = standard_error(accuracy, images)
    assert 0 < error < 0.25
    draws = np.random.default_rng(0).binomial(images, accuracy, 2000) / images
    assert draws.std() <= 1.25 * error
