"""Which part of an extraction a process takes, as given or as a batch system numbers it."""

from __future__ import annotations

import pytest

from autofit.config.shard_choice import chosen_shard
from autofit.errors import UserError

ARRAY = {"SLURM_ARRAY_TASK_ID": "14", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_COUNT": "3"}


@pytest.mark.parametrize(
    ("value", "environ", "expected"),
    [
        (None, ARRAY, (1, 1)),
        ("3/8", ARRAY, (3, 8)),
        ("auto", ARRAY | {"SLURM_ARRAY_TASK_STEP": "2"}, (3, 3)),
        ("auto/5", ARRAY | {"SLURM_ARRAY_TASK_COUNT": "5"}, (5, 5)),
        ("auto/8", {"JOB_COMPLETION_INDEX": "0"}, (1, 8)),
        ("auto/8", {"JOB_COMPLETION_INDEX": "7"}, (8, 8)),
    ],
)
def test_the_part_is_the_one_that_was_asked_for(
    value: str | None, environ: dict[str, str], expected: tuple[int, int]
) -> None:
    """Two tasks of an array would do the same part, and none another."""
    assert chosen_shard(value, environ) == expected


@pytest.mark.parametrize(
    ("value", "environ", "said"),
    [
        ("0/8", {}, "part 0 of 8"),
        ("9/8", {}, "part 9 of 8"),
        ("3", {}, "give a part such as 3/8"),
        ("auto", {}, "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX"),
        ("auto", {"JOB_COMPLETION_INDEX": "1"}, "give auto/8 for 8"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "1"}, "give auto/8 for an array of 8"),
        ("auto/8", {"JOB_COMPLETION_INDEX": "8"}, "part 9 of 8"),
        ("auto/0", ARRAY, "part 5 of 0"),
        ("auto/8", {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "1"}, "has 1 tasks now"),
    ],
)
def test_what_is_no_part_is_refused(value: str, environ: dict[str, str], said: str) -> None:
    """A task would extract something else than it should, silently."""
    with pytest.raises(UserError, match=said):
        chosen_shard(value, environ)
