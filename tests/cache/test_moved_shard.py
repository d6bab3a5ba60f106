"""A shard that goes from one machine's cache to another's: the same bytes there, or an error; never half of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autofit.cache.entry_format import EntryRecord, cut_off_in
from autofit.cache.known_images import images_with_features, known_of, write_known
from autofit.cache.moved_shard import DamagedPieceError, PieceHead, ShardReceiver, pieces_of
from autofit.cache.shard_entry import ShardEntry
from autofit.cache.store import CacheStore, NoRoomError
from tests.support.extractions import rows_of, with_key_of

SHARD = "3-12345678"
ABOUT = {"backbone": "MobileNet", "views": "1"}
RECORD = EntryRecord(kind="features", key="ab" * 32, about=ABOUT, dtype="float32", row_shape=(4,), created=7.0)
BLOCKS = (5, 3, 8, 1)
Piece = tuple[PieceHead, bytes]


def identities(start: int, count: int) -> np.ndarray:
    """Of images."""
    return np.arange(1 + 2 * start, 1 + 2 * (start + count), dtype=np.uint64).reshape(count, 2)


def fill(store: CacheStore, shard: str = SHARD, blocks: tuple[int, ...] = BLOCKS, record: EntryRecord = RECORD) -> Path:
    """Write the entry of a shard as an extraction does: in blocks, each of several slices; returns its folder."""
    random = np.random.default_rng(0)
    with ShardEntry(store, record, shard, 1000) as entry:
        for count in blocks:
            slices = np.arange(count) // 2
            rows = random.random((count, 4)).astype(np.float32)
            entry.writer.append(identities(entry.writer.count, count), rows, slices, np.arange(count) % 3 == 1)
        assert entry.commit()
        return entry.path


@pytest.fixture
def node(tmp_path: Path) -> CacheStore:
    """The cache of the machine that extracts."""
    return CacheStore(tmp_path / "node", 10**9)


@pytest.fixture
def home(tmp_path: Path) -> CacheStore:
    """The cache of the machine that called: of another user's key."""
    return CacheStore(tmp_path / "home", 10**9)


@pytest.fixture
def pieces(node: CacheStore) -> list[Piece]:
    """The shard in pieces of eight rows, which a block of eight fills."""
    return list(pieces_of(fill(node), piece_bytes=8 * 16))


@pytest.mark.parametrize(
    ("piece_bytes", "counts"), [(1, [5, 3, 8, 1]), (8 * 16, [8, 8, 1]), (9 * 16, [8, 9]), (10**6, [17])]
)
def test_pieces_are_whole_blocks(node: CacheStore, piece_bytes: int, counts: list[int]) -> None:
    """A large shard would be in memory at once; half a block could not be appended."""
    pieces = list(pieces_of(fill(node), piece_bytes))
    assert [head.rows for head, _ in pieces] == counts
    assert [head.start for head, _ in pieces] == [sum(counts[:place]) for place in range(len(counts))]


def test_the_bytes_are_those_of_an_extraction_at_home(node: CacheStore, home: CacheStore, tmp_path: Path) -> None:
    """Rows would depend on where they were computed, or their checksums be those of another cache's key.

    What is known of an image, that it lacks its end, would be lost on the way.
    """
    sent = list(pieces_of(fill(node), 8 * 16))
    with ShardReceiver(home) as receiver:
        assert [receiver.accept(*piece) for piece in sent] == [None, None, True]
    there = rows_of(home.folder)
    extracted = CacheStore(with_key_of(home.folder, tmp_path / "extracted"), 10**9)
    fill(extracted)
    assert there == rows_of(extracted.folder)
    assert there != rows_of(node.folder), "the keys of the caches differ"
    (entry,) = home.open_entries(RECORD.key)
    assert (entry.find(identities(0, sum(BLOCKS))) >= 0).all()
    assert np.flatnonzero(cut_off_in(entry.lines()))[:2].tolist() == [1, 4]
    entry.close()


def test_a_piece_that_comes_twice_counts_once(pieces: list[Piece], home: CacheStore) -> None:
    """A node that was lost in the middle of a shard has sent its first rows before."""
    with ShardReceiver(home) as receiver:
        assert [receiver.accept(*pieces[place]) for place in (0, 1, 0, 1, 2)] == [None, None, None, None, True]
    assert len(rows_of(home.folder)[f"{RECORD.key[:16]}-{SHARD}/rows.bin"]) == 16 * sum(BLOCKS)


def test_a_shard_that_is_there_is_not_written_again(pieces: list[Piece], home: CacheStore) -> None:
    """Two calls at once would leave a shard twice."""
    fill(home)
    before = rows_of(home.folder)
    with ShardReceiver(home) as receiver:
        assert [receiver.accept(*piece) for piece in pieces][-1] is False
    assert rows_of(home.folder) == before


def test_a_missing_piece_is_seen_and_nothing_is_committed(pieces: list[Piece], home: CacheStore) -> None:
    """Rows would stand under the images of others."""
    with ShardReceiver(home) as receiver:
        receiver.accept(*pieces[0])
        with pytest.raises(DamagedPieceError, match="lost on their way"):
            receiver.accept(*pieces[2])
    assert rows_of(home.folder) == {}


@pytest.mark.parametrize("byte", [0, 40, -1], ids=["in the index", "in a checksum", "in a row"])
def test_a_damaged_piece_is_refused(pieces: list[Piece], home: CacheStore, byte: int) -> None:
    """A bit that was turned on the way would be sealed by a fresh checksum."""
    head, data = pieces[0]
    damaged = bytearray(data)
    damaged[byte] ^= 1
    with ShardReceiver(home) as receiver, pytest.raises(DamagedPieceError, match="damaged on their way"):
        receiver.accept(head, bytes(damaged))
    assert not home.folder.exists()


@pytest.mark.parametrize("change", [{"start": 8}, {"total": 5}, {"entry": "../../elsewhere"}], ids=str)
def test_a_head_that_is_not_of_its_rows_is_refused(
    pieces: list[Piece], home: CacheStore, change: dict[str, object]
) -> None:
    """Rows would come to other places, or files outside of the cache."""
    head, data = pieces[0]
    with ShardReceiver(home) as receiver, pytest.raises(DamagedPieceError):
        receiver.accept(head.model_copy(update=change), data)
    if "entry" in change:
        with ShardReceiver(home) as receiver, pytest.raises(DamagedPieceError):
            receiver.accept(head.model_copy(update=change).sealed(data), data)


def test_rows_that_the_node_s_disk_has_damaged_are_not_sent(node: CacheStore) -> None:
    """The caller would seal them as good."""
    folder = fill(node)
    rows = bytearray((folder / "rows.bin").read_bytes())
    rows[-1] ^= 1
    (folder / "rows.bin").write_bytes(rows)
    with pytest.raises(DamagedPieceError, match="not what was written"):
        list(pieces_of(folder))


def test_a_cache_without_room_says_so(pieces: list[Piece], tmp_path: Path) -> None:
    """It would grow beyond its limit."""
    with ShardReceiver(CacheStore(tmp_path / "small", 10)) as receiver, pytest.raises(NoRoomError):
        receiver.accept(*pieces[0])


def test_no_room_is_made_by_removing_what_has_just_come(node: CacheStore, tmp_path: Path) -> None:
    """An extraction on other machines would end well, and its first shards be gone."""
    entries = [list(pieces_of(fill(node, shard))) for shard in ("1-12345678", "2-12345678")]
    home = CacheStore(tmp_path / "home", sum(len(data) for _, data in entries[0]) + 500)
    with ShardReceiver(home) as receiver:
        assert [receiver.accept(*piece) for piece in entries[0]] == [True]
        with pytest.raises(NoRoomError, match="beside those that have come: free some of its disk"):
            receiver.accept(*entries[1][0])
    assert [entry.name for entry in home.listing().entries] == [f"{RECORD.key[:16]}-1-12345678"]


def test_images_with_rows_are_known_elsewhere_by_their_key(home: CacheStore, tmp_path: Path) -> None:
    """A node that cannot see the cache would extract what is there, or leave out what is there of another network."""
    fill(home)
    fill(home, "5-12345678", (2,), RECORD.model_copy(update={"key": "cd" * 32}))
    fill(home, "6-12345678", (2,), RECORD.model_copy(update={"key": "ef" * 32, "about": ABOUT | {"backbone": "VGG16"}}))
    known = images_with_features(home, ABOUT)
    assert {key[:2]: len(images) for key, images in known.items()} == {"ab": 17, "cd": 2}
    write_known(tmp_path / "known.npz", known)
    asked = np.concatenate([identities(16, 3), np.zeros((1, 2), np.uint64), identities(0, 1)])
    asked[2] = (33, 35)  # the halves of two known ones
    assert known_of(tmp_path / "known.npz", RECORD.key, asked).tolist() == [True, False, False, False, True]
    assert not known_of(tmp_path / "known.npz", "ef" * 32, asked).any()


def test_damaged_rows_are_not_known(home: CacheStore) -> None:
    """They would be missing for ever."""
    folder = fill(home)
    rows = bytearray((folder / "rows.bin").read_bytes())
    rows[0] ^= 1
    (folder / "rows.bin").write_bytes(rows)
    assert len(images_with_features(home, ABOUT)[RECORD.key]) == sum(BLOCKS) - 1
