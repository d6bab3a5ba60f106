"""GPUs by their usual names, with memory and generation, for estimates of a GPU that this machine does not have.

The memory is what the driver reports for such a card, according to published figures; it is less than the data sheet
says. Of what the CUDA context leaves free TensorFlow leaves a part to the system, which depends on the generation
(`MinSystemMemory` in TensorFlow's gpu_device.cc).
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU: its name as an option, its name in words, its memory, and the major version of its compute capability."""

    name: str
    words: str
    memory_bytes: int
    compute_major: int


CARDS = {
    card.name: card
    for card in (
        Card("p100", "Tesla P100, 16 GB", 16280 * MIB, 6),
        Card("v100", "Tesla V100, 16 GB", 16160 * MIB, 7),
        Card("v100-32gb", "Tesla V100, 32 GB", 32510 * MIB, 7),
        Card("t4", "T4, 16 GB", 15360 * MIB, 7),
        Card("rtx3060", "GeForce RTX 3060, 12 GB", 12288 * MIB, 8),
        Card("rtx3090", "GeForce RTX 3090, 24 GB", 24576 * MIB, 8),
        Card("rtx4090", "GeForce RTX 4090, 24 GB", 24564 * MIB, 8),
        Card("a10", "A10 and A10G, 24 GB", 23028 * MIB, 8),
        Card("l4", "L4, 24 GB", 23034 * MIB, 8),
        Card("a100", "A100, 40 GB", 40960 * MIB, 8),
        Card("a100-80gb", "A100, 80 GB", 81920 * MIB, 8),
        Card("h100", "H100, 80 GB", 81559 * MIB, 9),
    )
}

CONTEXT_BYTES = (300 * 10**6, 700 * 10**6)
"""The least and the most memory that a CUDA context with its modules takes: assumed, not measured."""

SMALL_BYTES, LEFT_OF_SMALL_BYTES = 2 * 2**30, 225 * MIB
LEFT_BYTES = {6: 500 * MIB, 7: 1050 * MIB, 8: 1536 * MIB, 9: 1800 * MIB}
"""How much of a card's free memory TensorFlow leaves to the system, by the major version of the compute capability."""


def left_to_system_bytes(memory_bytes: int, compute_major: int | None) -> tuple[int, int]:
    """The least and the most memory that TensorFlow leaves to the system; they differ if the generation is unknown."""
    if memory_bytes < SMALL_BYTES:
        return LEFT_OF_SMALL_BYTES, LEFT_OF_SMALL_BYTES
    if compute_major is None:
        return min(LEFT_BYTES.values()), max(LEFT_BYTES.values())
    left = LEFT_BYTES[min(max(compute_major, min(LEFT_BYTES)), max(LEFT_BYTES))]
    return left, left
