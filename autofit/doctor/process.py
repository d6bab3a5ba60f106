"""Findings about limits of this process (`ulimit`), instructions its processor lacks, and suspended workers. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from autofit.config.byte_size import format_size
from autofit.doctor.records import Facts, Finding, Severity, StoppedWorker
from autofit.printable import printable
from autofit.process.limit_causes import SMALL_STACK_BYTES

LITTLE_ADDRESS_SPACE_BYTES = 16 * 10**9
"""TensorFlow alone maps a few gigabytes, and its allocator as much as it may use."""

LARGE_FILE_BYTES = 2 * 10**9
"""A checkpoint or a file of the cache may be this large."""

FEW_PROCESSES = 512
"""TensorFlow starts several threads for each core."""


def limits(facts: Facts) -> list[Finding]:
    """Limits of the shell or the batch system that a training may run into."""
    return [
        Finding(severity=Severity.WARNING, topic="limits", text=text, advice=advice)
        for text, advice in _low_limits(facts)
    ]


def _low_limits(facts: Facts) -> Iterator[tuple[str, str]]:
    low = facts.limits
    if low.address_space_bytes is not None and low.address_space_bytes < LITTLE_ADDRESS_SPACE_BYTES:
        yield f"the address space is limited to {format_size(low.address_space_bytes)}", "ulimit -v unlimited"
    if low.data_bytes is not None and low.data_bytes < LITTLE_ADDRESS_SPACE_BYTES:
        yield f"the data segment is limited to {format_size(low.data_bytes)}", "ulimit -d unlimited"
    if low.cpu_seconds is not None:
        yield f"the processor time is limited to {low.cpu_seconds:,} s a process", "ulimit -t unlimited"
    if low.stack_bytes is not None and low.stack_bytes < SMALL_STACK_BYTES:
        yield f"the stack is limited to {format_size(low.stack_bytes)}", "ulimit -s 8192"
    if low.file_bytes is not None and low.file_bytes < LARGE_FILE_BYTES:
        yield f"files are limited to {format_size(low.file_bytes)}", "ulimit -f unlimited"
    if low.processes is not None and low.processes < FEW_PROCESSES:
        yield f"processes and threads of this user are limited to {low.processes:,}", "ulimit -u 4096, if you may"


def processor(facts: Facts) -> list[Finding]:
    """A processor without AVX, for which TensorFlow's wheels for x86-64 are compiled."""
    if not facts.cpu_flags or "avx" in facts.cpu_flags:
        return []
    text = "this processor has no AVX, without which TensorFlow's wheels for x86-64 end with SIGILL or an abort"
    advice = "use another machine, or a virtual machine that passes its host's processor on"
    return [Finding(severity=Severity.PROBLEM, topic="processor", text=text, advice=advice)]


def stopped_workers(facts: Facts) -> list[Finding]:
    """Suspended workers, which hold memory and lock their run directories."""
    return [
        Finding(
            severity=Severity.WARNING,
            topic="processes",
            text=f"a worker of autofit (pid {worker.pid}) is stopped; it holds its memory and the run {_named(worker)}",
            advice=f"kill -CONT {worker.pid} lets it go on; without a parent `{_taken_over(worker)}` ends it",
        )
        for worker in facts.stopped_workers
    ]


def _taken_over(worker: StoppedWorker) -> str:
    return printable(f"autofit resume {shlex.quote(worker.run_dir) if worker.run_dir else 'DIR'} --take-over")


def _named(worker: StoppedWorker) -> str:
    return printable(worker.run_dir)
