"""Opening files from untrusted sources, and writing files so that a reader never sees a part of one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

CANNOT_SYNC = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY})
"""The errors of a drive that has no fsync: nothing more can be done to make a file durable there.

https://man7.org/linux/man-pages/man2/fsync.2.html
"""

_UNFINISHED = re.compile(r"\.[\w.-]+\.(json|csv|npy|npz)\.[a-z0-9_]{8}")
"""The temporary names in `whole_file` of those files that only the writer of a run directory writes. The HTML page is
not among them: another process may be writing it."""


class NotRegularFileError(OSError):
    """The path names a directory, a pipe, a socket or a device."""


def open_plain(path: Path, *, follow_links: bool = True) -> BinaryIO:
    """Open a regular file for reading. A named pipe does not block, and a device, which might never end, is refused.

    Args:
        path: the file.
        follow_links: False refuses a symbolic link, which could point out of the folder.

    Raises:
        NotRegularFileError: it is not a regular file.
        OSError: it cannot be opened, or is a link that is not followed.
    """
    stream = open(path, "rb", opener=_open_without_waiting if follow_links else _open_without_links)  # noqa: SIM115 - the caller closes it; Path has no opener
    _require_regular(stream, path)
    return stream


def sha256_of_file(path: Path) -> str:
    """The SHA-256 (hex) of a regular file, read in pieces.

    Raises:
        OSError: it cannot be opened or read, or is no regular file.
    """
    with open_plain(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # it is a buffered reader


def read_bounded(path: Path, most_bytes: int, *, follow_links: bool = False) -> bytes:
    """The content of a regular file.

    Raises:
        ValueError: it is larger; one line.
        OSError: it cannot be opened, is no regular file, or is a link that is not followed.
    """
    with open_plain(path, follow_links=follow_links) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most_bytes:
            raise ValueError(f"{path.name} has {size:,} bytes, more than the {most_bytes:,} it may have")
        return stream.read(most_bytes)


PIECE_BYTES = 2**20
"""How much of a line is read at once."""


def bounded_lines(
    path: Path, most_line_bytes: int, most_bytes: int, *, follow_links: bool = False, all_of_them: bool = False
) -> Iterator[bytes]:
    """The complete lines of text in a regular file, one at a time; what follows `most_bytes` is left out.

    Lines that are too long or hold a NUL byte, as a sparse file does, are left out, too. Lines are read in pieces, so
    that such a line takes no more memory than `most_line_bytes`, and one with a NUL that of a piece.

    Raises:
        ValueError: with `all_of_them`, if a line is left out or incomplete.
        OSError: it cannot be opened or read, is no regular file, or is a link that is not followed.
    """
    line, is_refused = bytearray(), False
    with open_plain(path, follow_links=follow_links) as stream:
        while most_bytes > 0 and (part := stream.readline(min(PIECE_BYTES, most_bytes))):
            most_bytes -= len(part)
            is_refused = is_refused or len(line) + len(part) > most_line_bytes or b"\0" in part
            if is_refused and all_of_them:
                break
            if not is_refused:
                line += part
            if part.endswith(b"\n"):
                if not is_refused:
                    yield bytes(line)
                line, is_refused = bytearray(), False
    if all_of_them and (line or is_refused):
        raise ValueError(f"{path.name} has a line that is too long, or not complete")


def open_plain_unbuffered(path: Path, mode: Literal["rb", "ab", "a+b"]) -> FileIO:
    """Open a regular file without a buffer, to read or append; follows no link, and does not block at a pipe.

    Raises:
        NotRegularFileError: it is not a regular file.
        OSError: it cannot be opened, or is a link.
    """
    file = open(path, mode, buffering=0, opener=_open_without_links)  # noqa: SIM115 - the caller closes it
    _require_regular(file, path)
    return file


def cut_file(file: IO[Any] | FileIO, size_bytes: int) -> None:
    """Truncate an open file to this size, or lengthen it.

    `os.ftruncate` is repeated by Python if a signal interrupts it (PEP 475); the method `truncate` of a file is not.

    Raises:
        OSError: the file cannot be cut.
    """
    file.flush()
    os.ftruncate(file.fileno(), size_bytes)


def cut_path(path: Path, size_bytes: int) -> None:
    """Truncate a regular file, which is not open, to this size, or lengthen it.

    Raises:
        NotRegularFileError: it is not a regular file.
        OSError: it cannot be opened or cut.
    """
    with open(path, "r+b", buffering=0, opener=_open_without_waiting) as file:
        _require_regular(file, path)
        cut_file(file, size_bytes)


def create_plain(path: Path) -> BinaryIO:
    """Create a new file for writing.

    Raises:
        OSError: it cannot be created, or something of this name exists.
    """
    return open(path, "xb", opener=_open_without_links)


def _open_without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)


def _open_without_links(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)


def _require_regular(file: BinaryIO | FileIO, path: Path) -> None:
    with contextlib.ExitStack() as unless_regular:
        unless_regular.callback(file.close)
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NotRegularFileError(errno.EINVAL, f"{path.name} is no regular file", str(path))
        unless_regular.pop_all()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file of this content so that a reader sees the old file or the new one; durable when it returns."""
    with whole_file(path) as stream:
        stream.write(data)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file under a temporary name in the same folder; it gets its own name when it is complete.

    At the end of the block: fsync, rename, fsync the folder. After an error in the block, the old file is unchanged.
    Other users may read the file if the user's umask lets them.
    """
    handle, temporary = _new_beside(path)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            fsync_file(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def _new_beside(path: Path) -> tuple[int, Path]:
    """Make a new file in the folder of `path`; returns its descriptor, open for writing, and its temporary name."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with contextlib.suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(temporary, flags, 0o644), temporary


@contextlib.contextmanager
def file_of_user(path: Path) -> Iterator[BinaryIO]:
    """Write a file that a user named, as `whole_file` does, following links and making the folders that it lacks.

    A pipe or a device is opened and written as it is: replacing `/dev/null` by a file would harm the whole machine. The
    same goes for an existing file in a folder in which no new file can be made.
    """
    plain = plain_target(path)
    made = make_folder_of(plain) if plain is not None else []
    if plain is not None and plain.exists() and not os.access(plain.parent, os.W_OK):
        plain = None
    try:
        with whole_file(plain) if plain is not None else path.open("wb") as stream:
            yield stream
    except BaseException:
        remove_empty(made)
        raise


def plain_target(path: Path) -> Path | None:
    """The file that a path leads to over its links, whether it exists or not; None if it is a pipe or a device.

    A link to a pipe (`/dev/stdout`) has a target that is not a path.
    """
    return path.resolve() if path.is_file() or not path.exists() else None


def make_folder_of(path: Path) -> list[Path]:
    """Make the folders that a file lacks which a user named; returns them, the deepest first.

    Raises:
        OSError: they cannot be made.
    """
    lacking = [folder for folder in path.parents if not folder.exists()]
    if lacking:
        path.parent.mkdir(parents=True, exist_ok=True)
    return lacking


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of these folders, the deepest first, in which nothing is."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def rename_durably(written: Path, path: Path) -> None:
    """Give a complete file its own name, so that a reader sees the old one or the new one, also after a power cut."""
    handle = os.open(written, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fsync_file(handle)
    finally:
        os.close(handle)
    written.replace(path)
    fsync_folder(path.parent)


def write_for_user(path: Path, data: bytes) -> None:
    """Write the content of a file that a user named, as `file_of_user` does."""
    with file_of_user(path) as stream:
        stream.write(data)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of killed writers from a folder; its lock is held, so no process is writing there."""
    with contextlib.suppress(OSError):  # on a read-only disk they stay: nothing reads them
        for entry in folder.iterdir():
            if _UNFINISHED.fullmatch(entry.name):
                entry.unlink()


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable, as far as its file system can.

    Raises:
        OSError: the drive fails.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fsync_file(handle)
    finally:
        os.close(handle)


def fsync_file(file: int) -> None:
    """Make what was written to an open file durable, as far as its file system can.

    Raises:
        OSError: the drive fails.
    """
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise


def let_others_read(path: Path, mode: int) -> None:
    """Set the mode of a path that autofit has made, as of a run directory, which others may read too.

    FAT, SMB and some FUSE mounts refuse every change of a mode; that does no harm.
    """
    with contextlib.suppress(OSError):
        path.chmod(mode)
