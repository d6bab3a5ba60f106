"""Entries of the cache that this user has not written, or that others may write: none of their rows is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.cache.entry import KEY_FILE, Entry, OthersError
from autofit.cache.entry_format import EntryRecord
from autofit.cache.store import CacheStore
from autofit.storage.user_key import new_key

MakeEntry = Callable[..., Path]


@pytest.mark.parametrize("name", [".", "entry.json", "index.bin", "rows.bin"])
def test_what_others_may_write_is_not_used(make: MakeEntry, found_in: Callable[..., set[int]], name: str) -> None:
    """Another user of the machine could put rows of his own among the features that are trained on."""
    folder = make()
    assert found_in(folder) == set(range(8))
    (folder / name).chmod(0o777)
    assert found_in(folder) == set()
    with pytest.raises(OthersError):
        Entry(folder)


def test_a_store_says_what_it_did_not_use(tmp_path: Path, make: MakeEntry, small: EntryRecord) -> None:
    """All features would be extracted again in each run, and nobody would know why."""
    folder = make(at=tmp_path / f"{small.key[:16]}-1-00000000")
    store = CacheStore(tmp_path, 10**9)
    [entry] = store.open_entries(small.key)
    entry.close()
    assert store.others_words() == ""
    (folder / "rows.bin").chmod(0o666)
    assert store.open_entries(small.key) == []
    assert store.others_words().endswith("belong to another user, or others may write them")


def test_rows_that_another_has_made_do_not_verify(make: MakeEntry, found_in: Callable[..., set[int]]) -> None:
    """An unpacked archive with forged rows and right checksums would be trained on."""
    folder = make()
    (folder.parent / KEY_FILE).unlink()
    new_key(folder.parent / KEY_FILE)
    assert found_in(folder) == set()
