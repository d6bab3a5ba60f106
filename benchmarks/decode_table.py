"""From raw rounds of the decoders to the tables in `docs/benchmarks.md`; pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from markdown_table import markdown_table

REFERENCE = "Pillow"
UNDISTURBED_SHARE = 0.95
"""Of the time of its cores a decoder should have had so much; else other work was running."""

HEADER = [
    "decoder",
    "cores",
    "scale of the decoding",
    "images/s a core: median (min to max)",
    "x Pillow",
    "images/s of processor time",
    "x Pillow",
]


@dataclass(frozen=True, slots=True)
class Round:
    """One decoder in one process.

    Attributes:
        decoder: which.
        images: how many it decoded.
        seconds: how long that took.
        cpu_seconds: of processor time, of all its threads.
        cores: how many it could use.
        scale: of each side, the file is decoded at 1 / scale by the JPEG library itself, before any resizing.
    """

    decoder: str
    images: int
    seconds: float
    cpu_seconds: float
    cores: int
    scale: int

    @property
    def images_per_second(self) -> float:
        """Of one core."""
        return self.images / self.seconds / self.cores

    @property
    def images_per_cpu_second(self) -> float:
        """The same where nothing else runs and no core is ever idle."""
        return self.images / self.cpu_seconds

    @property
    def share_of_its_cores(self) -> float:
        """How much of the time of its cores it had, 0 to 1."""
        return self.cpu_seconds / self.seconds / self.cores


def table(rounds: Sequence[Round]) -> str:
    """A Markdown table, a line for each decoder in the order of their turns; ratios are of medians."""
    by_decoder = {name: _of(rounds, name) for name in dict.fromkeys(one.decoder for one in rounds)}
    return markdown_table(HEADER, [_cells(own, by_decoder.get(REFERENCE)) for own in by_decoder.values()])


def disturbed(rounds: Sequence[Round]) -> list[str]:
    """The decoders that did not have their cores to themselves in some round."""
    return sorted({one.decoder for one in rounds if one.share_of_its_cores < UNDISTURBED_SHARE})


def _of(rounds: Sequence[Round], name: str) -> list[Round]:
    return [one for one in rounds if one.decoder == name]


def _speed(own: Sequence[Round]) -> float:
    return statistics.median(one.images_per_second for one in own)


def _cpu_speed(own: Sequence[Round]) -> float:
    return statistics.median(one.images_per_cpu_second for one in own)


def _cells(own: Sequence[Round], reference: Sequence[Round] | None) -> list[str]:
    speeds = [one.images_per_second for one in own]
    return [
        own[0].decoder,
        f"{own[0].cores}",
        f"1/{own[0].scale}" if own[0].scale > 1 else "whole",
        f"{_speed(own):.1f} ({min(speeds):.1f} to {max(speeds):.1f})",
        f"{_speed(own) / _speed(reference):.2f}" if reference else "",
        f"{_cpu_speed(own):.1f}",
        f"{_cpu_speed(own) / _cpu_speed(reference):.2f}" if reference else "",
    ]
