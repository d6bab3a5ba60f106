"""The rows of images, some of which are the same: which of them were computed together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from autofit.cache.entry import Entry, EntryWriter
from autofit.cache.entry_format import EntryRecord
from autofit.cache.feature_rows import look_up

Numbers = Sequence[int]
EQUAL_FROM_8 = [*range(8), *range(8), *range(16, 20)]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([*range(12), 2, *range(13, 16)], [(0, 8), (8, 16)]),
        ([*range(8), 2, *range(9, 16)], [(0, 8), (8, 16)]),
        ([*range(15), 2], [(0, 8), (8, 16)]),
        (EQUAL_FROM_8, [(0, 8), (8, 16), (16, 20)]),
        ([5] * 20, [(0, 8), (8, 16), (16, 20)]),
        (range(20), [(0, 8), (8, 16), (16, 20)]),
    ],
    ids=["inside", "first of a slice", "the last", "a whole slice", "all", "none"],
)
def test_equal_images_part_no_slice(
    images: Numbers, expected: list[tuple[int, int]], tmp_path: Path, small: EntryRecord, known: ModuleType
) -> None:
    """Rows that the cache loses would be computed in other micro-batches, and the weights have other last bits."""
    entry = Entry(written(tmp_path / "entry", small, known, images))
    rows = look_up([entry], known.images(images))
    assert rows.slices() == expected
    rows.close()


def test_equal_images_that_were_computed_once_part_no_slice(
    tmp_path: Path, small: EntryRecord, known: ModuleType, opened: Callable[[Path], Entry]
) -> None:
    """A run on rows of others would compute a lost slice in three pieces."""
    entries = [
        opened(written(tmp_path / "one", small, known, range(8))),
        opened(written(tmp_path / "other", small, known, range(8, 15))),
    ]
    images = [*range(12), 2, *range(12, 15), 8]
    rows = look_up(entries, known.images(images))
    assert rows.slices() == [(0, 8), (8, 17)]
    assert np.array_equal(rows.gather(np.array([12, 16])), known.rows([2, 8], 3))


def test_images_that_lack_their_end_are_known_by_their_rows(
    tmp_path: Path, small: EntryRecord, known: ModuleType, opened: Callable[[Path], Entry]
) -> None:
    """A run whose features are all in the cache would say that all photos are whole; or slices be cut at one."""
    is_cut_off = np.array([0, 1, 0, 0, 0, 0, 1, 0], np.bool_)
    with EntryWriter(tmp_path / "entry", small) as writer:
        writer.append(known.images(range(8)), known.rows(range(8), 3), np.zeros(8, np.int64), is_cut_off)
        writer.append(known.images(range(8, 12)), known.rows(range(8, 12), 3), np.zeros(4, np.int64))
    rows = look_up([opened(tmp_path / "entry")], known.images([6, 99, *range(12)]))
    assert rows.cut_off().tolist() == [0, 3, 8]
    assert rows.slices()[-1] == (10, 14)
    assert len(rows.slices()) == 2
    assert np.array_equal(rows.gather(np.array([3])), known.rows([1], 3))


def written(folder: Path, record: EntryRecord, known: ModuleType, images: Numbers) -> Path:
    """An entry of these images, of which each eight went through the network together."""
    with EntryWriter(folder, record) as writer:
        places = np.arange(len(images))
        writer.append(known.images(images), known.rows(images, 3), places - places % 8)
    return folder
