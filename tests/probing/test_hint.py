"""Tests of the adjustment of a profile's hint to a process of another size than the one that was measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.probing.hint import ProfileHint, adjusted_to_process
from autofit.protocol.messages import Trial, Verdict

MB = 10**6
LIMIT_BYTES = 1000 * MB


def trial(size: int) -> Trial:
    """A process of 400 MB and 5 MB an image."""
    return Trial(
        batch_size=size,
        verdict=Verdict.FITS,
        peak_bytes=5 * MB * size,
        non_allocator_bytes=400 * MB,
        host_bytes=0,
        saved=True,
    )


HINT = ProfileHint(
    (trial(10), trial(60), trial(118)),
    expected_batch=118,
    non_allocator_bytes=390 * MB,
    origin="",
    baseline_rss_bytes=300 * MB,
)


@pytest.mark.parametrize(("baseline_rss_bytes", "answer"), [(350 * MB, 108), (290 * MB, 120), (302 * MB, 118)])
def test_the_answer_moves_by_the_images_that_the_difference_takes(baseline_rss_bytes: int, answer: int) -> None:
    """The one trial that a profile costs would run over the limit, or stay far below it."""
    hint = adjusted_to_process(HINT, baseline_rss_bytes, LIMIT_BYTES)
    assert hint.expected_batch == answer
    assert hint.non_allocator_bytes - baseline_rss_bytes == HINT.non_allocator_bytes - HINT.baseline_rss_bytes
    assert [t.non_allocator_bytes - baseline_rss_bytes for t in hint.trials] == [100 * MB] * 3


@pytest.mark.parametrize("baseline_rss_bytes", [291 * MB, 309 * MB])
def test_a_small_difference_keeps_the_size_that_was_run(baseline_rss_bytes: int) -> None:
    """A size that never ran must be timed as well: half as much time again for two images more or less."""
    assert adjusted_to_process(HINT, baseline_rss_bytes, LIMIT_BYTES).expected_batch == HINT.expected_batch


@pytest.mark.parametrize(("then", "now"), [(0, 350 * MB), (300 * MB, 0), (300 * MB, 300 * MB)])
def test_an_unknown_process_size_changes_nothing(then: int, now: int) -> None:
    """A profile that does not say how large its process was would be taken for one of an empty process."""
    hint = ProfileHint(HINT.trials, 118, 390 * MB, "", baseline_rss_bytes=then)
    assert adjusted_to_process(hint, now, LIMIT_BYTES) == hint


def test_an_answer_that_memory_does_not_bind_stays() -> None:
    """A small data set's profile would give fewer images with every start, though all of them fit."""
    assert adjusted_to_process(HINT, 350 * MB, 2 * LIMIT_BYTES).expected_batch == 118


def test_a_line_alone_stays_a_line() -> None:
    """A near match would turn into an answer."""
    hint = adjusted_to_process(
        ProfileHint(HINT.trials, 0, 390 * MB, "", baseline_rss_bytes=300 * MB), 350 * MB, LIMIT_BYTES
    )
    assert hint.expected_batch == 0
    assert hint.non_allocator_bytes == 440 * MB


@given(baseline_rss_bytes=st.integers(200 * MB, 400 * MB))
def test_there_and_back_loses_nothing(baseline_rss_bytes: int) -> None:
    """Two environments in turn, or a figure that is never the same twice, would cost an image with every start."""
    there = adjusted_to_process(HINT, baseline_rss_bytes, LIMIT_BYTES)
    back = adjusted_to_process(there, HINT.baseline_rss_bytes, LIMIT_BYTES)
    assert back == HINT


@given(baseline_rss_bytes=st.integers(0, 2**50), then=st.integers(0, 2**50), answer=st.integers(0, 2**24))
def test_untrusted_figures_stay_within_bounds(baseline_rss_bytes: int, then: int, answer: int) -> None:
    """A false process size in a profile could give a batch size or a number of bytes below zero."""
    hint = adjusted_to_process(
        ProfileHint(HINT.trials, answer, 390 * MB, "", baseline_rss_bytes=then), baseline_rss_bytes, LIMIT_BYTES
    )
    assert hint.expected_batch >= min(answer, 1)
    assert hint.non_allocator_bytes >= 0
