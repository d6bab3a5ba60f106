"""Figures and names as a person reads them."""

from __future__ import annotations

import math

import pytest

from autofit.printable import as_cell, printable
from autofit.report.width import in_columns, wrapped
from autofit.report.words import (
    ASCII_MARKS,
    bar,
    bytes_words,
    count_of,
    duration_words,
    fact_lines,
    metric_words,
    named_metric,
    speed_words,
)


def test_nothing_a_terminal_acts_on_is_printed() -> None:
    """A file name could clear the screen, forge a second line or turn the writing direction round."""
    basic_plane = map(chr, range(0x10000))  # every control character, direction mark and lone surrogate
    assert all(printable(mark).isprintable() for mark in basic_plane)


def test_ordinary_names_stay_as_they_are() -> None:
    """A name in another script would become unreadable, or a hostile one would vanish instead of being shown."""
    assert printable("Fotos/Käfer 日本 1.jpg") == "Fotos/Käfer 日本 1.jpg"
    assert printable("a\x1b[2J\n\u202e\udc80") == r"a\x1b[2J\n\u202e\udc80"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.04, "0.0 s"),
        (9.46, "9.5 s"),
        (9.97, "10 s"),
        (59.7, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7530, "2 h 5 min"),
        (math.inf, "an unknown time"),
        (math.nan, "an unknown time"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    """A duration would be shown as 60 s, or with digits that say nothing."""
    assert duration_words(seconds) == expected


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, "0 MB"),
        (1_970, "1.97 kB"),
        (99_999, "100 kB"),
        (100_000, "0.1 MB"),
        (10_600_000, "10.6 MB"),
        (100_000_000, "0.10 GB"),
        (2_969_000_000, "2.97 GB"),
        (-4e8, "-0.40 GB"),
        (141.2e9, "141.2 GB"),
    ],
)
def test_sizes(size_bytes: float, expected: str) -> None:
    """A size would be shown in GiB under the name of GB."""
    assert bytes_words(size_bytes) == expected


def test_a_share_that_is_no_number_is_an_empty_bar() -> None:
    """A forged record would end the page in a traceback."""
    assert bar(math.nan, 3) == bar(0.0, 3)


def test_counts() -> None:
    """One would be plural, or many classes would be classs."""
    assert [count_of(1, "image"), count_of(1200, "image"), count_of(2, "class", "classes")] == [
        "1 image",
        "1,200 images",
        "2 classes",
    ]


def test_metrics_are_as_short_as_they_can_be() -> None:
    """A loss that explodes would be nineteen digits wide, and 3 skipped updates be 3.000."""
    assert [metric_words(value) for value in (5.3e15, -2e6, 999_999.0, float("inf"))] == [
        "5.3e+15",
        "-2.0e+06",
        "999999.000",
        "inf",
    ]
    assert [named_metric("skipped_updates", 3.0), named_metric("loss", 3.0)] == ["3", "3.000"]


def test_small_metrics_are_not_shown_as_nothing() -> None:
    """A loss of 0.0004 would read as zero."""
    assert [metric_words(0.0004), metric_words(0.42), metric_words(0.0), metric_words(float("nan"))] == [
        "4.0e-04",
        "0.420",
        "0.000",
        "nan",
    ]


def test_a_bar_stays_within_its_cells() -> None:
    """A peak above the limit would push the table out of shape."""
    assert [bar(0.0, 4), bar(0.5, 4), bar(7.0, 4)] == ["░░░░", "██░░", "████"]


def test_a_bar_of_little_is_not_empty() -> None:
    """A slow network would look as if it had not run at all."""
    assert [bar(0.01, 4), bar(0.01, 4, ASCII_MARKS)] == ["█░░░", "#..."]


@pytest.mark.parametrize(("speed", "expected"), [(5.34, "5.3"), (9.96, "10"), (1234.5, "1,234")])
def test_speeds(speed: float, expected: str) -> None:
    """Two slow networks would look equally fast, or a fast one would be shown with digits that say nothing."""
    assert speed_words(speed) == expected


def test_a_long_fact_goes_on_below_itself() -> None:
    """A terminal would break the line at its edge, in the middle of a word and below the name."""
    assert fact_lines([("Failed", "an image-size " * 3), ("Time", "2 s")], width=48) == [
        "Failed:            an image-size an image-size",
        "                   an image-size",
        "Time:              2 s",
    ]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-1", "-1"),
        ("-x|cmd", "'-x|cmd"),
        ("cat", "cat"),
        ("'=1+1", "''=1+1"),
        ("'-1", "'-1"),
        ("'t kat", "'t kat"),
    ],
)
def test_a_name_is_no_formula(text: str, cell: str) -> None:
    """A class called `=HYPERLINK(...)` would be run by the spreadsheet that opens a table of predictions."""
    assert as_cell(text) == cell


def test_a_figure_stays_beside_its_unit() -> None:
    """A line would end with "6.8", and the next begin with "s saving"."""
    line = "The time went into: 50 s starting processes, 15 s first steps (tracing, on a GPU tuning), 6.8 s saving"
    for columns in range(60, 81):
        with in_columns(columns):
            lines = wrapped(line).split("\n")
        assert " ".join(part.strip() for part in lines) == line
        assert max(map(len, lines)) <= columns
        assert not [part for part in lines if part[-1].isdigit()]
