"""ViewIndex: a number for each row of features, whatever the number of views."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.input.views import ViewIndex

COUNTS = st.builds(ViewIndex, st.integers(1, 20), st.integers(0, 9), st.integers(1, 5))


def all_samples(slots: ViewIndex) -> np.ndarray:
    return np.arange(slots.train_count + slots.validation_count)


@given(COUNTS, st.integers(0, 100))
def test_a_slot_belongs_to_its_sample(slots: ViewIndex, epoch: int) -> None:
    """An image would be trained with another's features and its own label."""
    samples = all_samples(slots)
    assert slots.samples(slots.of(samples, epoch)).tolist() == samples.tolist()


@given(COUNTS)
def test_each_slot_is_used_and_views_take_turns(slots: ViewIndex) -> None:
    """Features would be extracted that no epoch sees, or an image be seen one way in every epoch."""
    used = np.concatenate([slots.of(all_samples(slots), epoch) for epoch in range(slots.views)])
    assert sorted(set(used.tolist())) == list(range(len(slots)))
    assert len(used) - len(set(used.tolist())) == slots.validation_count * (slots.views - 1)


@given(COUNTS)
def test_validation_images_have_no_view(slots: ViewIndex) -> None:
    """Validation would be done on crops, another one for each epoch."""
    views = [slots.view(slot) for slot in range(len(slots))]
    assert views.count(None) == slots.validation_count
    assert views == sorted(views[: slots.train_count * slots.views], key=lambda view: view or 0) + (
        [None] * slots.validation_count
    )


def test_with_one_view_a_slot_is_a_sample() -> None:
    """Rows that were kept by an earlier version would be those of other images."""
    slots = ViewIndex(7, 3)
    assert slots.of(np.arange(10), 5).tolist() == list(range(10))
    identities = np.random.default_rng(0).integers(0, 2**63, (10, 2)).astype(np.uint64)
    assert np.array_equal(slots.identities(identities), identities)


@pytest.mark.parametrize("views", [2, 4])
def test_each_view_has_an_identity_of_its_own_and_a_missing_file_none(views: int) -> None:
    """One view's features would be found for another's, or those of a file that is gone."""
    images = np.random.default_rng(0).integers(1, 2**63, (10, 2)).astype(np.uint64)
    images[3] = 0
    slots = ViewIndex(7, 3, views)
    identities = slots.identities(images)
    of_missing = slots.samples(np.arange(len(slots))) == 3
    assert not identities[of_missing].any()
    assert len(np.unique(identities[~of_missing], axis=0)) == (~of_missing).sum()
    assert np.array_equal(identities[7 * views :], images[7:])
    assert np.array_equal(identities[:7], images[:7])
