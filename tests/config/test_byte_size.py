"""Sizes in bytes as text, read and written."""

from __future__ import annotations

import random

import pytest

from autofit.config.byte_size import format_size, parse_size, whole_megabytes
from autofit.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3GB", 3 * 10**9),
        ("3 GB", 3 * 10**9),
        (" 3gb ", 3 * 10**9),
        ("1.5GiB", 3 * 2**29),
        ("1.1GB", 1_100_000_000),
        ("500MB", 500 * 10**6),
        ("800 MiB", 800 * 2**20),
        ("64kib", 64 * 2**10),
        ("2k", 2_000),
        ("2m", 2 * 10**6),
        ("2g", 2 * 10**9),
        ("2T", 2 * 10**12),
        ("3000000000", 3 * 10**9),
        ("512 B", 512),
        (3_000_000_000, 3 * 10**9),
        (3e9, 3 * 10**9),
        (1, 1),
    ],
)
def test_a_size_is_read(text: str | float, expected: int) -> None:
    """A memory limit would stand for another number of bytes than the user wrote."""
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "GB", "3 gigs", "3GBs", "3Gi", "3  GB", "-3GB", "0", "0GB", "0.0001kB", "1.5", "1.5B", "1,5GB", "3e9"),
        *("0x10", "1_000", "3GB 3GB", "nan", "inf", "9" * 400, "٣GB", "3\nGB", 0, -1, True),
    ],
)
def test_anything_else_is_refused_in_one_line(text: str | int) -> None:
    """A typing mistake would start a run with a wrong limit, or end in a traceback."""
    with pytest.raises(UserError, match=r"^the size .* is not understood: give for example 3GB[^\n]*$") as caught:
        parse_size(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (999_960, "1 MB"),
        (1_540_000_000, "1.5 GB"),
        (12_700_000_000, "12.7 GB"),
        (3 * 10**9, "3 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_a_size_is_written(size_bytes: int, expected: str) -> None:
    """Reports would show sizes in a unit that nobody reads at a glance."""
    assert format_size(size_bytes) == expected


def test_a_written_size_is_read_back() -> None:
    """A limit copied from a report would not be accepted as `--memory-limit`."""
    chance = random.Random(0)
    for size_bytes in (int(10 ** chance.uniform(0, 16)) for _ in range(1000)):
        assert parse_size(format_size(size_bytes)) == pytest.approx(size_bytes, rel=0.05)


def test_limits_that_are_near_each_other_are_told_apart() -> None:
    """A message would say that 1 GB is under 1 GB."""
    assert (whole_megabytes(1_040_000_000), whole_megabytes(1_040_000_001), whole_megabytes(0)) == (
        "1040 MB",
        "1041 MB",
        "0 MB",
    )
    assert parse_size(whole_megabytes(1_040_000_001)) == 1_041_000_000
