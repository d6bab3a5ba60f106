"""Makes every Python process in whose PYTHONPATH this folder is believe that its machine is odd.

ODD_CLOCK_FLAG   a file: from the moment it exists, the wall clock is a day earlier
ODD_LOCKS=none   neither flock nor fcntl's locks are there, as on some network and FUSE drives
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

DAY_SECONDS = 86_400

if flag := os.environ.get("ODD_CLOCK_FLAG"):
    real_seconds, real_ns = time.time, time.time_ns

    def _set_back(flag: str = flag) -> int:
        return DAY_SECONDS if os.path.exists(flag) else 0  # noqa: PTH110 - before anything is imported

    time.time = lambda: real_seconds() - _set_back()
    time.time_ns = lambda: real_ns() - _set_back() * 10**9

if os.environ.get("ODD_LOCKS") == "none":

    def _no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    fcntl.flock = _no_locks
    fcntl.lockf = _no_locks
    fcntl.fcntl = lambda *_: _no_locks()  # type: ignore[assignment]
