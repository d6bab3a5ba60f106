"""Sizes in bytes as text, read and written. `GB` is 10^9 bytes, `GiB` is 2^30."""

from __future__ import annotations

import re
from fractions import Fraction

from autofit.errors import UserError

_PREFIXES = "kmgt"
_DIGITS = "[0-9]{1,18}"
_SIZE = re.compile(
    rf"(?P<whole>{_DIGITS})(?: ?b)?|(?P<number>{_DIGITS}(?:\.{_DIGITS})?) ?(?P<prefix>[{_PREFIXES}])(?P<binary>ib)?b?",
    re.ASCII | re.IGNORECASE,
)


def parse_size(value: str | float) -> int:
    """The number of bytes of a size such as `3GB`, `3 GB`, `1.5GiB`, `800 MiB`, `2g` (decimal), `3000000000`, `3e9`.

    Raises:
        UserError: the value is no such size, or is not positive.
    """
    is_whole = isinstance(value, float) and value.is_integer()
    match = _SIZE.fullmatch(str(int(value) if is_whole else value).strip())
    size = _bytes(match) if match and not isinstance(value, bool) else 0
    if size < 1:
        raise UserError(f"the size {value!r} is not understood: give for example 3GB, 800MiB or 3000000000")
    return size


def _bytes(match: re.Match[str]) -> int:
    if match["whole"]:
        return int(match["whole"])
    base = 1024 if match["binary"] else 1000
    power = 1 + _PREFIXES.index(match["prefix"].lower())
    return int(Fraction(match["number"]) * base**power)


def whole_megabytes(size_bytes: int) -> str:
    """The size in whole megabytes, rounded up: two limits that are near each other are told apart."""
    return f"{-(-size_bytes // 1_000_000)} MB"


def format_size(size_bytes: int) -> str:
    """The size in the largest decimal unit, to one decimal: `12.7 GB`; `parse_size` reads it back."""
    size, unit = float(size_bytes), "B"
    for prefix in _PREFIXES:
        if round(size, 1) < 1000:  # noqa: PLR2004 — the step between decimal units
            break
        size, unit = size / 1000, f"{prefix.upper()}B"
    return f"{size:.1f}".removesuffix(".0") + f" {unit}"
