"""The standard error of an accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autofit.config.standard_error import effective_images, standard_error

FEW_IMAGES = 16
"""Of fewer images the error is smaller than that of repeated draws: the added hits and misses count much."""


@given(images=st.integers(1, 400), hits=st.integers(0, 400))
def test_the_standard_error_is_about_that_of_repeated_draws(images: int, hits: int) -> None:
    """All of four images right would have an error of nothing."""
    accuracy = min(hits, images) / images
    error = standard_error(accuracy, images)
    assert 0 < error < 0.25
    draws = np.random.default_rng(0).binomial(images, accuracy, 2000) / images
    if images >= FEW_IMAGES:
        assert draws.std() <= 1.25 * error


def _drawn(patients: int, each: int, alike: float, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Hits on images of patients, of whom the share `alike` is right or wrong as a whole, with an accuracy of 0.7."""
    random = np.random.default_rng(seed)
    hits = random.random((patients, each)) < 0.7
    whole = random.random(patients) < alike
    hits[whole] = hits[whole, :1]
    return hits.ravel(), np.repeat(np.arange(patients), each)


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_the_error_of_images_that_belong_together_is_that_of_other_groups(alike: float) -> None:
    """The images of a patient would count as so many patients, and the error be a third of what it is."""
    drawn = [_drawn(30, 10, alike, seed) for seed in range(400)]
    accuracies = [float(hits.mean()) for hits, _ in drawn]
    found = [standard_error(hits.mean(), effective_images(hits, groups)) for hits, groups in drawn]
    assert np.mean(found) == pytest.approx(np.std(accuracies), rel=0.1)


def test_images_on_their_own_are_independent() -> None:
    """A column whose values are all different would change the error of the run."""
    hits, groups = _drawn(40, 1, 0.0, 0)
    assert effective_images(hits, groups) == 40


def test_groups_count_where_it_does_not_show_how_alike_their_images_are() -> None:
    """A thousand right images of four patients would seem to promise as much for a fifth."""
    groups = np.repeat(np.arange(4), 250)
    for hits in (np.ones(1000), np.zeros(1000), None):
        assert effective_images(hits, groups) == 4
    assert effective_images(np.arange(9) % 2, np.zeros(9, np.int64)) == 1


@example(hits=[False] * 11 + [True] * 14, seed=1, groups=2)
@given(hits=st.lists(st.booleans(), min_size=1, max_size=40), seed=st.integers(0, 99), groups=st.integers(1, 40))
def test_images_of_groups_say_no_more_than_so_many_independent_ones(hits: list[bool], seed: int, groups: int) -> None:
    """Groups whose accuracies happen to be equal would say more than their images, or nothing at all."""
    numbers = np.random.default_rng(seed).integers(0, groups, len(hits))
    assert 1 <= effective_images(np.array(hits), numbers) <= len(hits)
