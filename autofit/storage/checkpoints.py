"""Checkpoints: atomic generations on disk, written by the worker, readable without TensorFlow.

    checkpoints/
        00000012/               the newest generation
            model.safetensors   one file a group of arrays
            state.json          cursor, history, ledger length, ...
            manifest.json       size and SHA-256 of the others, written last
        00000011/               the one before, for when the newest is damaged
        00000010.damaged/       set aside: did not verify
        .saving-…, .removed-…   a save or a removal under way, or killed: swept by the next save

A generation is written under a hidden name, made durable file by file, and renamed: it is there whole or not at all.
There is one writer at a time (the run directory is locked); the state may be read beside it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from autofit.errors import StorageError
from autofit.storage.records import MAX_RECORD_BYTES, Record
from autofit.storage.safe_files import fsync_folder, open_plain

if TYPE_CHECKING:
    import numpy as np

SCHEMA: Literal["autofit/checkpoint/1"] = "autofit/checkpoint/1"
MAX_MANIFEST_BYTES = 2**20
MANIFEST, STATE = "manifest.json", "state.json"

_GROUP = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_NAME = re.compile(r"[0-9]{8,18}")
_NUMBERED = re.compile(r"([0-9]{8,18})(\.damaged.*)?")
_SAVING, _REMOVED = ".saving-", ".removed-"
# errors that say nothing about the content: what cannot be read now may be good
_NO_DAMAGE = {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

SafeName = Annotated[str, StringConstraints(pattern=rf"^(state\.json|{_GROUP.pattern}\.safetensors)$")]


class FileEntry(Record):
    """What a file must be to be good."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(Record):
    """The content of `manifest.json`."""

    schema_: Literal["autofit/checkpoint/1"] = Field(alias="schema")
    generation: int = Field(ge=1)
    files: dict[SafeName, FileEntry] = Field(max_length=64)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified generation in memory, and the names of the damaged newer ones that were set aside to get to it."""

    generation: int
    groups: dict[str, dict[str, np.ndarray[Any, Any]]]
    state: dict[str, Any]
    set_aside: tuple[str, ...]


class _DamagedError(Exception):
    """The content of a generation is not what its manifest says."""


class CheckpointStore:
    """The generations in one folder, of which the newest `keep` are kept."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep is {keep}: at least one generation must be kept")
        self.folder = folder
        self.keep = keep

    def save(
        self,
        groups: Mapping[str, Mapping[str, np.ndarray[Any, Any]]],
        state: Mapping[str, object],
        unchanged: Collection[str] = (),
    ) -> int:
        """Write the next generation and return its number.

        Args:
            groups: arrays of any shape by name, by group; bool, integer and float dtypes.
            state: what JSON can hold; tuples come back as lists.
            unchanged: groups that are what they were in the newest generation. Their files are linked and not written;
                their arrays may be left out of `groups`, where they would serve only if there is nothing to link to.

        Raises:
            StorageError: it could not be written; the former generations are untouched.
            ValueError, TypeError: a group, an array or the state is of a kind that could not be read back.
        """
        text = json.dumps(dict(state)).encode()
        if len(text) > MAX_RECORD_BYTES:
            raise ValueError(f"the state has {len(text)} bytes, more than the {MAX_RECORD_BYTES} that are read back")
        try:
            self._make_ready()
            generation = 1 + max(self._numbers_taken(), default=0)
            self._write(generation, groups, text, unchanged)
        except OSError as error:
            raise StorageError(
                f"cannot write a checkpoint in {self.folder}: {error.strerror or error}; the last checkpoint is kept: "
                "make room or mend the disk, then resume"
            ) from error
        self._remove_old()
        return generation

    def latest(self) -> Checkpoint | None:
        """The newest generation of which every byte verifies; damaged newer ones are renamed out of the way.

        For the writer alone. None where there is no good generation.

        Raises:
            StorageError: the folder or a file in it may not be read.
        """
        set_aside: list[str] = []
        for generation, folder in self._generations():
            try:
                manifest = _read_manifest(folder, generation)
                state = _read_state(folder, manifest)
                groups = {Path(name).stem: _read_arrays(folder, manifest, name) for name in _array_files(manifest)}
            except _DamagedError:
                set_aside.append(_set_aside(folder))
            else:
                return Checkpoint(generation, groups, state, tuple(set_aside))
        return None

    def latest_state(self) -> dict[str, Any] | None:
        """The state of the newest generation whose manifest and state verify; reads no arrays and renames nothing.

        Raises:
            StorageError: the folder or a file in it may not be read.
        """
        while True:
            seen = self._generations()
            for generation, folder in seen:
                with suppress(_DamagedError):
                    return _read_state(folder, _read_manifest(folder, generation))
            if seen == self._generations():  # else the writer has removed them meanwhile and there are newer ones
                return None

    def manifests(self) -> list[tuple[Path, Manifest]]:
        """Folder and manifest of each generation, the newest first; one whose manifest is damaged is left out.

        Raises:
            StorageError: the folder or a manifest in it may not be read.
        """
        found: list[tuple[Path, Manifest]] = []
        for generation, folder in self._generations():
            with suppress(_DamagedError):
                found.append((folder, _read_manifest(folder, generation)))
        return found

    def set_aside(self) -> set[int]:
        """The numbers of the generations that were damaged and renamed out of the way.

        Raises:
            OSError: the folder cannot be read.
        """
        names = [entry.name for entry in self.folder.iterdir()] if self.folder.exists() else []
        return {int(match[1]) for match in map(_NUMBERED.fullmatch, names) if match and match[2]}

    def _make_ready(self) -> None:
        """Make the folder, and room in it: what killed saves left may be what fills the disk."""
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            fsync_folder(self.folder.parent)
        for entry in self.folder.iterdir():
            if entry.name.startswith((_SAVING, _REMOVED)):
                _delete(entry)

    def _write(
        self,
        generation: int,
        groups: Mapping[str, Mapping[str, np.ndarray[Any, Any]]],
        state: bytes,
        unchanged: Collection[str],
    ) -> None:
        temporary = Path(tempfile.mkdtemp(prefix=_SAVING, dir=self.folder))
        try:
            temporary.chmod(0o755)  # mkdtemp makes 0700; a run directory is read by others too
            files = self._write_groups(temporary, groups, unchanged)
            files[STATE] = _write_file(temporary / STATE, state)
            manifest = Manifest(schema_=SCHEMA, generation=generation, files=files)
            _write_file(temporary / MANIFEST, manifest.to_json().encode())
            fsync_folder(temporary)
            temporary.rename(self.folder / f"{generation:08d}")
        except BaseException:
            _delete(temporary)
            raise
        fsync_folder(self.folder)

    def _write_groups(
        self,
        temporary: Path,
        groups: Mapping[str, Mapping[str, np.ndarray[Any, Any]]],
        unchanged: Collection[str],
    ) -> dict[str, FileEntry]:
        source, former = self._newest_files() if unchanged else (self.folder, {})
        files: dict[str, FileEntry] = {}
        for group in sorted({*groups, *unchanged}):
            name = _file_name(group)
            entry = former.get(name) if group in unchanged else None
            if entry and _carry_over(source / name, temporary / name, entry):
                files[name] = entry
            elif group in groups:
                files[name] = _write_file(temporary / name, _pack(groups[group]))
            else:
                raise StorageError(f"{source} has no good {name} to carry over: save the group {group!r} itself")
        return files

    def _newest_files(self) -> tuple[Path, dict[str, FileEntry]]:
        """The newest generation's folder and what its manifest lists: nothing where it is damaged or missing."""
        for generation, folder in self._generations()[:1]:
            with suppress(_DamagedError):
                return folder, _read_manifest(folder, generation).files
        return self.folder, {}

    def _remove_old(self) -> None:
        """Remove the generations beyond `keep`: renamed first, so that no half-deleted one is ever taken for good."""
        with suppress(OSError, StorageError):  # the new checkpoint is safe; the next save tries again
            for _, folder in self._generations()[self.keep :]:
                hidden = folder.with_name(_REMOVED + folder.name)
                folder.rename(hidden)
                _delete(hidden)

    def _generations(self) -> list[tuple[int, Path]]:
        """Number and folder of each generation, the newest first; a link is none."""
        try:
            with os.scandir(self.folder) as entries:
                names = [e.name for e in entries if _NAME.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self.folder, error) from error
        return sorted(((int(name), self.folder / name) for name in names), reverse=True)

    def _numbers_taken(self) -> list[int]:
        """Those set aside count too, so that a number never means two checkpoints."""
        matches = (_NUMBERED.fullmatch(entry.name) for entry in self.folder.iterdir())
        return [int(match[1]) for match in matches if match]


def _file_name(group: str) -> str:
    if not _GROUP.fullmatch(group):
        raise ValueError(f"a group cannot be called {group!r}: use lower-case letters, digits, - and _")
    return f"{group}.safetensors"


def _pack(arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """The arrays in the safetensors format.

    safetensors writes the memory behind an array as it lies, so a strided or Fortran-ordered one has to be laid out
    first (`ascontiguousarray` would turn 0-d into 1-d); and it writes two things that it cannot read back.
    """
    import numpy as np  # noqa: PLC0415 — `autofit --help` comes by here
    from safetensors.numpy import save  # noqa: PLC0415

    packed = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in packed.items():
        if name == "__metadata__" or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:  # noqa: PLR2004 — bytes
            raise TypeError(f"the array {name!r} of {array.dtype} cannot be kept in a checkpoint")
    data: bytes = save(packed)
    return data


def _write_file(path: Path, data: bytes) -> FileEntry:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _carry_over(source: Path, target: Path, entry: FileEntry) -> bool:
    """Link the file, or copy it where links are not possible; False where it is not as its entry says."""
    try:
        about = source.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_size != entry.bytes:
            return False
        os.link(source, target)
    except FileNotFoundError:
        return False
    except OSError:  # FAT, some network and FUSE mounts, too many links
        with suppress(_DamagedError):
            _write_file(target, _read_verified(source, entry))
            return True
        return False
    return True


def _delete(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def _set_aside(folder: Path) -> str:
    """Rename a damaged generation and return the name it has now."""
    candidates = [f"{folder.name}.damaged", *(f"{folder.name}.damaged-{n}" for n in range(2, 100))]
    for name in candidates:
        target = folder.with_name(name)
        if not os.path.lexists(target):
            with suppress(OSError):  # on a read-only disk it stays where it is, and is not loaded all the same
                folder.rename(target)
                return name
    return folder.name


def _read_manifest(folder: Path, generation: int) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(_read(folder / MANIFEST, MAX_MANIFEST_BYTES))
    except ValidationError as error:
        raise _DamagedError from error
    if manifest.generation != generation or STATE not in manifest.files:
        raise _DamagedError
    return manifest


def _array_files(manifest: Manifest) -> list[str]:
    return [name for name in manifest.files if name != STATE]


def _read_state(folder: Path, manifest: Manifest) -> dict[str, Any]:
    if manifest.files[STATE].bytes > MAX_RECORD_BYTES:  # what a stranger's manifest says, the parent would read
        raise _DamagedError
    data = _read_verified(folder / STATE, manifest.files[STATE])
    try:
        state = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _DamagedError from error
    if not isinstance(state, dict):
        raise _DamagedError
    return state


def _read_arrays(folder: Path, manifest: Manifest, name: str) -> dict[str, np.ndarray[Any, Any]]:
    from safetensors import SafetensorError  # noqa: PLC0415 — the supervisor reads the state alone
    from safetensors.numpy import load  # noqa: PLC0415

    data = _read_verified(folder / name, manifest.files[name])
    try:
        arrays: dict[str, np.ndarray[Any, Any]] = load(data)
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a dtype that NumPy has not
        raise _DamagedError from error
    return arrays


def _read_verified(path: Path, entry: FileEntry) -> bytes:
    data = _read(path, entry.bytes)
    if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise _DamagedError
    return data


def _read(path: Path, limit_bytes: int) -> bytes:
    """A regular file of at most this size; neither a link nor a pipe, which would lead out or wait for ever."""
    try:
        with open_plain(path, follow_links=False) as stream:
            about = os.fstat(stream.fileno())
            if about.st_size > limit_bytes:
                raise _DamagedError
            return stream.read(about.st_size)
    except OSError as error:
        if error.errno in _NO_DAMAGE:
            raise _unreadable(path, error) from error
        raise _DamagedError from error


def _unreadable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot read {path}: {error.strerror or error}; make it readable, then resume")
