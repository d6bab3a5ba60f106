"""Errors of a drive that may pass, such as those of a network drive that was cut off for a moment."""

from __future__ import annotations

import errno

STUTTERS = frozenset({errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EAGAIN})


def is_stutter(error: BaseException) -> bool:
    """Whether an access to a drive that failed may succeed if it is repeated later."""
    return isinstance(error, OSError) and error.errno in STUTTERS
