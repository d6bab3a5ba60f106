"""An extraction that fills the cache and trains nothing: shard after shard, shared with other processes by leases.

Each shard goes through the backbone in the order of its images' identities, with a fixed micro-batch size, and becomes
an entry of its own. So the bytes of the cache do not depend on how many processes made it, nor on which of them died.
A shard of which no image could be read leaves no entry, as where a drive has come off: the next call tries it again.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from autofit.cache.feature_rows import look_up
from autofit.cache.known_images import known_of
from autofit.cache.shard_entry import ShardEntry, is_of_use, require_room_for_all
from autofit.cache.shards import LEASES, Shard, of_part, shard_count, shards_of
from autofit.cache.store import CacheStore, NoRoomError
from autofit.config.batch_schedule import DETERMINISTIC_EXTRACTION, EXTRACTION_BLOCK
from autofit.errors import StorageError
from autofit.input.batch_loader import BatchLoader, LoadedBatch
from autofit.protocol.cache_job import CacheJob, ShardAnswer, ShardJob, ShardsDone
from autofit.protocol.job import Event, Job, TrainJob
from autofit.protocol.messages import BadImage, Phase
from autofit.storage.leases import RENEWALS, Lease, LeaseFolder
from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.execution.session import Session
from autofit.worker.features.batch_autotune import BatchSizeAutotuner
from autofit.worker.features.extractor import Extractor, Photos, extract_missing
from autofit.worker.features.feature_cache import features_entry_record
from autofit.worker.features.features_record import ExtractionChunk
from autofit.worker.features.finite_features import require_finite
from autofit.worker.model.precision import precision_of
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.stop_conditions import StopConditions

MOST_WAIT_SECONDS = 2.0

WAIT_SECONDS = 0.5
"""How often a worker that waits for a request writes a heartbeat."""


class LeaseLost(Exception):  # noqa: N818 - not an error: another process goes on with the shard
    """Another process has taken the shard over."""


class ShardExtraction:
    """Extracts those shards of one part of the images that no other process extracts.

    Args:
        job: a training job whose cache has `shards`.
        session: a network with a frozen backbone.
        backbone_sha256: the hash of the backbone's weights.
        photos: the images.
        heartbeat: reports the progress.
        stop_conditions: checked after each block.
        sleep: waits for other processes, in seconds.
    """

    def __init__(
        self,
        job: Job,
        session: Session,
        backbone_sha256: str,
        photos: Photos,
        heartbeat: Heartbeat,
        stop_conditions: StopConditions,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        assert isinstance(job.work, TrainJob)  # noqa: S101 - only a training has a feature cache
        assert job.work.cache is not None and job.work.cache.shards is not None  # noqa: S101, PT018
        self._job, self._work, self._session, self._photos = job, job.work, session, photos
        self._heartbeat, self._stop_conditions, self._sleep = heartbeat, stop_conditions, sleep
        cache, self._shards = job.work.cache, job.work.cache.shards
        self._store = CacheStore(Path(cache.folder), cache.limit_bytes)
        built, precision = session.built, precision_of(session.built.features)
        self._record = features_entry_record(job, backbone_sha256, built.feature_shape, 1, built.cut, precision)
        self._extractor, self._size = self._made_extractor(cache)
        self._extracted = self._committed = self._of_others = self._failed = self._done = self._count = 0
        self._began = time.monotonic()

    def run(self, loader: BatchLoader) -> None:
        """Extract until each shard of the part is in the cache.

        Raises:
            StopRequested: the worker has to stop; an unfinished shard is lost, committed shards are kept.
            OutOfDeviceMemoryError: not even a single image fits.
            UserError: the features exceed the limit of the cache.
            StorageError: the cache cannot be written.
        """
        with _naming_storage():
            wanted = self._of_part(self._shards)
            images = len(np.unique(self._photos.identities[wanted], axis=0))
            pending = {shard.name: shard for shard in self._missing(wanted)}
            self._count = sum(len(shard.rows) for shard in pending.values())
            self._begin_phase()
            self._all(pending, loader)
        readable = images - self._failed
        done = ShardsDone(images=readable, extracted=self._extracted, shards=self._committed, of_others=self._of_others)
        self._heartbeat.event(Event(sharded=done))

    def answer(self, asked: queue.SimpleQueue[int], loader: BatchLoader) -> NoReturn:
        """Extract the shards that are asked for by their numbers, one after another, until the worker has to stop.

        Raises:
            StopRequested: always, in the end.
            OutOfDeviceMemoryError, UserError, StorageError: as `run`.
        """
        with _naming_storage():
            wanted = self._of_part(self._shards)
            missing = {shard.number: shard for shard in self._missing(wanted)}
            images = {shard.number: len(shard.rows) for shard in self._cut(wanted)}
            self._begin_phase()
            while True:
                number = self._next(asked)
                self._count += len(missing[number].rows) if number in missing else 0
                answer = self._answered(number, images.get(number, 0), missing.get(number), loader)
                self._heartbeat.event(Event(shard=answer))

    def _next(self, asked: queue.SimpleQueue[int]) -> int:
        while True:
            with contextlib.suppress(queue.Empty):
                return asked.get(timeout=WAIT_SECONDS)
            self._beat()
            self._stop_conditions.stop_if_met()

    def _answered(self, number: int, images: int, shard: Shard | None, loader: BatchLoader) -> ShardAnswer:
        if shard is None:
            return ShardAnswer(number=number, images=images)
        committed, extracted, failed = self._committed, self._extracted, self._failed
        self._all({shard.name: shard}, loader)
        return ShardAnswer(
            number=number,
            entry=ShardEntry.name_of(self._record.key, shard.name) if self._is_there(shard) else "",
            images=images - (self._failed - failed),
            extracted=self._extracted - extracted,
            is_first=self._committed > committed,
        )

    def _of_part(self, asked: ShardJob) -> NDArray[np.bool_]:
        identities = self._photos.identities
        return of_part(identities, asked.part, asked.parts) & identities.any(axis=1)

    def _missing(self, wanted: NDArray[np.bool_]) -> list[Shard]:
        """The shards of the images that have no row yet; each process begins with another shard."""
        identities = self._photos.identities
        rows = look_up(self._store.open_entries(self._record.key, self._record), identities)
        known = rows.known()
        rows.close()
        if self._shards.known is not None:
            known |= known_of(Path(self._shards.known), self._record.key, identities)
        if said := self._store.others_words():
            self._heartbeat.event(Event(message=said))
        shards = list(self._cut(wanted & ~known))
        self._remove_useless(shards)
        if not all(map(self._is_there, shards)):
            images = len(np.unique(identities[identities.any(axis=1)], axis=0))
            are_kept = self._shards.known is None
            require_room_for_all(self._store, images, self._record.row_bytes, are_kept=are_kept)
        first = int(self._shards.owner, 16) % max(1, len(shards))
        return [*shards[first:], *shards[:first]]

    def _remove_useless(self, shards: Sequence[Shard]) -> None:
        """Remove entries of these shards without a usable row: otherwise the shards would count as done.

        Raises:
            StorageError: an entry cannot be removed.
        """
        names = [ShardEntry.name_of(self._record.key, shard.name) for shard in shards if self._is_there(shard)]
        for name in names:
            if not is_of_use(self._store, self._store.folder / name) and not self._store.remove(name):
                raise StorageError(
                    f"the rows in {self._store.folder / name} cannot be used, and it cannot be removed: it is another "
                    "user's, or in use; remove it, or give another --cache (cache=)"
                )

    def _cut(self, wanted: NDArray[np.bool_]) -> Iterator[Shard]:
        identities = self._photos.identities
        return shards_of(identities, wanted, shard_count(len(identities), self._shards.shard_images))

    def _all(self, pending: dict[str, Shard], loader: BatchLoader) -> None:
        folder = self._store.folder / LEASES
        leases = LeaseFolder(folder, self._shards.lease_seconds, owner=self._shards.owner)
        while pending:
            leases.look()
            self._drop_committed(pending)
            claimed = next(filter(None, (self._claimed(leases, shard) for shard in pending.values())), None)
            if claimed is None:
                self._wait(pending)
                continue
            shard, lease = claimed
            try:
                if self._is_there(shard):
                    self._of_others += 1
                else:
                    self._extract(shard, lease, loader)
                pending.pop(shard.name)
            except LeaseLost:
                self._heartbeat.event(Event(message="another process has taken a shard over, as this one was slow"))
            finally:
                lease.release()

    def _drop_committed(self, pending: dict[str, Shard]) -> None:
        for name in [name for name, shard in pending.items() if self._is_there(shard)]:
            self._count -= len(pending.pop(name).rows)
            self._of_others += 1

    def _is_there(self, shard: Shard) -> bool:
        return ShardEntry.is_there(self._store, self._record.key, shard.name)

    def _claimed(self, leases: LeaseFolder, shard: Shard) -> tuple[Shard, Lease] | None:
        lease = leases.claim(f"{self._record.key[:16]}-{shard.name}")
        return None if lease is None else (shard, lease)

    def _wait(self, pending: dict[str, Shard]) -> None:
        """Wait for the processes that work on the remaining shards, or for the end of their leases."""
        if pending:
            self._beat()
            self._stop_conditions.stop_if_met()
            self._sleep(min(MOST_WAIT_SECONDS, self._shards.lease_seconds / RENEWALS / 2))

    def _extract(self, shard: Shard, lease: Lease, loader: BatchLoader) -> None:
        """Extract a shard, commit it, and count what came of it."""
        chunks = self._chunks(shard)
        expected = len(shard.rows) * self._record.row_bytes
        with (
            _Renewing(lease, self._shards.lease_seconds) as renewing,
            ShardEntry(self._store, self._record, shard.name, expected) as entry,
        ):

            def on_block(batch: LoadedBatch, _: int) -> None:
                self._note(batch)
                self._beat()
                self._done += len(batch.samples) + len(batch.skipped)
                if renewing.is_lost:
                    raise LeaseLost
                self._stop_conditions.stop_if_met()

            batches = loader.batches((chunk.samples for chunk in chunks), self._photos.decode)
            check = partial(require_finite, network=self._session.built, path_of=self._photos.path)
            extract_missing(batches, chunks, entry.writer, self._photos, self._extractor, check, on_block)
            rows, is_first = entry.writer.count, entry.commit()
        self._failed += len(shard.rows) - rows
        if is_first:
            self._committed += 1
            self._extracted += rows
            self._heartbeat.event(Event(kept_rows=rows))
        elif rows:
            self._of_others += 1

    def _chunks(self, shard: Shard) -> list[ExtractionChunk]:
        block = self._size * -(-EXTRACTION_BLOCK[self._job.memory.device] // self._size)
        bounds = range(0, len(shard.rows), block)
        return [ExtractionChunk(shard.rows[start : start + block], None) for start in bounds]

    def _made_extractor(self, cache: CacheJob) -> tuple[Extractor, int]:
        size = cache.fixed_size or DETERMINISTIC_EXTRACTION[self._job.memory.device]
        if self._work.micro_batch_size < self._work.plan.micro_batch_size:  # memory ran out before
            size = min(size, self._work.micro_batch_size)
        pads = self._session.pads
        assert self._session.extract is not None  # noqa: S101 - the backbone is frozen
        micro, autotuner = MicroBatcher(size, self._on_shrink, pads=pads), BatchSizeAutotuner(size, size, 0)
        return Extractor(self._session.extract, micro, autotuner, lambda: 0, pads=pads), size

    def _on_shrink(self, shrink: Shrink) -> None:
        self._size = shrink.after
        self._heartbeat.event(Event(oom=shrink.event(self._job.attempt, Phase.EXTRACT)))

    def _note(self, batch: LoadedBatch) -> None:
        for sample, reason in batch.skipped:
            self._heartbeat.event(Event(quarantined=BadImage(path=self._photos.path(sample), reason=reason)))

    def _begin_phase(self) -> None:
        self._heartbeat.phase(Phase.EXTRACT, counts="images", step=0, steps=self._count)
        self._began = time.monotonic()

    def _beat(self) -> None:
        seconds = time.monotonic() - self._began
        rate = self._done / seconds if seconds > 0 else 0.0
        sizes = {"step": min(self._done, self._count), "steps": self._count, "micro_batch_size": self._size}
        self._heartbeat.beat(**sizes, images_per_second=rate)


@contextlib.contextmanager
def _naming_storage() -> Iterator[None]:
    """Turn an error of the cache into a StorageError."""
    try:
        yield
    except (NoRoomError, OSError) as error:
        raise StorageError(f"the features cannot be cached: {error}") from error


class _Renewing:
    """Renews a lease by a thread during the block.

    Attributes:
        is_lost: whether another process has taken the task over.
    """

    def __init__(self, lease: Lease, lease_seconds: float) -> None:
        self._lease, self._every = lease, lease_seconds / RENEWALS
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="autofit-lease", daemon=True)
        self.is_lost = False

    def _renew(self) -> None:
        while not self.is_lost and not self._over.wait(self._every):
            try:
                self.is_lost = not self._lease.renew()
            except OSError:  # the drive may answer again before the lease is over
                continue

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
