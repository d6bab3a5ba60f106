"""What a frozen backbone makes of each image, computed once and kept: the pass before the first epoch.

While nothing random happens before it, a frozen backbone's output is a constant of each image. What the cache lacks is
extracted in blocks, in the order of the index, with a micro-batch that grows while that makes it faster; each block is
appended to the cache at once, so that a pass that is killed goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import PIL
import tensorflow as tf

from autofit.cache.entry import EntryRecord
from autofit.cache.identity import Identities
from autofit.cache.store import CacheStore, NoRoomError
from autofit.config.batch_schedule import EXTRACTION_BLOCK, LARGEST_EXTRACTION, batch_bounds
from autofit.input import augment
from autofit.input.batch_loader import BatchLoader, Decode, LoadedBatch
from autofit.input.decode import RECIPE
from autofit.input.epoch_order import epoch_order
from autofit.input.views import ViewIndex
from autofit.protocol.job import CacheJob, Event, ExtractionSpeed, Job, TrainJob
from autofit.protocol.messages import Phase
from autofit.storage.run_directory import RunDirectory
from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.execution.session import Session
from autofit.worker.features.batch_autotune import BatchSizeAutotuner, starting_size
from autofit.worker.features.extractor import Extractor, extract_missing
from autofit.worker.features.feature_cache import FeatureCache, FeatureRows, cache_key, is_believable
from autofit.worker.model import bn_folding
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.memory import allocator_bytes, peak_bytes, reset_peak
from autofit.worker.runtime.stop_conditions import StopConditions
from autofit.worker.runtime.tf_settings import device_name, kernels_in_use

FIRST_SIZE = 8
LIVE_BATCHES, MOST_COMPARED = 2, 64
"""So many batches, of so many images at most, are compared before what was kept is believed."""


class ExtractionPass:
    """Sees to it that there is a row of features for each image that can be read, and tells where.

    Args:
        job: of the attempt.
        work: the same.
        session: a network with a frozen backbone.
        backbone_sha256: the hash of its weights.
        heartbeat: told of all that goes on.
        departure: asked after each block whether to leave.
        slots: of the samples; a row is kept for each.
        images: the identity of each slot.
        decode: makes a slot into pixels.
        set_aside: called with (sample, reason) of each that could not be read, block by block; it may raise.
        note_shrink: called when memory ran out.
    """

    def __init__(  # noqa: PLR0913 - what a loop has, for its first part
        self,
        job: Job,
        work: TrainJob,
        session: Session,
        backbone_sha256: str,
        heartbeat: Heartbeat,
        departure: StopConditions,
        *,
        slots: ViewIndex,
        images: Identities,
        decode: Decode,
        set_aside: Callable[[Sequence[tuple[int, str]]], None],
        note_shrink: Callable[[Shrink], None],
    ) -> None:
        self._job, self._work, self._session = job, work, session
        self._slots, self._images, self._decode = slots, images, decode
        self._backbone_sha256 = backbone_sha256
        self._heartbeat, self._departure = heartbeat, departure
        self._set_aside, self._note_shrink = set_aside, note_shrink
        self.unreadable: dict[int, str] = {}

    def run(self, cache: CacheJob, loader: BatchLoader) -> FeatureRows | None:
        """The rows; None where they cannot be kept or not be believed, which a message says.

        Raises:
            StopRequested: asked to; what was extracted is kept.
            OutOfDeviceMemoryError: not even a single image fits.
        """
        self._heartbeat.phase(Phase.EXTRACT, counts="images", step=0, steps=0)
        kept = self._feature_cache(cache)
        rows = kept.find()
        try:
            made = self._make(kept, rows, cache, loader)
            rows = kept.find() if made else rows
            if made and not self._is_believable(rows, loader):
                self._say_without("they differ from what the network makes of the same images now")
                return None
            kept.note(rows)
            self._say_what_is_there(rows, made)
        except (NoRoomError, OSError) as error:
            rows.close()
            self._say_without(str(error))
            return None
        self._heartbeat.phase(Phase.TRAIN, counts="batches", step=0, steps=0)
        return rows

    def _feature_cache(self, cache: CacheJob) -> FeatureCache:
        files = RunDirectory(Path(self._work.run_dir))
        replayed = RunDirectory(Path(self._work.plan.replay)).features if self._work.plan.replay else None
        store = CacheStore(Path(cache.folder), cache.limit_bytes)
        return FeatureCache(store, self._entry_record(), files.features, replayed, self._images)

    def _entry_record(self) -> EntryRecord:
        assert self._job.source is not None  # noqa: S101 - a training has a model
        spec = self._job.source.spec
        recipe = {
            "backbone": spec.backbone,
            "weights": self._backbone_sha256,
            "image_size": list(spec.image_size),
            "decode": RECIPE,
            "forward": bn_folding.RECIPE,
            "precision": "float32",
            "device": self._job.memory.device,
            "kernels": kernels_in_use(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "pillow": PIL.__version__,
        }
        if self._work.plan.augment != "none":
            recipe["augment"] = {"light": augment.RECIPE, "margin": augment.MARGIN}
        about = {**spec.about, "views": str(self._slots.views)}
        built = self._session.built
        assert built.head is not None  # noqa: S101 - the backbone is frozen, so there is one
        width = int(built.head.input_shape[-1])
        return EntryRecord(
            kind="features",
            key=cache_key(recipe),
            about=about,
            dtype="float32",
            row_shape=(width,),
            created=time.time(),
        )

    def _make(self, kept: FeatureCache, rows: FeatureRows, cache: CacheJob, loader: BatchLoader) -> int:
        """Extract what is missing; returns how many rows were made."""
        block, growth = self._sizes(cache)
        pieces = kept.pieces(rows, block)
        if not pieces:
            return 0
        count = sum(len(piece.samples) for piece in pieces)
        extractor = self._extractor(growth)
        done = written = 0
        unreadable: set[int] = set()
        began = time.monotonic()

        def on_block(batch: LoadedBatch, kept_rows: int) -> None:
            nonlocal done, written
            if kept_rows > written:
                self._heartbeat.event(Event(kept_rows=kept_rows - written))
                written = kept_rows
            skipped = self._skipped(batch)
            unreadable.update(slot for slot, _ in batch.skipped)
            self.unreadable.update(skipped)
            self._set_aside(skipped)
            seconds = time.monotonic() - began
            self._heartbeat.beat(
                step=done,
                steps=count,
                micro_batch_size=growth.size,
                images_per_second=done / seconds if seconds and done else 0.0,
            )
            done += len(batch.samples) + len(batch.skipped)
            if self._departure.is_asked():
                self._departure.leave()

        rows.close()  # or our own entry could not be written
        with kept.writer(count) as writer:
            batches = loader.batches((piece.samples for piece in pieces), self._decode)
            extract_missing(batches, pieces, writer, self._images, extractor, on_block)
        self._tell_speed(growth)
        return done - len(unreadable)

    def _skipped(self, batch: LoadedBatch) -> tuple[tuple[int, str], ...]:
        """The samples that could not be read, where the batch is one of slots."""
        return tuple((self._slots.sample(slot), reason) for slot, reason in batch.skipped)

    def _sizes(self, cache: CacheJob) -> tuple[int, BatchSizeAutotuner]:
        """How many images are decoded together, and how many go through the backbone at once."""
        block = EXTRACTION_BLOCK[self._job.memory.device]
        if cache.fixed_size:
            size = min(cache.fixed_size, self._work.micro_batch_size)
            return size * -(-block // size), BatchSizeAutotuner(size, size, 0)
        limit = allocator_bytes() or self._job.memory.tensors_bytes
        most = LARGEST_EXTRACTION[self._job.memory.device]
        if self._work.micro_batch_size < self._work.plan.micro_batch_size:  # memory ran out before
            most = min(most, self._work.micro_batch_size)
        first = starting_size(FIRST_SIZE, cache.first_size, cache.first_peak_bytes, most, limit)
        return block, BatchSizeAutotuner(first, most, limit, least=FIRST_SIZE)

    def _extractor(self, growth: BatchSizeAutotuner) -> Extractor:
        device = device_name(self._job.memory)

        def peak() -> int:
            taken = peak_bytes(device)
            reset_peak(device)
            return taken

        assert self._session.extract is not None  # noqa: S101 - the backbone is frozen
        return Extractor(self._session.extract, MicroBatcher(growth.size, self._note_shrink), growth, peak)

    def _tell_speed(self, growth: BatchSizeAutotuner) -> None:
        if growth.rate:
            speed = ExtractionSpeed(
                micro_batch_size=growth.fastest, images_per_second=growth.rate, peak_bytes=growth.peak_bytes
            )
            self._heartbeat.event(Event(extraction=speed))

    def _is_believable(self, rows: FeatureRows, loader: BatchLoader) -> bool:
        """Compare with the first batches of the first epoch, as a training without the cache would compute them."""
        plan = self._work.plan
        order = self._slots.of(epoch_order(self._slots.train_count, plan.seed, 0), 0)
        known = rows.known()
        bounds = list(batch_bounds(len(order), min(plan.first_batch_size, MOST_COMPARED), 0))[:LIVE_BATCHES]
        groups = [order[start:stop][known[order[start:stop]]] for start, stop in bounds]
        micro = MicroBatcher(self._work.micro_batch_size, self._note_shrink)
        live = loader.batches((group for group in groups if len(group)), self._decode)
        try:
            return is_believable(
                rows, ((batch.samples, np.asarray(self._session.features_of(batch.images, micro))) for batch in live)
            )
        finally:
            live.close()

    def _say_what_is_there(self, rows: FeatureRows, made: int) -> None:
        how = f"extracted {made:,} now" if made else "all extracted before"
        of = "images"
        if self._work.plan.augment != "none":
            of = f"views, {self._slots.views} of each training image instead of a new one in each epoch"
        known = int(rows.known().sum())
        self._heartbeat.event(Event(message=f"features of {known:,} {of}: {how}; each epoch trains the head on them"))

    def _say_without(self, why: str) -> None:
        self._heartbeat.phase(Phase.TRAIN, counts="batches", step=0, steps=0)
        self._heartbeat.event(Event(message=f"features are not kept ({why}): training without the feature cache"))
