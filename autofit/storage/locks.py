"""Advisory locks on open files, by `flock`: shared or exclusive, with or without waiting.

`flock` belongs to the open file and not to the process: a child that inherits the descriptor still holds the lock when
its parent is gone. https://man7.org/linux/man-pages/man2/flock.2.html
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO}
"""The errors of file systems without locks. Some FUSE mounts give EIO; a failing drive also fails the next write."""

_POLL_SECONDS = 0.1


class Lock(StrEnum):
    """The answer to an attempt to lock a file.

    Attributes:
        HELD: this process has the lock now.
        BUSY: another process holds the lock.
        UNSUPPORTED: the file system, such as a mounted drive, has no locks.
    """

    HELD = "held"
    BUSY = "busy"
    UNSUPPORTED = "unsupported"


def open_lock_file(path: Path) -> int:
    """Open a file for locking, made if it is missing; returns its descriptor, which a child does not inherit by itself.

    Raises:
        OSError: it cannot be opened or made, or is a link.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)


def try_lock(file: int, *, exclusive: bool = True) -> Lock:
    """Lock an open file, without waiting, until its last descriptor is closed.

    Raises:
        OSError: it cannot be locked, for another reason than that another process holds it.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return Lock.BUSY
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            raise
        return Lock.UNSUPPORTED
    return Lock.HELD


def wait_for_lock(
    file: int,
    patience_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Lock:
    """Lock an open file exclusively; BUSY if another process still holds the lock after `patience_seconds`.

    Raises:
        OSError: it cannot be locked.
    """
    deadline = clock() + patience_seconds
    while (answer := try_lock(file)) is Lock.BUSY and clock() < deadline:
        sleep(_POLL_SECONDS)
    return answer
