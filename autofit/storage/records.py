"""The base of every record that is saved as JSON or crosses a process boundary.

A record is frozen, refuses unknown fields, and is read from disk only under a size bound and with the schema it names.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from pydantic import BaseModel, ConfigDict, ValidationError

MAX_RECORD_BYTES = 64 * 2**20

_UNFINISHED = re.compile(r"\.[\w.-]+\.(json|csv)\.[a-z0-9_]{8}")
"""What `whole_file` calls a file until it is whole."""


class Record(BaseModel):
    """A frozen record; subclasses that are files of their own give it a `schema_` field, written as `"schema"`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_inf_nan="constants",
        populate_by_name=True,
        protected_namespaces=(),  # pydantic 2.9 reserves `model_` and warns of each field that begins so
    )

    def to_json(self) -> str:
        """The record as indented JSON, aliases applied."""
        return self.model_dump_json(indent=2, by_alias=True) + "\n"

    def save(self, path: Path) -> None:
        """Write the record so that a reader sees the old file or the new one, never a part."""
        write_atomically(path, self.to_json().encode())

    @classmethod
    def load(cls, path: Path, *, follow_links: bool = True) -> Self:
        """Read a record back; without `follow_links`, a symbolic link is an OSError.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is too large, no JSON, of another schema, or breaks a field's bounds; one line.
        """
        with open_plain(path, follow_links=follow_links) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_RECORD_BYTES:
                raise ValueError(f"{path.name} has {size} bytes, more than the {MAX_RECORD_BYTES} a record may have")
            data = stream.read(MAX_RECORD_BYTES)
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ValueError(f"{path.name} is not a valid {cls.__name__}: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """The first problem of a validation, in one line."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = " ".join(str(problem["msg"]).split())
    return f"{where}: {message}" if where else message


def open_plain(path: Path, *, follow_links: bool = True) -> BinaryIO:
    """Open a regular file to read: a named pipe would wait for ever, and a device never end.

    Raises:
        OSError: it cannot be opened, is no regular file, or is a symbolic link that must not be followed.
    """
    opener = _open_without_waiting if follow_links else _open_without_links
    stream = open(path, "rb", opener=opener)  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, f"{path.name} is no regular file", str(path))
    return stream


def _open_without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)


def _open_without_links(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file of this content so that a reader sees the old file or the new one; durable when it returns."""
    with whole_file(path) as stream:
        stream.write(data)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is written under a temporary name in the same folder, and is there once it is whole.

    At the end of the block: fsync, rename, fsync the folder. An error in it leaves what was there before.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)  # mkstemp makes 0600; a run directory is read by others too
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed writers have left in a folder to which nobody writes just now."""
    with contextlib.suppress(OSError):  # on a disk that takes no changes they stay: nobody reads them
        for entry in folder.iterdir():
            if _UNFINISHED.fullmatch(entry.name):
                entry.unlink()


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable, as far as its file system can.

    Some mounted drives cannot: https://man7.org/linux/man-pages/man2/fsync.2.html, EINVAL.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
            raise
    finally:
        os.close(handle)
