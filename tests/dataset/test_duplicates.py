"""Groups of images that are the same, and of images that pairs join."""

from __future__ import annotations

import numpy as np

from autofit.dataset.duplicates import equal_groups, linked_groups, representatives


def test_equal_identities_are_groups_and_no_identity_is_none() -> None:
    """A copy would be missed, or all unreadable files be one group."""
    identities = np.array([[1, 2], [0, 0], [3, 4], [1, 2], [0, 0], [1, 5], [3, 4], [1, 2]], np.uint64)
    assert equal_groups(identities) == [[0, 3, 7], [2, 6]]
    assert equal_groups(identities[:0]) == []
    assert equal_groups(identities[:3]) == []


def test_pairs_that_share_an_image_are_one_group() -> None:
    """A series of photos would be told as many pairs."""
    assert linked_groups(7, np.array([[1, 4], [4, 6], [0, 2]])) == [[0, 2], [1, 4, 6]]
    assert linked_groups(3, np.empty((0, 2), np.int64)) == []


def test_each_group_is_compared_with_others_once() -> None:
    """An equal copy would be told again as a similar one."""
    assert representatives(6, [[0, 3, 5], [1, 2]]).tolist() == [0, 1, 4]
