"""Opens the source of an attempt's batches: cached features if possible, else decoded images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from autofit.cache.identity import Identities, identities_of
from autofit.cache.store import CacheStore
from autofit.dataset import ImageIndex
from autofit.dataset.duplicates import note_equal_images
from autofit.input.augment import Augmentation
from autofit.input.batch_loader import BatchLoader
from autofit.input.decode import lack_their_end, note_cut_off
from autofit.input.drive_patience import DrivePatience
from autofit.input.identified_files import IdentifiedFiles
from autofit.input.predecode import PredecodedImages
from autofit.input.sample_reader import SampleReader
from autofit.input.views import ViewIndex
from autofit.printable import printable
from autofit.protocol.job import Event, Job, TrainJob
from autofit.protocol.messages import Phase
from autofit.storage.run_directory import RunDirectory
from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.execution.session import Session
from autofit.worker.features.extraction import ExtractionPass, Views
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.stop_conditions import StopConditions
from autofit.worker.training.batch_sources import CachedFeatures, DecodedImages
from autofit.worker.training.stage_clock import stage_clock


def image_loader(job: Job, work: TrainJob, index: ImageIndex, patience: DrivePatience) -> BatchLoader:
    """The loader of a training job's images. One batch of its buffer's budget is reserved for the batch in use."""
    size = job.source.spec.image_size if job.source else (0, 0)
    return BatchLoader(
        index.path,
        size,
        threads=work.plan.threads,
        buffer_bytes=max(1, job.memory.buffer_bytes - work.plan.schedule.largest * math.prod(size) * 3),
        threads_bytes=job.memory.threads_bytes,
        patience=patience,
    )


def image_reader(
    job: Job, work: TrainJob, index: ImageIndex, predecoded: PredecodedImages | None = None
) -> SampleReader:
    """The reader that makes the pixels of a training job's images: decoded, resized and augmented."""
    size = job.source.spec.image_size if job.source else (0, 0)
    augmentation = Augmentation(work.plan.augment, work.plan.flip)
    return SampleReader(index, size, work.plan.seed, augmentation, predecoded=predecoded, ranges=work.plan.value_ranges)


class SourceOpener:
    """Opens the sources of an attempt's batches, with its loader and its reader.

    Use it as a context manager: it closes the loader and the reader.

    Args:
        job: the attempt's job.
        work: the training in it.
        session: the network.
        heartbeat: reports the progress of reading and extracting.
        stop_conditions: checked while features are extracted.
        index: the images.
        predecoded: images that another process has decoded.
        go_on: called each second while the loader waits for a drive; it raises if the worker is to stop.
    """

    def __init__(
        self,
        job: Job,
        work: TrainJob,
        session: Session,
        heartbeat: Heartbeat,
        stop_conditions: StopConditions,
        index: ImageIndex,
        predecoded: PredecodedImages | None,
        go_on: Callable[[], None],
    ) -> None:
        self._job, self._work, self._plan = job, work, work.plan
        self._session, self._heartbeat, self._stop_conditions = session, heartbeat, stop_conditions
        self._index, self._told_cut_off = index, 0
        self._patience = DrivePatience(lambda line: heartbeat.event(Event(message=line)), go_on)
        self._loader = image_loader(job, work, index, self._patience)
        self._reader = image_reader(job, work, index, predecoded)
        self._open = ExitStack()
        self._open.callback(self._reader.close)
        self._open.enter_context(self._loader)

    def decoded(
        self, micro: MicroBatcher, validation_micro: MicroBatcher, on_phase: Callable[[Phase], None]
    ) -> DecodedImages:
        """Images that are decoded as they are needed."""
        return DecodedImages(self._session, self._loader, self._reader, micro, validation_micro, on_phase)

    def cached(
        self,
        backbone_sha256: str | None,
        on_unreadable: Callable[[Sequence[tuple[int, str]]], None],
        on_shrink: Callable[[Shrink], None],
        micro: MicroBatcher,
        validation_micro: MicroBatcher,
        on_phase: Callable[[Phase], None],
    ) -> CachedFeatures | None:
        """Features from the cache, extracted if they are missing; None if the plan does not use them or they cannot be.

        Where the plan caches decoded images instead, the reader is connected to that cache.

        Args:
            backbone_sha256: the hash of the frozen backbone's weights; None if nothing is frozen.
            on_unreadable: called with (sample, reason) of images that cannot be read; it may raise.
            on_shrink: called when memory ran out in the extraction.
            micro: for a head with a part of the backbone in it, in training.
            validation_micro: the same in validation.
            on_phase: called with each phase.
        """
        cache = self._work.cache
        if cache is None or not (self._plan.feature_cache or self._plan.pixel_cache):
            return None
        paths = map(self._index.path, range(len(self._index.paths)))
        since = time.time()
        images = identities_of(paths, cache.by, self._heartbeat.beat, self._patience.result)
        self._reader.watch(IdentifiedFiles(images, cache.by, self._index.path, since))
        copies = note_equal_images(RunDirectory(Path(self._work.run_dir)).equal_images, images)
        if self._plan.pixel_cache:
            store = CacheStore(Path(cache.folder), cache.limit_bytes)
            self._reader.use_cache(store, images)
            said = "; ".join(filter(None, (self._reader.cache_message(), store.others_words())))
            self._heartbeat.event(Event(message=said))
        if not self._plan.feature_cache or not backbone_sha256:
            return None
        counts, augmented = (self._index.train_count, self._index.validation_count), self._plan.augment != "none"
        view_index = ViewIndex(*counts, self._plan.feature_views, augmented)
        views = self._views(view_index, images)
        extraction = ExtractionPass(
            self._job,
            self._session,
            backbone_sha256,
            views,
            self._heartbeat,
            self._stop_conditions,
            on_unreadable=on_unreadable,
            on_shrink=on_shrink,
            clock=stage_clock(self._job, self._work) if self._work.time else None,
        )
        rows = extraction.run(cache, self._loader)
        self._reader.drop_predecoded()
        for row in rows.cut_off().tolist() if rows else ():
            note_cut_off(views.path(row))
        self._report_cut_off()  # now, since the attempt may be killed, and no later one decode them
        if rows is None:
            return None
        reasons = extraction.unreadable
        source = CachedFeatures(self._session, rows, view_index, reasons, micro, validation_micro, on_phase)
        source.has_left_out, source.copies = extraction.has_left_out, copies
        return source

    def _report_cut_off(self) -> None:
        """Report how many JPEGs were used although their end is missing, if they are more than were reported before."""
        cut_off = lack_their_end()
        if not cut_off:
            return
        mine = [path for path in map(self._index.path, range(len(self._index.paths))) if path in cut_off]
        if len(mine) > self._told_cut_off:
            self._told_cut_off = len(mine)
            what = f"{len(mine):,} JPEGs lack their end" if len(mine) > 1 else "a JPEG lacks its end"
            said = f"{what}, used as far as they go: {printable(mine[0])}"
            self._heartbeat.event(Event(message=said, cut_off=len(mine)))

    def _views(self, view_index: ViewIndex, images: Identities) -> Views:
        identities = view_index.identities(images)
        decode = self._reader.of_views(view_index, identities)
        return Views(lambda row: self._index.path(view_index.sample(row)), identities, decode, view_index)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._report_cut_off()
        self._open.close()
