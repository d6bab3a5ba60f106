"""What each end of a worker is taken for."""

from __future__ import annotations

import signal

import pytest

from autofit.machine.process_limits import NO_LIMITS, ProcessLimits
from autofit.process.exit_classifier import (
    SCRATCH_NOT_ALLOCATED,
    START_CRASH,
    TRIED_AGAIN,
    Evidence,
    ExitDiagnosis,
    classify,
)
from autofit.process.launch import Exit
from autofit.protocol.job import Outcome
from autofit.protocol.messages import MemorySample, Phase, Verdict

GB = 10**9


def evidence(  # noqa: PLR0913 - every kind of evidence there is
    code: int,
    *,
    host: int = 0,
    device: int = 0,
    kills: int | None = 0,
    given: bool = False,
    stderr: str = "",
    stopped: Verdict | None = None,
    host_limit: int = 4 * GB,
    allocator: int = 2 * GB,
    earlier: int = 0,
    phase: Phase = Phase.TRAIN,
    limits: ProcessLimits = NO_LIMITS,
    left: float | None = None,
) -> Evidence:
    return Evidence(
        exit=Exit(code),
        memory=MemorySample(device_bytes=device, host_bytes=host, left_share=left),
        stopped_by_us=stopped,
        kernel_oom_kills=kills,
        earlier_oom_kills=earlier,
        phase=phase,
        limits=limits,
        allocator_bytes=allocator,
        host_limit_bytes=host_limit,
        limit_is_given=given,
        stderr_tail=stderr,
    )


KILLED, SEGV, ABORTED = -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT
BAD_ALLOC = "terminate called after throwing an instance of 'std::bad_alloc'\n"
ONEDNN = f"F tensor.cc:{SCRATCH_NOT_ALLOCATED} (1 vs. 4) uint8 expected, got float\n"
HARMLESS = (
    "Allocator (cpu_bfc) ran out of memory trying to allocate 1.1GiB. The caller indicates that this is not a failure"
)

COPYING = """\
Fatal Python error: Segmentation fault

Thread 0x1 (most recent call first):
  File "a.py", line 3 in resize

Current thread 0x2 (most recent call first):
  File "tensorflow/python/framework/constant_op.py", line 108 in convert_to_eager_tensor
  File "b.py", line 7 in b
"""

BY_DAEMON = "SIGTERM with 10 % of the memory left, as a daemon such as earlyoom sends it"

SUDDEN_ENDS = {
    "no room for a copy of the images": (
        evidence(SEGV, stderr=COPYING),
        ExitDiagnosis(Verdict.DEVICE_OOM, "SIGSEGV: TensorFlow found no room for a copy of the images"),
    ),
    "a crash elsewhere while another thread copies": (
        evidence(SEGV, stderr=COPYING.replace("Current thread", "Thread").replace("0x1", "0x1\nCurrent thread")),
        ExitDiagnosis(Verdict.CRASHED, "SIGSEGV"),
    ),
    "killed by nobody knows whom": (evidence(KILLED), ExitDiagnosis(Verdict.CRASHED, "SIGKILL")),
    "killed by the kernel": (
        evidence(KILLED, kills=1),
        ExitDiagnosis(Verdict.HOST_OOM, "SIGKILL: the kernel's OOM killer"),
    ),
    "killed near the limit": (
        evidence(KILLED, host=int(3.4 * GB)),
        ExitDiagnosis(Verdict.HOST_OOM, "SIGKILL with the host's memory nearly full"),
    ),
    "killed near a given limit, and not by the kernel": (
        evidence(KILLED, host=4 * GB, given=True),
        ExitDiagnosis(Verdict.CRASHED, "SIGKILL"),
    ),
    "killed by the kernel near a given limit": (
        evidence(KILLED, host=4 * GB, given=True, kills=2),
        ExitDiagnosis(Verdict.HOST_OOM, "SIGKILL: the kernel's OOM killer"),
    ),
    "killed near a given limit where the kernel does not count": (
        evidence(KILLED, host=4 * GB, given=True, kills=None),
        ExitDiagnosis(Verdict.HOST_OOM, "SIGKILL with the host's memory nearly full"),
    ),
    "killed under the limit": (evidence(KILLED, host=int(3.39 * GB)), ExitDiagnosis(Verdict.CRASHED, "SIGKILL")),
    "killed, no limit known": (evidence(KILLED, host=9 * GB, host_limit=0), ExitDiagnosis(Verdict.CRASHED, "SIGKILL")),
    "segfault near the limit": (
        evidence(SEGV, device=int(1.7 * GB)),
        ExitDiagnosis(Verdict.DEVICE_OOM, "SIGSEGV close to the allocator's limit", ambiguous=True),
    ),
    "bus error near the limit": (
        evidence(-signal.SIGBUS, device=2 * GB),
        ExitDiagnosis(Verdict.DEVICE_OOM, "SIGBUS close to the allocator's limit", ambiguous=True),
    ),
    "segfault far from it": (evidence(SEGV, device=int(1.69 * GB)), ExitDiagnosis(Verdict.CRASHED, "SIGSEGV")),
    "segfault, no limit known": (evidence(SEGV, device=9 * GB, allocator=0), ExitDiagnosis(Verdict.CRASHED, "SIGSEGV")),
    "segfault while the kernel killed another": (evidence(SEGV, kills=3), ExitDiagnosis(Verdict.CRASHED, "SIGSEGV")),
    "segfault with a full host": (evidence(SEGV, host=4 * GB), ExitDiagnosis(Verdict.CRASHED, "SIGSEGV")),
    "abort, bad_alloc": (
        evidence(ABORTED, stderr=BAD_ALLOC),
        ExitDiagnosis(Verdict.HOST_OOM, "SIGABRT: std::bad_alloc, the host's memory ran out"),
    ),
    "abort, oneDNN": (
        evidence(ABORTED, stderr=ONEDNN),
        ExitDiagnosis(Verdict.DEVICE_OOM, "SIGABRT: oneDNN found no room for its scratch memory", ambiguous=True),
    ),
    "abort, another check": (
        evidence(ABORTED, stderr="Check failed: a == b"),
        ExitDiagnosis(Verdict.CRASHED, "SIGABRT"),
    ),
    "abort after a harmless retry": (evidence(ABORTED, stderr=HARMLESS), ExitDiagnosis(Verdict.CRASHED, "SIGABRT")),
    "bad_alloc, but another signal": (evidence(SEGV, stderr=BAD_ALLOC), ExitDiagnosis(Verdict.CRASHED, "SIGSEGV")),
    "illegal instruction": (
        evidence(-signal.SIGILL),
        ExitDiagnosis(Verdict.CRASHED, f"SIGILL: {START_CRASH}"),
    ),
    "a crash at the start": (
        evidence(SEGV, phase=Phase.START),
        ExitDiagnosis(Verdict.CRASHED, f"SIGSEGV at its start: {START_CRASH}"),
    ),
    "instructions missing, in TensorFlow's own words": (
        evidence(ABORTED, phase=Phase.START, stderr="The TensorFlow library was compiled to use AVX instructions, but"),
        ExitDiagnosis(Verdict.CRASHED, f"SIGABRT at its start: {START_CRASH}"),
    ),
    "killed by hand after the kernel has killed a neighbour": (
        evidence(KILLED, kills=0, earlier=1),
        ExitDiagnosis(
            Verdict.CRASHED, "SIGKILL, not by the kernel, whose OOM killer ended other processes here before"
        ),
    ),
    "killed by the kernel, as a neighbour before": (
        evidence(KILLED, kills=1, earlier=1),
        ExitDiagnosis(Verdict.HOST_OOM, "SIGKILL: the kernel's OOM killer"),
    ),
    "terminated": (evidence(-signal.SIGTERM, host=4 * GB), ExitDiagnosis(Verdict.CRASHED, "SIGTERM")),
    "terminated with much left": (evidence(-signal.SIGTERM, left=0.13), ExitDiagnosis(Verdict.CRASHED, "SIGTERM")),
    "terminated by a daemon": (evidence(-signal.SIGTERM, left=0.1), ExitDiagnosis(Verdict.HOST_OOM, BY_DAEMON)),
    "terminated by a daemon under a limit of the shell": (
        evidence(-signal.SIGTERM, left=0.1, limits=ProcessLimits(address_space_bytes=64 * GB)),
        ExitDiagnosis(Verdict.HOST_OOM, BY_DAEMON),
    ),
    "terminated by the parent on a full machine": (
        evidence(-signal.SIGTERM, left=0.0, stopped=Verdict.INTERRUPTED),
        ExitDiagnosis(Verdict.INTERRUPTED, "asked to stop"),
    ),
    "killed by a daemon, the given limit far": (
        evidence(KILLED, left=0.1, given=True),
        ExitDiagnosis(Verdict.HOST_OOM, BY_DAEMON.replace("SIGTERM", "SIGKILL")),
    ),
    "killed by the kernel on a full machine": (
        evidence(KILLED, kills=1, left=0.0),
        ExitDiagnosis(Verdict.HOST_OOM, "SIGKILL: the kernel's OOM killer"),
    ),
    "a crash on a full machine": (evidence(SEGV, left=0.0), ExitDiagnosis(Verdict.CRASHED, "SIGSEGV")),
    "a signal without a name": (evidence(-40), ExitDiagnosis(Verdict.CRASHED, "signal 40")),
    "no result": (evidence(0), ExitDiagnosis(Verdict.CRASHED, "exit code 0 without a result")),
    "no result, code 1": (evidence(1, host=4 * GB), ExitDiagnosis(Verdict.CRASHED, "exit code 1 without a result")),
    "hung": (evidence(KILLED, host=4 * GB, stopped=Verdict.HUNG), ExitDiagnosis(Verdict.HUNG, "its heartbeat stopped")),
    "too slow": (
        evidence(KILLED, kills=1, stopped=Verdict.TIMEOUT),
        ExitDiagnosis(Verdict.TIMEOUT, "it took longer than its deadline"),
    ),
    "did not leave": (
        evidence(KILLED, stopped=Verdict.INTERRUPTED),
        ExitDiagnosis(Verdict.INTERRUPTED, "asked to stop"),
    ),
}


@pytest.mark.parametrize(("seen", "expected"), SUDDEN_ENDS.values(), ids=SUDDEN_ENDS)
def test_an_end_without_an_outcome_is_told_by_its_evidence(seen: Evidence, expected: ExitDiagnosis) -> None:
    """A crash taken for memory shrinks a batch for nothing; memory taken for a crash is retried as large as it was."""
    assert classify(None, seen) == expected


@pytest.mark.parametrize("verdict", sorted(Verdict))
def test_the_outcome_decides(verdict: Verdict) -> None:
    """Evidence that argues with the worker's own words would turn a finished attempt into a failed one."""
    outcome = Outcome(verdict=verdict, cause="in its own words")
    against = evidence(KILLED, kills=1, host=4 * GB, device=2 * GB, stderr=BAD_ALLOC)
    assert classify(outcome, against) == ExitDiagnosis(verdict, "in its own words")


@pytest.mark.parametrize("verdict", sorted(set(Verdict) - TRIED_AGAIN))
def test_an_outcome_decides_also_when_asked_to_stop(verdict: Verdict) -> None:
    """A worker that was just done when Ctrl-C came would be reported as interrupted."""
    outcome = Outcome(verdict=verdict, cause="in its own words")
    assert classify(outcome, evidence(0, stopped=Verdict.INTERRUPTED)) == ExitDiagnosis(verdict, "in its own words")


@pytest.mark.parametrize("verdict", sorted(TRIED_AGAIN))
def test_nobody_tries_again_after_ctrl_c(verdict: Verdict) -> None:
    """A worker that runs out of memory on its way out would be started anew, though a person has said stop."""
    diagnosis = classify(Outcome(verdict=verdict, cause="no room"), evidence(1, stopped=Verdict.INTERRUPTED))
    assert diagnosis == ExitDiagnosis(Verdict.INTERRUPTED, "asked to stop")


@pytest.mark.parametrize("stopped", [Verdict.HUNG, Verdict.TIMEOUT])
def test_a_thread_that_was_too_slow_was_not_interrupted_by_anybody(stopped: Verdict) -> None:
    """Inline, where nothing can be killed, a hung worker is asked to leave: its run would end as if by Ctrl-C."""
    outcome = Outcome(verdict=Verdict.INTERRUPTED, cause="asked to stop")
    assert classify(outcome, evidence(1, stopped=stopped)).verdict is stopped
    assert classify(Outcome(verdict=Verdict.COMPLETED), evidence(0, stopped=stopped)).verdict is Verdict.COMPLETED


@pytest.mark.parametrize(
    ("address_space", "host_limit", "named"),
    [(64 * GB, 4 * GB, False), (5 * GB, 4 * GB, True), (64 * GB, 0, False)],
    ids=["all was reserved", "less was reserved", "the memory of a GPU"],
)
def test_a_limit_that_left_room_for_all_tensors_is_not_blamed(address_space: int, host_limit: int, named: bool) -> None:  # noqa: FBT001
    """A user of a cluster would lift a limit of 64 GB for a card of 16 GB, and no further rung be tried."""
    told = Outcome(verdict=Verdict.DEVICE_OOM, cause="OOM when allocating tensor")
    limits = ProcessLimits(address_space_bytes=address_space)
    found = classify(told, evidence(1, host_limit=host_limit, limits=limits))
    assert (found.is_limited, "ulimit -v" in found.cause) == (named, named)
