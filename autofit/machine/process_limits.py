"""The limits of this process that a shell or a batch system has set (`ulimit`), which its children inherit."""

from __future__ import annotations

import resource
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """The soft limits of a process by `getrlimit(2)`; None where there is no limit.

    Attributes:
        address_space_bytes: `ulimit -v`; reserved address space counts too, of which TensorFlow uses only a part.
        data_bytes: `ulimit -d`; since Linux 4.7, all private memory that can be written.
        cpu_seconds: `ulimit -t`; it applies to each process by itself.
        stack_bytes: `ulimit -s`; it is also the stack size of each thread that native code starts.
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

MAPPED_BYTES = 2_200_000_000
"""What a worker on a CPU maps and does not use: libraries, stacks and heaps of threads, TensorFlow's context.
It was 2.1 GB of TensorFlow 2.21 with 12 threads on 2 cores (2026-11-30)."""

ADDRESS_SPACE, DATA_SEGMENT = "the address space (ulimit -v)", "the data segment (ulimit -d)"
OF_SHELL = frozenset({ADDRESS_SPACE, DATA_SEGMENT})
"""The limits of the shell on what a process maps, by which `Hardware.limited_by` may name what limits the memory."""


def memory_within(limits: ProcessLimits) -> tuple[int, str] | None:
    """The memory that a worker on a CPU may use under the limits on what it maps, and which limit that is; else None.

    TensorFlow's allocator reserves all that it may use. With a larger limit of its own it would leave nothing to the
    rest of the process.
    """
    known = [
        (size - mapped, name)
        for size, mapped, name in (
            (limits.address_space_bytes, MAPPED_BYTES, ADDRESS_SPACE),
            (limits.data_bytes, 0, DATA_SEGMENT),
        )
        if size is not None
    ]
    if not known:
        return None
    size, name = min(known)
    return max(size, 0), name


def process_limits() -> ProcessLimits:
    """The limits of this process, which those that it starts inherit."""
    return ProcessLimits(
        address_space_bytes=_soft(resource.RLIMIT_AS),
        cpu_seconds=_soft(resource.RLIMIT_CPU),
        stack_bytes=_soft(resource.RLIMIT_STACK),
        file_bytes=_soft(resource.RLIMIT_FSIZE),
        processes=_soft(resource.RLIMIT_NPROC),
        data_bytes=_soft(resource.RLIMIT_DATA),
    )


def end_by_a_signal_that_tells() -> None:
    """Put the soft limit of processor time below the hard one, so that the kernel sends SIGXCPU and not SIGKILL.

    `ulimit -t` sets both limits to the same value, and at the hard limit the kernel sends SIGKILL, which has no cause.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard != resource.RLIM_INFINITY and soft == hard:
        resource.setrlimit(resource.RLIMIT_CPU, (max(1, hard - 1), hard))


def _soft(limit: int) -> int | None:
    soft, _ = resource.getrlimit(limit)
    return None if soft == resource.RLIM_INFINITY else soft
