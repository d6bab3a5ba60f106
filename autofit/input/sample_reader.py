"""Reads the pixels of samples: whole or augmented, from the pixel cache or from their files."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import numpy as np

from autofit.cache.identity import Identities
from autofit.cache.store import CacheStore
from autofit.config.byte_size import format_size
from autofit.dataset import ImageIndex
from autofit.input.augment import Augmentation, with_margin
from autofit.input.batch_loader import Decode
from autofit.input.decode import decode_into
from autofit.input.identified_files import CHANGED, IdentifiedFiles
from autofit.input.image_files import UnreadableImageError
from autofit.input.numeric_images import NO_RANGES, ValueRanges
from autofit.input.pixel_cache import PixelCache, Row
from autofit.input.predecode import PredecodedImages
from autofit.input.views import ViewIndex


class SampleReader:
    """Reads the samples of a training.

    Args:
        index: the images.
        size: (height, width) in pixels.
        seed: the seed of the augmentation.
        augmentation: how training images are augmented. If it is on, they are decoded with a margin, to be cropped.
        predecoded: images that another process has decoded to `size`; that process is stopped here.
        ranges: as in `decode_image`.
    """

    def __init__(
        self,
        index: ImageIndex,
        size: tuple[int, int],
        seed: int,
        augmentation: Augmentation,
        *,
        predecoded: PredecodedImages | None = None,
        ranges: ValueRanges = NO_RANGES,
    ) -> None:
        self._index, self._seed, self._augmentation, self._ranges = index, seed, augmentation, ranges
        self._size, self._train_size = size, with_margin(size) if augmentation.is_on else size
        self._whole = self._with_margin = self._from_file
        self._open = ExitStack()
        self._caches: list[PixelCache] = []
        self._predecoded = predecoded
        self._files: IdentifiedFiles | None = None
        if predecoded:
            predecoded.stop()

    def drop_predecoded(self) -> None:
        """Free the memory of the predecoded images."""
        if self._predecoded:
            self._predecoded.drop()

    def watch(self, files: IdentifiedFiles) -> None:
        """Cache nothing of files that are changed from now on; what was read from one is no row of features."""
        self._files = files

    def use_cache(self, store: CacheStore, images: Identities) -> None:
        """Read from and write to the pixel cache, from now on until `close`.

        Args:
            store: the cache on disk.
            images: the identity of each sample, uint64 (n, 2).
        """
        if not self._augmentation.is_on:
            self._whole = self._cached(store, self._size, images).read_into
            return
        trains = (np.arange(len(images)) < self._index.train_count)[:, None]
        self._with_margin = self._cached(store, self._train_size, np.where(trains, images, 0)).read_into
        self._whole = self._cached(store, self._size, np.where(trains, 0, images)).read_into

    def cache_message(self) -> str:
        """One line for the user about the images in the pixel cache."""
        known, size = sum(cache.known for cache in self._caches), sum(cache.full_bytes for cache in self._caches)
        why_not = next((cache.why_not for cache in self._caches if cache.why_not), "")
        if why_not and not size:
            return f"decoded images are not kept ({why_not}): decoding them in each epoch"
        there = f"{known:,} are there already" if known else "the first epoch keeps them"
        lacks = f"; no more are kept ({why_not})" if why_not else ""
        if left_out := sum(cache.left_out for cache in self._caches):
            lacks = f"; there is no room for {left_out:,} more"
        differed = "some differed from their files and were thrown away; " if self._thrown_away() else ""
        return f"decoded images: {differed}{there}{lacks}; {format_size(size)} in the cache"

    def _thrown_away(self) -> int:
        """How many entries of the pixel cache were removed because their pixels differed from the files."""
        return sum(cache.thrown_away for cache in self._caches)

    def close(self) -> None:
        """Close the pixel cache."""
        self._open.close()

    def of_epoch(self, epoch: int | None) -> Decode:
        """The decoder of a training epoch, which gives each sample its view in that epoch; None for validation."""
        return partial(self._random_view, epoch) if self._augmentation.is_on and epoch is not None else self._whole

    def of_views(self, view_index: ViewIndex, identities: Identities) -> Decode:
        """The decoder for the rows of features: a view depends on the image's content, not on its number in this run.

        Args:
            view_index: the rows of the samples.
            identities: the identities of the rows, uint64 (rows, 2).
        """

        def decode(row: int, out: Row) -> None:
            sample, view = view_index.sample(row), view_index.view(row)
            if view is None or not self._augmentation.is_on:
                self._whole(sample, out)
            else:
                self._view(sample, tuple(identities[row].tolist()), out)
            if self._files is not None and self._files.has_changed(sample):
                raise UnreadableImageError(CHANGED)

        return decode

    def _cached(self, store: CacheStore, size: tuple[int, int], images: Identities) -> PixelCache:
        beside = self._caches[-1] if self._caches else None
        made = PixelCache(store, size, images, self._index.path, self._ranges, beside, self._files)
        cache = self._open.enter_context(made)
        self._caches.append(cache)
        return cache

    def _from_file(self, sample: int, out: Row) -> None:
        path, predecoded = self._index.path(sample), self._predecoded
        if predecoded is None or not predecoded.read_into(sample, path, out):
            decode_into(path, out, self._ranges)

    def _random_view(self, epoch: int, sample: int, out: Row) -> None:
        self._view(sample, (self._seed, epoch, sample), out)

    def _view(self, sample: int, key: tuple[int, ...], out: Row) -> None:
        pixels = np.empty((*self._train_size, 3), np.uint8)
        self._with_margin(sample, pixels)
        self._augmentation.view_into(pixels, key, out)
