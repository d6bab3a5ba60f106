"""What this process takes of the machine's memory: in all, inside TensorFlow's allocator, and outside it.

TensorFlow is imported inside functions: the heartbeat measures before it is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from collections.abc import Callable
from dataclasses import dataclass

import psutil

CPU = "CPU:0"
GPU = "GPU:0"
"""TensorFlow's names of the devices whose memory counts."""


# Resident memory ------------------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    """Resident memory of this process and its children, in bytes."""
    me = psutil.Process()
    return int(me.memory_info().rss) + children_bytes(me)


def children_bytes(me: psutil.Process) -> int:
    """Resident memory of a process's children and theirs, in bytes."""
    total = 0
    for child in me.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            total += int(child.memory_info().rss)
    return total


# The allocator --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AllocatorArena:
    """The one stretch of address space that the allocator has on a CPU. What it has not touched is not resident."""

    address: int
    size_bytes: int

    def resident_bytes(self) -> int:
        """How much of it is resident, in bytes; 0 where the system does not tell.

        mincore(2) has a byte for each page, with the lowest bit set where it is in memory:
        https://man7.org/linux/man-pages/man2/mincore.2.html. It takes a millisecond for some gigabytes.
        """
        page = mmap.PAGESIZE
        start = self.address - self.address % page
        pages = -(-(self.address + self.size_bytes - start) // page)
        flags = (ctypes.c_ubyte * pages)()
        library = ctypes.CDLL(None)
        if library.mincore(ctypes.c_void_p(start), ctypes.c_size_t(pages * page), flags) != 0:
            return 0
        return page * bytes(flags).translate(LOWEST_BIT).count(1)

    def ask_for_huge_pages(self) -> None:
        """Let the kernel back it with pages of 2 MiB where it does so on request: the first touch costs half as much.

        Measured with a first step on 370 images, 2 GB of new memory: 2.7 s and not 3.6, on a kernel whose transparent
        huge pages are set to `madvise`, the default of most distributions. A hint: whether it is taken does not matter.
        """
        advice = getattr(mmap, "MADV_HUGEPAGE", None)  # Linux only
        if advice is None:
            return
        start = -(-self.address // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
        size = (self.address + self.size_bytes - start) // HUGE_PAGE_BYTES * HUGE_PAGE_BYTES
        if size > 0:
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), advice)


HUGE_PAGE_BYTES = 2**21
LOWEST_BIT = bytes(value & 1 for value in range(256))

_region: AllocatorArena | None = None


def make_one_region(megabytes: int) -> None:
    """Have the allocator take its whole limit as one region, untouched, before anything else.

    Left to itself it grows by doubling, and what lies in one region cannot be joined with its neighbour: under 3 GB a
    frozen MobileNetV2 at 160 px ran out with half of the limit in use. The memory is reserved, not resident.
    """
    import numpy as np  # noqa: PLC0415 - with TensorFlow
    import tensorflow as tf  # noqa: PLC0415 - imported by now, so that its size is part of what is measured

    global _region  # noqa: PLW0603 - a process has one allocator on its CPU
    try:
        tensor = tf.raw_ops.Empty(shape=[megabytes, 2**20], dtype=tf.uint8, init=False)
        view = np.frombuffer(memoryview(tensor), np.uint8)  # without a copy, which would touch it all
        region = AllocatorArena(view.ctypes.data, view.nbytes)
        region.ask_for_huge_pages()
        del view, tensor
        tf.config.experimental.reset_memory_stats(CPU)  # refused where TensorFlow ran before, with another allocator
        _region = region
    except (tf.errors.ResourceExhaustedError, ValueError):  # the context was made before, or the kernel reserves less
        return


def arena_resident_bytes() -> int:
    """How much of the allocator's region is resident, in bytes: all that it ever reached. 0 where there is none."""
    return _region.resident_bytes() if _region else 0


def allocator_bytes() -> int:
    """The size of the allocator's region, in bytes; 0 where there is none."""
    return _region.size_bytes if _region else 0


def device_bytes_reader(device: str) -> Callable[[], int]:
    """A function that reads the allocator's current bytes; 0 where TensorFlow keeps no statistics."""
    return lambda: _statistic(device, "current")


def peak_bytes(device: str) -> int:
    """The allocator's peak since the last reset; 0 where TensorFlow keeps no statistics."""
    return _statistic(device, "peak")


def reset_peak(device: str) -> None:
    """Start the allocator's peak from what is in use now."""
    import tensorflow as tf  # noqa: PLC0415 - as above

    with contextlib.suppress(ValueError, tf.errors.OpError):
        tf.config.experimental.reset_memory_stats(device)


def _statistic(device: str, name: str) -> int:
    import tensorflow as tf  # noqa: PLC0415 - as above

    try:
        return int(tf.config.experimental.get_memory_info(device)[name])
    except (ValueError, tf.errors.OpError):
        return 0
