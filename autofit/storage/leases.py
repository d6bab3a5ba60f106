"""Leases in a shared folder: each task is worked on by one process, and by another one if that process dies.

A lease is a file named `<task>.<generation>`, which only its owner writes. The highest generation holds the task. A
process takes a task over by creating the file of the next generation with O_EXCL, in which only one process succeeds,
also on NFS since version 3 (https://man7.org/linux/man-pages/man2/open.2.html). A file that another process may have
taken is never renamed or removed. The owner renews its lease by writing a new number into the file. The clocks of
different machines are never compared: a waiting process observes, for the time of a lease by its own clock, whether
that number changes.

A lease only saves duplicate work. If a process was stopped for longer than its lease, two may believe for a moment that
they hold the same task. So the code that commits the result has to make sure that it is committed once.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autofit.storage.safe_files import read_bounded

LEASE_SECONDS = 120.0
"""The time of a lease. A network drive may show a file as it was a minute ago (`acregmax` of NFS: 60 s), so it is
longer than that."""

RENEWALS = 4
"""How often an owner renews its lease in `LEASE_SECONDS`."""

TASK = re.compile(r"[0-9a-z-]{1,64}")
NAME = re.compile(r"([0-9a-z-]{1,64})\.([1-9][0-9]{0,8})")
_MOST_BYTES = 256


@dataclass(frozen=True, slots=True)
class Sign:
    """What an observer sees of a task: the highest generation, and what its owner wrote last."""

    generation: int
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A sign, and since when this observer has seen it unchanged, in seconds of its own clock."""

    sign: Sign
    since: float


def observed(before: Seen | None, sign: Sign, now: float) -> Seen:
    """What is known of a task after another look; for an unchanged sign, `since` stays as it was."""
    return before if before is not None and before.sign == sign else Seen(sign, now)


def next_generation(seen: Seen | None, now: float, lease_seconds: float, owner: str) -> int | None:
    """The generation with which a task may be claimed; None while another owner's lease runs. Pure.

    A lease that the claiming owner itself has signed is left from its earlier worker, which is dead.

    Args:
        seen: what was seen of the task; None if nobody has claimed it.
        now: the time by the observer's clock, in seconds.
        lease_seconds: how long a sign has to stay unchanged until the lease has run out.
        owner: the owner that wants to claim the task.
    """
    if seen is None:
        return 1
    is_over = now - seen.since >= lease_seconds or seen.sign.text.startswith(f"{owner} ")
    return seen.sign.generation + 1 if is_over else None


@dataclass(slots=True)
class Lease:
    """A task that this process holds, until another takes it over."""

    path: Path
    task: str
    generation: int
    owner: str
    _renewals: int = 0

    def renew(self) -> bool:
        """Renew the lease; returns False if another process has taken the task over.

        Raises:
            OSError: the folder cannot be written.
        """
        if self.path.with_name(f"{self.task}.{self.generation + 1}").exists():
            return False
        self._renewals += 1
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:  # the process that took it over has finished the task and removed its leases
            return False
        try:
            os.pwrite(file, _text(self.owner, self._renewals).encode(), 0)
        finally:
            os.close(file)
        return True

    def release(self) -> None:
        """Let others take the task at once. Earlier generations are removed first, so that none of them counts."""
        for generation in range(1, self.generation + 1):
            with contextlib.suppress(OSError):
                self.path.with_name(f"{self.task}.{generation}").unlink(missing_ok=True)


def _text(owner: str, renewals: int) -> str:
    return f"{owner} {renewals:012d}\n"


@dataclass(slots=True)
class LeaseFolder:
    """The leases in a folder, as one process sees them.

    Attributes:
        folder: the folder that all processes share; made with the first lease.
        lease_seconds: an owner that has not renewed its lease for so long is taken for dead.
        clock: the clock of this process, in seconds.
        owner: the signature of this process's leases. Workers that run one after another may share it, but never two
            at the same time.
    """

    folder: Path
    lease_seconds: float = LEASE_SECONDS
    clock: Callable[[], float] = time.monotonic
    owner: str = field(default_factory=lambda: secrets.token_hex(8))
    _seen: dict[str, Seen] = field(default_factory=dict)

    def look(self) -> Mapping[str, Seen]:
        """Look at all leases; returns what is seen of each task that has one.

        Raises:
            OSError: the folder cannot be read.
        """
        generations: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if match := NAME.fullmatch(path.name):
                    task, generation = match[1], int(match[2])
                    generations[task] = max(generation, generations.get(task, 0))
        now = self.clock()
        signs = {task: Sign(number, self._read(task, number)) for task, number in generations.items()}
        self._seen = {task: observed(self._seen.get(task), sign, now) for task, sign in signs.items()}
        return self._seen

    def _read(self, task: str, generation: int) -> str:
        with contextlib.suppress(OSError, ValueError):
            return read_bounded(self.folder / f"{task}.{generation}", _MOST_BYTES).decode("ascii", "replace")
        return ""

    def release_own(self) -> None:
        """Release the leases of this owner's killed workers, so that others can take their tasks at once.

        A worker that is still alive finds at its next renewal that it has lost its lease.
        """
        with contextlib.suppress(OSError):
            for task, seen in self.look().items():
                if seen.sign.text.startswith(f"{self.owner} "):
                    generation = seen.sign.generation
                    Lease(self.folder / f"{task}.{generation}", task, generation, self.owner).release()

    def claim(self, task: str) -> Lease | None:
        """Claim a task, judged by the last `look`; None if another process has it.

        The caller has to check afterwards whether the task is done: its last owner may have finished it meanwhile.

        Raises:
            OSError: the folder cannot be written.
            ValueError: the task's name is not allowed.
        """
        if not TASK.fullmatch(task):
            raise ValueError(f"{task!r} cannot name a task")
        generation = next_generation(self._seen.get(task), self.clock(), self.lease_seconds, self.owner)
        if generation is None:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{task}.{generation}"
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            return None
        try:
            os.write(file, _text(self.owner, 0).encode())
        finally:
            os.close(file)
        return Lease(path, task, generation, self.owner)
