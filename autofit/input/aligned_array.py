"""Arrays of images at addresses that TensorFlow reads without copying them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# TensorFlow takes an array without a copy if it starts at a multiple of this: EIGEN_MAX_ALIGN_BYTES.
ALIGNMENT_BYTES = 64


def aligned(images: np.ndarray) -> np.ndarray:
    """The images themselves if TensorFlow takes them without a copy, else a copy in aligned host memory.

    TensorFlow's own copy of an unaligned array past the allocator's limit ends the process with a segmentation fault
    (docs/decisions/0004).
    """
    if images.ctypes.data % ALIGNMENT_BYTES == 0:
        return images

    copy = aligned_empty(images.shape)
    copy[...] = images
    return copy


def padded(images: np.ndarray, rows: int) -> np.ndarray:
    """The images in aligned host memory, padded with images of zeros to `rows`."""
    if len(images) >= rows:
        return aligned(images)
    made = aligned_empty((rows, *images.shape[1:]))
    made[: len(images)] = images
    made[len(images) :] = 0
    return made


def aligned_empty(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return an uninitialised uint8 array that starts at a multiple of 64 bytes.

    A compiled TensorFlow function takes such an array without a copy. The copy of any other array, if it exceeds the
    allocator's limit, ends in a segmentation fault instead of an error.
    """
    size_bytes = math.prod(shape)
    memory = np.empty(size_bytes + ALIGNMENT_BYTES - 1, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT_BYTES
    return memory[start : start + size_bytes].reshape(shape)
