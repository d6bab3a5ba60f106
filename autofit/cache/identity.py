"""The identity of an image file, by which the cache recognizes an image.

Two files can have the same name, size and modification time: archives give their files round times, and files unpacked
over others keep the names. So an identity always depends on content of the file.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from autofit.storage.stutter import is_stutter

By = Literal["stat", "content"]
Identities = NDArray[np.uint64]
"""uint64 (n, 2): 128 bits an image; zeros for a file that does not exist."""

ResultOf = Callable[[Future[bytes], str], bytes]
"""Waits for the identity of a path."""

IDENTITY_BYTES = 16

RECIPE = 2
"""The version of the identities, a part of each entry's key: entries with identities of another version are not used.

Version 1 was made of path, size and modification time alone.
"""

WHOLE_BYTES = 2**18
"""Files up to this size are identified by all of their content: reading them takes far less time than decoding."""

SAMPLE_BYTES = 2**14
"""Of a larger file, so many bytes at its beginning, in its middle and at its end are read."""

THREADS = 8
"""Files are identified in several threads, since each access to a mounted drive takes a while."""

WAITS_SECONDS = (0.1, 0.3, 0.9, 0.0)
"""The wait after each failed attempt to read a file from a drive that may recover; the last one gives up."""

_GROUP = 4096
_CHUNK_BYTES = 2**20
_NO_IDENTITY = bytes(IDENTITY_BYTES)


def _result(future: Future[bytes], _: str) -> bytes:
    return future.result()


def identities_of(
    paths: Iterable[str], by: By, on_image: Callable[[], None] = lambda: None, result_of: ResultOf = _result
) -> Identities:
    """Identify each file.

    Args:
        paths: absolute paths.
        by: "content" reads the whole file, so that a copy, or the same archive unpacked again, has the same identity.
            "stat" does so up to `WHOLE_BYTES`; for a larger file it uses samples of the content, the path, size,
            modification time, status change time, and inode number. If a drive changes the last two by itself, as
            network drives may, the file counts as another one.
        on_image: called after each image, in the calling thread.
        result_of: waits for the identity of a path; it may raise an error, which is passed on.

    Returns:
        uint64 (n, 2); zeros for a path that is not a readable file, whose features are never cached.
    """
    digests = bytearray()
    for digest in _in_threads(paths, WHOLE_BYTES if by == "stat" else None, result_of):
        digests += digest
        on_image()
    return np.frombuffer(bytes(digests), np.uint64).reshape(-1, 2)


def has_other_identity(path: str, by: By, identity: Identities) -> bool:
    """Whether a file now has another identity than this one, uint64 (2,)."""
    return _identity(path, WHOLE_BYTES if by == "stat" else None) != identity.tobytes()


def _in_threads(paths: Iterable[str], most_whole_bytes: int | None, result_of: ResultOf) -> Iterator[bytes]:
    """The identity of each path, in order; only `_GROUP` paths are queued at once."""
    remaining = iter(paths)
    pool = ThreadPoolExecutor(THREADS, "autofit-identity")
    try:
        while group := list(islice(remaining, _GROUP)):
            futures = [pool.submit(_identity, path, most_whole_bytes) for path in group]
            yield from map(result_of, futures, group)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # their drive may hang


def _identity(path: str, most_whole_bytes: int | None) -> bytes:
    """The identity of a file, with a few attempts if the drive fails; decoding an image makes more attempts."""
    for wait_seconds in WAITS_SECONDS:
        try:
            return _read_identity(path, most_whole_bytes)
        except OSError as error:
            if not is_stutter(error):
                return _NO_IDENTITY
        except ValueError:  # not a possible file name, such as one with a NUL or half a character
            return _NO_IDENTITY
        time.sleep(wait_seconds)
    return _NO_IDENTITY


def _read_identity(path: str, most_whole_bytes: int | None) -> bytes:
    """The identity of a file.

    Raises:
        OSError: it is not a regular file, or cannot be read.
        ValueError: the path cannot be one of a file.
    """
    file = _open_regular(path)
    try:
        status = os.fstat(file)
        if most_whole_bytes is None or status.st_size <= most_whole_bytes:
            return _of_content(file)
        return _of_samples(path, file, status)
    finally:
        os.close(file)


def _open_regular(path: str) -> int:
    """Open a regular file; a pipe is not opened.

    Raises:
        OSError: it is no regular file, or cannot be opened.
        ValueError: the path cannot be one of a file.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - a Path for each of a million images takes longer
        raise OSError
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _of_content(file: int) -> bytes:
    digest = hashlib.blake2b(digest_size=IDENTITY_BYTES, person=b"autofit-content")
    while chunk := os.read(file, _CHUNK_BYTES):
        digest.update(chunk)
    return digest.digest()


def _of_samples(path: str, file: int, status: os.stat_result) -> bytes:
    digest = hashlib.blake2b(digest_size=IDENTITY_BYTES, person=b"autofit-sample")
    times = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    digest.update(b"%s\0%d\0%d\0%d\0%d\0" % (os.fsencode(path), *times))
    for place in (0, (status.st_size - SAMPLE_BYTES) // 2, status.st_size - SAMPLE_BYTES):
        digest.update(os.pread(file, SAMPLE_BYTES, place))
    return digest.digest()
