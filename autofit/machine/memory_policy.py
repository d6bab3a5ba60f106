"""How much of the available memory a worker may take, and how little may be left before it stops."""

from __future__ import annotations

SHARE_OF_MACHINE = 0.9
"""The share of the available host memory that a worker may take if no limit is given."""

HANDLES_SHARE = 32
"""On a CPU TensorFlow's allocator takes one part in so many of its limit outside its arena, at once: for each 256 bytes
a number of 8."""

LEAST_STOP_BELOW_BYTES = 64 * 2**20
MOST_STOP_BELOW_BYTES = 10**9
"""A commit copies the trained weights, the optimizer's state and the best weights, and packs the largest of them.
Measured with Adam: next to nothing for a head, 40 to 60 MB for a whole MobileNetV2, 650 MB for a whole ResNet50."""


def usable_bytes(available_bytes: int) -> int:
    """How much of the available memory a worker may take if no limit is given."""
    return int(SHARE_OF_MACHINE * available_bytes)


def stop_below_bytes(available_bytes: int) -> int:
    """With less memory left than this, a worker commits and stops; `available_bytes` is what was left when it started.

    It is half of what a plan leaves free: a worker that uses its whole share stays above it; unplanned growth does not.
    """
    half = (available_bytes - usable_bytes(available_bytes)) // 2
    return max(LEAST_STOP_BELOW_BYTES, min(half, MOST_STOP_BELOW_BYTES))


def usable_gpu_bytes(free_bytes: int) -> int:
    """Estimate how much of a GPU's free memory TensorFlow's allocator can get if no limit is given.

    It leaves the CUDA context, and up to 1.5 GiB to the system by the GPU's generation (`MinSystemMemory` in
    TensorFlow's gpu_device.cc).
    """
    return free_bytes - min(2 * 10**9, free_bytes * 12 // 100)
