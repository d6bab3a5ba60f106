"""The policy of the attempt loop, which is pure. Runs of it with real processes: `process/test_runs.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.errors import (
    AutofitError,
    DoesNotFitError,
    InterruptedRunError,
    StorageError,
    TrainingFailedError,
    UserError,
)
from autofit.process.messages import Verdict
from autofit.process.verdict import Ending
from autofit.supervisor import Attempted, Sizes, next_sizes

KB = 1024
SIZES = Sizes(micro_batch_size=8, buffer_bytes=64 * KB)


def attempted(
    verdict: Verdict,
    sizes: Sizes = SIZES,
    *,
    progressed: bool = False,
    reported: bool = False,
    ambiguous: bool = False,
    cause: str = "because",
) -> Attempted:
    return Attempted(Ending(verdict, cause, ambiguous), sizes, progressed, reported)


def with_micro(size: int) -> Sizes:
    return replace(SIZES, micro_batch_size=size)


AFTER_ONE = {
    "device out of memory": (attempted(Verdict.DEVICE_OOM), with_micro(4)),
    "device out of memory, likely": (attempted(Verdict.DEVICE_OOM, ambiguous=True), with_micro(4)),
    "device out of memory with one": (attempted(Verdict.DEVICE_OOM, with_micro(1)), with_micro(1)),
    "host out of memory": (attempted(Verdict.HOST_OOM), Sizes(micro_batch_size=4, buffer_bytes=32 * KB)),
    "host out of memory, nothing to halve": (attempted(Verdict.HOST_OOM, Sizes(1, 1)), Sizes(1, 1)),
    "yielded": (attempted(Verdict.YIELDED, replace(SIZES, rest_bytes=5)), replace(SIZES, rest_bytes=5)),
    "crashed": (attempted(Verdict.CRASHED), SIZES),
    "hung": (attempted(Verdict.HUNG), SIZES),
    "timeout": (attempted(Verdict.TIMEOUT), SIZES),
}


@pytest.mark.parametrize(("last", "expected"), AFTER_ONE.values(), ids=AFTER_ONE)
@pytest.mark.parametrize("progressed", [False, True])
def test_only_memory_shrinks(last: Attempted, expected: Sizes, progressed: bool) -> None:  # noqa: FBT001
    """A crash that shrinks the batch makes a run slow for nothing; an out-of-memory that does not comes again."""
    assert next_sizes([replace(last, progressed=progressed)]) == expected


FINAL = {
    "user error": (attempted(Verdict.USER_ERROR), UserError),
    "storage": (attempted(Verdict.STORAGE), StorageError),
    "interrupted": (attempted(Verdict.INTERRUPTED), InterruptedRunError),
    "an exception in Python": (attempted(Verdict.CRASHED, reported=True), TrainingFailedError),
}


@pytest.mark.parametrize(("last", "expected"), FINAL.values(), ids=FINAL)
@pytest.mark.parametrize("progressed", [False, True])
def test_what_would_come_again_ends_the_run_at_once(
    last: Attempted,
    expected: type[AutofitError],
    progressed: bool,  # noqa: FBT001
) -> None:
    """A bug in a user's function would be run three times, each time minutes later."""
    with pytest.raises(expected) as caught:
        next_sizes([attempted(Verdict.DEVICE_OOM), replace(last, progressed=progressed)])
    assert type(caught.value) is expected
    assert str(caught.value) == "because"


CRASH, HANG, YIELD = attempted(Verdict.CRASHED), attempted(Verdict.HUNG), attempted(Verdict.YIELDED, cause="grew")
LIKELY = attempted(Verdict.DEVICE_OOM, ambiguous=True, cause="SIGSEGV close to the limit")
DEVICE_1, HOST_1 = attempted(Verdict.DEVICE_OOM, with_micro(1)), attempted(Verdict.HOST_OOM, with_micro(1))

ENDS_WITH = {
    "three crashes": ([CRASH] * 3, TrainingFailedError, "3 attempts ended without progress, the last one: because"),
    "crashes and hangs": ([CRASH, HANG, HANG], TrainingFailedError, "3 attempts ended without progress"),
    "three crashes with an out-of-memory between": (
        [CRASH, attempted(Verdict.DEVICE_OOM), CRASH, CRASH],
        TrainingFailedError,
        "3 attempts ended",
    ),
    "yielded three times": ([YIELD] * 3, DoesNotFitError, "grew, 3 times: give a higher memory_limit"),
    "yielded and crashed": ([YIELD, YIELD, CRASH], TrainingFailedError, "3 attempts ended"),
    "likely memory down to one image": (
        [LIKELY, replace(LIKELY, sizes=with_micro(1))],
        TrainingFailedError,
        r"SIGSEGV close to the limit\): this is not memory",
    ),
    "one image, twice": ([DEVICE_1] * 2, DoesNotFitError, r"not even one image at a time fits \(because\): take a"),
    "one image, host": ([HOST_1] * 2, DoesNotFitError, "not even one image at a time fits"),
    "one image, both": ([DEVICE_1, HOST_1], DoesNotFitError, "not even one image at a time fits"),
    "one image, with a crash between": ([DEVICE_1, CRASH, DEVICE_1], DoesNotFitError, "not even one image"),
}


@pytest.mark.parametrize(("past", "expected", "words"), ENDS_WITH.values(), ids=ENDS_WITH)
def test_an_end_that_comes_again_ends_the_run(
    past: Sequence[Attempted], expected: type[AutofitError], words: str
) -> None:
    """A run that can never get on would burn the machine for ever, or be ended for a reason that is not its own."""
    for length in range(1, len(past)):
        next_sizes(past[:length])
    with pytest.raises(expected, match=words):
        next_sizes(past)


GOES_ON = {
    "progress resets the count": [CRASH, CRASH, replace(CRASH, progressed=True), CRASH, CRASH],
    "every attempt gets on": [replace(CRASH, progressed=True)] * 50,
    "likely memory, twice": [LIKELY, LIKELY],
    "likely memory, with progress between": [LIKELY, replace(LIKELY, progressed=True)],
    "likely memory, then certain": [LIKELY, attempted(Verdict.DEVICE_OOM)],
    "likely memory, then a crash, then likely": [LIKELY, CRASH, LIKELY],
    "one image, with progress between": [DEVICE_1, replace(DEVICE_1, progressed=True), DEVICE_1],
    "down from 512": [attempted(Verdict.DEVICE_OOM, with_micro(2**power)) for power in range(9, -1, -1)],
}


@pytest.mark.parametrize("past", GOES_ON.values(), ids=GOES_ON)
def test_a_run_that_may_still_get_on_goes_on(past: Sequence[Attempted]) -> None:
    """A run that would have ended well is given up: on a shared machine, a kill an hour is no reason."""
    for length in range(1, len(past) + 1):
        next_sizes(past[:length])


MOST_ATTEMPTS = 16
"""Out of memory with 4096, 2048, … 2 and twice with 1; two that were not memory; and one that ends it."""


@given(
    micro=st.integers(1, 4096),
    ends=st.lists(
        st.tuples(
            st.sampled_from(sorted(set(Verdict) - {Verdict.COMPLETED, Verdict.FITS})), st.booleans(), st.booleans()
        ),
        min_size=MOST_ATTEMPTS,
        max_size=MOST_ATTEMPTS,
    ),
)
def test_a_run_without_progress_always_ends(micro: int, ends: list[tuple[Verdict, bool, bool]]) -> None:
    """Some mixture of ends would be tried again for ever, or a size would change for a reason that is not memory."""
    with pytest.raises(AutofitError) as caught:
        attempt_all(with_micro(micro), ends)
    assert "\n" not in str(caught.value)


def attempt_all(sizes: Sizes, ends: list[tuple[Verdict, bool, bool]]) -> None:
    """Let the policy decide after each of these ends, of which none has moved a checkpoint on."""
    past: list[Attempted] = []
    for verdict, reported, likely in ends:
        ambiguous = likely and verdict is Verdict.DEVICE_OOM
        past.append(attempted(verdict, sizes, reported=reported, ambiguous=ambiguous))
        following = next_sizes(past)
        if verdict not in {Verdict.DEVICE_OOM, Verdict.HOST_OOM}:
            assert following == sizes
        sizes = following
