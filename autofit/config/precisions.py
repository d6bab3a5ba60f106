"""The numbers that layers may compute with, by the names of Keras's policies."""

from __future__ import annotations

from typing import Literal

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
