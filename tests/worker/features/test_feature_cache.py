from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autofit.cache.entry_format import EntryRecord
from autofit.cache.feature_rows import FeatureRows, look_up
from autofit.cache.identity import Identities
from autofit.cache.store import CacheStore
from autofit.config.precisions import Precision
from autofit.worker.features.feature_cache import FeatureCache, matches_live
from autofit.worker.features.features_record import (
    ExtractionChunk,
    FeaturesRecord,
    extraction_chunks,
    load_features_record,
)

pytestmark = pytest.mark.slow  # imports TensorFlow

KEY = "ab" * 32
WIDTH = 5
COUNT = 40
PLENTY_BYTES = 10**9


def record() -> EntryRecord:
    return EntryRecord(kind="features", key=KEY, about={}, dtype="float32", row_shape=(WIDTH,), created=time.time())


def images_of(count: int = COUNT) -> Identities:
    return np.random.default_rng(0).integers(1, 2**63, (count, 2)).astype(np.uint64)


def features_of(samples: NDArray[np.int64]) -> NDArray[np.float32]:
    """Known content: row i is full of i."""
    return np.repeat(np.asarray(samples, np.float32)[:, None], WIDTH, axis=1)


@pytest.fixture
def store(tmp_path: Path) -> CacheStore:
    return CacheStore(tmp_path / "cache", PLENTY_BYTES)


OPENED: list[FeatureRows] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what a test has found."""
    yield
    while OPENED:
        OPENED.pop().close()


def find(cache: FeatureCache) -> FeatureRows:
    OPENED.append(cache.find())
    return OPENED[-1]


def cache_of(store: CacheStore, run_dir: Path, follow: Path | None = None) -> FeatureCache:
    run_dir.mkdir(exist_ok=True)
    followed = follow / "features.json" if follow else None
    return FeatureCache(store, record(), run_dir / "features.json", followed, images_of())


def extract(cache: FeatureCache, chunks: Sequence[ExtractionChunk], at_once: int = 4, stop_after: int = COUNT) -> None:
    """Write rows for these chunks as an extraction would, and stop after so many."""
    missing = sum(len(chunk.samples) for chunk in chunks)
    done = 0
    with cache.writer(look_up([], images_of()), missing) as writer:
        for chunk in chunks:
            if done >= stop_after:
                return
            size = chunk.at_once or at_once
            places = np.arange(len(chunk.samples))
            writer.append(images_of()[chunk.samples], features_of(chunk.samples), places - places % size)
            done += len(chunk.samples)


def made(store: CacheStore, run_dir: Path, at_once: int = 4) -> FeatureRows:
    cache = cache_of(store, run_dir)
    rows = find(cache)
    extract(cache, cache.chunks(rows, 8), at_once)
    rows.close()
    rows = find(cache)
    cache.note(rows)
    return rows


def spans(chunks: Sequence[ExtractionChunk]) -> list[tuple[int, int, int | None]]:
    return [(int(chunk.samples[0]), int(chunk.samples[-1]) + 1, chunk.at_once) for chunk in chunks]


def test_rows_come_back_in_the_order_asked_for(store: CacheStore, tmp_path: Path) -> None:
    """The head would learn one photo's label with another's features."""
    rows = made(store, tmp_path / "run")
    asked = np.array([7, 0, 39, 7])
    assert rows.known().all()
    assert np.array_equal(rows.gather(asked), features_of(asked))


def test_a_second_run_finds_them(store: CacheStore, tmp_path: Path) -> None:
    """Every run would extract anew what the one before has extracted."""
    made(store, tmp_path / "a").close()
    cache = cache_of(store, tmp_path / "b")
    rows = find(cache)
    assert rows.known().all()
    assert cache.chunks(rows, 8) == []


def test_rows_of_two_entries_make_one_set(store: CacheStore, tmp_path: Path) -> None:
    """A few more photos in the folder would cost the extraction of all."""
    half = cache_of(store, tmp_path / "a")
    rows = find(half)
    extract(half, half.chunks(rows, 8), stop_after=16)
    rows.close()
    rows = made(store, tmp_path / "b")
    assert len(rows.entries) == 2
    assert np.array_equal(rows.gather(np.arange(COUNT)), features_of(np.arange(COUNT)))


def test_an_extraction_goes_on_in_its_own_entry_with_the_same_blocks(store: CacheStore, tmp_path: Path) -> None:
    """Other blocks after a kill would give other last bits, and each kill one more entry."""
    cache = cache_of(store, tmp_path / "run")
    rows = find(cache)
    extract(cache, cache.chunks(rows, 8), stop_after=16)
    rows.close()
    again = cache_of(store, tmp_path / "run")
    rows = find(again)
    chunks = again.chunks(rows, 8)
    assert spans(chunks) == [(start, start + 8, None) for start in range(16, COUNT, 8)]
    rows.close()
    extract(again, chunks)
    assert len(list(store.folder.glob("*-*"))) == 1
    assert find(again).known().all()


def test_lost_rows_are_extracted_again_in_the_same_slices(store: CacheStore, tmp_path: Path) -> None:
    """A run that is resumed after the cache was cleared would end with other weights."""
    rows = made(store, tmp_path / "run", at_once=3)
    slices = rows.slices()
    assert slices[:4] == [(0, 3), (3, 6), (6, 8), (8, 11)]
    rows.close()
    store.clear()
    again = cache_of(store, tmp_path / "run")
    assert spans(again.chunks(find(again), 8)) == [(start, stop, stop - start) for start, stop in slices]


def test_a_run_keeps_to_the_rows_it_began_with(store: CacheStore, tmp_path: Path) -> None:
    """Another run's rows differ in their last bits: to go on with them would end with other weights."""
    rows = made(store, tmp_path / "run", at_once=3)
    rows.close()
    store.clear()
    made(store, tmp_path / "other", at_once=8).close()
    again = cache_of(store, tmp_path / "run")
    assert not find(again).known().any()


def test_a_replay_uses_the_rows_of_the_run_it_follows_or_makes_them_in_the_same_way(
    store: CacheStore, tmp_path: Path
) -> None:
    """A replay would differ in its last bits from the run that it is to prove."""
    made(store, tmp_path / "other", at_once=8).close()
    rows = made(store, tmp_path / "run")
    rows.close()
    followed = find(cache_of(store, tmp_path / "a", follow=tmp_path / "run"))
    assert followed.known().all()
    followed.close()
    slices = FeaturesRecord.load(tmp_path / "run" / "features.json").slices
    store.clear()
    replay = cache_of(store, tmp_path / "b", follow=tmp_path / "run")
    chunks = replay.chunks(find(replay), 8)
    assert [(start, stop) for start, stop, _ in spans(chunks)] == slices


def test_rows_that_were_left_out_stay_out_when_the_run_goes_on_or_is_replayed(
    store: CacheStore, tmp_path: Path
) -> None:
    """A resumed run would train its head on other images than before, and a replay on others than its run."""
    cache = cache_of(store, tmp_path / "run")
    rows = find(cache)
    chunks = cache.chunks(rows, 8)
    extract(cache, chunks[:3])
    cache.leave_out(np.arange(24, COUNT))
    rows = cache.find_again([5])
    OPENED.append(rows)
    cache.note(rows)
    told = FeaturesRecord.load(tmp_path / "run" / "features.json")
    assert (told.left_out, told.unreadable) == (list(range(24, COUNT)), [])
    made(store, tmp_path / "other").close()  # another run has them all
    for again in (cache_of(store, tmp_path / "run"), cache_of(store, tmp_path / "replay", follow=tmp_path / "run")):
        rows = find(again)
        assert again.has_left_out
        assert np.flatnonzero(rows.known()).tolist() == list(range(24))
        assert again.chunks(rows, 8) == []


def test_rows_that_are_made_again_are_made_without_those_left_out_between_them() -> None:
    """Images that a run had no time for would be computed with others, and those differ in their last bits."""
    told = FeaturesRecord(key=KEY, own="", slices=[(0, 4), (4, 8)], left_out=[5, 6])
    (chunk,) = extraction_chunks(np.array([0, 0, 0, 0, 1, 0, 0, 1], bool), 8, told)
    assert (chunk.samples.tolist(), chunk.at_once) == ([4, 7], 2)


def test_millions_of_rows_may_be_left_out(tmp_path: Path) -> None:
    """A run that is resumed would not read its own record, and train on other images than before."""
    told = FeaturesRecord(key=KEY, own="", left_out=list(range(4_100_000)))
    told.save(tmp_path / "features.json")
    assert load_features_record(tmp_path / "features.json", KEY) == told


@pytest.mark.parametrize("content", ["", "{", '{"schema": "autofit/features/1"}', '{"schema": "autofit/features/9"}'])
def test_a_damaged_record_is_ignored(store: CacheStore, tmp_path: Path, content: str) -> None:
    """A cut file in a run directory would end the run; rows can always be found or made."""
    made(store, tmp_path / "run").close()
    (tmp_path / "run" / "features.json").write_text(content)
    assert find(cache_of(store, tmp_path / "run")).known().all()


@given(missing=st.lists(st.booleans(), max_size=60), block=st.integers(1, 20), data=st.data())
def test_chunks_hold_each_missing_row_once(missing: list[bool], block: int, data: st.DataObject) -> None:
    """An image without a row would be left out of the training, or one be extracted twice."""
    count = len(missing)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, count - 1)), max_size=8))) if count > 1 else []
    edges = [0, *cuts, count] if count else []
    told = FeaturesRecord(
        key=KEY,
        own="",
        slices=list(itertools.pairwise(edges)),
        unreadable=sorted(data.draw(st.sets(st.integers(0, max(0, count)), max_size=5))),
    )
    for record_or_none in (None, told):
        chunks = list(extraction_chunks(np.array(missing, bool), block, record_or_none))
        samples = [int(sample) for chunk in chunks for sample in chunk.samples]
        assert len(samples) == len(set(samples))
        assert {sample for sample, is_missing in enumerate(missing) if is_missing} <= set(samples)
        if record_or_none is None:
            assert all(missing[sample] for sample in samples)
            assert all(chunk.samples[0] // block == chunk.samples[-1] // block for chunk in chunks)


def test_an_image_that_cannot_be_read_does_not_make_its_neighbours_again() -> None:
    """One bad photo would cost every resumed attempt the extraction of those it was with."""
    told = FeaturesRecord(key=KEY, own="", slices=[(0, 4), (4, 8)], unreadable=[2])
    missing = np.array([False, False, True, False, False, False, False, False])
    assert spans(list(extraction_chunks(missing, 8, told))) == [(2, 3, None)]


@pytest.mark.parametrize(("by", "is_used"), [(0.0, True), (1e-6, True), (0.1, False), (np.nan, False)])
def test_rows_are_used_if_live_batches_are_the_same(
    store: CacheStore, tmp_path: Path, by: float, *, is_used: bool
) -> None:
    """The head would silently be trained on wrong features."""
    rows = made(store, tmp_path / "run")
    samples = np.array([1, 5, 30])
    assert matches_live(rows, [(samples, (features_of(samples) * (1 + by)).astype(np.float32))]) is is_used


@pytest.mark.parametrize(
    ("precision", "is_used"), [("float32", False), ("mixed_float16", False), ("mixed_bfloat16", True)]
)
def test_rows_of_16_bits_may_differ_by_their_rounding(
    store: CacheStore, tmp_path: Path, precision: Precision, *, is_used: bool
) -> None:
    """All features of a backbone in bfloat16 would be extracted anew, as other slices sum in another order."""
    rows = made(store, tmp_path / "run")
    samples = np.array([1, 5, 30])
    assert matches_live(rows, [(samples, (features_of(samples) * 1.02).astype(np.float32))], precision) is is_used
