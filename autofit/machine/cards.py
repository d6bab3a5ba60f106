"""GPUs by the names that people have for them: their memory and generation, for an estimate of one that is not there.

Memory is what the driver is known to say of such a card, less than on its data sheet; none was read here. TensorFlow
leaves a part of it to the system, by generation (`MinSystemMemory` in TensorFlow's gpu_device.cc).
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU: its name here, its name in words, its memory, and the first figure of its compute capability."""

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

SMALL_BYTES, LEFT_OF_SMALL_BYTES = 2 * 2**30, 225 * MIB
LEFT_BYTES = {6: 500 * MIB, 7: 1050 * MIB, 8: 1536 * MIB, 9: 1800 * MIB}
"""What TensorFlow leaves to the system of a card's free memory, by generation."""


def left_to_system_bytes(memory_bytes: int, compute_major: int | None) -> tuple[int, int]:
    """The least and the most that TensorFlow leaves to the system; they differ if the generation is not known."""
    if memory_bytes < SMALL_BYTES:
        return LEFT_OF_SMALL_BYTES, LEFT_OF_SMALL_BYTES
    if compute_major is None:
        return min(LEFT_BYTES.values()), max(LEFT_BYTES.values())
    left = LEFT_BYTES[min(max(compute_major, min(LEFT_BYTES)), max(LEFT_BYTES))]
    return left, left
