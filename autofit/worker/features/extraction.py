"""The pass before the first epoch, which computes the features of a frozen backbone once and caches them.

Without random augmentation, a frozen backbone's output is constant for each image. Features that the cache lacks are
extracted in blocks, in the order of the index, with a micro-batch that grows while that makes it faster. Each block is
appended to the cache at once, so that a pass that was killed continues where it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autofit.cache.feature_rows import FeatureRows
from autofit.cache.store import CacheStore, NoRoomError
from autofit.config.batch_schedule import (
    EXTRACTION_BLOCK,
    EXTRACTION_GROWTH,
    FIRST_EXTRACTION,
    LARGEST_EXTRACTION,
    TUNING_SECONDS,
    batch_bounds,
)
from autofit.input.batch_loader import BatchLoader, LoadedBatch
from autofit.input.epoch_order import epoch_order
from autofit.input.views import ViewIndex
from autofit.protocol.cache_job import CacheJob
from autofit.protocol.job import Event, ExtractionSpeed, ExtractionTime, Job, TrainJob
from autofit.protocol.messages import LATER_STAGES, Phase
from autofit.storage.run_directory import RunDirectory
from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.execution.session import Session
from autofit.worker.features.batch_autotune import BatchSizeAutotuner, starting_size
from autofit.worker.features.extraction_time import ExtractionClock, ExtractionPace, ExtractionTimeLimit, NoTimeLeft
from autofit.worker.features.extractor import Extractor, Photos, extract_missing
from autofit.worker.features.feature_cache import FeatureCache, features_entry_record, matches_live
from autofit.worker.features.features_record import ExtractionChunk
from autofit.worker.features.finite_features import require_finite
from autofit.worker.model.precision import precision_of
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.memory import allocator_bytes, peak_bytes, reset_peak
from autofit.worker.runtime.stop_conditions import StopConditions
from autofit.worker.runtime.tf_settings import device_name

LIVE_BATCHES, MOST_COMPARED = 2, 64
"""After an extraction, the features of so many batches, of so many images at most, are computed again and compared."""

COMPARED_AGAIN = 8
"""If all features were in the cache, those of so many images, drawn at random, are compared, in a fraction of a second.
"""

LATE = "the drive did not answer in time; it is used in the next run"
FROM_NOW = "from what the network makes of the same images now"


@dataclass(frozen=True, slots=True, eq=False)
class Views(Photos):
    """The views of the images; there is a row of features for each.

    Attributes:
        index: tells which view of which sample each row is of.
    """

    index: ViewIndex


class ExtractionPass:
    """Makes sure that there is a row of features for each view whose image can be read, and finds these rows.

    Args:
        job: a training job.
        session: a network with a frozen backbone.
        backbone_sha256: the hash of the backbone's weights.
        views: the rows that the training needs.
        heartbeat: reports the progress.
        stop_conditions: checked after each block.
        on_unreadable: called with the (sample, reason) of images that cannot be read, block by block; it may raise.
        on_shrink: called when memory ran out.
        clock: tells when the extraction has to end with the images so far; None if it has all the time.

    Attributes:
        unreadable: why a sample could not be read, by its number.
        has_left_out: whether there was no time for all images.
    """

    def __init__(  # noqa: PLR0913 - what is extracted, and whom to tell
        self,
        job: Job,
        session: Session,
        backbone_sha256: str,
        views: Views,
        heartbeat: Heartbeat,
        stop_conditions: StopConditions,
        *,
        on_unreadable: Callable[[Sequence[tuple[int, str]]], None],
        on_shrink: Callable[[Shrink], None],
        clock: ExtractionClock | None = None,
    ) -> None:
        assert isinstance(job.work, TrainJob)  # noqa: S101 - only a training has a feature cache
        self._job, self._work, self._session = job, job.work, session
        self._backbone_sha256, self._views = backbone_sha256, views
        self._heartbeat, self._stop_conditions = heartbeat, stop_conditions
        self._time = ExtractionTimeLimit(clock, is_first_stage=job.work.stage not in LATER_STAGES)
        self._on_unreadable, self._on_shrink = on_unreadable, on_shrink
        self._precision = precision_of(session.built.features)
        self.unreadable: dict[int, str] = {}
        self.has_left_out = False

    def run(self, cache_job: CacheJob, loader: BatchLoader) -> FeatureRows | None:
        """Find and extract the rows; their entries stay locked until the rows are closed.

        Returns:
            None if features cannot be cached, or differ from what the network computes now; a message tells which.

        Raises:
            StopRequested: the worker has to stop; what was extracted is in the cache.
            OutOfDeviceMemoryError: not even a single image fits.
        """
        self._heartbeat.phase(Phase.EXTRACT, counts="images", step=0, steps=0)
        try:
            store = CacheStore(Path(cache_job.folder), cache_job.limit_bytes)
            rows = self._complete_rows(self._feature_cache(store), cache_job, loader)
            if said := store.others_words():
                self._heartbeat.event(Event(message=said))
        except (NoRoomError, OSError) as error:
            self._report_no_cache(str(error))
            return None
        if rows is not None:
            follows = Phase.SOLVE if self._work.plan.head == "solve" else Phase.TRAIN
            self._heartbeat.phase(follows, counts="batches", step=0, steps=0)
        return rows

    def _feature_cache(self, store: CacheStore) -> FeatureCache:
        files = RunDirectory(Path(self._work.run_dir))
        stage, replay = self._work.stage, self._work.plan.replay
        replayed = RunDirectory(Path(replay)).features_of(stage) if replay else None
        built, views = self._session.built, self._views.index.views
        kind = built.feature_shape, views, built.cut, self._precision
        own = None if built.below_head is None else built.features
        record = features_entry_record(self._job, self._backbone_sha256, *kind, own)
        return FeatureCache(store, record, files.features_of(stage), replayed, self._views.identities)

    def _complete_rows(self, cache: FeatureCache, cache_job: CacheJob, loader: BatchLoader) -> FeatureRows | None:
        """Find the rows, extract those that are missing, compare some with newly computed ones, and record the places.

        If rows differ that were in the cache before, their entries are removed and all rows are extracted again, once.
        """
        for is_first in (True, False):
            rows, extracted, size = self._found_and_extracted(cache, cache_job, loader)
            try:
                was_found = extracted < int(rows.known().sum())
                if self._matches_live(rows, loader, size, was_extracted=extracted > 0):
                    cache.note(rows)
                    self.has_left_out = cache.has_left_out
                    self._report_rows(rows, extracted)
                    return rows
                cache.throw_away(rows)
            except BaseException:
                rows.close()
                raise
            if not was_found or not is_first:
                break
            self._heartbeat.event(Event(message=f"features in the cache differ {FROM_NOW}: thrown away"))
        self._report_no_cache(f"they differ {FROM_NOW}")
        return None

    def _found_and_extracted(
        self, cache: FeatureCache, cache_job: CacheJob, loader: BatchLoader
    ) -> tuple[FeatureRows, int, int]:
        """All rows, how many of them were extracted now, and the last micro-batch size of the extraction."""
        extracted = 0
        rows = cache.find()
        try:
            block, autotuner = self._sizes(cache_job)
            if chunks := self._time.ordered(cache.chunks(rows, block), self._views.index):
                found, rows, extracted = rows, *self._extract(cache, rows, chunks, autotuner, loader)
                found.close()
        except BaseException:
            rows.close()
            raise
        return rows, extracted, autotuner.size

    def _extract(
        self,
        cache: FeatureCache,
        found: FeatureRows,
        chunks: Sequence[ExtractionChunk],
        autotuner: BatchSizeAutotuner,
        loader: BatchLoader,
    ) -> tuple[FeatureRows, int]:
        """Extract the chunks; returns all rows, and how many of them are new."""
        count = sum(len(chunk.samples) for chunk in chunks)
        extractor = self._extractor(autotuner)
        done = written = blocks = 0
        unreadable: set[int] = set()
        pace = ExtractionPace()
        check = partial(require_finite, network=self._session.built, path_of=self._views.path)

        def on_block(batch: LoadedBatch, cached_rows: int) -> None:
            nonlocal done, written, blocks
            if cached_rows > written:
                self._heartbeat.event(Event(kept_rows=cached_rows - written))
                written = cached_rows
            unreadable.update(row for row, _ in batch.skipped)
            unreadable.update(self._unidentified(batch))
            self._note_unreadable(batch)
            pace.block_begins(done, self._heartbeat.times.first_steps_seconds, autotuner.rate)
            self._time.check(blocks, pace, count)
            blocks += 1
            seconds = pace.elapsed()
            self._heartbeat.beat(
                step=done,
                steps=count,
                micro_batch_size=autotuner.size,
                images_per_second=done / seconds if seconds and done else 0.0,
            )
            done += len(batch.samples) + len(batch.skipped)
            autotuner.remaining_images = count - done
            self._stop_conditions.stop_if_met()

        with cache.writer(found, count) as writer:
            batches = loader.batches((chunk.samples for chunk in chunks), self._views.decode)
            try:
                extract_missing(batches, chunks, writer, self._views, extractor, check, on_block)
            except NoTimeLeft:
                writer.sync()
                cache.leave_out(np.concatenate([chunk.samples for chunk in chunks[blocks:]]))
            writer.share()
            rows = cache.find_again(unreadable)
        self._report_speed(autotuner, loader)
        spent = ExtractionTime(images=done, seconds=pace.elapsed(), steady_per_second=pace.steady_per_second)
        self._heartbeat.event(Event(extracted=spent))
        return rows, done - len(unreadable)

    def _unidentified(self, batch: LoadedBatch) -> list[int]:
        """The rows of a block whose images can be read now, but had no identity: the cache could not find them."""
        return [row for row in batch.samples.tolist() if not self._views.identities[row].any()]

    def _note_unreadable(self, batch: LoadedBatch) -> None:
        """Report the samples of a block that could not be read; the numbers in `batch` are those of rows."""
        rows = (*batch.skipped, *((row, LATE) for row in self._unidentified(batch)))
        skipped = tuple((self._views.index.sample(row), reason) for row, reason in rows)
        self.unreadable.update(skipped)
        self._on_unreadable(skipped)

    def _sizes(self, cache_job: CacheJob) -> tuple[int, BatchSizeAutotuner]:
        """How many images are decoded together, and the tuner for how many go through the backbone at once."""
        block = EXTRACTION_BLOCK[self._job.memory.device]
        most = cache_job.fixed_size or LARGEST_EXTRACTION[self._job.memory.device]
        if self._work.micro_batch_size < self._work.plan.micro_batch_size:  # memory ran out before
            most = min(most, self._work.micro_batch_size)
        if cache_job.fixed_size:
            return most * -(-block // most), BatchSizeAutotuner(most, most, 0)
        limit = allocator_bytes() or self._job.memory.tensors_bytes
        device = self._job.memory.device
        usual = FIRST_EXTRACTION[device]
        first = starting_size(min(usual, most), cache_job.first_size, cache_job.first_peak_bytes, most, limit)
        least = None if self._session.pads else usual  # each size is tuned: smaller ones would cost more than they gain
        return block, BatchSizeAutotuner(
            first, most, limit, least=least, growth=EXTRACTION_GROWTH[device], new_shape_seconds=TUNING_SECONDS[device]
        )

    def _extractor(self, autotuner: BatchSizeAutotuner) -> Extractor:
        device = device_name(self._job.memory)

        def peak() -> int:
            taken = peak_bytes(device)
            reset_peak(device)
            return taken

        assert self._session.extract is not None  # noqa: S101 - the backbone is frozen
        micro = MicroBatcher(autotuner.size, self._on_shrink, pads=self._session.pads)
        return Extractor(self._session.extract, micro, autotuner, peak, pads=self._session.pads)

    def _matches_live(
        self, rows: FeatureRows, loader: BatchLoader, extraction_size: int, *, was_extracted: bool
    ) -> bool:
        """Compare some rows with what the network computes for their images now.

        If slices are padded, they have as many rows as in the extraction: another shape would be tuned just for this.
        """
        groups = self._first_batches(rows) if was_extracted else [_drawn(rows)]
        size = extraction_size if self._session.pads else self._work.micro_batch_size
        micro = MicroBatcher(size, self._on_shrink, pads=self._session.pads)
        live = loader.batches((group for group in groups if len(group)), self._views.decode)
        try:
            return matches_live(
                rows,
                (
                    (batch.samples, np.asarray(self._session.features_of(batch.images, micro)))
                    for batch in live
                    if len(batch.samples)  # none, if all of them have become unreadable
                ),
                self._precision,
            )
        finally:
            live.close()

    def _first_batches(self, rows: FeatureRows) -> list[NDArray[np.int64]]:
        """The rows of the first batches of the first epoch, in the batches of a training without the cache."""
        plan, index = self._work.plan, self._views.index
        order = index.of(epoch_order(index.train_count, plan.seed, 0), 0)
        known = rows.known()
        bounds = list(batch_bounds(len(order), min(plan.first_batch_size, MOST_COMPARED), 0))[:LIVE_BATCHES]
        return [order[start:stop][known[order[start:stop]]] for start, stop in bounds]

    def _report_speed(self, autotuner: BatchSizeAutotuner, loader: BatchLoader) -> None:
        if limit := loader.limit_words(autotuner.rate or None):
            self._heartbeat.event(Event(message=f"{limit}; the next run takes the features from the cache"))
        if autotuner.rate:
            speed = ExtractionSpeed(
                micro_batch_size=autotuner.fastest,
                images_per_second=autotuner.rate,
                peak_bytes=autotuner.peak_bytes,
            )
            self._heartbeat.event(Event(extraction=speed))

    def _report_rows(self, rows: FeatureRows, extracted: int) -> None:
        how = f"extracted {extracted:,} now" if extracted else "all extracted before"
        of = "images"
        if self._work.plan.augment != "none":
            of = f"views, {self._views.index.views} of each training image instead of a new one in each epoch"
        known = int(rows.known().sum())
        trained = "the layers above them" if self._session.built.cut else "the head on them"
        used = "" if self._work.plan.head == "solve" else f"; each epoch trains {trained}"
        left = f"; no time for {len(rows.known()) - known - len(self.unreadable):,} more" if self.has_left_out else ""
        self._heartbeat.event(Event(message=f"features of {known:,} {of}: {how}{left}{used}"))

    def _report_no_cache(self, why: str) -> None:
        self._heartbeat.phase(Phase.TRAIN, counts="batches", step=0, steps=0)
        self._heartbeat.event(Event(message=f"features are not cached ({why}): training without the feature cache"))


def _drawn(rows: FeatureRows) -> NDArray[np.int64]:
    """A few rows, drawn at random."""
    known = np.flatnonzero(rows.known())
    return np.sort(np.random.default_rng().choice(known, min(COMPARED_AGAIN, len(known)), replace=False))
