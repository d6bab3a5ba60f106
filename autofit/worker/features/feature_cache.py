"""The features of a run's images: which entries of the cache hold them, and how they are extracted again.

Rows are looked for in the cache first. `features.json` in the run directory records where the rows of a run are, and
which images went through the backbone together. So rows that the cache has lost are computed again in the same way, bit
for bit.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterable
from pathlib import Path

import keras
import numpy as np
import PIL
import tensorflow as tf

from autofit.cache import identity
from autofit.cache.entry import EntryWriter
from autofit.cache.entry_format import EntryRecord
from autofit.cache.feature_rows import FeatureRows, Features, Numbers, look_up
from autofit.cache.identity import Identities
from autofit.cache.store import CacheStore, NoRoomError
from autofit.config.precisions import Precision
from autofit.input.augment import Augmentation
from autofit.input.decode import RECIPE
from autofit.protocol.job import Job, TrainJob
from autofit.worker.features.features_record import (
    ExtractionChunk,
    FeaturesRecord,
    extraction_chunks,
    load_features_record,
)
from autofit.worker.model import bn_folding
from autofit.worker.model.network_hash import graph_sha256
from autofit.worker.model.reopening import has_own_code
from autofit.worker.runtime.tf_settings import kernels_in_use

RELATIVE_TOLERANCE: dict[Precision, float] = {"float32": 1e-3, "mixed_float16": 1e-2, "mixed_bfloat16": 5e-2}
"""The largest difference between a cached feature and a newly computed one, relative to the largest feature. There are
differences since a slice of another size sums in another order, and since in 16 bits each layer's output is rounded, to
a mantissa of 11 or 8 bits."""


def features_entry_record(
    job: Job,
    backbone_sha256: str,
    shape: tuple[int, ...],
    views: int,
    cut: str | None = None,
    precision: Precision = "float32",
    own: keras.Model | None = None,
) -> EntryRecord:
    """The record of a new entry of features. Its key is a hash of everything that features depend on besides images.

    Args:
        job: a training job.
        backbone_sha256: the hash of the frozen weights.
        shape: the shape of an image's features.
        views: the number of views of each training image.
        cut: the layer whose output the features are; None for features of the whole backbone. Features at a cut are
            large, and stored as float16.
        precision: the precision in which they are computed.
        own: the frozen part of a user's own network, which no name stands for; None for a backbone.
    """
    assert job.source is not None  # noqa: S101 - a training has a model
    spec = job.source.spec
    recipe = {
        "backbone": spec.backbone,
        "weights": backbone_sha256,
        "image_size": list(spec.image_size),
        "decode": RECIPE,
        "identity": identity.RECIPE,
        "forward": bn_folding.RECIPE,
        "precision": precision,
        "device": job.memory.device,
        "kernels": kernels_in_use(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "pillow": PIL.__version__,
    }
    if job.deterministic:  # rows of other kernels would give another result
        recipe["deterministic"] = True
    if isinstance(job.work, TrainJob) and job.work.plan.augment != "none":
        recipe["augment"] = Augmentation(job.work.plan.augment, job.work.plan.flip).recipe
    if isinstance(job.work, TrainJob) and job.work.plan.value_ranges:
        recipe["ranges"] = job.work.plan.value_ranges
    if cut is not None:
        recipe["cut"] = cut
    if own is not None:
        recipe["network"] = graph_sha256(own)
        cache = job.work.cache if isinstance(job.work, TrainJob) else None
        if cache is not None and has_own_code(own):
            recipe["code"] = cache.code
    return EntryRecord(
        kind="features",
        key=hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest(),
        about={**spec.about, "views": str(views)},
        dtype="float32" if cut is None else "float16",
        row_shape=shape,
        created=time.time(),
    )


class FeatureCache:
    """Finds the rows of a run in the cache, and writes the missing ones.

    Args:
        store: the cache on disk.
        record: the record of a new entry.
        path: the run's `features.json`.
        follow: the `features.json` of a run that is replayed: its rows are used, or extracted again in the same way;
            None for no replay.
        identities: the identities of the rows' views, uint64 (n, 2).
    """

    def __init__(
        self, store: CacheStore, record: EntryRecord, path: Path, follow: Path | None, identities: Identities
    ) -> None:
        self._store, self._record, self._path, self._identities = store, record, path, identities
        self._own_record = load_features_record(path, record.key)
        self._followed_record = load_features_record(follow, record.key) if follow else None
        recorded = self._recorded()
        self._left_out: Numbers = np.asarray(recorded.left_out if recorded else [], np.int64)

    def _recorded(self) -> FeaturesRecord | None:
        """The record of where the rows are and how they were computed: this run's, else that of the replayed run."""
        if self._own_record and self._own_record.entries:
            return self._own_record
        return self._followed_record

    @property
    def _own_name(self) -> str | None:
        """The name of the entry that this run writes; None if it has written none."""
        return self._own_record.own if self._own_record else None

    def find(self) -> FeatureRows:
        """Open the rows that the cache has. If there is a record, only rows of its entries are used.

        Rows of other entries may differ in their last bits.
        """
        entries = self._store.open_entries(self._record.key, self._record)
        recorded = self._recorded()
        allowed = {self._own_name, *(recorded.entries if recorded else [])}
        chosen = [entry for entry in entries if entry.folder.name in allowed] if recorded else entries
        for entry in entries:
            if entry not in chosen:
                entry.close()
        rows = look_up(chosen, self._identities)
        rows.entry_of[self._valid(self._left_out)] = -1
        return rows

    def _valid(self, numbers: Numbers) -> Numbers:
        """The numbers that are valid row numbers: a record may come from an untrusted source."""
        return numbers[(numbers >= 0) & (numbers < len(self._identities))]

    @property
    def has_left_out(self) -> bool:
        """Whether some rows were left out, since there was no time for them."""
        return len(self._left_out) > 0

    def leave_out(self, numbers: Numbers) -> None:
        """Leave these rows out, which were not extracted."""
        self._left_out = np.union1d(self._left_out, numbers)

    def find_again(self, unreadable: Collection[int]) -> FeatureRows:
        """Open the rows after the missing ones were written.

        Args:
            unreadable: the rows whose images could not be read.

        Raises:
            NoRoomError: others are missing too: another process has removed them, on a drive without locks.
        """
        rows = self.find()
        missing = ~rows.known()
        missing[list(unreadable)] = False
        missing[self._valid(self._left_out)] = False
        if missing.any():
            rows.close()
            raise NoRoomError("another process has removed some of them")
        return rows

    def chunks(self, rows: FeatureRows, block: int) -> list[ExtractionChunk]:
        """The missing rows, in chunks for the extraction."""
        missing = ~rows.known()
        missing[self._valid(self._left_out)] = False
        return list(extraction_chunks(missing, block, self._recorded()))

    def writer(self, found: FeatureRows, missing: int) -> EntryWriter:
        """A writer of the entry for the missing rows; the entry's name is recorded before it has rows.

        Args:
            found: the rows that were found. Their entries stay locked, so that neither another process nor this one,
                when it makes room, removes them. Only this run's own entry is closed, since it is written again.
            missing: how many rows are missing.

        Raises:
            NoRoomError: there is no room for them.
        """
        own = self._own_name
        for entry in found.entries:
            if entry.folder.name == own:
                entry.close()
        writer = self._store.writer(self._record, own, missing * self._record.row_bytes)
        try:
            if writer.folder.name != own:
                record = self._own_record or FeaturesRecord(key=self._record.key, own="")
                self._own_record = record.model_copy(update={"own": writer.folder.name})
                self._own_record.save(self._path)
        except OSError as error:
            writer.close()
            raise NoRoomError(str(error)) from error
        return writer

    def throw_away(self, rows: FeatureRows) -> None:
        """Close the rows and remove their entries from the cache; they will be extracted again in the same slices."""
        names = [entry.folder.name for entry in rows.entries]
        rows.close()
        for name in names:
            self._store.remove(name)

    def note(self, rows: FeatureRows) -> None:
        """Record where the rows are, after there is a row for each readable image.

        Raises:
            OSError: the record cannot be written.
        """
        recorded, used = self._recorded(), np.unique(rows.entry_of[rows.known()])
        record = FeaturesRecord(
            key=self._record.key,
            own=self._own_name or "",
            entries=[rows.entries[place].folder.name for place in used],
            slices=recorded.slices if recorded else rows.slices(),
            unreadable=np.setdiff1d(np.flatnonzero(~rows.known()), self._left_out).tolist(),
            left_out=self._left_out.tolist(),
        )
        if record != self._own_record:
            record.save(self._path)
            self._own_record = record


def matches_live(rows: FeatureRows, live: Iterable[tuple[Numbers, Features]], precision: Precision = "float32") -> bool:
    """Whether cached features equal newly computed ones, within the tolerance of this precision.

    Args:
        rows: the cached rows.
        live: batches of row numbers, each with the features that were computed now.
        precision: the precision in which features are computed.
    """
    return all(
        np.abs(rows.gather(numbers).astype(np.float32) - features.astype(np.float32)).max(initial=0.0)
        <= RELATIVE_TOLERANCE[precision] * max(float(np.abs(features).max(initial=0.0)), 1e-6)
        for numbers, features in live
    )
