"""Classifies the exit of a worker: a verdict and its cause, from the evidence. Pure.

If there is an outcome file, it decides. Without one, the exit code, the last heartbeat and the kernel's counters are
the evidence. What TensorFlow wrote of memory to stderr is never evidence of a device out-of-memory: it prints such
words for retries that succeed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from autofit.machine.memory_daemons import SIGNALS, daemon_cause
from autofit.machine.process_limits import NO_LIMITS, ProcessLimits, memory_within
from autofit.process.gpu_causes import gpu_cause
from autofit.process.launch import Exit
from autofit.process.limit_causes import limit_words
from autofit.protocol.job import Outcome
from autofit.protocol.messages import MemorySample, Phase, Verdict

NEAR = 0.85
"""With this share of a limit in use, a sudden exit counts as running into the limit."""

SCRATCH_NOT_ALLOCATED = "Check failed: dtype() == expected_dtype"
"""TensorFlow's oneDNN kernels go on after a failed allocation of scratch memory, and end the process at this check on a
tensor that was never made (mkl_conv_ops.cc, TensorFlow 2.21; seen as "uint8 expected, got float")."""

COPY_OF_ARRAY = re.compile(r"^Current thread .*\n  File .* in convert_to_eager_tensor$", re.MULTILINE)
"""The stack of a worker that crashed while TensorFlow copied an array into its allocator: without room for the copy
that is a segmentation fault (docs/decisions/0004; seen with 8 images of 1200 px, TensorFlow 2.21)."""

WHY_STOPPED = {
    Verdict.HUNG: "its heartbeat stopped",
    Verdict.TIMEOUT: "it took longer than its deadline",
    Verdict.INTERRUPTED: "asked to stop",
}
TRIED_AGAIN = {Verdict.DEVICE_OOM, Verdict.HOST_OOM, Verdict.YIELDED}
"""Verdicts that a worker reports, and after which another attempt may succeed."""


START_CRASH = (
    "the processor lacks instructions that TensorFlow's wheel needs, or the installation is broken or mixes libraries, "
    "or memory or a driver is faulty (autofit doctor)"
)
"""The likely causes of a crash in native code before anything was computed."""

_INSTRUCTIONS_MISSING = "was compiled to use"
"""TensorFlow logs these words when the processor lacks instructions that it was compiled to use; it then aborts."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence about an exit besides the outcome file; a byte count of 0 means unknown.

    Attributes:
        exit: the exit code or signal.
        memory: the worker's last memory sample; a healthy worker takes one every quarter of a second.
        stopped_by_us: why the parent stopped the worker; None if it did not.
        kernel_oom_kills: how many processes of the worker's cgroup the kernel's OOM killer has killed since the last
            memory sample; None if the system does not count them.
        allocator_bytes: the size of the allocator's memory, as the worker reported it.
        host_limit_bytes: the limit on host memory that applies to the worker.
        limit_is_given: whether the user gave `host_limit_bytes`, which the kernel then does not enforce.
        stderr_tail: the end of what the worker wrote to stderr.
        earlier_oom_kills: OOM kills before the last memory sample: the worker lived on, so they hit other processes.
        limits: the process limits (`ulimit`) that the worker was started with.
        phase: the last phase in its heartbeat, which lags up to a quarter of a second behind.
        has_events: whether the worker has sent any event. Events do not lag: a worker that sent none was still
            starting.
    """

    exit: Exit
    memory: MemorySample
    stopped_by_us: Verdict | None
    kernel_oom_kills: int | None
    allocator_bytes: int
    host_limit_bytes: int
    limit_is_given: bool
    stderr_tail: str
    earlier_oom_kills: int = 0
    limits: ProcessLimits = NO_LIMITS
    phase: Phase = Phase.TRAIN
    has_events: bool = False


@dataclass(frozen=True, slots=True)
class ExitDiagnosis:
    """What the parent concludes from an exit.

    Attributes:
        verdict: how the worker ended.
        cause: of that, in a few words.
        ambiguous: whether memory is only the likely cause.
        is_limited: whether the cause names a limit of the process, and how to lift it.
        may_pass: whether a new process may go on where this one has crashed; None if that is unknown.
    """

    verdict: Verdict
    cause: str
    ambiguous: bool = False
    is_limited: bool = False
    may_pass: bool | None = None


def classify(outcome: Outcome | None, evidence: Evidence) -> ExitDiagnosis:
    """The diagnosis of one exit, with the error of the GPU or the limit of the process behind it, if there is one."""
    found = _without_limits(outcome, evidence)
    if evidence.stopped_by_us is not None:
        return found
    if cause := gpu_cause(found.verdict, _words_of_crash(outcome, evidence)):
        return replace(found, cause=f"{found.cause}; {cause.words}", may_pass=cause.may_pass)
    is_full = _is_near(evidence.memory.host_bytes, evidence.host_limit_bytes) or bool(evidence.kernel_oom_kills)
    is_full = is_full or _is_killed_for_memory(found)
    is_full = is_full or (found.verdict is Verdict.DEVICE_OOM and outcome is not None and _has_all_reserved(evidence))
    tail = "" if outcome is not None else evidence.stderr_tail
    words = limit_words(found.verdict, found.cause, tail, evidence.limits, memory_is_full=is_full)
    return replace(found, cause=f"{found.cause}; {words}", is_limited=True) if words else found


def _is_killed_for_memory(found: ExitDiagnosis) -> bool:
    """Whether the kernel or a daemon has ended the worker for lack of the machine's memory."""
    return found.verdict is Verdict.HOST_OOM and found.cause.startswith(tuple(SIGNALS))


def _has_all_reserved(evidence: Evidence) -> bool:
    """Whether no limit of the process keeps its allocator from all that it may use; a GPU's memory has none."""
    within = memory_within(evidence.limits)
    return within is None or within[0] >= evidence.host_limit_bytes


def _words_of_crash(outcome: Outcome | None, evidence: Evidence) -> str:
    """What the worker reported about its end, or else its stderr if native code crashed; empty after another kill."""
    if outcome is not None:
        return f"{outcome.cause}\n{outcome.traceback}"
    return evidence.stderr_tail if evidence.exit.signal_name in {"SIGABRT", "SIGSEGV"} else ""


def _without_limits(outcome: Outcome | None, evidence: Evidence) -> ExitDiagnosis:
    stopped = evidence.stopped_by_us
    if outcome is not None and not _is_overruled(outcome.verdict, stopped):
        return ExitDiagnosis(outcome.verdict, outcome.cause)
    if stopped is not None:
        return ExitDiagnosis(stopped, WHY_STOPPED[stopped])
    name = evidence.exit.signal_name
    if name is None:
        return ExitDiagnosis(Verdict.CRASHED, f"exit code {evidence.exit.code} without a result")
    return _out_of_memory(name, evidence) or ExitDiagnosis(Verdict.CRASHED, _cause_of_crash(name, evidence))


def _cause_of_crash(signal_name: str, evidence: Evidence) -> str:
    """The signal, with what is likely to lie behind it."""
    if signal_name == "SIGKILL" and evidence.earlier_oom_kills:
        return "SIGKILL, not by the kernel, whose OOM killer ended other processes here before"
    is_early = evidence.phase is Phase.BUILD or (evidence.phase is Phase.START and not evidence.has_events)
    refused = signal_name == "SIGABRT" and _INSTRUCTIONS_MISSING in evidence.stderr_tail
    if signal_name == "SIGILL" or refused or (is_early and signal_name in {"SIGSEGV", "SIGBUS"}):
        return f"{signal_name} at its start: {START_CRASH}" if is_early else f"{signal_name}: {START_CRASH}"
    return signal_name


def _is_overruled(reported: Verdict, stopped: Verdict | None) -> bool:
    """Whether the parent's reason for stopping a worker counts, and not the verdict that the worker reported.

    A person who has asked to stop wants no further attempt, even if the worker ran out of memory while it stopped. And
    an inline worker that the parent stopped for being slow reports `interrupted`, since it cannot be killed; nobody
    has interrupted it.
    """
    if stopped is Verdict.INTERRUPTED:
        return reported in TRIED_AGAIN
    return stopped is not None and reported is Verdict.INTERRUPTED


def _out_of_memory(signal_name: str, evidence: Evidence) -> ExitDiagnosis | None:
    """The diagnosis if the signal, with the other evidence, means that memory ran out; else None."""
    if signal_name in SIGNALS:
        return _ended_from_outside(signal_name, evidence)
    if signal_name == "SIGABRT" and "std::bad_alloc" in evidence.stderr_tail:
        return ExitDiagnosis(Verdict.HOST_OOM, "SIGABRT: std::bad_alloc, the host's memory ran out")
    if signal_name == "SIGABRT" and SCRATCH_NOT_ALLOCATED in evidence.stderr_tail:
        return ExitDiagnosis(Verdict.DEVICE_OOM, "SIGABRT: oneDNN found no room for its scratch memory", ambiguous=True)
    is_cpu = evidence.host_limit_bytes > 0
    if signal_name == "SIGSEGV" and is_cpu and COPY_OF_ARRAY.search(evidence.stderr_tail):
        return ExitDiagnosis(Verdict.DEVICE_OOM, "SIGSEGV: TensorFlow found no room for a copy of the images")
    if signal_name in {"SIGSEGV", "SIGBUS"} and _is_near(evidence.memory.device_bytes, evidence.allocator_bytes):
        return ExitDiagnosis(Verdict.DEVICE_OOM, f"{signal_name} close to the allocator's limit", ambiguous=True)
    return None


def _ended_from_outside(signal_name: str, evidence: Evidence) -> ExitDiagnosis | None:
    """The diagnosis if the kernel or a daemon has sent the signal for lack of memory; else None."""
    if signal_name == "SIGKILL" and (killed := _killed(evidence)):
        return killed
    cause = daemon_cause(signal_name, evidence.memory.left_share)
    return ExitDiagnosis(Verdict.HOST_OOM, cause) if cause else None


def _killed(evidence: Evidence) -> ExitDiagnosis | None:
    """The diagnosis of a SIGKILL if memory is behind it; else None, since SIGKILL alone proves nothing.

    The evidence is the kernel's count of OOM kills, or a resident size near the limit just before. A training is always
    near a limit that the user gave, so with such a limit the kernel's count alone decides, if there is one. Near the
    machine's own memory something else than the kernel may also have killed it (earlyoom, a notebook service).
    """
    if evidence.kernel_oom_kills:
        return ExitDiagnosis(Verdict.HOST_OOM, "SIGKILL: the kernel's OOM killer")
    not_the_kernel = evidence.kernel_oom_kills == 0 and evidence.limit_is_given
    if not not_the_kernel and _is_near(evidence.memory.host_bytes, evidence.host_limit_bytes):
        return ExitDiagnosis(Verdict.HOST_OOM, "SIGKILL with the host's memory nearly full")
    return None


def _is_near(used_bytes: int, limit_bytes: int) -> bool:
    return used_bytes >= NEAR * limit_bytes > 0
