"""How much of the available memory a worker may take, and how little may be left before it stops."""

from __future__ import annotations

SHARE_OF_MACHINE = 0.9
"""Where no limit is given: the share of the available host memory that a worker may take."""

LEAST_TO_LEAVE_AT_BYTES = 64 * 2**20
MOST_TO_LEAVE_AT_BYTES = 10**9
"""A commit copies what is trained, its optimizer's state and the best weights, and packs the largest of them. Measured
with Adam: next to nothing for a head, 40 to 60 MB for a whole MobileNetV2, 650 MB for a whole ResNet50."""


def usable_bytes(available_bytes: int) -> int:
    """What a worker may take of the memory that is available, where no limit is given."""
    return int(SHARE_OF_MACHINE * available_bytes)


def bytes_to_leave_at(available_bytes: int) -> int:
    """With how little left a worker commits and leaves; `available_bytes` is what there was when it started.

    Half of what a plan leaves free: a worker that takes all it may never comes near, only growth nobody planned does.
    """
    half = (available_bytes - usable_bytes(available_bytes)) // 2
    return max(LEAST_TO_LEAVE_AT_BYTES, min(half, MOST_TO_LEAVE_AT_BYTES))


def usable_gpu_bytes(free_bytes: int) -> int:
    """What TensorFlow's allocator can get of the memory that is free on a GPU, where no limit is given; an estimate.

    It leaves the CUDA context, and up to 1.5 GiB to the system by the GPU's generation (`MinSystemMemory` in
    TensorFlow's gpu_device.cc).
    """
    return free_bytes - min(2 * 10**9, free_bytes * 12 // 100)
