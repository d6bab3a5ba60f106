"""Numbers the rows of features: one per image, or with augmentation one for each of a few fixed views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autofit.cache.identity import Identities

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ViewIndex:
    """Numbers the rows: view 0 of all training images, view 1 of all, and so on, then the validation images.

    With one view, a row has the number of its sample.

    Attributes:
        train_count: the number of training images; their samples count from 0.
        validation_count: the number of validation images, which follow them; each has one row, of the whole image.
        views: the number of rows of each training image.
        augmented: whether these rows are of augmented views; none of them is then of the whole image.
    """

    train_count: int
    validation_count: int
    views: int = 1
    augmented: bool = False

    def __len__(self) -> int:
        return self.train_count * self.views + self.validation_count

    def of(self, samples: Numbers, epoch: int) -> Numbers:
        """The row of each sample in an epoch: the views of an image take turns."""
        view = np.where(samples < self.train_count, (samples + epoch) % self.views, self.views - 1)
        rows: Numbers = samples + self.train_count * view
        return rows

    def samples(self, rows: Numbers) -> Numbers:
        """The sample of each row."""
        samples: Numbers = rows - self.train_count * np.minimum(rows // self.train_count, self.views - 1)
        return samples

    def sample(self, row: int) -> int:
        """The sample of a row."""
        return int(self.samples(np.asarray(row)))

    def view(self, row: int) -> int | None:
        """The number of the view to which a row of a training image belongs; None for a validation image."""
        view = row // self.train_count
        return view if view < self.views else None

    def identities(self, images: Identities) -> Identities:
        """The identity of each row, uint64 (rows, 2); zeros if the image has none.

        Args:
            images: the identities of the samples, uint64 (n, 2).
        """
        rows = np.arange(len(self))
        identities = images[self.samples(rows)]
        known = identities.any(axis=1) & (rows < self.train_count * self.views)
        identities[known, 1] ^= (rows[known] // self.train_count + self.augmented).astype(np.uint64)
        return identities
