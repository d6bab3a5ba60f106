"""Names of parametrized tests that are the same in each process, as parallel workers need."""

from __future__ import annotations

import re


def steady(value: object) -> str:
    """The value in words, without the address that Python gives a function or an iterator."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))
