"""Shards of an extraction: each image in one, the same when others are added; their entries there whole and once."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autofit.cache.entry import EntryWriter
from autofit.cache.entry_format import EntryRecord
from autofit.cache.identity import Identities
from autofit.cache.shard_entry import ShardEntry, is_of_use, require_room_for_all
from autofit.cache.shards import MOST_SHARDS, of_part, shard_count, shards_of
from autofit.cache.store import LEAST_FREE_BYTES, CacheStore, NoRoomError
from autofit.errors import StorageError, UserError


def identities(count: int, seed: int = 0) -> Identities:
    """As hashes are: any bits."""
    return np.random.default_rng(seed).integers(1, 2**63, (count, 2), np.uint64) * np.uint64(2)


@pytest.mark.parametrize("count", [1, 2, 64])
def test_each_image_is_in_one_shard(count: int) -> None:
    """An image would be missing in the cache, or be extracted twice."""
    images = identities(1000)
    images[17] = images[3]  # the same photo twice
    images[99] = 0  # cannot be read
    rows = np.concatenate([shard.rows for shard in shards_of(images, np.ones(1000, bool), count)])
    assert sorted({*range(1000)} - {*rows.tolist()}) in ([17, 99], [3, 99])
    assert len(rows) == 998


def test_shards_do_not_depend_on_the_order_of_the_images() -> None:
    """Another listing of the folder on another machine would make other shards."""
    images, order = identities(500), np.random.default_rng(1).permutation(500)
    one, other = (list(shards_of(these, np.ones(500, bool), 16)) for these in (images, images[order]))
    assert [shard.name for shard in one] == [shard.name for shard in other]
    assert all((images[a.rows] == images[order][b.rows]).all() for a, b in zip(one, other, strict=True))


def test_an_added_image_changes_its_own_shard_alone() -> None:
    """With each new photo all shards would be other ones."""
    images = identities(501)
    before, after = ({shard.name for shard in shards_of(images[:n], np.ones(n, bool), 16)} for n in (500, 501))
    assert len(before - after) == 1


def test_parts_are_cut_by_content_and_cover_all() -> None:
    """The tasks of an array would miss images, or do them twice."""
    images = identities(1000)
    parts = np.array([of_part(images, part, 7) for part in range(1, 8)])
    assert (parts.sum(axis=0) == 1).all()
    assert (of_part(images[::-1], 3, 7) == parts[2][::-1]).all()
    assert parts.sum(axis=1).min() > 100


def test_shards_are_a_power_of_two_and_not_too_many() -> None:
    """A shard that grows would not be cut in halves, or a training would open too many files."""
    assert [shard_count(n) for n in (0, 1, 2048, 2049, 5000, 10**9)] == [1, 1, 1, 2, 4, MOST_SHARDS]


RECORD = EntryRecord(kind="features", key="ab" * 32, about={}, dtype="float32", row_shape=(4,), created=time.time())


def written(store: CacheStore, value: float) -> ShardEntry:
    """A shard's entry with three rows, not committed."""
    entry = ShardEntry(store, RECORD, "0-12345678", 1000)
    entry.writer.append(identities(3), np.full((3, 4), value, np.float32), np.zeros(3, np.int64))
    return entry


def test_a_shard_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """A training would find a part of a shard, and extract the rest with other bits."""
    store = CacheStore(tmp_path / "cache", 10**9)
    with written(store, 1.0):
        assert not store.open_entries(RECORD.key)
    assert [path.name for path in store.folder.iterdir()] == [".key"], "what was not committed is removed"
    with written(store, 1.0) as entry:
        assert entry.commit()
    assert ShardEntry.is_there(store, RECORD.key, "0-12345678")
    (entry_read,) = store.open_entries(RECORD.key)
    assert (entry_read.find(identities(3)) >= 0).all()
    entry_read.close()


def test_the_second_of_two_processes_throws_its_rows_away(tmp_path: Path) -> None:
    """A process that was stopped for longer than its lease would write a shard twice, or over another's."""
    store = CacheStore(tmp_path / "cache", 10**9)
    with written(store, 1.0) as slow, written(store, 2.0) as quick:
        assert quick.commit()
        assert not slow.commit()
    (entry,) = store.open_entries(RECORD.key)
    assert (entry.rows(np.arange(3)) == 2.0).all()
    entry.close()
    assert len(store.listing().entries) == 1


def test_an_entry_of_which_no_row_can_be_used_is_replaced(tmp_path: Path) -> None:
    """A cache that was copied without its hidden key would never have the shard, and say each time that it is done."""
    store = CacheStore(tmp_path / "cache", 10**9)
    with written(store, 1.0) as first:
        first.commit()
    folder = store.folder / ShardEntry.name_of(RECORD.key, "0-12345678")
    assert is_of_use(store, folder)
    (store.folder / ".key").unlink()
    assert not is_of_use(store, folder)
    with written(store, 2.0) as second:
        assert second.commit()
    (entry,) = store.open_entries(RECORD.key)
    assert (entry.find(identities(3)) >= 0).all()
    entry.close()


def test_an_entry_without_rows_stands_in_nobody_s_way(tmp_path: Path) -> None:
    """A drive that came off once would make shards count as done for ever, and good rows of others be thrown away."""
    store = CacheStore(tmp_path / "cache", 10**9)
    with ShardEntry(store, RECORD, "0-12345678", 1000) as empty:
        assert not empty.commit()
    assert not ShardEntry.is_there(store, RECORD.key, "0-12345678")
    EntryWriter(empty.path, RECORD).close()  # as earlier versions have committed it
    assert not is_of_use(store, empty.path)
    with written(store, 1.0) as entry:
        assert entry.commit()
    assert is_of_use(store, entry.path)


def test_what_a_killed_writer_has_left_is_cleared_with_the_cache(tmp_path: Path) -> None:
    """Half a shard would take room for ever."""
    store = CacheStore(tmp_path / "cache", 10**9)
    killed = written(store, 1.0)
    killed.writer.close()
    assert store.clear()[0] == 1
    assert [path.name for path in store.folder.iterdir()] == [".key"]


def test_a_shard_without_room_says_so(tmp_path: Path) -> None:
    """The cache would grow beyond its limit."""
    with pytest.raises(NoRoomError, match="the cache may have"):
        ShardEntry(CacheStore(tmp_path / "cache", 10), RECORD, "0-12345678", 1000)


def disk_with(monkeypatch: pytest.MonkeyPatch, room: int, store: CacheStore) -> None:
    """A disk with so much room for entries, beside what has to stay free."""

    def usage(_: Path) -> SimpleNamespace:
        taken = sum(path.stat().st_size for path in store.folder.glob("*/*"))
        return SimpleNamespace(free=LEAST_FREE_BYTES + room - taken)

    monkeypatch.setattr(shutil, "disk_usage", usage)


def test_shards_that_do_not_all_fit_are_refused_before_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An extraction would remove its own first shards for the last, and say that all are there."""
    store = CacheStore(tmp_path / "cache", 10**6)
    disk_with(monkeypatch, 5_000, store)
    require_room_for_all(store, 100, 16)
    with pytest.raises(StorageError, match=r"^the features take 5\.\d KB, and the disk of .* has room for 5 KB"):
        require_room_for_all(store, 130, 16)
    require_room_for_all(store, 130, 16, are_kept=False)
    with pytest.raises(UserError, match=r"^the features take 1\.\d MB, and the cache may have 1 MB: set"):
        require_room_for_all(store, 30_000, 16, are_kept=False)


def test_other_entries_make_room_for_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that is full of old features would take no new ones."""
    store = CacheStore(tmp_path / "cache", 10**6)
    with written(store, 1.0) as old:
        old.commit()
    disk_with(monkeypatch, 2_000, store)
    require_room_for_all(store, 40, 16)
