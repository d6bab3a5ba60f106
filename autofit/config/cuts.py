"""The names of cuts: where fine-tuning begins, beside a layer's own name and a share of the layers."""

from __future__ import annotations

from typing import Final

AUTO_CUT: Final = "auto"
"""Autofit chooses the layer, so that most of the network stays frozen."""

AUTO_SHARE: Final = 0.85
"""Where "auto" cuts: this share of the layers with kernels stays frozen (docs/decisions/0034)."""

WHOLE: Final = "input"
"""The cut at the network's input: all layers train."""
