"""The processes that hold a run directory's lock: finds and describes them, and ends workers whose parent is gone."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from autofit.errors import UserError

POLL_SECONDS = 0.1
LEAVES_SECONDS = 25.0
"""How long a worker without a parent is given to end: it has 20 s to commit what it trained."""

DIES_SECONDS = 10.0
"""How long a killed process is given to end. If it has not by then, it waits in the kernel, perhaps forever."""

SHOWN = 4


@dataclass(frozen=True, slots=True)
class HoldingProcess:
    """A process that has the lock file open.

    Attributes:
        pid: its number.
        state: what the system says of it, such as `sleeping` or `stopped`.
        is_orphan: whether it is a worker whose parent, which would hold the lock too, is gone.
    """

    pid: int
    state: str
    is_orphan: bool


def holders_of(lock_file: Path) -> list[HoldingProcess]:
    """The processes that hold a run directory's lock file open, as far as this user may see them."""
    path = os.path.realpath(lock_file)
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if any(file.path == path for file in process.open_files()):
                found[process.pid] = process
    attempts = str(Path(path).parent / "attempts")
    holders = []
    for pid, process in found.items():
        with suppress(psutil.Error, OSError):
            words = process.cmdline()
            is_worker = bool(words) and os.path.realpath(words[-1]).startswith(attempts)
            holders.append(HoldingProcess(pid, str(process.status()), is_worker and process.ppid() not in found))
    return holders


def in_use_words(run_dir: Path, holders: list[HoldingProcess]) -> str:
    """Why a run directory cannot be written now, and what to do, in one line; names the processes that can be seen."""
    orphans = [holder for holder in holders if holder.is_orphan]
    if orphans and len(orphans) == len(holders):
        (first, *_), since = orphans, _silent_since(run_dir)
        return (
            f"run directory {run_dir} is in use by a worker (pid {first.pid}, {first.state}) whose parent is gone, "
            f"silent since {since}: --take-over (take_over=True) lets it save, and ends it"
        )
    named = ", ".join(f"pid {holder.pid}, {holder.state}" for holder in holders[:SHOWN])
    return f"run directory {run_dir} is in use by another process: wait for it or stop it" + (named and f" ({named})")


def end_orphans(lock_file: Path, leaves_seconds: float = LEAVES_SECONDS, dies_seconds: float = DIES_SECONDS) -> None:
    """End the workers that hold a lock and whose parent is gone: they may commit first; then they are killed.

    A worker that was stopped (SIGSTOP) is continued: it then notices that its parent is gone.

    Raises:
        UserError: a worker cannot be killed: it waits for a drive that does not answer, or is another user's.
    """
    for number, seconds in ((signal.SIGCONT, leaves_seconds), (signal.SIGKILL, dies_seconds)):
        orphans = _orphans(lock_file)
        for holder in orphans:
            _signal(holder.pid, number)
        deadline = time.monotonic() + seconds
        while orphans and (orphans := _orphans(lock_file)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if not orphans:
            return
    raise UserError(
        f"run directory {lock_file.parent} is held by a worker (pid {orphans[0].pid}, {orphans[0].state}) that cannot "
        "be ended: it waits for a drive that does not answer, or is another user's; take another run_dir meanwhile"
    )


def _orphans(lock_file: Path) -> list[HoldingProcess]:
    return [holder for holder in holders_of(lock_file) if holder.is_orphan]


def _signal(pid: int, number: signal.Signals) -> None:
    """Signal a worker and what it has started: it leads a group of its own."""
    with suppress(OSError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)


def _silent_since(run_dir: Path) -> str:
    """When a worker of the run last wrote to its heartbeat, in local time."""
    times = []
    for path in (run_dir / "attempts").glob("*/progress.jsonl"):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(max(times))) if times else "its start"
