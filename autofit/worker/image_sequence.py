"""`ImageSequence`: image files as a Keras dataset, decoded batch by batch; usable without the rest of autofit."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from autofit.config.option_checks import image_sides
from autofit.config.validators import flag, whole_number
from autofit.errors import UserError
from autofit.input.decode import decode_image
from autofit.input.epoch_order import epoch_order
from autofit.input.image_files import UnreadableImageError
from autofit.input.numeric_images import NO_RANGES, ValueRanges, checked_ranges
from autofit.protocol.messages import BadImage

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


class ImageSequence(keras.utils.Sequence):
    """Batches of images from files, for `model.fit`, `model.evaluate` and `model.predict`.

    An image is decoded when its batch is requested. Photos are upright, in RGB, stretched to the given size, exactly as
    autofit itself trains on them; for images of more than 8 bits this needs the `value_ranges` that the run has found.

    An image that cannot be read is left out, and its batch is one shorter; `quarantined` names it, and one warning is
    given. A batch without any readable image is replaced by the next batch that has one, because an empty batch fails
    in Keras (the mean of nothing is undefined in BatchNormalization). For prediction, where rows must match paths, an
    image that cannot be read is an error instead.

    Args:
        image_paths: The files, n of them.
        labels: The class number of each file, or None to predict: the items are then images without labels.
        batch_size: The number of images in a batch; the last batch of an epoch may be smaller.
        image_size: (height, width) in pixels, or one number for both.
        shuffle: Whether each epoch has its own order, which depends only on `seed` and the number of the epoch.
        seed: At least 0.
        value_ranges: The numbers that are black and white in images of more than 8 bits, as in `load_images`. Without
            them each image has a range of its own.
        **kwargs: For `keras.utils.PyDataset`: `workers`, `max_queue_size`, `use_multiprocessing`.

    Raises:
        UserError: the arguments do not fit together; no image of the data, or of a batch to predict, can be read.

    Example:
        >>> train = ImageSequence(["a.jpg", "b.png"], [0, 1], batch_size=2, image_size=160, shuffle=True)
        >>> model.fit(train, epochs=3)
    """

    def __init__(
        self,
        image_paths: Sequence[str | os.PathLike[str]],
        labels: Sequence[int] | Labels | None,
        batch_size: int,
        image_size: int | tuple[int, int],
        *,
        shuffle: bool = False,
        seed: int = 0,
        value_ranges: ValueRanges = NO_RANGES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._paths = _files(image_paths)
        self._labels = None if labels is None else _class_numbers(labels, len(self._paths))
        self._batch_size = whole_number("batch_size", batch_size, 1)
        self._size = image_sides("image_size", image_size)
        self._shuffle = flag("shuffle", shuffle)
        self._seed = whole_number("seed", seed, 0, 2**64 - 1)
        self._ranges = dict(checked_ranges("value_ranges", value_ranges))  # can be pickled for `use_multiprocessing`
        self._epoch = 0
        self._order = self._order_of_epoch()
        self._quarantined: dict[str, BadImage] = {}

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return math.ceil(len(self._paths) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[Images, Labels] | Images:
        """Decode a batch.

        Returns:
            (images, labels), or only images if there are no labels. Images are uint8 (n, height, width, 3), RGB,
            0..255; labels are int64 (n,).
        """
        first = range(len(self))[index]
        images, samples = self._readable(first)
        if not len(samples):
            images, samples = self._stand_in(first)
        return images if self._labels is None else (images, self._labels[samples])

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self._epoch += 1
        self._order = self._order_of_epoch()

    @property
    def quarantined(self) -> list[BadImage]:
        """The images that could not be read so far, each once. With `use_multiprocessing` only workers know them."""
        return list(self._quarantined.values())

    def _order_of_epoch(self) -> NDArray[np.int64]:
        count = len(self._paths)
        return epoch_order(count, self._seed, self._epoch) if self._shuffle else np.arange(count, dtype=np.int64)

    def _readable(self, batch: int) -> tuple[Images, NDArray[np.int64]]:
        """The images of a batch that can be read, uint8 (n, height, width, 3), and their indices, int64 (n,)."""
        samples = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        decoded = [(sample, image) for sample in samples if (image := self._decode(sample)) is not None]
        images = np.array([image for _, image in decoded], np.uint8).reshape(-1, *self._size, 3)
        return images, np.array([sample for sample, _ in decoded], np.int64)

    def _stand_in(self, batch: int) -> tuple[Images, NDArray[np.int64]]:
        """The next batch, around the end, with an image that can be read."""
        if self._labels is None:
            raise UserError(f"no image of batch {batch} can be read; leave these files out to predict the others")
        for distance in range(1, len(self)):
            images, samples = self._readable((batch + distance) % len(self))
            if len(samples):
                return images, samples
        raise UserError(f"none of the {len(self._paths)} images can be read; the first is {self._paths[0]}")

    def _decode(self, sample: int) -> Images | None:
        path = self._paths[sample]
        try:
            return decode_image(path, self._size, self._ranges)
        except UnreadableImageError as error:
            self._quarantine(BadImage(path=path, reason=str(error)))
            return None

    def _quarantine(self, image: BadImage) -> None:
        # setdefault is atomic, so that only one of Keras's worker threads warns of an image
        if self._quarantined.setdefault(image.path, image) is image:
            warnings.warn(f"left out {image.path}: {image.reason}", stacklevel=2)


def _files(image_paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Check the paths and give them as text."""
    if isinstance(image_paths, str | bytes | os.PathLike):
        raise UserError(f"image_paths is {str(image_paths)[:80]!r}, one path; give a list of the image files")
    if not isinstance(image_paths, Iterable):
        raise UserError(f"image_paths is {repr(image_paths)[:80]}; give a list of the image files")
    paths = list(image_paths)
    if not paths:
        raise UserError("image_paths is empty; give at least one image file")
    for number, path in enumerate(paths):
        if not isinstance(path, str | os.PathLike):
            raise UserError(f"item {number} of image_paths is {repr(path)[:80]}; give a file's path")
    return [os.fspath(path) for path in paths]


def _class_numbers(labels: Sequence[int] | Labels, count: int) -> Labels:
    """Check the labels of `count` images and give them as int64 (count,)."""
    numbers = np.asarray(labels)
    if numbers.size and numbers.dtype.kind not in "biu":
        raise UserError(f"labels are {numbers.dtype.name}, such as {numbers.flat[0]!r}; give class numbers: 0, 1, 2, …")
    if numbers.shape != (count,):
        raise UserError(f"{count} image paths but labels of shape {numbers.shape}; give one class number for each path")
    if numbers.size and numbers.min() < 0:
        raise UserError(f"labels have {numbers.min()}; give class numbers from 0")
    return numbers.astype(np.int64)
