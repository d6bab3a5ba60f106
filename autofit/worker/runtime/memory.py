"""Measures the memory of this process: its total, and the part inside TensorFlow's allocator.

TensorFlow is imported inside the functions, because the heartbeat measures before TensorFlow is loaded.
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
"""TensorFlow's names of the devices whose memory is measured."""


# Resident memory ------------------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    """Resident memory of this process and its children, in bytes."""
    me = psutil.Process()
    return int(me.memory_info().rss) + children_bytes(me)


def children_bytes(me: psutil.Process) -> int:
    """Resident memory of a process's descendants, in bytes."""
    total = 0
    for child in me.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            total += int(child.memory_info().rss)
    return total


# The allocator --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AllocatorArena:
    """The contiguous address space of the allocator on a CPU. Pages that were never touched are not resident."""

    address: int
    size_bytes: int

    def resident_bytes(self) -> int:
        """How much of the arena is resident, in bytes; 0 if the system does not say.

        mincore(2) gives a byte for each page, whose lowest bit is set if the page is in memory:
        https://man7.org/linux/man-pages/man2/mincore.2.html. It takes a millisecond for a few gigabytes.
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
        """Ask the kernel for pages of 2 MiB, which halve the cost of the first touch.

        Measured with a first step on 370 images, 2 GB of new memory: 2.7 s instead of 3.6 s, on a kernel whose
        transparent huge pages are set to `madvise`, the default of most distributions. The kernel may ignore the
        request.
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

_arena: AllocatorArena | None = None


def reserve_arena(megabytes: int) -> None:
    """Make the allocator reserve its whole limit as one arena before its first use; no page of it is touched.

    Otherwise the allocator grows by doubling, and free memory in two arenas cannot be joined: with a limit of 3 GB a
    frozen MobileNetV2 at 160 px ran out of memory with half of the limit in use. The memory is reserved, not resident.
    """
    import numpy as np  # noqa: PLC0415 - with TensorFlow
    import tensorflow as tf  # noqa: PLC0415 - imported by now, so that its size is part of what is measured

    global _arena  # noqa: PLW0603 - a process has one allocator on its CPU
    try:
        tensor = tf.raw_ops.Empty(shape=[megabytes, 2**20], dtype=tf.uint8, init=False)
        view = np.frombuffer(memoryview(tensor), np.uint8)  # without a copy, which would touch it all
        arena = AllocatorArena(view.ctypes.data, view.nbytes)
        arena.ask_for_huge_pages()
        del view, tensor
        tf.config.experimental.reset_memory_stats(CPU)  # refused where TensorFlow ran before, with another allocator
        _arena = arena
    except (tf.errors.ResourceExhaustedError, ValueError):  # the context was made before, or the kernel reserves less
        return


def arena_resident_bytes() -> int:
    """How much of the allocator's arena is resident, in bytes: all pages that were ever in use. 0 without an arena."""
    return _arena.resident_bytes() if _arena else 0


def allocator_bytes() -> int:
    """The size of the allocator's arena, in bytes; 0 if there is none."""
    return _arena.size_bytes if _arena else 0


def device_bytes_reader(device: str) -> Callable[[], int]:
    """A function that reads the allocator's current bytes; it gives 0 if TensorFlow keeps no statistics."""
    return lambda: _statistic(device, "current")


def peak_bytes(device: str) -> int:
    """The allocator's peak since the last reset, in bytes; 0 if TensorFlow keeps no statistics."""
    return _statistic(device, "peak")


def reset_peak(device: str) -> None:
    """Reset the allocator's peak to what is in use now."""
    import tensorflow as tf  # noqa: PLC0415 - as above

    with contextlib.suppress(ValueError, tf.errors.OpError):
        tf.config.experimental.reset_memory_stats(device)


def _statistic(device: str, name: str) -> int:
    import tensorflow as tf  # noqa: PLC0415 - as above

    try:
        return int(tf.config.experimental.get_memory_info(device)[name])
    except (ValueError, tf.errors.OpError):
        return 0
