"""Whether a machine computes fast in 16 bits, by what its maker says of such machines. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from autofit.config.backbones import Precision
from autofit.machine.hardware import Hardware

LEAST_CAPABILITY: Mapping[Precision, tuple[int, int]] = {"mixed_float16": (7, 0), "mixed_bfloat16": (8, 0)}
"""The first compute capability with units for such numbers (CUDA C++ programming guide, tensor cores)."""


def slow_words(precision: Precision, machine: Hardware) -> str:
    """What to say where training in this precision is likely to be slow; empty where it is not, or that is unknown."""
    least = LEAST_CAPABILITY.get(precision)
    if least is None:
        return ""
    if machine.device == "cpu":
        return f"{precision} on a CPU takes more time than float32: it is for GPUs, or where memory is short"
    found = re.fullmatch(r"(\d+)\.(\d+)", machine.compute_capability or "")
    if found is None or (int(found[1]), int(found[2])) >= least:
        return ""
    has_float16 = (int(found[1]), int(found[2])) >= LEAST_CAPABILITY["mixed_float16"]
    other = "mixed_float16 or float32" if has_float16 else "float32"
    return (
        f"{precision} has units from compute capability {least[0]}.{least[1]} on, and {machine.device_name} has "
        f"{machine.compute_capability}: {other} is likely to be faster"
    )
