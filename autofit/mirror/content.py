"""The content of a mirror, and how it is brought up to date. This module has no thread and no clock."""

from __future__ import annotations

import errno
import io
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from autofit.mirror.copying import (
    Beat,
    Copy,
    UnreadableError,
    VanishedError,
    audit_log_bytes_of,
    copy_file,
    make_folder,
    open_if_there,
    place_generation,
    read_plain,
    remove_generation,
    replace_file,
    require_folder,
    sha256_of,
    stage_generation,
    sweep,
)
from autofit.runs.result_record import is_finished
from autofit.runs.run_record import read_run
from autofit.storage.checkpoint_files import DamagedError, Manifest
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.records import MAX_RECORD_BYTES
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from autofit.storage.safe_files import open_plain

KEEP = 2
FULL = {errno.ENOSPC, errno.EDQUOT}
PROGRESS_TAIL_BYTES = 2**16

Stamp = tuple[int, int, int]


class NotOursError(OSError):
    """The mirror's folder holds something else than this run, so nothing is written there."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.EEXIST, what)


class MirrorContent:
    """The part of a run that its mirror holds.

    Args:
        files: the files of the run.
        mirror: the files of its mirror, whose folder exists.
        beat: called whenever the work advances.
        copy: copies one file; see `copy_file`.
    """

    def __init__(self, files: RunDirectory, mirror: RunDirectory, beat: Beat, copy: Copy = copy_file) -> None:
        self._files, self._mirror, self._beat, self._copy = files, mirror, beat, copy
        self._here, self._there = CheckpointStore(files.checkpoints), CheckpointStore(mirror.checkpoints)
        self._ours: dict[int, Manifest] | None = None
        self._damaged: list[Manifest] = []
        self._stamps: dict[Path, Stamp] = {}
        self._seen: object = None

    def bring_up_to_date(self, *, everything: bool = False) -> None:
        """Copy what has changed since the last call, if there is a new checkpoint or `everything` is True.

        Raises:
            NotOursError: there is another run in the mirror, or something else.
            OSError, StorageError: something cannot be read or written; the next call copies what is missing.
        """
        news = self._news()
        if (news == self._seen and not everything) or (self._seen is None and self._is_complete()):
            return
        try:
            self._require_ours()
            with ExitStack() as open_files:
                result = open_if_there(self._files.result)
                if result:
                    open_files.enter_context(result)
                self._bring(result)
        except OSError as error:
            if error.errno in FULL:
                self._make_room()
            raise
        self._seen = news

    def _news(self) -> object:
        """A value that changes with each commit, and whenever `run.json` is written."""
        newest = self._here.manifests()[:1]
        return [manifest for _, manifest in newest], _stamp(self._files.run.stat())

    def _is_complete(self) -> bool:
        """Whether the mirror holds all of a finished run: the result is copied last, so comparing it is enough."""
        try:
            ours, theirs = (read_plain(one.result, MAX_RECORD_BYTES) for one in (self._files, self._mirror))
        except OSError:
            return False
        return ours == theirs and is_finished(self._files)

    def _require_ours(self) -> None:
        if read_run(self._mirror) is not None:
            require_held(self._files, self._mirror)
        else:
            require_empty(self._mirror)
            self._stamps, self._ours = {}, None  # also if somebody has deleted what was there

    def _bring(self, result: IO[bytes] | None) -> None:
        """Copy the request first, then what a checkpoint needs, then the checkpoint, and last the result.

        `result` was opened before the checkpoint was chosen: a result that is written during the copy may belong to a
        later checkpoint.
        """
        if self._seen is None:
            self._sweep_parts()
        files = self._files
        for path in (
            files.run,
            files.samples,
            files.probe,
            files.fine_tune_probe,
            *files.feature_records(),
            files.equal_images,
        ):
            self._file(path, self._mirror.path / path.name)
        self._checkpoint()
        for attempt in self._files.attempts():
            self._attempt(attempt)
        for path in (files.history, files.model, files.labels, files.validation, files.test, files.report):
            self._file(path, self._mirror.path / path.name)
        for path in (files.validation, files.test):
            if not path.exists():  # the copy is that of a model that is no longer the best
                (self._mirror.path / path.name).unlink(missing_ok=True)
                self._stamps.pop(self._mirror.path / path.name, None)
        if result:
            self._copy_changed(result, result, self._mirror.result)

    def _sweep_parts(self) -> None:
        """Remove the partial files that killed copies have left."""
        for folder in (self._mirror.path, *(attempt.path for attempt in self._mirror.attempts())):
            for path in () if folder.is_symlink() else folder.glob(".*.part"):
                path.unlink()

    # Single files ------------------------------------------------------------------------------------------------

    def _file(self, source: Path, target: Path) -> None:
        """Copy a file if it exists and has changed."""
        if stream := open_if_there(source):
            with stream:
                self._copy_changed(stream, stream, target)

    def _copy_changed(self, source: IO[bytes], content: IO[bytes], target: Path) -> None:
        stamp = _stamp(os.fstat(source.fileno()))
        if self._stamps.get(target) != stamp:
            size_bytes = content.seek(0, io.SEEK_END)
            content.seek(0)
            replace_file(content, target, size_bytes, self._copy, self._beat)
            self._stamps[target] = stamp

    def _attempt(self, attempt: AttemptDirectory) -> None:
        """Copy those files of an attempt that a result is made from; of its heartbeat only the first and last line."""
        there = AttemptDirectory(self._mirror.path / "attempts" / attempt.path.name)
        make_folder(there.path.parent)
        make_folder(there.path)
        for path in (attempt.job, attempt.record, attempt.events, attempt.outcome):
            self._file(path, there.path / path.name)
        if stream := open_if_there(attempt.progress):
            with stream:
                self._copy_changed(stream, io.BytesIO(_first_and_last_line(stream)), there.progress)

    # Checkpoints -------------------------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        """Copy the newest good generation; if it is removed meanwhile, a newer one is there and is copied instead."""
        make_folder(self._mirror.checkpoints)
        while True:
            sweep(self._mirror.checkpoints)
            with suppress(VanishedError):
                if self._newest_is_there():
                    self._remove_others()
                return
            self._beat()

    def _newest_is_there(self) -> bool:
        """Copy the newest good generation unless the mirror has it; returns whether there is one."""
        here = self._here.manifests()
        if self._ours is None:
            known = [manifest for _, manifest in here]
            self._ours = {one.generation: one for _, one in self._there.manifests() if one in known}
        for folder, manifest in here:
            if self._ours.get(manifest.generation) == manifest:
                return True
            if manifest not in self._damaged:
                with suppress(DamagedError, UnreadableError):
                    self._generation(folder, manifest)
                    self._ours[manifest.generation] = manifest
                    return True
                self._damaged.append(manifest)
        return False

    def _generation(self, folder: Path, manifest: Manifest) -> None:
        """Copy one generation, and the part of the audit log that belongs to it; the generation gets its name last."""
        staged = stage_generation(folder, manifest, self._mirror.checkpoints, self._copy, self._beat)
        if size_bytes := audit_log_bytes_of(staged):
            self._audit_log(size_bytes, manifest.generation)
        place_generation(staged, manifest.generation)

    def _audit_log(self, size_bytes: int, generation: int) -> None:
        """Copy the part of the audit log that belongs to a generation.

        A worker that went back to an older generation rewrites the log from there on. A copy that was made during that
        may mix both histories, so it is compared afterwards. Generations in the mirror that belong to the old history
        are removed.
        """

        def copy_unchanged(source: IO[bytes], target: Path, size_bytes: int, beat: Beat) -> str:
            copied = self._copy(source, target, size_bytes, beat)
            if copied != sha256_of(self._files.audit, size_bytes, beat):
                raise VanishedError
            self._remove_other_histories(generation)
            return copied

        with open_plain(self._files.audit, follow_links=False) as stream:
            replace_file(stream, self._mirror.audit, size_bytes, copy_unchanged, self._beat)

    def _remove_other_histories(self, generation: int) -> None:
        here = {manifest.generation: manifest for _, manifest in self._here.manifests()}
        set_aside = self._here.set_aside()
        for folder, manifest in self._there.manifests():
            number = manifest.generation
            if number >= generation or number in set_aside or here.get(number, manifest) != manifest:
                remove_generation(folder)

    def _remove_others(self) -> None:
        """Keep the newest `KEEP` generations, and remove all others: also those of an earlier history."""
        ours = self._ours or {}
        newest = sorted(ours.keys() - self._here.set_aside(), reverse=True)[:KEEP]
        self._ours = {generation: ours[generation] for generation in newest}
        for folder, manifest in self._there.manifests():
            if manifest.generation not in self._ours:
                remove_generation(folder)

    def _make_room(self) -> None:
        """On a full drive, remove all generations but one, so that the next one fits."""
        with suppress(OSError):
            sweep(self._mirror.checkpoints)
            for folder, _ in self._there.manifests()[1:]:
                remove_generation(folder)


def require_held(files: RunDirectory, mirror: RunDirectory) -> None:
    """Check that a mirror holds this run.

    Raises:
        NotOursError: it holds no run, or another one.
        OSError, ValueError: it cannot be read.
    """
    ours, theirs = read_run(files), read_run(mirror)
    if theirs is None:
        raise NotOursError("it does not hold this run")
    if ours is None or ours.started != theirs.started:
        raise NotOursError("it holds another run")


def require_empty(mirror: RunDirectory) -> None:
    """Check that a folder without a run holds no file that a run would overwrite.

    Raises:
        NotOursError: it holds one.
    """
    if _is_there(mirror.checkpoints):
        require_folder(mirror.checkpoints)
    inputs = (mirror.samples, mirror.probe, mirror.fine_tune_probe, *mirror.feature_records())
    found = [path for path in (*inputs, mirror.equal_images, *mirror.outputs()) if _is_there(path)]
    found += [folder for folder, _ in CheckpointStore(mirror.checkpoints).manifests()]
    found += [attempt.path for attempt in mirror.attempts()]
    if found:
        raise NotOursError(f"it holds {found[0].name} of something else")


def _is_there(path: Path) -> bool:
    """Whether a path exists, also as a link. `os.path.lexists` would be False for an error of the drive."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _stamp(about: os.stat_result) -> Stamp:
    return about.st_ino, about.st_size, about.st_mtime_ns


def _first_and_last_line(stream: IO[bytes]) -> bytes:
    """The first and the last complete line of a growing file."""
    first = stream.readline(PROGRESS_TAIL_BYTES)
    size_bytes = stream.seek(0, io.SEEK_END)
    stream.seek(max(len(first), size_bytes - PROGRESS_TAIL_BYTES))
    *whole, _ = stream.read(PROGRESS_TAIL_BYTES).split(b"\n")
    last = [whole[-1] + b"\n"] if whole else []
    return first + b"".join(last) if first.endswith(b"\n") else b""
