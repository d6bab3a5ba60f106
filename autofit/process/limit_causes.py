"""Names the limit of the process (`ulimit`) behind an exit, and how to lift it. Pure."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from autofit.config.byte_size import format_size
from autofit.machine.process_limits import ProcessLimits
from autofit.protocol.messages import OUT_OF_MEMORY, Verdict

SMALL_STACK_BYTES = 2**20
"""The stack is 8 MiB by default; TensorFlow and its libraries may overflow one of less than this."""

TOO_LARGE = (os.strerror(errno.EFBIG), "SIGXFSZ")
NO_MORE_THREADS = ("can't start new thread", "pthread_create")
"""The stack of a thread takes address space: where that is limited, it runs out before the number of threads does."""

NO_MORE_PROCESSES = (os.strerror(errno.EAGAIN),)
CRASHES = ("SIGABRT", "SIGSEGV", "SIGBUS")


def limit_words(verdict: Verdict, cause: str, stderr_tail: str, limits: ProcessLimits, *, memory_is_full: bool) -> str:
    """The limit that caused an exit, and what to do about it, in one line; empty if no limit did.

    Args:
        verdict: on the exit.
        cause: in words, beginning with the name of the signal if one ended the worker.
        stderr_tail: what native libraries wrote; it is searched for words about threads only.
        limits: those that the worker was started with.
        memory_is_full: whether the host's memory was nearly used up.
    """
    rules: list[tuple[Callable[[], bool], Callable[[ProcessLimits], str]]] = [
        (lambda: cause.startswith("SIGXCPU"), _cpu),
        (lambda: any(word in cause for word in TOO_LARGE), _file),
        (lambda: _says(NO_MORE_THREADS, verdict, cause, stderr_tail), _address_space),
        (lambda: _says((*NO_MORE_THREADS, *NO_MORE_PROCESSES), verdict, cause, stderr_tail), _processes),
        (lambda: verdict in OUT_OF_MEMORY and not memory_is_full, _address_space),
        (lambda: cause.startswith(CRASHES[1:]), _stack),
        (lambda: _crashed(verdict, cause) and not memory_is_full, _address_space),
    ]
    return next((words for applies, words_of in rules if applies() and (words := words_of(limits))), "")


def _crashed(verdict: Verdict, cause: str) -> bool:
    return verdict is Verdict.CRASHED and (cause.startswith(CRASHES) or "map segment" in cause)


def _says(words: tuple[str, ...], verdict: Verdict, cause: str, stderr_tail: str) -> bool:
    return verdict is Verdict.CRASHED and any(word in text for word in words for text in (cause, stderr_tail))


def _cpu(limits: ProcessLimits) -> str:
    seconds = "" if limits.cpu_seconds is None else f", {limits.cpu_seconds:,} s"
    return f"its processor time is limited (ulimit -t{seconds}): ulimit -t unlimited, or ask for a longer job"


def _file(limits: ProcessLimits) -> str:
    if limits.file_bytes is None:
        return ""
    return (
        f"no file may be larger than {format_size(limits.file_bytes)} (ulimit -f): ulimit -f unlimited, and then resume"
    )


def _processes(limits: ProcessLimits) -> str:
    if limits.processes is None:
        return "no further thread can be started: a container's pids limit, or the machine's"
    return f"processes and threads of this user are limited (ulimit -u, {limits.processes:,}): end some, or raise it"


def _address_space(limits: ProcessLimits) -> str:
    known = [("address space", limits.address_space_bytes, "-v"), ("data segment", limits.data_bytes, "-d")]
    lowest = min(((size, name, flag) for name, size, flag in known if size is not None), default=None)
    if lowest is None:
        return ""
    size, name, flag = lowest
    return (
        f"its {name} is limited to {format_size(size)} (ulimit {flag}), and TensorFlow reserves more than it uses: "
        f"ulimit {flag} unlimited, and memory_limit for what it may use"
    )


def _stack(limits: ProcessLimits) -> str:
    if limits.stack_bytes is None or limits.stack_bytes >= SMALL_STACK_BYTES:
        return ""
    return f"its stack is limited to {format_size(limits.stack_bytes)} (ulimit -s): ulimit -s 8192"
