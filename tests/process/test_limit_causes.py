"""Which exit is put down to which limit of the process."""

from __future__ import annotations

import pytest

from autofit.machine.process_limits import NO_LIMITS, ProcessLimits
from autofit.process.limit_causes import limit_words
from autofit.protocol.messages import Verdict

ALL = ProcessLimits(address_space_bytes=3 * 10**9, cpu_seconds=60, stack_bytes=2**19, file_bytes=10**6, processes=200)
ADDRESS_SPACE, STACK, FILE, PROCESSES, CPU = "ulimit -v", "ulimit -s", "ulimit -f", "ulimit -u", "ulimit -t"
CASES = {
    "no memory": (Verdict.HOST_OOM, "MemoryError: Unable to allocate", "", ADDRESS_SPACE),
    "no memory for tensors": (Verdict.DEVICE_OOM, "OOM when allocating tensor", "", ADDRESS_SPACE),
    "abort": (Verdict.CRASHED, "SIGABRT", "", ADDRESS_SPACE),
    "a library that cannot be mapped": (Verdict.CRASHED, "ImportError: failed to map segment", "", ADDRESS_SPACE),
    "segmentation fault": (Verdict.CRASHED, "SIGSEGV", "", STACK),
    "time": (Verdict.CRASHED, "SIGXCPU", "", CPU),
    "file": (Verdict.STORAGE, "/run/model.keras: File too large", "", FILE),
    "file, by a signal": (Verdict.CRASHED, "SIGXFSZ", "", FILE),
    "thread": (Verdict.CRASHED, "RuntimeError: can't start new thread", "", ADDRESS_SPACE),
    "fork": (Verdict.CRASHED, "BlockingIOError: [Errno 11] Resource temporarily unavailable", "", PROCESSES),
    "thread of native code": (Verdict.CRASHED, "SIGABRT", "OpenBLAS: pthread_create failed", ADDRESS_SPACE),
}


@pytest.mark.parametrize(("verdict", "cause", "stderr", "named"), CASES.values(), ids=CASES)
def test_the_limit_and_what_lifts_it_are_named(verdict: Verdict, cause: str, stderr: str, named: str) -> None:
    """The user would be told to take smaller images, or nothing at all."""
    assert named in limit_words(verdict, cause, stderr, ALL, memory_is_full=False)


@pytest.mark.parametrize(("verdict", "cause", "stderr", "named"), CASES.values(), ids=CASES)
def test_without_limits_none_is_blamed(verdict: Verdict, cause: str, stderr: str, named: str) -> None:
    """A machine that is out of memory would be taken for one with a limit that is not set."""
    assert limit_words(verdict, cause, stderr, NO_LIMITS, memory_is_full=False).count("(ulimit") == (named == CPU)


def test_a_full_memory_or_another_failure_blames_no_limit() -> None:
    """A limit that is far away would be raised in vain, and the run would fail again."""
    for verdict, cause in [(Verdict.HOST_OOM, "SIGKILL"), (Verdict.DEVICE_OOM, "OOM"), (Verdict.CRASHED, "SIGABRT")]:
        assert limit_words(verdict, cause, "", ALL, memory_is_full=True) == ""
    for verdict, cause in [(Verdict.CRASHED, "KeyError"), (Verdict.STORAGE, "No space left"), (Verdict.YIELDED, "x")]:
        assert limit_words(verdict, cause, "", ALL, memory_is_full=False) == ""


def test_the_usual_stack_is_no_small_one() -> None:
    """Each segmentation fault would be put down to the limit that every shell sets."""
    assert limit_words(Verdict.CRASHED, "SIGSEGV", "", ProcessLimits(stack_bytes=2**23), memory_is_full=False) == ""


def test_threads_are_put_down_to_their_number_where_the_address_space_has_no_limit() -> None:
    """The one limit would be lifted while the other is met."""
    few = ProcessLimits(processes=200)
    words = limit_words(Verdict.CRASHED, "RuntimeError: can't start new thread", "", few, memory_is_full=False)
    assert "(ulimit -u, 200)" in words


def test_the_data_segment_is_named_where_it_is_the_lower_limit() -> None:
    """The limit of some batch systems would be taken for a machine without memory, or the other one be lifted."""
    for limits, named in [
        (ProcessLimits(data_bytes=2 * 10**9), "data segment is limited to 2 GB (ulimit -d)"),
        (ProcessLimits(data_bytes=2 * 10**9, address_space_bytes=4 * 10**9), "(ulimit -d)"),
        (ProcessLimits(data_bytes=5 * 10**9, address_space_bytes=4 * 10**9), "(ulimit -v)"),
    ]:
        assert named in limit_words(Verdict.HOST_OOM, "MemoryError", "", limits, memory_is_full=False)
