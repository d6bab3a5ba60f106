"""How much of the available memory a worker may take, and how much has to be left so that it does not stop."""

from __future__ import annotations

from autofit.machine.cards import CONTEXT_BYTES, left_to_system_bytes

SHARE_OF_MACHINE = 0.9
"""The share of the available host memory that a worker may take if no limit is given."""

HANDLES_SHARE = 32
"""On a CPU, TensorFlow's allocator takes 1/32 of its limit outside its arena when it starts: an 8-byte handle for every
256 bytes."""

LEAST_STOP_BELOW_BYTES = 64 * 2**20
MOST_STOP_BELOW_BYTES = 10**9
"""The bounds of `stop_below_bytes`, which has to suffice for a commit: it copies the trained weights, the optimizer's
state and the best weights, and packs the largest of them. Measured with Adam: next to nothing for a head, 40 to 60 MB
for a whole MobileNetV2, 650 MB for a whole ResNet50."""


def usable_bytes(available_bytes: int) -> int:
    """How much of the available memory a worker may take if no limit is given."""
    return int(SHARE_OF_MACHINE * available_bytes)


def stop_below_bytes(available_bytes: int) -> int:
    """The memory below which a worker commits and stops; `available_bytes` is what was available when it started.

    It is half of what a plan leaves free: a worker that uses no more than its share never gets there.
    """
    half = (available_bytes - usable_bytes(available_bytes)) // 2
    return max(LEAST_STOP_BELOW_BYTES, min(half, MOST_STOP_BELOW_BYTES))


def usable_gpu_bytes(free_bytes: int, compute_major: int | None) -> int:
    """Estimate how much of a GPU's free memory TensorFlow's allocator can get if no limit is given.

    The rest is for the CUDA context, half a gigabyte, and for the system.

    Args:
        free_bytes: the free memory, while no worker runs.
        compute_major: the major version of the GPU's compute capability. If it is unknown, an eighth goes to the rest,
            as on a card of 16 GB, and 2 GB at most.
    """
    if compute_major is None:
        return free_bytes - min(2 * 10**9, free_bytes * 12 // 100)
    with_context = free_bytes - sum(CONTEXT_BYTES) // 2
    return max(0, with_context - left_to_system_bytes(with_context, compute_major)[1])
