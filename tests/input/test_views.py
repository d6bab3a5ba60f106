"""ViewIndex: a number for each row of features, whatever the number of views."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.input.views import ViewIndex

COUNTS = st.builds(ViewIndex, st.integers(1, 20), st.integers(0, 9), st.integers(1, 5))


def all_samples(view_index: ViewIndex) -> np.ndarray:
    return np.arange(view_index.train_count + view_index.validation_count)


@given(COUNTS, st.integers(0, 100))
def test_a_row_belongs_to_its_sample(view_index: ViewIndex, epoch: int) -> None:
    """An image would be trained with another's features and its own label."""
    samples = all_samples(view_index)
    assert view_index.samples(view_index.of(samples, epoch)).tolist() == samples.tolist()


@given(COUNTS)
def test_each_row_is_used_and_views_take_turns(view_index: ViewIndex) -> None:
    """Features would be extracted that no epoch sees, or an image be seen one way in every epoch."""
    used = np.concatenate([view_index.of(all_samples(view_index), epoch) for epoch in range(view_index.views)])
    assert sorted(set(used.tolist())) == list(range(len(view_index)))
    assert len(used) - len(set(used.tolist())) == view_index.validation_count * (view_index.views - 1)


@given(COUNTS)
def test_validation_images_have_no_view(view_index: ViewIndex) -> None:
    """Validation would be done on crops, another one for each epoch."""
    views = [view_index.view(row) for row in range(len(view_index))]
    assert views.count(None) == view_index.validation_count
    assert views == sorted(views[: view_index.train_count * view_index.views], key=lambda view: view or 0) + (
        [None] * view_index.validation_count
    )


def test_with_one_view_a_row_has_the_number_of_its_sample() -> None:
    """Rows that an earlier version cached would be taken for those of other images."""
    view_index = ViewIndex(7, 3)
    assert view_index.of(np.arange(10), 5).tolist() == list(range(10))
    identities = np.random.default_rng(0).integers(0, 2**63, (10, 2)).astype(np.uint64)
    assert np.array_equal(view_index.identities(identities), identities)


@pytest.mark.parametrize("views", [2, 4])
def test_each_view_has_an_identity_of_its_own_and_a_missing_file_none(views: int) -> None:
    """One view's features would be found for another's, or those of a file that is gone."""
    images = np.random.default_rng(0).integers(1, 2**63, (10, 2)).astype(np.uint64)
    images[3] = 0
    view_index = ViewIndex(7, 3, views, augmented=True)
    identities = view_index.identities(images)
    of_missing = view_index.samples(np.arange(len(view_index))) == 3
    assert not identities[of_missing].any()
    assert len(np.unique(identities[~of_missing], axis=0)) == (~of_missing).sum()
    assert np.array_equal(identities[7 * views :], images[7:])


@pytest.mark.parametrize("views", [1, 2])
def test_no_augmented_view_is_taken_for_the_whole_image(views: int) -> None:
    """Another split would validate with crops, which it finds in the cache for what were training images."""
    images = np.random.default_rng(0).integers(1, 2**63, (10, 2)).astype(np.uint64)
    augmented = ViewIndex(7, 3, views, augmented=True).identities(images)[: 7 * views]
    assert not set(map(bytes, augmented)) & set(map(bytes, images))
