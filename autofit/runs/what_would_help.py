"""Words about a network of which not even one image fits: what was tried, and which options would help. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from autofit.config.rungs import Rung


def tried_words(rungs: Iterable[Rung]) -> str:
    """What else was tried, as `, nor with activations computed again in 4, 8 or 16 segments`; empty if nothing was."""
    numbers = sorted({str(rung.segments) for rung in rungs if rung.segments}, key=int)
    if not numbers:
        return ""
    *most, last = numbers
    return f", nor with activations computed again in {', '.join(most)}{' or ' if most else ''}{last} segments"


def advice(*, trains_backbone: bool, may_recompute: bool = False, may_halve: bool = False) -> str:
    """The options that would help.

    Args:
        trains_backbone: whether layers of the backbone train, so that fewer of them would take less memory.
        may_recompute: whether computing activations again was not tried, though it would help.
        may_halve: whether layers of 32 bits train, whose activations would take half the memory in 16.
    """
    fewer = "train fewer layers (trainable 'head', then fine_tune_from), " if trains_backbone else ""
    again = "give recompute 'auto', " if trains_backbone and may_recompute else ""
    half = "precision 'mixed_bfloat16', " if trains_backbone and may_halve else ""
    return f"{again}take a smaller image size (image_size), {fewer}{half}a smaller backbone or more memory"
