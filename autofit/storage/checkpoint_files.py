"""The files of one generation of checkpoints: packed, hashed, verified as they are read."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints

from autofit.errors import StorageError
from autofit.storage.format_version import NewerFormatError, refuse_newer
from autofit.storage.json_bounds import LONG_RECORD, JsonLimits, parsed, require_bounded
from autofit.storage.records import MAX_RECORD_BYTES, Record
from autofit.storage.safe_files import fsync_file, open_plain
from autofit.storage.system_errors import explained

if TYPE_CHECKING:
    import numpy as np


SCHEMA: Literal["autofit/checkpoint/1"] = "autofit/checkpoint/1"
MAX_MANIFEST_BYTES = 2**20
MANIFEST_LIMITS = JsonLimits(MAX_MANIFEST_BYTES, 1000, 1000)
MANIFEST, STATE = "manifest.json", "state.json"

_GROUP = re.compile(r"[a-z][a-z0-9_-]{0,63}")
# after these errors the content may still be good: it cannot be read now
_NO_DAMAGE = {
    *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    *(errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENAMETOOLONG),
}

SafeName = Annotated[str, StringConstraints(pattern=rf"^(state\.json|{_GROUP.pattern}\.safetensors)$")]


class FileEntry(Record):
    """The size and the hash that a file must have."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(Record):
    """The content of `manifest.json`."""

    schema_: Literal["autofit/checkpoint/1"] = Field(alias="schema")
    generation: int = Field(ge=1)
    files: dict[SafeName, FileEntry] = Field(max_length=64)


class DamagedError(Exception):
    """The content of a generation, or of what a mirror holds, is not what its manifest says."""


def group_file_name(group: str) -> str:
    """The file of a group of arrays.

    Raises:
        ValueError: the group has a name that is not allowed.
    """
    if not _GROUP.fullmatch(group):
        raise ValueError(f"a group cannot be called {group!r}: use lower-case letters, digits, - and _")
    return f"{group}.safetensors"


def pack_arrays(arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """The arrays in the safetensors format.

    safetensors writes an array's memory as it is, so a strided or Fortran-ordered array is made C-contiguous first
    (`ascontiguousarray` would turn 0-d into 1-d).

    Raises:
        TypeError: safetensors could write an array, but not read it back: it has an unusual dtype, or is called
            `__metadata__`.
    """
    import numpy as np  # noqa: PLC0415 — `autofit --help` imports this module
    from safetensors.numpy import save  # noqa: PLC0415

    packed = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in packed.items():
        if name == "__metadata__" or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:  # noqa: PLR2004 — bytes
            raise TypeError(f"the array {name!r} of {array.dtype} cannot be saved in a checkpoint")
    data: bytes = save(packed)
    return data


def write_file(path: Path, data: bytes) -> FileEntry:
    """Write a new file, which is durable when this returns; returns its size and hash."""
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        fsync_file(stream.fileno())
    return FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def carry_over(source: Path, target: Path, entry: FileEntry) -> bool:
    """Link the file, or copy it if it cannot be linked; False if its size or hash is not the listed one."""
    try:
        about = source.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_size != entry.bytes:
            return False
        os.link(source, target)
    except FileNotFoundError:
        return False
    except OSError:  # FAT, some network and FUSE mounts, too many links
        with suppress(DamagedError):
            write_file(target, _read_verified(source, entry))
            return True
        return False
    return True


def delete_folder(path: Path) -> None:
    """Delete a folder, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)


def set_aside_damaged(folder: Path) -> str:
    """Rename a damaged generation and return its new name."""
    candidates = [f"{folder.name}.damaged", *(f"{folder.name}.damaged-{n}" for n in range(2, 100))]
    for name in candidates:
        target = folder.with_name(name)
        if not os.path.lexists(target):
            with suppress(OSError):  # on a read-only disk it stays where it is, and is not loaded all the same
                folder.rename(target)
                return name
    return folder.name


def read_manifest(folder: Path, generation: int) -> Manifest:
    """Read the manifest of a generation.

    Raises:
        DamagedError: it is not a manifest of this generation.
        StorageError: it cannot be read now, or not by this autofit, but may be good.
    """
    data = _read(folder / MANIFEST, MAX_MANIFEST_BYTES)
    try:
        require_bounded(data, MANIFEST, MANIFEST_LIMITS)
        refuse_newer(data, str(folder / MANIFEST), Manifest)
        manifest = Manifest.model_validate_json(data)
    except NewerFormatError as error:
        raise StorageError(str(error)) from None
    except ValueError as error:
        raise DamagedError from error
    if manifest.generation != generation or STATE not in manifest.files:
        raise DamagedError
    return manifest


def array_files(manifest: Manifest) -> list[str]:
    """The names of the files with arrays."""
    return [name for name in manifest.files if name != STATE]


def read_state(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Read and verify the state of a generation.

    Raises:
        DamagedError: it is not what the manifest says.
        StorageError: it cannot be read now, but may be good.
    """
    if manifest.files[STATE].bytes > MAX_RECORD_BYTES:  # the parent would read as much as an untrusted manifest says
        raise DamagedError
    data = _read_verified(folder / STATE, manifest.files[STATE])
    try:
        state = parsed(data, STATE, LONG_RECORD)
    except ValueError as error:
        raise DamagedError from error
    if not isinstance(state, dict):
        raise DamagedError
    return state


def read_arrays(folder: Path, manifest: Manifest, name: str) -> dict[str, np.ndarray[Any, Any]]:
    """Read and verify a group of arrays.

    Raises:
        DamagedError: it is not what the manifest says.
        StorageError: it cannot be read now, but may be good.
    """
    from safetensors import SafetensorError  # noqa: PLC0415 — the supervisor reads the state alone
    from safetensors.numpy import load  # noqa: PLC0415

    data = _read_verified(folder / name, manifest.files[name])
    try:
        arrays: dict[str, np.ndarray[Any, Any]] = load(data)
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a dtype that NumPy has not
        raise DamagedError from error
    return arrays


def _read_verified(path: Path, entry: FileEntry) -> bytes:
    data = _read(path, entry.bytes)
    if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise DamagedError
    return data


def _read(path: Path, limit_bytes: int) -> bytes:
    """Read a regular file of at most this size: a link could point out of the folder, a pipe would block."""
    try:
        with open_plain(path, follow_links=False) as stream:
            about = os.fstat(stream.fileno())
            if about.st_size > limit_bytes:
                raise DamagedError
            return stream.read(about.st_size)
    except OSError as error:
        if error.errno in _NO_DAMAGE:
            raise unreadable_error(path, error) from error
        raise DamagedError from error


def require_content_at_fault(failures: Mapping[Path, DamagedError]) -> None:
    """Check, if no generation could be loaded, that none failed for a drive's error: such a one may still be good.

    Raises:
        StorageError: the drive failed.
    """
    for folder, failure in failures.items():
        if isinstance(failure.__cause__, OSError) and failure.__cause__.errno == errno.EIO:
            raise unreadable_error(folder, failure.__cause__) from failure.__cause__


def unreadable_error(path: Path, error: OSError) -> StorageError:
    """The error for a file that cannot be read for a reason that says nothing about its content."""
    return StorageError(f"{explained(error, f'{path} cannot be read')}; then resume")
