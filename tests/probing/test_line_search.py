"""The search that wants the line of memory only, on made-up machines."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autofit.probing.line_search import LineSearch
from autofit.probing.memory_model import UNBOUNDED_BATCH
from autofit.protocol.messages import Trial, Verdict

MB = 10**6


def sizes_asked(
    limit_bytes: int, image_bytes: int, seconds_an_image: float = 0.01, update_bytes: int = 0
) -> list[tuple[int, bool]]:
    """The sizes that a search asks for, and whether each had a process of its own, where 500 MB are taken anyway."""
    search, asked = LineSearch(limit_bytes, UNBOUNDED_BATCH), []
    while (trial := search.ask()) is not None:
        asked.append((trial.size, trial.fresh))
        search.tell(_ran(trial.size, limit_bytes, max(trial.size * image_bytes, update_bytes), seconds_an_image))
    return asked


def _ran(size: int, limit_bytes: int, peak: int, seconds_an_image: float) -> Trial:
    if 500 * MB + peak > limit_bytes:
        return Trial(batch_size=size, verdict=Verdict.DEVICE_OOM)
    return Trial(
        batch_size=size,
        verdict=Verdict.FITS,
        peak_bytes=peak,
        non_allocator_bytes=500 * MB,
        step_seconds=size * seconds_an_image,
    )


CASES: list[tuple[str, Callable[[], list[tuple[int, bool]]], list[int]]] = [
    ("room", lambda: sizes_asked(16_000 * MB, 10 * MB), [4, 16, 32, 64, 128]),
    ("little room", lambda: sizes_asked(1_200 * MB, 10 * MB), [4, 16, 32]),
    ("slow", lambda: sizes_asked(16_000 * MB, 10 * MB, seconds_an_image=0.1), [4, 16, 32]),
    ("slow, and the update takes most", lambda: sizes_asked(16_000 * MB, 27 * MB, 0.1, 300 * MB), [4, 16, 32, 48]),
    (
        "slow, and the update hides them",
        lambda: sizes_asked(16_000 * MB, 27 * MB, 0.1, 1_500 * MB),
        [4, 16, 32, 48, 72, 108],
    ),
    ("slow, and hidden to the end", lambda: sizes_asked(16_000 * MB, MB, 0.1, 900 * MB), [4, 16, 32, 48, 72, 108]),
    ("the same, little room", lambda: sizes_asked(2_600 * MB, 27 * MB, 0.1, 300 * MB), [4, 16, 32, 48]),
    ("the same, no room", lambda: sizes_asked(2_000 * MB, 27 * MB, 0.1, 300 * MB), [4, 16, 32]),
    ("four do not fit", lambda: sizes_asked(1_200 * MB, 300 * MB), [4, 1, 2]),
    ("one does not fit", lambda: sizes_asked(1_200 * MB, 900 * MB), [4, 1]),
]


@pytest.mark.parametrize(("asked", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_sizes_are_few_and_small(asked: Callable[[], list[tuple[int, bool]]], expected: list[int]) -> None:
    """An estimate would run out of memory here, take minutes, or rest on one size where two have room."""
    assert [size for size, _ in asked()] == expected


def test_one_process_runs_all_sizes_that_fit() -> None:
    """Each size would cost the start of a process."""
    assert not any(fresh for _, fresh in sizes_asked(16_000 * MB, 10 * MB))
