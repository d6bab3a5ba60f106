"""Whether a machine may compute fast in 16 bits, by its maker's specification. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from autofit.config.precisions import Precision
from autofit.machine.hardware import Hardware

LEAST_CAPABILITY: Mapping[Precision, tuple[int, int]] = {"mixed_float16": (7, 0), "mixed_bfloat16": (8, 0)}
"""The lowest compute capability whose tensor cores support each format (CUDA C++ programming guide)."""


def promising_precision(machine: Hardware) -> Precision | None:
    """The mixed precision for which a machine has hardware units; None if it has none, or if that is not known.

    On a GPU this is float16, which has 11 significant bits: features in bfloat16, with 8 bits, differ too much from
    those in float32 (docs/decisions/0063).
    """
    if machine.device == "cpu":
        return "mixed_bfloat16" if machine.bfloat16_units else None
    found = _capability(machine)
    return "mixed_float16" if found is not None and found >= LEAST_CAPABILITY["mixed_float16"] else None


def saving_precision(device: Literal["cpu", "gpu"]) -> Precision:
    """The mixed precision to suggest where memory is short: on a GPU float16, which more cards have and rounds less."""
    return "mixed_float16" if device == "gpu" else "mixed_bfloat16"


def no_units_words(machine: Hardware) -> str:
    """Why `promising_precision` is None on this machine."""
    if machine.device == "cpu":
        return "this CPU has no units for bfloat16 (avx512_bf16 or amx_bf16)"
    if _capability(machine) is None:
        return f"it is unknown whether {machine.device_name} has units for 16 bits: mixed_float16 has to be asked for"
    return f"{machine.device_name} has no units for 16 bits, which begin with compute capability 7.0"


def _capability(machine: Hardware) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d+)\.(\d+)", machine.compute_capability or "")
    return (int(found[1]), int(found[2])) if found else None


def slow_words(precision: Precision | Literal["auto"], machine: Hardware) -> str:
    """A warning if training in this precision is likely to be slow here; empty if it is not, or if that is unknown."""
    least = None if precision == "auto" else LEAST_CAPABILITY.get(precision)
    if least is None:
        return ""
    if machine.device == "cpu":
        return f"{precision} on a CPU takes more time than float32: it is for GPUs, or where memory is short"
    found = _capability(machine)
    if found is None or found >= least:
        return ""
    has_float16 = found >= LEAST_CAPABILITY["mixed_float16"]
    other = "mixed_float16 or float32" if has_float16 else "float32"
    return (
        f"{precision} has units from compute capability {least[0]}.{least[1]} on, and {machine.device_name} has "
        f"{machine.compute_capability}: {other} is likely to be faster"
    )
