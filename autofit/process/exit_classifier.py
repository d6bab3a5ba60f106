"""Classifies the exit of a worker: a verdict and its cause, from the evidence. Pure.

If there is an outcome file, it decides. Without one, the exit code, the last heartbeat and the kernel's counters are
the evidence. What a worker wrote to stderr is never evidence of a device out-of-memory: TensorFlow prints such words
for retries that succeed.
"""

from __future__ import annotations

from dataclasses import dataclass

from autofit.process.launch import Exit
from autofit.protocol.job import Outcome
from autofit.protocol.messages import MemorySample, Verdict

NEAR = 0.85
"""With this share of a limit in use, a sudden exit counts as running into the limit."""

SCRATCH_NOT_ALLOCATED = "Check failed: dtype() == expected_dtype"
"""TensorFlow's oneDNN kernels go on after a failed allocation of scratch memory, and end the process at this check on a
tensor that was never made (mkl_conv_ops.cc, TensorFlow 2.21; seen as "uint8 expected, got float")."""

WHY_STOPPED = {
    Verdict.HUNG: "its heartbeat stopped",
    Verdict.TIMEOUT: "it took longer than its deadline",
    Verdict.INTERRUPTED: "asked to stop",
}
TRIED_AGAIN = {Verdict.DEVICE_OOM, Verdict.HOST_OOM, Verdict.YIELDED}
"""Verdicts of a worker after which another attempt may succeed."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence about an exit besides the outcome file; a byte count of 0 means unknown.

    `kernel_oom_kills` is the number of the kernel's OOM kills meanwhile, None if nothing counts them. `limit_is_given`
    says that the user gave `host_limit_bytes`, which the kernel does not enforce.
    """

    exit: Exit
    memory: MemorySample
    stopped_by_us: Verdict | None
    kernel_oom_kills: int | None
    allocator_bytes: int
    host_limit_bytes: int
    limit_is_given: bool
    stderr_tail: str


@dataclass(frozen=True, slots=True)
class ExitDiagnosis:
    """A verdict, its cause in a few words, and whether memory is only the likely cause."""

    verdict: Verdict
    cause: str
    ambiguous: bool = False


def classify(outcome: Outcome | None, evidence: Evidence) -> ExitDiagnosis:
    """The diagnosis of one exit."""
    stopped = evidence.stopped_by_us
    if outcome is not None and not _is_overruled(outcome.verdict, stopped):
        return ExitDiagnosis(outcome.verdict, outcome.cause)
    if stopped is not None:
        return ExitDiagnosis(stopped, WHY_STOPPED[stopped])
    name = evidence.exit.signal_name
    if name is None:
        return ExitDiagnosis(Verdict.CRASHED, f"exit code {evidence.exit.code} without a result")
    return _out_of_memory(name, evidence) or ExitDiagnosis(Verdict.CRASHED, name)


def _is_overruled(reported: Verdict, stopped: Verdict | None) -> bool:
    """Whether our reason to stop a worker says more than its own words.

    A person who has asked to stop wants no further attempt, whatever else the worker ran into on its way out. And a
    worker that was slow, and left because it could not be killed (inline), was not interrupted by anybody.
    """
    if stopped is Verdict.INTERRUPTED:
        return reported in TRIED_AGAIN
    return stopped is not None and reported is Verdict.INTERRUPTED


def _out_of_memory(signal_name: str, evidence: Evidence) -> ExitDiagnosis | None:
    """The diagnosis if the signal, with the other evidence, means that memory ran out; else None."""
    if signal_name == "SIGKILL":
        return _killed(evidence)
    if signal_name == "SIGABRT" and "std::bad_alloc" in evidence.stderr_tail:
        return ExitDiagnosis(Verdict.HOST_OOM, "SIGABRT: std::bad_alloc, the host's memory ran out")
    if signal_name == "SIGABRT" and SCRATCH_NOT_ALLOCATED in evidence.stderr_tail:
        return ExitDiagnosis(Verdict.DEVICE_OOM, "SIGABRT: oneDNN found no room for its scratch memory", ambiguous=True)
    if signal_name in {"SIGSEGV", "SIGBUS"} and _is_near(evidence.memory.device_bytes, evidence.allocator_bytes):
        return ExitDiagnosis(Verdict.DEVICE_OOM, f"{signal_name} close to the allocator's limit", ambiguous=True)
    return None


def _killed(evidence: Evidence) -> ExitDiagnosis | None:
    """SIGKILL alone is no proof: the kernel's count of OOM kills is, or a resident size near the limit just before.

    A training is always near the limit that it was given. So there the count decides, where there is one; near the
    machine's own memory the hand may also have been another's than the kernel's (earlyoom, a notebook service).
    """
    if evidence.kernel_oom_kills:
        return ExitDiagnosis(Verdict.HOST_OOM, "SIGKILL: the kernel's OOM killer")
    not_the_kernel = evidence.kernel_oom_kills == 0 and evidence.limit_is_given
    if not not_the_kernel and _is_near(evidence.memory.host_bytes, evidence.host_limit_bytes):
        return ExitDiagnosis(Verdict.HOST_OOM, "SIGKILL with the host's memory nearly full")
    return None


def _is_near(used_bytes: int, limit_bytes: int) -> bool:
    return used_bytes >= NEAR * limit_bytes > 0
