"""Errors of a drive that may pass: a network drive that was cut off, a disk that tries a sector again."""

from __future__ import annotations

import errno

STUTTERS = frozenset({errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EAGAIN})


def is_stutter(error: BaseException) -> bool:
    """Whether what failed may succeed if it is tried again later."""
    return isinstance(error, OSError) and error.errno in STUTTERS
