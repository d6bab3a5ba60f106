"""The retry policy, which is pure. Runs of it with real processes: `test_supervisor.py`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.config.rungs import KEPT, Rung
from autofit.errors import (
    AutofitError,
    DoesNotFitError,
    InterruptedRunError,
    StorageError,
    TrainingFailedError,
    UserError,
)
from autofit.process.exit_classifier import ExitDiagnosis
from autofit.protocol.messages import OVER_THE_LIMIT, Verdict
from autofit.runs.retry_policy import AttemptSummary, Sizes, next_sizes

KB = 1024
BATCH_BYTES = 20 * KB
SIZES = Sizes(micro_batch_size=8, buffer_bytes=64 * KB)
LEAST = Sizes(micro_batch_size=1, buffer_bytes=BATCH_BYTES)


def attempted(
    verdict: Verdict,
    sizes: Sizes = SIZES,
    *,
    progressed: bool = False,
    reported: bool = False,
    ambiguous: bool = False,
    short_lived: bool = True,
    cause: str = "because",
    was_building: bool = False,
) -> AttemptSummary:
    diagnosis = ExitDiagnosis(verdict, cause, ambiguous)
    return AttemptSummary(diagnosis, sizes, progressed, reported, short_lived, was_building=was_building)


def sizes_after(*past: AttemptSummary) -> Sizes:
    """What the policy decides, where the images of a batch take 20 kB."""
    return next_sizes(past, BATCH_BYTES)


def with_micro(size: int) -> Sizes:
    return replace(SIZES, micro_batch_size=size)


AFTER_ONE = {
    "device out of memory": (attempted(Verdict.DEVICE_OOM), with_micro(4)),
    "device out of memory, likely": (attempted(Verdict.DEVICE_OOM, ambiguous=True), with_micro(4)),
    "device out of memory with one": (attempted(Verdict.DEVICE_OOM, with_micro(1)), with_micro(1)),
    "host out of memory": (attempted(Verdict.HOST_OOM), Sizes(micro_batch_size=4, buffer_bytes=32 * KB)),
    "host out of memory, nothing to halve": (attempted(Verdict.HOST_OOM, Sizes(1, 1)), Sizes(1, 1)),
    "crashed": (attempted(Verdict.CRASHED), SIZES),
    "hung": (attempted(Verdict.HUNG), SIZES),
    "timeout": (attempted(Verdict.TIMEOUT), SIZES),
}


@pytest.mark.parametrize(("last", "expected"), AFTER_ONE.values(), ids=AFTER_ONE)
@pytest.mark.parametrize("progressed", [False, True])
def test_only_memory_shrinks(last: AttemptSummary, expected: Sizes, progressed: bool) -> None:  # noqa: FBT001
    """A crash that shrinks the batch makes a run slow for nothing; an out-of-memory that does not comes again."""
    assert sizes_after(replace(last, progressed=progressed)) == expected


AFTER_YIELDING = {
    "buffers are given up first": (SIZES, replace(SIZES, buffer_bytes=32 * KB)),
    "down to one batch": (replace(SIZES, buffer_bytes=32 * KB), replace(SIZES, buffer_bytes=20 * KB)),
    "then the micro-batch": (replace(SIZES, buffer_bytes=20 * KB), Sizes(4, 20 * KB)),
    "buffers under one batch stay": (replace(SIZES, buffer_bytes=3), Sizes(4, 3)),
    "down to one image": (LEAST, LEAST),
    "what was measured outside the allocator is passed on": (
        replace(SIZES, non_allocator_bytes=5),
        replace(SIZES, buffer_bytes=32 * KB, non_allocator_bytes=5),
    ),
}


@pytest.mark.parametrize(("sizes", "expected"), AFTER_YIELDING.values(), ids=AFTER_YIELDING)
@pytest.mark.parametrize("progressed", [False, True])
def test_who_yields_gives_up_buffers_before_speed(sizes: Sizes, expected: Sizes, progressed: bool) -> None:  # noqa: FBT001
    """A smaller micro-batch slows all that follows, and may change the result; images decoded ahead cost little."""
    assert sizes_after(attempted(Verdict.YIELDED, sizes, progressed=progressed)) == expected


@pytest.mark.parametrize(("fits_now", "expected"), [(None, 4), (7, 7), (2, 2), (1, 1), (8, 4), (100, 4)])
def test_what_is_known_to_fit_the_rest_is_taken(fits_now: int | None, expected: int) -> None:
    """A card of which another program took a little would be used by half; or a size that failed be repeated."""
    past = [attempted(Verdict.DEVICE_OOM)]
    assert next_sizes(past, BATCH_BYTES, fits_now).micro_batch_size == expected
    assert next_sizes([attempted(Verdict.CRASHED)], BATCH_BYTES, fits_now) == SIZES


@pytest.mark.parametrize("verdict", [Verdict.HOST_OOM, Verdict.YIELDED])
@pytest.mark.parametrize("fits_now", [7, 3, 1])
def test_what_others_leave_of_the_host_is_taken(verdict: Verdict, fits_now: int) -> None:
    """Under a neighbour that stays, the run would start again and again, a size smaller each time."""
    last = attempted(verdict)
    found = next_sizes([last], BATCH_BYTES, fits_now)
    assert found.micro_batch_size == fits_now < SIZES.micro_batch_size
    assert found.buffer_bytes < SIZES.buffer_bytes
    assert next_sizes([last], BATCH_BYTES, 100) == next_sizes([last], BATCH_BYTES)


def test_who_yields_again_from_the_same_place_gives_up_both() -> None:
    """A validation that memory is too short for would be given up before a smaller one was tried."""
    first, second = attempted(Verdict.YIELDED), attempted(Verdict.YIELDED, replace(SIZES, buffer_bytes=32 * KB))
    assert sizes_after(first, second) == Sizes(4, 20 * KB)
    assert sizes_after(first, replace(second, progressed=True)) == Sizes(8, 20 * KB)


def test_a_slow_leak_does_not_wear_the_micro_batch_down() -> None:
    """A callback that leaks would bring a run of days down to one image at a time, though a fresh start cures it."""
    leaking = attempted(Verdict.YIELDED, replace(SIZES, buffer_bytes=20 * KB), progressed=True, short_lived=False)
    assert sizes_after(*[leaking] * 50) == leaking.sizes


def test_a_network_that_cannot_even_be_built_is_not_tried_with_fewer_images() -> None:
    """Each size down to one and each rung would cost a start of TensorFlow, and then smaller images be advised."""
    built, building = attempted(Verdict.DEVICE_OOM), attempted(Verdict.DEVICE_OOM, was_building=True)
    assert sizes_after(building) == SIZES  # another program may have had the memory
    assert sizes_after(building, built) == with_micro(4)
    assert sizes_after(built, building) == sizes_after(replace(building, progressed=True), building) == SIZES
    assert next_sizes([building, building], BATCH_BYTES, fits_now=3) == with_micro(3)
    hosts = attempted(Verdict.HOST_OOM, was_building=True)  # images that are decoded meanwhile take some of that
    assert sizes_after(hosts, hosts) == Sizes(micro_batch_size=4, buffer_bytes=32 * KB)
    with pytest.raises(
        DoesNotFitError, match=r"does not fit, without any image \(because\): take a smaller backbone"
    ) as raised:
        sizes_after(building, building)
    assert raised.value.why.endswith("without any image (because)")


@pytest.mark.parametrize(
    ("cause", "advised"),
    [
        (OVER_THE_LIMIT, "give a higher memory_limit and resume, or start anew with smaller images"),
        ("the machine has 80 MB of memory left (host memory)", "free memory and resume, or start anew with smaller im"),
    ],
    ids=["over the limit", "the machine is short"],
)
def test_who_is_always_short_is_told_what_of(cause: str, advised: str) -> None:
    """A user with a limit would close other programs, and one without be told to give a higher one."""
    short = attempted(Verdict.YIELDED, LEAST, cause=cause)
    with pytest.raises(DoesNotFitError, match=re.escape(f"{cause}, 3 times: {advised}")):
        sizes_after(short, short, short)


FINAL = {
    "user error": (attempted(Verdict.USER_ERROR), UserError),
    "storage": (attempted(Verdict.STORAGE), StorageError),
    "interrupted": (attempted(Verdict.INTERRUPTED), InterruptedRunError),
    "an exception in Python": (attempted(Verdict.CRASHED, reported=True), TrainingFailedError),
}


@pytest.mark.parametrize(("last", "expected"), FINAL.values(), ids=FINAL)
@pytest.mark.parametrize("progressed", [False, True])
def test_what_would_come_again_ends_the_run_at_once(
    last: AttemptSummary,
    expected: type[AutofitError],
    progressed: bool,  # noqa: FBT001
) -> None:
    """A bug in a user's function would be run three times, each time minutes later."""
    with pytest.raises(expected) as caught:
        sizes_after(attempted(Verdict.DEVICE_OOM), replace(last, progressed=progressed))
    assert type(caught.value) is expected
    assert str(caught.value) == "because"


CRASH, HANG, YIELD = attempted(Verdict.CRASHED), attempted(Verdict.HUNG), attempted(Verdict.YIELDED, cause="grew")
SHORT = attempted(Verdict.YIELDED, LEAST, progressed=True, cause="the machine has 60 MB left")
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
    "yielded three times": ([YIELD] * 3, DoesNotFitError, "grew, 3 times: free memory and resume, or start anew with"),
    "short as soon as it starts, with nothing left to give": (
        [SHORT] * 3,
        DoesNotFitError,
        "the machine has 60 MB left, 3 times: free memory and resume, or start anew with smaller images",
    ),
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
    past: Sequence[AttemptSummary], expected: type[AutofitError], words: str
) -> None:
    """A run that can never get on would burn the machine for ever, or be ended for a reason that is not its own."""
    for length in range(1, len(past)):
        sizes_after(*past[:length])
    with pytest.raises(expected, match=words):
        sizes_after(*past)


GOES_ON = {
    "progress resets the count": [CRASH, CRASH, replace(CRASH, progressed=True), CRASH, CRASH],
    "every attempt gets on": [replace(CRASH, progressed=True)] * 50,
    "likely memory, twice": [LIKELY, LIKELY],
    "likely memory, with progress between": [LIKELY, replace(LIKELY, progressed=True)],
    "likely memory, then certain": [LIKELY, attempted(Verdict.DEVICE_OOM)],
    "likely memory, then a crash, then likely": [LIKELY, CRASH, LIKELY],
    "one image, with progress between": [DEVICE_1, replace(DEVICE_1, progressed=True), DEVICE_1],
    "short, but it trains for longer than it starts": [replace(SHORT, short_lived=False)] * 50,
    "short, but buffers are left to give": [
        replace(SHORT, sizes=replace(LEAST, buffer_bytes=size * KB)) for size in (64, 32, 21)
    ],
    "short, but not each time": [SHORT, SHORT, replace(CRASH, progressed=True), SHORT, SHORT],
    "down from 512": [attempted(Verdict.DEVICE_OOM, with_micro(2**power)) for power in range(9, -1, -1)],
}


@pytest.mark.parametrize("past", GOES_ON.values(), ids=GOES_ON)
def test_a_run_that_may_still_get_on_goes_on(past: Sequence[AttemptSummary]) -> None:
    """A run that would have ended well is given up: on a shared machine, a kill an hour is no reason."""
    for length in range(1, len(past) + 1):
        sizes_after(*past[:length])


FEW = Rung(segments=4)


def test_where_one_image_does_not_fit_the_next_rung_is_tried() -> None:
    """A run would be given up that fits in segments; or begin again as large as it was."""
    climbed = next_sizes([DEVICE_1, DEVICE_1], BATCH_BYTES, saving=FEW)
    assert climbed == replace(DEVICE_1.sizes, rung=FEW)
    on_it = replace(DEVICE_1, sizes=climbed)
    assert next_sizes([DEVICE_1, DEVICE_1, on_it], BATCH_BYTES, saving=Rung(segments=8)).rung == Rung(segments=8)
    with pytest.raises(DoesNotFitError, match="nor with activations recomputed in 4 segments: take"):
        next_sizes([DEVICE_1, DEVICE_1, on_it], BATCH_BYTES)


def test_a_rung_is_no_cure_for_what_has_another_cause() -> None:
    """A crash, or one image after larger ones, would make a run slower; or a limit of the shell be hidden."""
    assert next_sizes([DEVICE_1], BATCH_BYTES, saving=FEW).rung == KEPT
    assert next_sizes([CRASH, CRASH], BATCH_BYTES, saving=FEW).rung == KEPT
    limited = replace(DEVICE_1, diagnosis=replace(DEVICE_1.diagnosis, is_limited=True))
    with pytest.raises(DoesNotFitError, match="because"):
        next_sizes([limited, limited], BATCH_BYTES, saving=FEW)


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
    past: list[AttemptSummary] = []
    for verdict, reported, likely in ends:
        ambiguous = likely and verdict is Verdict.DEVICE_OOM
        past.append(attempted(verdict, sizes, reported=reported, ambiguous=ambiguous))
        following = sizes_after(*past)
        if verdict not in {Verdict.DEVICE_OOM, Verdict.HOST_OOM, Verdict.YIELDED}:
            assert following == sizes
        sizes = following


@given(micro=st.integers(1, 4096), buffer_bytes=st.integers(1, 2**40))
def test_a_machine_that_is_short_from_the_start_ends_the_run(micro: int, buffer_bytes: int) -> None:
    """A run that leaves after every first step would go on like that for weeks, a start of TensorFlow for each."""
    past: list[AttemptSummary] = []
    with pytest.raises(DoesNotFitError) as caught:
        yield_at_once(past, Sizes(micro, buffer_bytes))
    assert past[-1].sizes.micro_batch_size == 1
    assert "\n" not in str(caught.value)


def yield_at_once(past: list[AttemptSummary], sizes: Sizes) -> None:
    """Leave after the first step, each time with the sizes that follow: 40 and 13 halvings, and three times."""
    for _ in range(40 + 13 + 3):
        past.append(attempted(Verdict.YIELDED, sizes, progressed=True))
        sizes = sizes_after(*past)
