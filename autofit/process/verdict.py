"""From the way a worker ended to a verdict: pure, from what is known about its end.

The outcome file decides where there is one. Without it the exit code, the last heartbeat and the kernel's counters are
evidence. What a worker wrote to stderr is never evidence of a device out-of-memory: TensorFlow prints such words for
retries that succeed.
"""

from __future__ import annotations

from dataclasses import dataclass

from autofit.process.job import Outcome
from autofit.process.launch import Exit
from autofit.process.messages import MemorySample, Verdict

NEAR = 0.85
"""Share of a limit from which on a sudden end is taken for running into it."""

SCRATCH_NOT_ALLOCATED = "Check failed: dtype() == expected_dtype"
"""TensorFlow's oneDNN kernels go on after a failed allocation of scratch memory, and end the process at this check on a
tensor that was never made (mkl_conv_ops.cc, TensorFlow 2.21; seen as "uint8 expected, got float")."""

HANDED_OVER = "it was asked to leave"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about an end besides the outcome file; byte counts are 0 where unknown."""

    exit: Exit
    memory: MemorySample
    stopped_by_us: Verdict | None
    kernel_oom_kills: int
    allocator_bytes: int
    host_limit_bytes: int
    stderr_tail: str


@dataclass(frozen=True, slots=True)
class Ending:
    """A verdict, its cause in a few words, and whether memory is only the likely cause."""

    verdict: Verdict
    cause: str
    ambiguous: bool = False


def classify(outcome: Outcome | None, evidence: Evidence) -> Ending:
    """The verdict on one attempt."""
    if outcome is not None:
        return Ending(outcome.verdict, outcome.cause)
    if evidence.stopped_by_us is not None:
        return Ending(evidence.stopped_by_us, _why_stopped(evidence.stopped_by_us))
    name = evidence.exit.signal_name
    if name == "SIGKILL":
        return _killed(evidence)
    if name == "SIGABRT" and "std::bad_alloc" in evidence.stderr_tail:
        return Ending(Verdict.HOST_OOM, "SIGABRT: std::bad_alloc, the host's memory ran out")
    if name == "SIGABRT" and SCRATCH_NOT_ALLOCATED in evidence.stderr_tail:
        return Ending(Verdict.DEVICE_OOM, "SIGABRT: oneDNN found no room for its scratch memory", ambiguous=True)
    if name in {"SIGSEGV", "SIGBUS"} and evidence.memory.device_bytes >= NEAR * evidence.allocator_bytes > 0:
        return Ending(Verdict.DEVICE_OOM, f"{name} close to the allocator's limit", ambiguous=True)
    if name is not None:
        return Ending(Verdict.CRASHED, name)
    return Ending(Verdict.CRASHED, f"exit code {evidence.exit.code} without a result")


def _why_stopped(verdict: Verdict) -> str:
    return "its heartbeat stopped" if verdict is Verdict.HUNG else HANDED_OVER


def _killed(evidence: Evidence) -> Ending:
    """SIGKILL alone is no proof: the kernel's count of OOM kills is, or a resident size close to the limit just before."""
    if evidence.kernel_oom_kills > 0:
        return Ending(Verdict.HOST_OOM, "SIGKILL: the kernel's OOM killer")
    if evidence.memory.host_bytes >= NEAR * evidence.host_limit_bytes > 0:
        return Ending(Verdict.HOST_OOM, "SIGKILL with the host's memory nearly full")
    return Ending(Verdict.CRASHED, "SIGKILL")
