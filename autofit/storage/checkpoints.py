"""Checkpoints: atomic generations on disk, written by the worker, readable without TensorFlow.

    checkpoints/
        00000012/               the newest generation
            model.safetensors   one file a group of arrays
            state.json          cursor, history, length of the audit log, ...
            manifest.json       size and SHA-256 of the others, written last
        00000011/               the one before, in case the newest is damaged
        00000010.damaged/       set aside: failed verification
        .saving-…, .removed-…   a save or a removal under way, or killed: removed by the next save

A generation is written under a hidden name, made durable file by file, and renamed: it exists whole or not at all.
There is one writer at a time (the run directory is locked); other processes may read the state meanwhile.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autofit.errors import StorageError
from autofit.storage.checkpoint_files import (
    MANIFEST,
    SCHEMA,
    STATE,
    DamagedError,
    FileEntry,
    Manifest,
    array_files,
    carry_over,
    delete_folder,
    group_file_name,
    pack_arrays,
    read_arrays,
    read_manifest,
    read_state,
    require_content_at_fault,
    set_aside_damaged,
    unreadable_error,
    write_file,
)
from autofit.storage.records import MAX_RECORD_BYTES
from autofit.storage.safe_files import fsync_folder, let_others_read
from autofit.storage.system_errors import explained

if TYPE_CHECKING:
    import numpy as np

_NAME = re.compile(r"[0-9]{8,18}")
_NUMBERED = re.compile(r"([0-9]{8,18})(\.damaged.*)?")
_SAVING, _REMOVED = ".saving-", ".removed-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified generation in memory, and the names of the damaged newer ones that were set aside to get to it."""

    generation: int
    groups: dict[str, dict[str, np.ndarray[Any, Any]]]
    state: dict[str, Any]
    set_aside: tuple[str, ...]


class CheckpointStore:
    """The generations in one folder, of which the newest `keep` are retained.

    `all_damaged` are the names of those that `latest` has set aside where it has found no good one.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep is {keep}: at least one generation must be kept")
        self.folder = folder
        self.keep = keep
        self.all_damaged: tuple[str, ...] = ()

    def save(
        self,
        groups: Mapping[str, Mapping[str, np.ndarray[Any, Any]]],
        state: Mapping[str, object],
        unchanged: Collection[str] = (),
    ) -> int:
        """Write the next generation and return its number.

        Args:
            groups: arrays of any shape by name, by group; bool, integer and float dtypes.
            state: values that JSON can hold; tuples come back as lists.
            unchanged: groups that are the same as in the newest generation. Their files are linked and not written.
                Their arrays may be left out of `groups`; if they are given, they are written where linking fails.

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
            raise StorageError(explained(error, f"no checkpoint can be written in {self.folder}")) from error
        self._remove_old()
        return generation

    def newest(self) -> Path | None:
        """The folder of the newest generation, whose files are not read; None if there is none.

        Raises:
            StorageError: the folder may not be read.
        """
        return next((folder for _, folder in self._generations()), None)

    def latest(self, most_bytes: int | None = None) -> Checkpoint | None:
        """The newest generation of which every byte verifies; damaged newer ones are renamed out of the way.

        Only the writer may call it. None if there is no good generation.

        Args:
            most_bytes: the size that all arrays of a generation may have together.

        Raises:
            StorageError: the folder or a file in it may not be read, the newest generation has more bytes, or none is
                good because the drive fails.
        """
        failures: dict[Path, DamagedError] = {}
        for generation, folder in self._generations():
            try:
                manifest = read_manifest(folder, generation)
                _require_size(folder, manifest, most_bytes)
                state = read_state(folder, manifest)
                groups = {Path(name).stem: read_arrays(folder, manifest, name) for name in array_files(manifest)}
            except DamagedError as error:
                failures[folder] = error
            else:
                return Checkpoint(generation, groups, state, tuple(map(set_aside_damaged, failures)))
        require_content_at_fault(failures)
        self.all_damaged = tuple(map(set_aside_damaged, failures))
        return None

    def latest_state(self) -> dict[str, Any] | None:
        """The state of the newest generation whose manifest and state verify; reads no arrays and renames nothing.

        Raises:
            StorageError: the folder or a file in it may not be read.
        """
        while True:
            seen, failures = self._generations(), dict[Path, DamagedError]()
            for generation, folder in seen:
                try:
                    return read_state(folder, read_manifest(folder, generation))
                except DamagedError as error:
                    failures[folder] = error
            if seen == self._generations():  # else the writer has removed these meanwhile, and there are newer ones
                require_content_at_fault(failures)
                return None

    def latest_group(
        self, group: str, most_bytes: int | None = None
    ) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]] | None:
        """The state of the newest generation that verifies, and one group of its arrays; empty if it lacks this group.

        It may be called only while no writer is alive, and renames nothing. The group may have `most_bytes`.

        Raises:
            StorageError: the folder or a file in it may not be read, or the group has more bytes.
        """
        failures: dict[Path, DamagedError] = {}
        for generation, folder in self._generations():
            try:
                manifest, name = read_manifest(folder, generation), group_file_name(group)
                _require_size(folder, manifest, most_bytes, [name])
                arrays = read_arrays(folder, manifest, name) if name in manifest.files else {}
                return read_state(folder, manifest), arrays
            except DamagedError as error:
                failures[folder] = error
        require_content_at_fault(failures)
        return None

    def manifests(self) -> list[tuple[Path, Manifest]]:
        """Folder and manifest of each generation, the newest first; one whose manifest is damaged is left out.

        Raises:
            StorageError: the folder or a manifest in it may not be read.
        """
        found: list[tuple[Path, Manifest]] = []
        for generation, folder in self._generations():
            with suppress(DamagedError):
                found.append((folder, read_manifest(folder, generation)))
        return found

    def set_aside(self) -> set[int]:
        """The numbers of the generations that were damaged and renamed out of the way.

        Raises:
            OSError: the folder cannot be read.
        """
        names = [entry.name for entry in self.folder.iterdir()] if self.folder.exists() else []
        return {int(match[1]) for match in map(_NUMBERED.fullmatch, names) if match and match[2]}

    def _make_ready(self) -> None:
        """Make the folder, and remove the remains of killed saves, which may fill the disk."""
        with suppress(FileExistsError):
            self.folder.mkdir(parents=True)
            fsync_folder(self.folder.parent)
        for entry in self.folder.iterdir():
            if entry.name.startswith((_SAVING, _REMOVED)):
                delete_folder(entry)

    def _write(
        self,
        generation: int,
        groups: Mapping[str, Mapping[str, np.ndarray[Any, Any]]],
        state: bytes,
        unchanged: Collection[str],
    ) -> None:
        temporary = Path(tempfile.mkdtemp(prefix=_SAVING, dir=self.folder))
        try:
            let_others_read(temporary, 0o755)  # mkdtemp makes 0700
            files = self._write_groups(temporary, groups, unchanged)
            files[STATE] = write_file(temporary / STATE, state)
            manifest = Manifest(schema_=SCHEMA, generation=generation, files=files)
            write_file(temporary / MANIFEST, manifest.to_json().encode())
            fsync_folder(temporary)
            temporary.rename(self.folder / f"{generation:08d}")
        except BaseException:
            delete_folder(temporary)
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
            name = group_file_name(group)
            entry = former.get(name) if group in unchanged else None
            if entry and carry_over(source / name, temporary / name, entry):
                files[name] = entry
            elif group in groups:
                files[name] = write_file(temporary / name, pack_arrays(groups[group]))
            else:
                raise StorageError(f"{source} has no good {name} to carry over: save the group {group!r} itself")
        return files

    def _newest_files(self) -> tuple[Path, dict[str, FileEntry]]:
        """The newest generation's folder, and the files that its manifest lists; none if it is damaged or missing."""
        for generation, folder in self._generations()[:1]:
            with suppress(DamagedError):
                return folder, read_manifest(folder, generation).files
        return self.folder, {}

    def _remove_old(self) -> None:
        """Remove the generations beyond `keep`: renamed first, so that a half-deleted one is never read as valid."""
        with suppress(OSError, StorageError):  # the new checkpoint is safe; the next save tries again
            for _, folder in self._generations()[self.keep :]:
                hidden = folder.with_name(_REMOVED + folder.name)
                folder.rename(hidden)
                delete_folder(hidden)

    def _generations(self) -> list[tuple[int, Path]]:
        """Number and folder of each generation, the newest first; links are ignored."""
        try:
            with os.scandir(self.folder) as entries:
                names = [e.name for e in entries if _NAME.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unreadable_error(self.folder, error) from error
        return sorted(((int(name), self.folder / name) for name in names), reverse=True)

    def _numbers_taken(self) -> list[int]:
        """All numbers in use, also those of damaged generations, so that no number is used for two checkpoints."""
        matches = (_NUMBERED.fullmatch(entry.name) for entry in self.folder.iterdir())
        return [int(match[1]) for match in matches if match]


def _require_size(
    folder: Path, manifest: Manifest, most_bytes: int | None, names: Collection[str] | None = None
) -> None:
    """Check the size of the arrays that a manifest lists, before any of them is read.

    Raises:
        StorageError: they are too large.
    """
    listed = array_files(manifest) if names is None else [name for name in names if name in manifest.files]
    has = sum(manifest.files[name].bytes for name in listed)
    if most_bytes is not None and has > most_bytes:
        raise StorageError(
            f"the checkpoint {folder} lists {has:,} bytes, more than the {most_bytes:,} that this model's can have: "
            "remove that folder, then resume from the one before"
        )
