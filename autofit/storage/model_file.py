"""Model files of Keras from untrusted sources: their content is checked before Keras opens them.

Keras's safe mode runs no code from a file. This module checks the rest, without TensorFlow: how much memory and disk a
file would take, where its parts would be written, and which other files they refer to.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from autofit.errors import UserError
from autofit.printable import one_line, printable
from autofit.storage.hdf5_file import most_content_bytes, require_plain_hdf5
from autofit.storage.json_bounds import JsonLimits, parsed
from autofit.storage.safe_files import open_plain

MOST_FILE_BYTES = 16 * 2**30
"""The largest network of `keras.applications` has 1.4 GB; with an optimizer's two values for each weight, three times
that."""

CONFIG_LIMITS = JsonLimits()
"""The limits of a configuration; that of a network of 1,000 layers has less than 2 MB."""

_CONFIG = "config.json"
_MOST_PARTS, _MOST_DIRECTORY_BYTES = 10_000, 4 * 2**20
_MOST_NAME_CHARACTERS = 1000
_PLAIN = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ARCHIVES = (".zip", ".npz", ".keras", ".tar", ".gz")
_DAMAGED = (OSError, KeyError, EOFError, RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile)


def require_plain_model(path: Path) -> None:
    """Check that a `.keras` file, or a file of weights, unpacks to little more than its size and holds only data.

    Raises:
        ValueError: one line that names the file.
        OSError: it cannot be opened, or is no regular file.
    """
    with open_plain(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > MOST_FILE_BYTES:
            raise ValueError(f"{_name(path)} has {size:,} bytes, more than the {MOST_FILE_BYTES:,} a model may have")
        if path.suffix != ".keras":
            require_plain_hdf5(stream, size, _name(path))
            return
        with _archive(stream, _name(path)) as archive:
            _require_data(_configuration(archive, _name(path)), _name(path))
            for entry in archive.infolist():
                if entry.filename.endswith(".h5"):
                    with _part(archive, entry, stream, _name(path)) as part:
                        require_plain_hdf5(part, entry.file_size, f"{entry.filename} in {_name(path)}")


def require_sound_model(path: Path) -> None:
    """Check the file of a run's saved model before Keras opens it.

    Raises:
        UserError: it is damaged, or may be malicious.
    """
    try:
        require_plain_model(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the model in {printable(str(path.parent))} is not opened: {one_line(error)}; "
            "bring it back, or train again in another run_dir"
        ) from None


def model_configuration(path: Path) -> Any:
    """The configuration in a `.keras` file, as JSON.

    Raises:
        ValueError: one line: it cannot be read within its limits.
        OSError: the file cannot be opened, or is no regular file.
    """
    with open_plain(path) as stream, _archive(stream, _name(path)) as archive:
        return _configuration(archive, _name(path))


def is_lambda(config: dict[str, Any]) -> bool:
    """Whether a part of a configuration is a lambda, which is saved as bytecode, defaults and closure."""
    dumped = config.get("value")
    return config.get("class_name") == "__lambda__" or (
        set(config) == {"value"} and isinstance(dumped, list | tuple) and bool(dumped) and isinstance(dumped[0], str)
    )


def _name(path: Path) -> str:
    return one_line(path.name)[:100]


class _Directory(io.BufferedIOBase):
    """A file of which at most `most_bytes` are read at once: `zipfile` reads the list of contents in one piece."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.most_bytes: int | None = _MOST_DIRECTORY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at the current place; raises `BadZipFile` where that is more than `most_bytes`."""
        wanted = -1 if size is None else size
        if self.most_bytes is None:
            return self._stream.read(wanted)
        data = self._stream.read(min(wanted, self.most_bytes + 1) if wanted >= 0 else self.most_bytes + 1)
        if len(data) > self.most_bytes:
            raise zipfile.BadZipFile("its list of contents is too long")
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to another place."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """The current place."""
        return self._stream.tell()

    def seekable(self) -> bool:
        """It is a file."""
        return True

    def readable(self) -> bool:
        """It is open for reading."""
        return True


def _archive(stream: BinaryIO, name: str) -> zipfile.ZipFile:
    """Open a zip archive, and check its list of contents.

    Raises:
        ValueError: it is damaged, or has a part that a model file may not have.
    """
    directory = _Directory(stream)
    try:
        archive = zipfile.ZipFile(directory)
    except (*_DAMAGED, ValueError) as error:
        raise ValueError(f"{name} is no readable .keras file ({one_line(error)[:100]})") from None
    directory.most_bytes = None
    _require_plain_parts(archive.infolist(), os.fstat(stream.fileno()).st_size, name)
    return archive


def _require_plain_parts(parts: list[zipfile.ZipInfo], file_bytes: int, name: str) -> None:
    names = [part.filename for part in parts]
    if len(parts) > _MOST_PARTS or len(set(names)) < len(names):
        raise ValueError(f"{name} has {len(parts):,} parts, too many, or two of the same name")
    for part in parts:
        _require_plain_part(part, name)
    if sum(part.compress_size for part in parts) > file_bytes:
        raise ValueError(f"{name} has parts that overlap")
    unpacked = sum(part.file_size for part in parts)
    if unpacked > most_content_bytes(file_bytes):
        raise ValueError(f"{name} would unpack to {unpacked:,} bytes, far more than it has")


def _require_plain_part(part: zipfile.ZipInfo, name: str) -> None:
    shown = one_line(part.filename)[:100]
    steps = part.filename.split("/")
    if part.filename.startswith("/") or ".." in steps or "\\" in part.filename or not part.filename.isprintable():
        raise ValueError(f"{name} has a part that would be written outside of its folder, {shown}")
    if len(part.filename) > _MOST_NAME_CHARACTERS or part.flag_bits & 1 or part.compress_type not in _PLAIN:
        raise ValueError(f"{name} has a part that is locked, or packed in an unusual way, {shown}")
    if part.filename.lower().endswith(_ARCHIVES):
        raise ValueError(f"{name} has another archive in it, {shown}")


def _configuration(archive: zipfile.ZipFile, name: str) -> Any:
    try:
        with archive.open(_CONFIG) as file:
            data = file.read(CONFIG_LIMITS.size_bytes + 1)
        return parsed(data, _CONFIG, CONFIG_LIMITS)
    except (*_DAMAGED, ValueError) as error:
        raise ValueError(f"{name} has no readable {_CONFIG} ({one_line(error)[:150]})") from None


def _require_data(configuration: Any, name: str) -> None:
    if any(is_lambda(part) for part in _objects_in(configuration)):
        raise ValueError(f"{name} holds a lambda, which is code and is not run")


def _objects_in(configuration: Any) -> Iterator[dict[str, Any]]:
    level = [configuration]
    while level:
        one = level.pop()
        if isinstance(one, dict):
            yield one
            level.extend(one.values())
        elif isinstance(one, list):
            level.extend(one)


def _part(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, stream: BinaryIO, name: str) -> BinaryIO:
    """A part as a file that can be read anywhere; one that is packed is unpacked into a temporary file."""
    try:
        with archive.open(entry) as packed:  # checks the part's own head
            if entry.compress_type == zipfile.ZIP_STORED:
                return _stored(stream, entry)
            unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
            shutil.copyfileobj(packed, unpacked)
            return unpacked
    except _DAMAGED as error:
        raise ValueError(f"{name} cannot be unpacked ({one_line(error)[:100]})") from None


def _stored(stream: BinaryIO, entry: zipfile.ZipInfo) -> BinaryIO:
    stream.seek(entry.header_offset + _HEAD_BYTES - 4)
    name_bytes, extra_bytes = (int.from_bytes(stream.read(2), "little") for _ in range(2))
    start = entry.header_offset + _HEAD_BYTES + name_bytes + extra_bytes
    return io.BufferedReader(_Window(stream, start, entry.file_size))


_HEAD_BYTES = 30
"""The size of a part's header, up to its name and its extra field; its last four bytes are the lengths of these two."""


class _Window(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, stream: BinaryIO, start: int, size_bytes: int) -> None:
        self._stream, self._start, self._size_bytes, self._at = stream, start, size_bytes, 0

    def readinto(self, buffer: Any, /) -> int:
        """Read at the current place."""
        room = memoryview(buffer).cast("B")
        self._stream.seek(self._start + self._at)
        data = self._stream.read(max(0, min(len(room), self._size_bytes - self._at)))
        room[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to another place."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size_bytes}[whence]
        self._at = begin + offset
        return self._at

    def readable(self) -> bool:
        """It is open for reading."""
        return True

    def seekable(self) -> bool:
        """It is a file."""
        return True
