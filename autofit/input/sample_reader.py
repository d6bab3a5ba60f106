"""How the samples of a training become pixels: whole or augmented, out of the cache or from their files."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import numpy as np

from autofit.cache.identity import Identities
from autofit.cache.store import CacheStore
from autofit.config.byte_size import format_size
from autofit.dataset import ImageIndex
from autofit.input.augment import CropParameters, augment_into, with_margin
from autofit.input.batch_loader import Decode
from autofit.input.decode import decode_into
from autofit.input.pixel_cache import PixelCache, Row
from autofit.input.predecode import PredecodedImages
from autofit.input.views import ViewIndex


class SampleReader:
    """Decodes the samples of a training.

    Args:
        index: the images.
        size: (height, width) in pixels.
        seed: of the augmentation.
        augments: whether training images are augmented. They are then decoded with a margin, to be cropped.
        early: whole images of the size that are there already; no more are made from now on.
    """

    def __init__(
        self,
        index: ImageIndex,
        size: tuple[int, int],
        seed: int,
        *,
        augments: bool,
        early: PredecodedImages | None = None,
    ) -> None:
        self._index, self._seed, self._augments = index, seed, augments
        self._size, self._train_size = size, with_margin(size) if augments else size
        self._whole = self._with_margin = self._from_file
        self._open = ExitStack()
        self._caches: list[PixelCache] = []
        self._early = early
        if early:
            early.stop()

    def drop_early(self) -> None:
        """Give back the memory of what was decoded early."""
        if self._early:
            self._early.drop()

    def keep(self, store: CacheStore, images: Identities) -> None:
        """Keep what is decoded, from now on until `close`.

        Args:
            store: where.
            images: the identity of each sample, uint64 (n, 2).
        """
        if not self._augments:
            self._whole = self._cached(store, self._size, images).read_into
            return
        trains = (np.arange(len(images)) < self._index.train_count)[:, None]
        self._with_margin = self._cached(store, self._train_size, np.where(trains, images, 0)).read_into
        self._whole = self._cached(store, self._size, np.where(trains, 0, images)).read_into

    def words(self) -> str:
        """What is kept, for people."""
        known, size = sum(cache.known for cache in self._caches), sum(cache.full_bytes for cache in self._caches)
        if why_not := next((cache.why_not for cache in self._caches if cache.why_not), ""):
            return f"decoded images are not kept ({why_not}): decoding them in each epoch"
        there = f"{known:,} are there already" if known else "the first epoch keeps them"
        return f"decoded images: {there}; {format_size(size)} in the cache"

    def close(self) -> None:
        """Let go of what is kept."""
        self._open.close()

    def of_epoch(self, epoch: int | None) -> Decode:
        """How the samples of a training epoch are decoded, each with a view of its own; None: of the validation."""
        return partial(self._drawn, epoch) if self._augments and epoch is not None else self._whole

    def of_slots(self, slots: ViewIndex, identities: Identities) -> Decode:
        """How the slots of features are decoded: each view is that of its image, whatever its number in this run.

        Args:
            slots: of the samples.
            identities: of the slots, uint64 (slots, 2).
        """

        def decode(slot: int, out: Row) -> None:
            sample, view = slots.sample(slot), slots.view(slot)
            if view is None or not self._augments:
                self._whole(sample, out)
            else:
                self._view(sample, CropParameters.of(*identities[slot].tolist()), out)

        return decode

    def _cached(self, store: CacheStore, size: tuple[int, int], images: Identities) -> PixelCache:
        cache = self._open.enter_context(PixelCache(store, size, images, self._index.path))
        self._caches.append(cache)
        return cache

    def _from_file(self, sample: int, out: Row) -> None:
        path, early = self._index.path(sample), self._early
        if early is None or not early.read_into(sample, path, out):
            decode_into(path, out)

    def _drawn(self, epoch: int, sample: int, out: Row) -> None:
        self._view(sample, CropParameters.of(self._seed, epoch, sample), out)

    def _view(self, sample: int, draw: CropParameters, out: Row) -> None:
        pixels = np.empty((*self._train_size, 3), np.uint8)
        self._with_margin(sample, pixels)
        augment_into(pixels, draw, out)
