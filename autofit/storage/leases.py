"""Leases in a shared folder: each task is worked on by one process, and by another when that one is gone.

A lease is a file named `<task>.<generation>`, which only its owner writes. The highest generation holds the task. To
take a task over is to make the file of the next generation, which a file system lets one process do: O_EXCL, atomic
on NFS since version 3 (https://man7.org/linux/man-pages/man2/open.2.html). Nothing is renamed or removed that another
may have taken. The owner writes a new number into its file again and again. No clocks of machines are compared: a
process that waits looks whether that number changes, for so long by its own clock.

A lease only saves work. That nothing is written twice is for the one that commits: two processes may believe for a
moment that a task is theirs, when one was stopped for longer than its lease.
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
"""A network drive may show a file as it was up to a minute ago (`acregmax` of NFS: 60 s), so a lease is longer."""

RENEWALS = 4
"""So often in the time of a lease its owner renews it."""

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
    """A sign, and when this observer saw it first, in seconds of its own clock."""

    sign: Sign
    since: float


def observed(before: Seen | None, sign: Sign, now: float) -> Seen:
    """What is known of a task after another look: an unchanged sign keeps the time when it was seen first."""
    return before if before is not None and before.sign == sign else Seen(sign, now)


def next_generation(seen: Seen | None, now: float, lease_seconds: float, owner: str) -> int | None:
    """The generation with which a task may be claimed; None while its lease runs. Pure.

    A lease that is signed by the claimer itself is what an earlier worker of it has left, which is dead.

    Args:
        seen: of the task; None if nobody has claimed it.
        now: by the observer's clock, in seconds.
        lease_seconds: for how long a sign has to stay the same.
        owner: who claims.
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
        """Show that the owner is alive; returns False if another process has taken the task over.

        Raises:
            OSError: the folder cannot be written.
        """
        if self.path.with_name(f"{self.task}.{self.generation + 1}").exists():
            return False
        self._renewals += 1
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:  # the process that took it over has finished the task and cleared up
            return False
        try:
            os.pwrite(file, _text(self.owner, self._renewals).encode(), 0)
        finally:
            os.close(file)
        return True

    def release(self) -> None:
        """Let others take the task at once. Earlier generations go first, so that none of them counts again."""
        for generation in range(1, self.generation + 1):
            with contextlib.suppress(OSError):
                self.path.with_name(f"{self.task}.{generation}").unlink(missing_ok=True)


def _text(owner: str, renewals: int) -> str:
    return f"{owner} {renewals:012d}\n"


@dataclass(slots=True)
class LeaseFolder:
    """The leases in a folder, as one process sees them.

    Attributes:
        folder: shared by all processes; made with the first lease.
        lease_seconds: after which an owner that shows no sign is taken for gone.
        clock: of this process, in seconds.
        owner: what its leases are signed with. Workers that follow each other, never two at once, may share it.
    """

    folder: Path
    lease_seconds: float = LEASE_SECONDS
    clock: Callable[[], float] = time.monotonic
    owner: str = field(default_factory=lambda: secrets.token_hex(8))
    _seen: dict[str, Seen] = field(default_factory=dict)

    def look(self) -> Mapping[str, Seen]:
        """Look at all leases; returns those of each task that has one.

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
        """Let others take at once what workers of this owner had when they were killed.

        One that still lives learns with its next renewal that its lease is gone.
        """
        with contextlib.suppress(OSError):
            for task, seen in self.look().items():
                if seen.sign.text.startswith(f"{self.owner} "):
                    generation = seen.sign.generation
                    Lease(self.folder / f"{task}.{generation}", task, generation, self.owner).release()

    def claim(self, task: str) -> Lease | None:
        """Claim a task, as it was when `look` was called last; None if it is another's.

        The caller has to look afterwards whether the task is done: its owner may have finished it meanwhile.

        Raises:
            OSError: the folder cannot be written.
            ValueError: the task has an impossible name.
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
