"""Kept pixels are those that the decoder gives, whatever happens to the cache."""

from __future__ import annotations

import contextlib
import errno
import shutil
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from autofit.cache.entry import KEY_FILE, EntryWriter
from autofit.cache.identity import identities_of
from autofit.cache.store import CacheStore
from autofit.dataset import ImageIndex
from autofit.input import decode as decode_module
from autofit.input import pixel_cache
from autofit.input.augment import Augmentation
from autofit.input.decode import decode_image, decode_into, lacks_its_end
from autofit.input.identified_files import IdentifiedFiles
from autofit.input.image_files import UnreadableImageError
from autofit.input.numeric_images import ValueRanges
from autofit.input.pixel_cache import COMPARED, PixelCache
from autofit.input.sample_reader import SampleReader

COUNT, SIZE = 12, (80, 100)
ROW_BYTES = 80 * 100 * 3
PLENTY_BYTES = 10**8

OpenCache = Callable[..., PixelCache]


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    paths = [tmp_path / "photos" / f"{number}.png" for number in range(COUNT)]
    for path in paths:
        Image.fromarray(random.integers(0, 255, (9, 9, 3)).astype(np.uint8)).save(path)
    return [str(path) for path in paths]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were decoded."""
    decoded: list[str] = []

    def decode(path: str, row: NDArray[np.uint8], ranges: ValueRanges) -> None:
        decoded.append(path)
        decode_into(path, row, ranges)

    monkeypatch.setattr(pixel_cache, "decode_into", decode)
    return decoded


@pytest.fixture
def open_cache(tmp_path: Path, photos: list[str]) -> Iterator[OpenCache]:
    caches = []

    def open_cache(limit_bytes: int = PLENTY_BYTES, paths: list[str] = photos) -> PixelCache:
        files = IdentifiedFiles(identities_of(paths, "stat"), "stat", paths.__getitem__, time.time())
        store = CacheStore(tmp_path / "cache", limit_bytes)
        caches.append(PixelCache(store, SIZE, files.identities, paths.__getitem__, files=files))
        return caches[-1]

    yield open_cache
    for cache in caches:
        cache.close()


def all_of(cache: PixelCache, count: int = COUNT) -> NDArray[np.uint8]:
    out = np.empty((count, *SIZE, 3), np.uint8)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(cache.read_into, range(count), out))
    return out


def truth(photos: list[str]) -> NDArray[np.uint8]:
    return np.stack([decode_image(path, SIZE) for path in photos])


def test_an_image_is_decoded_once(open_cache: OpenCache, photos: list[str], decoded: list[str]) -> None:
    """Each epoch would decode all photos anew, or train on something else."""
    cache = open_cache()
    assert cache.known == 0
    for _ in range(3):
        assert np.array_equal(all_of(cache), truth(photos))
    assert sorted(decoded) == sorted(photos)
    assert cache.known == COUNT
    cache.close()
    decoded.clear()
    again = open_cache()
    assert (again.known, again.why_not) == (COUNT, "")
    assert len(decoded) == COMPARED
    assert np.array_equal(all_of(again), truth(photos))
    assert len(decoded) == COMPARED


def test_images_cached_before_a_kill_are_used_and_the_rest_is_added_to_the_same_entry(
    open_cache: OpenCache, photos: list[str], decoded: list[str], tmp_path: Path
) -> None:
    """A run that is killed thirty times would decode all thirty times, or leave thirty entries."""
    in_epochs = []
    for place in range(0, COUNT, 3):
        cache = open_cache()
        decoded.clear()  # those that were compared
        for sample in range(place + 3):
            cache.read_into(sample, np.empty((*SIZE, 3), np.uint8))
        cache.close()
        in_epochs += decoded
    assert in_epochs == photos
    assert len(list((tmp_path / "cache").glob("*-*"))) == 1


def test_two_runs_at_once_both_get_the_right_pixels(open_cache: OpenCache, photos: list[str]) -> None:
    """The second would fail, or both write into one file."""
    one, other = open_cache(), open_cache()
    assert np.array_equal(all_of(one), truth(photos))
    assert np.array_equal(all_of(other), truth(photos))
    assert np.array_equal(all_of(one), truth(photos))
    third = open_cache()
    assert third.known in {0, COUNT}
    one.close()
    other.close()
    assert open_cache().known == COUNT


def test_a_damaged_row_is_decoded_anew(
    open_cache: OpenCache, photos: list[str], decoded: list[str], tmp_path: Path
) -> None:
    """A bad block on the disk would be trained on."""
    cache = open_cache()
    all_of(cache)
    cache.close()
    rows = next((tmp_path / "cache").rglob("rows.bin"))
    data = bytearray(rows.read_bytes())
    data[ROW_BYTES * 2 + 5] ^= 1
    rows.write_bytes(data)
    again = open_cache()
    decoded.clear()  # those that were compared
    assert np.array_equal(all_of(again), truth(photos))
    assert len(decoded) == 1
    rows.write_bytes(b"")
    assert np.array_equal(all_of(again), truth(photos))


@pytest.fixture
def damaged(open_cache: OpenCache, decoded: list[str], tmp_path: Path) -> Path:
    """An entry with all photos, of which the rows of three are damaged."""
    cache = open_cache()
    all_of(cache)
    cache.close()
    rows = next((tmp_path / "cache").rglob("rows.bin"))
    data = bytearray(rows.read_bytes())
    for row in (2, 3, 7):
        data[ROW_BYTES * row + 5] ^= 1
    rows.write_bytes(data)
    decoded.clear()
    return rows


def test_damaged_rows_are_replaced_in_their_entry(
    open_cache: OpenCache, photos: list[str], decoded: list[str], damaged: Path
) -> None:
    """After a power failure each epoch of each run would decode a part of the photos."""
    for most in (3, 0):
        cache = open_cache()
        decoded.clear()  # those that were compared
        for epoch in range(3):
            assert np.array_equal(all_of(cache), truth(photos))
            assert len(decoded) == most, epoch
        with contextlib.closing(open_cache()) as other:  # another run reads it meanwhile
            assert other.known == COUNT
        assert cache.why_not == ""
        cache.close()
    assert damaged.stat().st_size == ROW_BYTES * (COUNT + 3)


def test_damaged_rows_of_an_entry_that_another_run_reads_stay(
    open_cache: OpenCache, photos: list[str], decoded: list[str], damaged: Path
) -> None:
    """Rows would be appended under the eyes of a run that reads them, or the entry be removed under ours."""
    ours, others = open_cache(), open_cache()
    for _ in range(2):
        decoded.clear()
        assert np.array_equal(all_of(ours), truth(photos))
        assert len(decoded) == 3
    others.close()
    assert damaged.stat().st_size == ROW_BYTES * COUNT
    assert not CacheStore(damaged.parent.parent, PLENTY_BYTES).remove(damaged.parent.name)


def test_a_cache_that_was_copied_without_its_key_is_filled_again(
    open_cache: OpenCache, photos: list[str], decoded: list[str], tmp_path: Path
) -> None:
    """Each epoch of each run would decode all photos, and say that they are there already."""
    first = open_cache()
    all_of(first)
    first.close()
    (tmp_path / "cache" / KEY_FILE).unlink()
    for known in (0, COUNT):
        decoded.clear()
        cache = open_cache()
        assert cache.known == known
        for _ in range(2):
            assert np.array_equal(all_of(cache), truth(photos))
        cache.close()
        assert len(decoded) == (COMPARED if known else COUNT)


def test_a_photo_that_has_changed_is_decoded_anew(open_cache: OpenCache, photos: list[str]) -> None:
    """Its old content would be trained on for ever."""
    cache = open_cache()
    all_of(cache)
    cache.close()
    Image.new("RGB", (9, 9), "red").save(photos[3])
    assert open_cache().known == COUNT - 1
    assert np.array_equal(all_of(open_cache()), truth(photos))


def test_a_photo_that_cannot_be_read_is_no_row(open_cache: OpenCache, photos: list[str]) -> None:
    """It would be black from the second epoch on."""
    Path(photos[5]).write_bytes(b"no photo")
    cache = open_cache()
    for _ in range(2):
        with pytest.raises(UnreadableImageError):
            cache.read_into(5, np.empty((*SIZE, 3), np.uint8))
    Path(photos[6]).unlink()
    gone = open_cache()
    with pytest.raises(UnreadableImageError):
        gone.read_into(6, np.empty((*SIZE, 3), np.uint8))


def test_as_many_images_are_cached_as_there_is_room_for(
    open_cache: OpenCache, photos: list[str], decoded: list[str], tmp_path: Path
) -> None:
    """A large data set would fill the disk, or not be cached at all."""
    cache = open_cache(limit_bytes=5 * ROW_BYTES + 10)
    assert cache.full_bytes == 5 * ROW_BYTES
    for _ in range(2):
        assert np.array_equal(all_of(cache), truth(photos))
    assert cache.known == 5
    assert len(decoded) == COUNT + COUNT - 5
    assert next((tmp_path / "cache").rglob("rows.bin")).stat().st_size == 5 * ROW_BYTES
    nothing = open_cache(limit_bytes=10)
    assert "room" in nothing.why_not
    assert np.array_equal(all_of(nothing), truth(photos))


ENTRY_BYTES = 2000
"""Above the size of an entry's record and index."""


def test_images_that_a_kill_has_left_out_are_cached_also_where_all_hardly_fit(
    open_cache: OpenCache, tmp_path: Path
) -> None:
    """Where the images take more than half of the limit, no later run would cache what a killed one has not."""
    limit_bytes = 8 * ROW_BYTES + ENTRY_BYTES
    killed = open_cache(limit_bytes)
    for sample in range(3):
        killed.read_into(sample, np.empty((*SIZE, 3), np.uint8))
    killed.close()
    again = open_cache(limit_bytes)
    assert (again.known, again.why_not) == (3, "")
    all_of(again)
    assert again.known >= 8
    assert len(list((tmp_path / "cache").glob("*-*"))) == 1


def test_images_of_other_data_leave_room_for_these(open_cache: OpenCache, photos: list[str]) -> None:
    """A data set that has filled the cache would keep every other one of its size out, for ever."""
    limit_bytes = 6 * ROW_BYTES + ENTRY_BYTES
    for paths in (photos[:6], photos[6:]):
        cache = open_cache(limit_bytes, paths)
        assert (cache.known, cache.why_not) == (0, "")
        assert np.array_equal(all_of(cache, 6), truth(paths))
        assert cache.known == 6
        cache.close()


def test_how_many_images_are_in_the_cache_is_said_of_a_full_one(photos: list[str], tmp_path: Path) -> None:
    """A run that reads most images from the cache would say that each epoch decodes them all."""
    index = ImageIndex("/", photos, array("i", [0] * COUNT), ("one",), COUNT)
    store, said = CacheStore(tmp_path / "cache", 5 * ROW_BYTES + 10), []
    for _ in range(2):
        reader = SampleReader(index, SIZE, 0, Augmentation())
        reader.use_cache(store, identities_of(photos, "stat"))
        said.append(reader.cache_message())
        for sample in range(COUNT):
            reader.of_epoch(None)(sample, np.empty((*SIZE, 3), np.uint8))
        reader.close()
    no_room = "there is no room for 7 more; 120 KB in the cache"
    assert said == [
        f"decoded images: the first epoch keeps them; {no_room}",
        f"decoded images: 5 are there already; {no_room}",
    ]


def test_images_with_a_margin_and_whole_ones_have_the_limit_together(photos: list[str], tmp_path: Path) -> None:
    """With augmentation the cache would grow far beyond its limit, or leave the disk without room for checkpoints."""
    index = ImageIndex("/", photos, array("i", [0] * COUNT), ("one",), 8)
    store = CacheStore(tmp_path / "cache", 7 * ROW_BYTES)
    for _ in range(2):
        reader = SampleReader(index, SIZE, 0, Augmentation("light"))
        reader.use_cache(store, identities_of(photos, "stat"))
        for sample in range(COUNT):
            reader.of_epoch(0 if sample < 8 else None)(sample, np.empty((*SIZE, 3), np.uint8))
        reader.close()
        assert sum(entry.size_bytes for entry in store.listing().entries) <= store.limit_bytes


def test_images_that_a_run_trains_on_are_not_removed(open_cache: OpenCache, tmp_path: Path) -> None:
    """A run on other data would make room by them, of which the disk gets nothing back while they are read."""
    store = CacheStore(tmp_path / "cache", PLENTY_BYTES)
    for _ in range(2):  # the run that has written them, and one that finds them
        cache = open_cache()
        all_of(cache)
        assert store.clear() == (0, 0)
        cache.close()
    assert store.clear()[0] == 1


@pytest.mark.parametrize("bad", [0, 1])
def test_a_run_reads_the_images_of_another_that_still_trains(
    open_cache: OpenCache, photos: list[str], decoded: list[str], bad: int
) -> None:
    """It would decode all of them again, and keep them twice, as long as the first run goes on."""
    for path in photos[:bad]:
        Path(path).write_bytes(b"no photo")
    first = open_cache()
    for _ in range(2):
        for sample in range(COUNT):
            with contextlib.suppress(UnreadableImageError):
                first.read_into(sample, np.empty((*SIZE, 3), np.uint8))
    decoded.clear()
    second = open_cache()
    assert second.known == COUNT - bad
    for sample in range(bad, COUNT):
        second.read_into(sample, np.empty((*SIZE, 3), np.uint8))
    assert len(decoded) == COMPARED


def test_runs_at_once_have_the_limit_together(
    open_cache: OpenCache, photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight runs on the same data would take eight times the limit, and leave the disk without room for checkpoints."""
    monkeypatch.setattr(pixel_cache, "CHECKED_BYTES", ROW_BYTES)
    limit_bytes = (COUNT + 1) * ROW_BYTES
    caches = [open_cache(limit_bytes) for _ in range(4)]
    for sample in range(COUNT):
        for cache in caches:
            cache.read_into(sample, np.empty((*SIZE, 3), np.uint8))
    taken = sum(entry.size_bytes for entry in CacheStore(tmp_path / "cache", 0).listing().entries)
    assert taken <= limit_bytes + len(caches) * ROW_BYTES
    assert all("there is no room left" in cache.why_not for cache in caches)
    assert all(np.array_equal(all_of(cache), truth(photos)) for cache in caches)


def test_a_disk_that_is_full_ends_the_keeping_and_not_the_run(
    open_cache: OpenCache, photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run would end for something that it does not need."""
    written: list[int] = []
    append = EntryWriter.append

    def until_it_is_full(writer: EntryWriter, *given: object) -> object:
        if len(written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(0)
        return append(writer, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(EntryWriter, "append", until_it_is_full)
    cache = open_cache()
    for _ in range(2):
        assert np.array_equal(all_of(cache), truth(photos))
    assert cache.known == 4
    assert "No space left" in cache.why_not


def test_a_cache_that_is_cleared_meanwhile_costs_nothing(
    open_cache: OpenCache, photos: list[str], tmp_path: Path
) -> None:
    """`rm -r` of the cache in another terminal would end the run."""
    cache = open_cache()
    all_of(cache)
    shutil.rmtree(tmp_path / "cache")
    assert np.array_equal(all_of(cache), truth(photos))


def test_a_folder_that_cannot_be_written_costs_nothing(
    open_cache: OpenCache, photos: list[str], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("no folder")
    cache = open_cache()
    assert cache.why_not
    assert np.array_equal(all_of(cache), truth(photos))


def test_files_that_are_the_same_photo_are_each_given(open_cache: OpenCache, photos: list[str]) -> None:
    """A list that names a file twice would confuse the rows."""
    twice = [photos[0], photos[1], photos[0]]
    cache = open_cache(paths=twice)
    for _ in range(2):
        assert np.array_equal(all_of(cache, 3), truth(twice))


def test_cached_pixels_that_differ_from_their_files_are_thrown_away(
    open_cache: OpenCache, photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels of other images would be trained on, in this run and in all later ones."""
    known = identities_of(photos, "stat")
    first = open_cache()
    all_of(first)
    first.close()
    (stale,) = (tmp_path / "cache").glob("*-*")
    for number, path in enumerate(photos):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(path)
    monkeypatch.setattr("tests.input.test_pixel_cache.identities_of", lambda *_: known)
    again = open_cache()
    assert (again.known, again.thrown_away) == (0, 1)
    assert not stale.exists()
    assert np.array_equal(all_of(again), truth(photos))


def test_a_jpeg_that_lacks_its_end_is_known_in_the_next_run(photos: list[str], open_cache: OpenCache) -> None:
    """It would be counted by the run that decodes it, and by no other that is trained on the same pixels."""
    Image.effect_noise((64, 64), 60).save(photos[3], "JPEG")
    Path(photos[3]).write_bytes(Path(photos[3]).read_bytes()[:-20])
    all_of(open_cache())
    assert lacks_its_end(photos[3])
    decode_module._without_end.clear()  # as in another process
    again = open_cache()
    again.read_into(4, np.empty((*SIZE, 3), np.uint8))
    again.read_into(3, np.empty((*SIZE, 3), np.uint8))
    assert [path for path in photos if lacks_its_end(path)] == [photos[3]]


def test_a_photo_that_is_edited_after_the_start_is_not_kept(photos: list[str], open_cache: OpenCache) -> None:
    """The edited picture's pixels would be those of the old bytes, in each run after these have come back."""
    cache, before = open_cache(), Path(photos[5]).read_bytes()
    Image.new("RGB", (9, 9), "red").save(photos[5])
    assert np.array_equal(all_of(cache), truth(photos)), "the run goes on with what is there"
    assert (cache.known, cache.missing_bytes) == (COUNT - 1, 0)
    cache.close()
    Path(photos[5]).write_bytes(before)
    assert np.array_equal(all_of(open_cache()), truth(photos))
