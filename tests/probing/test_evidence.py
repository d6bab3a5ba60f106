"""Tests of the conclusions from trials: ceilings, the line and its errors, fragmentation, and belief in a profile."""

from __future__ import annotations

from typing import Any

import pytest

from autofit.probing.evidence import Evidence, others_grew_bytes
from autofit.protocol.messages import Trial, Verdict

MB = 10**6
LIMIT_BYTES = 1000 * MB


def fits(size: int, peak: int | None = None, **more: Any) -> Trial:
    """10 MB, and 1 MB an image."""
    return Trial(batch_size=size, verdict=Verdict.FITS, peak_bytes=(10 + size) * MB if peak is None else peak, **more)


def seen(*trials: Trial, saved: tuple[Trial, ...] = ()) -> Evidence:
    return Evidence(LIMIT_BYTES, 4096, saved, trials)


OOM = Trial(batch_size=100, verdict=Verdict.DEVICE_OOM)


def test_a_failed_size_rules_out_all_above_it() -> None:
    """A size would be tried, or be an answer, above one that has failed."""
    evidence = seen(fits(50, fresh=True), fits(120, fresh=True), OOM)
    assert (evidence.ceiling, evidence.largest_fitting, evidence.answer) == (99, 50, 50)


def test_only_a_fresh_size_is_an_answer() -> None:
    """The promise is that the answer ran in a process of its own."""
    assert (seen(fits(50)).largest_fitting, seen(fits(50)).answer) == (50, 0)


def test_a_line_takes_two_sizes_and_a_prediction_error_three() -> None:
    """A line through one point, or the error of a line through two, would be invented."""
    assert seen(fits(4)).line is None
    assert seen(fits(4), fits(16)).line is not None
    assert seen(fits(4), fits(16)).prediction_error is None
    assert seen(fits(4), fits(16), fits(32)).prediction_error == pytest.approx(0)
    assert seen(fits(4), fits(16), fits(32, 84 * MB)).prediction_error == pytest.approx(0.5)


def test_the_process_outside_the_allocator_counts() -> None:
    """On a CPU the limit is on all that is resident."""
    evidence = seen(fits(4, non_allocator_bytes=490 * MB), fits(16, non_allocator_bytes=490 * MB))
    assert evidence.largest_conceivable == 500


def test_gaps_are_believed_where_two_sizes_show_them() -> None:
    """One odd size would halve the answer; overlooking real gaps would make every answer fail."""

    def fragmentation(*factors: float) -> float:
        sizes = (4, 16, 32, 64)
        return seen(
            *(fits(n, arena_resident_bytes=int((10 + n) * MB * f)) for n, f in zip(sizes, factors, strict=False))
        ).fragmentation

    assert fragmentation(1.5, 1.2, 1.25, 1.2) == pytest.approx(1.2)
    assert fragmentation(1.0, 1.0, 1.8) == 1.0
    assert fragmentation() == 1.0


def test_gaps_of_a_full_allocator_do_not_count() -> None:
    """Near the limit the allocator has no room to leave gaps: its factor would say there were none."""
    roomy = (fits(16, arena_resident_bytes=39 * MB), fits(64, arena_resident_bytes=111 * MB))
    assert seen(*roomy, fits(650, arena_resident_bytes=660 * MB)).fragmentation == pytest.approx(1.5, rel=0.01)


def test_one_size_with_gaps_is_chance() -> None:
    """ResNet50's first trial alone leaves 20 %, its others none: the answer would be a fifth too small."""
    assert seen(fits(16, arena_resident_bytes=40 * MB), fits(600, arena_resident_bytes=700 * MB)).fragmentation == 1.0


def test_the_memory_outside_the_allocator_leaves_less_room() -> None:
    """If the process alone half fills the limit, its allocator is full long before it holds half of the limit."""
    sizes = [
        fits(n, arena_resident_bytes=int(1.2 * (10 + n) * MB), non_allocator_bytes=700 * MB) for n in (16, 64, 200)
    ]
    assert seen(*sizes).fragmentation == pytest.approx(1.2)
    assert [
        size for size, _ in seen(*sizes, fits(4, arena_resident_bytes=17 * MB, non_allocator_bytes=700 * MB)).points
    ] == [4, 16, 64]


SAVED = tuple(fits(size, saved=True) for size in (4, 16, 64))


def test_a_profile_is_believed_until_it_proves_wrong() -> None:
    """One failure may be today's noise; two, or another memory line, are another machine."""
    assert seen(saved=SAVED).believes_saved
    assert seen(OOM, saved=SAVED).believes_saved
    assert seen(fits(60), saved=SAVED).believes_saved
    assert not seen(OOM, OOM, saved=SAVED).believes_saved
    assert not seen(fits(60, 140 * MB), saved=SAVED).believes_saved
    assert not seen().believes_saved


def test_a_dropped_profile_has_no_influence() -> None:
    """Sizes that failed with its budget would rule out sizes that fit, or its points would bend the line."""
    evidence = seen(OOM, OOM.model_copy(update={"batch_size": 95}), fits(4, 30 * MB), saved=SAVED)
    assert evidence.failed_sizes == []
    assert evidence.ceiling == 4096
    assert evidence.points == [(4, 30 * MB)]


def test_others_grew_by_the_most_that_they_were_seen_to_hold_more_than_at_first() -> None:
    """What another process held before, which the limit leaves out already, would be kept free twice."""
    held = [fits(size, other_processes_bytes=bytes_ * MB) for size, bytes_ in ((4, 500), (32, 800), (256, 600))]
    assert others_grew_bytes(held) == 300 * MB
    assert others_grew_bytes([held[0], fits(32)]) == 0
    assert others_grew_bytes([]) == 0
