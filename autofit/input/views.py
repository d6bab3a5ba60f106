"""Which rows of features are kept of an image: one, or with augmentation one for each of a few fixed views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autofit.cache.identity import Identities

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ViewIndex:
    """A number for each row: view 0 of all training images, view 1 of all, and so on, then the validation images.

    With one view a slot is a sample.

    Attributes:
        train_count: training images; samples from 0.
        validation_count: validation images, which follow them; each has one slot, of the whole image.
        views: of each training image.
    """

    train_count: int
    validation_count: int
    views: int = 1

    def __len__(self) -> int:
        return self.train_count * self.views + self.validation_count

    def of(self, samples: Numbers, epoch: int) -> Numbers:
        """The slot that stands for each sample in an epoch: an image's views take turns."""
        view = np.where(samples < self.train_count, (samples + epoch) % self.views, self.views - 1)
        slots: Numbers = samples + self.train_count * view
        return slots

    def samples(self, slots: Numbers) -> Numbers:
        """Whose slots these are."""
        samples: Numbers = slots - self.train_count * np.minimum(slots // self.train_count, self.views - 1)
        return samples

    def sample(self, slot: int) -> int:
        """Whose slot this is."""
        return int(self.samples(np.asarray(slot)))

    def view(self, slot: int) -> int | None:
        """Which view of a training image this is; None for a validation image."""
        view = slot // self.train_count
        return view if view < self.views else None

    def identities(self, images: Identities) -> Identities:
        """What each slot is known by, uint64 (slots, 2); zeros where the image has none.

        Args:
            images: of the samples, uint64 (n, 2).
        """
        slots = np.arange(len(self))
        identities = images[self.samples(slots)]
        known = identities.any(axis=1) & (slots < self.train_count * self.views)
        identities[known, 1] ^= (slots[known] // self.train_count).astype(np.uint64)
        return identities
