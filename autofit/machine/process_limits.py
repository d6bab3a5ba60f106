"""The limits of this process that a shell or a batch system has set (`ulimit`), which its children inherit."""

from __future__ import annotations

import resource
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What a process may take: the soft limits of `getrlimit(2)`, and None where there is none.

    Attributes:
        address_space_bytes: `ulimit -v`; also what is reserved counts, of which TensorFlow uses a part.
        data_bytes: `ulimit -d`; all private memory that can be written, since Linux 4.7.
        cpu_seconds: `ulimit -t`; of each process by itself.
        stack_bytes: `ulimit -s`; also of each thread that native code starts.
        file_bytes: `ulimit -f`; the largest file that can be written.
        processes: `ulimit -u`; processes and threads of this user together.
    """

    address_space_bytes: int | None = None
    cpu_seconds: int | None = None
    stack_bytes: int | None = None
    file_bytes: int | None = None
    processes: int | None = None
    data_bytes: int | None = None


NO_LIMITS = ProcessLimits()


def process_limits() -> ProcessLimits:
    """The limits of this process, and of those that it starts."""
    return ProcessLimits(
        address_space_bytes=_soft(resource.RLIMIT_AS),
        cpu_seconds=_soft(resource.RLIMIT_CPU),
        stack_bytes=_soft(resource.RLIMIT_STACK),
        file_bytes=_soft(resource.RLIMIT_FSIZE),
        processes=_soft(resource.RLIMIT_NPROC),
        data_bytes=_soft(resource.RLIMIT_DATA),
    )


def end_by_a_signal_that_tells() -> None:
    """Put the soft limit of processor time below the hard one: the kernel then sends SIGXCPU, and not SIGKILL.

    `ulimit -t` sets both, and at the hard limit it kills without a word.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard != resource.RLIM_INFINITY and soft == hard:
        resource.setrlimit(resource.RLIMIT_CPU, (max(1, hard - 1), hard))


def _soft(limit: int) -> int | None:
    soft, _ = resource.getrlimit(limit)
    return None if soft == resource.RLIM_INFINITY else soft
