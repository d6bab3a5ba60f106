"""Groups of images that are the same, and of images that pairs join."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autofit.dataset.duplicates import (
    MOST_IN_A_GROUP,
    copied_to_validation,
    equal_groups,
    families_of,
    linked_groups,
    note_equal_images,
    noted_equal_images,
    representatives,
)


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


def test_images_of_validation_that_training_has_too_are_counted() -> None:
    """Copies within training alone would be told as a leak, or one of several copies be missed."""
    assert copied_to_validation([[0, 3], [1, 8, 9], [7, 9]], 7) == 2
    assert copied_to_validation([], 7) == 0


def test_copies_and_those_of_one_group_are_a_family() -> None:
    """A patient's photo, or a copy of it, would judge a head that knows it."""
    assert families_of(6, (), []) is None
    alone = families_of(6, (), [[1, 4], [2, 3, 5]])
    assert alone is not None
    assert alone.tolist() == [0, 1, 2, 2, 1, 2]
    groups = [0, 0, 7, 7, 10**12, 3]
    kept = families_of(6, groups, [])
    assert kept is not None
    assert kept.tolist() == groups
    both = families_of(6, groups, [[1, 4]])
    assert both is not None
    assert both.tolist() == [0, 0, 2, 2, 0, 1]


def test_a_runs_equal_images_come_back_and_vanish_with_them(tmp_path: Path) -> None:
    """A run's page would not tell of a leak, or tell of one that was put right."""
    file = tmp_path / "equal-images.json"
    identities = np.array([[1, 1], [2, 2], [1, 1]], np.uint64)
    assert note_equal_images(file, identities) == [[0, 2]]
    assert noted_equal_images(file, 3) == [[0, 2]]
    note_equal_images(file, identities[:2])
    assert not file.exists()
    assert noted_equal_images(file, 3) == []


def test_of_a_large_group_the_first_and_the_last_are_noted(tmp_path: Path) -> None:
    """A folder of one image a thousand times would fill the record, or hide that validation has it too."""
    file = tmp_path / "equal-images.json"
    note_equal_images(file, np.ones((500, 2), np.uint64))
    (group,) = noted_equal_images(file, 500)
    assert len(group) == MOST_IN_A_GROUP
    assert (group[0], group[-1]) == (0, 499)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"groups": [[0, 9]]}', '{"groups": [[-1, 0]]}', '{"groups": [[1]]}', '{"groups": 1}']
)
def test_a_strangers_file_names_no_image_that_is_not_there(tmp_path: Path, content: str) -> None:
    """The page of a run from elsewhere would end in a traceback."""
    file = tmp_path / "equal-images.json"
    file.write_text(content)
    assert noted_equal_images(file, 3) == []


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """A training would fail for a list that decides nothing."""
    note_equal_images(tmp_path / "gone" / "equal-images.json", np.ones((2, 2), np.uint64))
