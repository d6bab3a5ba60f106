"""Restores a run from its mirror into its run directory; tells how far the run in a folder is."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

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
    replace_file,
    require_folder,
    stage_generation,
    sweep,
)
from autofit.runs.collect_result import committed
from autofit.runs.result_record import is_finished
from autofit.runs.run_record import RunRecord, read_run
from autofit.storage.checkpoint_files import DamagedError, Manifest
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from autofit.storage.safe_files import fsync_folder

STAGED = ".restoring"
"""The folder in the run directory to which the mirror is copied first. Earlier versions use the same name."""


@dataclass(frozen=True, slots=True)
class Held:
    """The run in a folder.

    Attributes:
        record: the run's request and plan.
        progress: how far the run is, for comparisons: the committed epoch and position in it, and whether the run is
            finished. These come in this order, since a finished run may train on when more epochs are asked for.
    """

    record: RunRecord
    progress: tuple[int, int, bool]


def held_by(files: RunDirectory) -> Held | None:
    """The run in a folder; None if there is none.

    Raises:
        OSError, StorageError: it cannot be read.
        UserError, ValueError: it is damaged.
    """
    record = read_run(files)
    if record is None:
        return None
    if os.path.lexists(files.checkpoints):
        require_folder(files.checkpoints)
    state = committed(CheckpointStore(files.checkpoints))
    finished = is_finished(files)
    cursor = (state.epoch, state.position) if state else (sys.maxsize if finished else 0, -1)
    return Held(record, (*cursor, finished))


def stage(mirror: RunDirectory, files: RunDirectory, beat: Beat, copy: Copy = copy_file) -> list[str]:
    """Copy the run in a mirror into the folder `STAGED` of the run directory; returns the names of damaged checkpoints.

    Raises:
        OSError, StorageError: the run cannot be read or written; the other files of the run directory are untouched.
    """
    staged = RunDirectory(files.path / STAGED)
    discard(files)
    staged.path.mkdir()
    for there, here in zip(_single_files(mirror), _single_files(staged), strict=True):
        _copy_if_there(there, here, copy, beat)
    make_folder(staged.path / "attempts")
    for attempt in _attempts(mirror):
        _stage_attempt(attempt, staged.path / "attempts" / attempt.path.name, copy, beat)
    return _stage_checkpoints(mirror, staged, copy, beat)


def put_in_place(files: RunDirectory) -> None:
    """Move the staged files to their places, the checkpoints after the others, and the result last.

    Until then the run directory is behind the mirror, so after a kill the next call restores the run again. A result
    without checkpoints would count as a finished run that somebody has made smaller.

    Raises:
        OSError: a file cannot be renamed.
    """
    staged = RunDirectory(files.path / STAGED)
    files.result.unlink(missing_ok=True)
    if os.path.lexists(files.checkpoints):
        files.checkpoints.rename(staged.path / "replaced")
    for path in _single_files(files):
        path.unlink(missing_ok=True)
    for attempt in staged.attempts():
        folder = files.path / "attempts" / attempt.path.name
        folder.mkdir(parents=True, exist_ok=True)
        for path in attempt.path.iterdir():
            path.replace(folder / path.name)
    *others, result = _single_files(staged)
    for path in others:
        with suppress(FileNotFoundError):
            path.replace(files.path / path.name)
    fsync_folder(files.path)
    staged.checkpoints.rename(files.checkpoints)
    fsync_folder(files.path)
    if os.path.lexists(result):
        result.replace(files.result)
        fsync_folder(files.path)
    discard(files)


def discard(files: RunDirectory) -> None:
    """Remove the staged files, also those that a killed process has left."""
    if os.path.lexists(files.path / STAGED):
        shutil.rmtree(files.path / STAGED)


def _single_files(files: RunDirectory) -> list[Path]:
    """The files directly in a run directory that a mirror holds: the request first, the result last."""
    first = [files.run, files.samples, files.probe, files.fine_tune_probe, *files.feature_records(), files.equal_images]
    predicted = files.validation, files.test
    return [*first, files.audit, files.history, files.model, files.labels, *predicted, files.report, files.result]


def _attempts(mirror: RunDirectory) -> list[AttemptDirectory]:
    if not os.path.lexists(mirror.path / "attempts"):
        return []
    require_folder(mirror.path / "attempts")
    return mirror.attempts()


def _stage_attempt(attempt: AttemptDirectory, folder: Path, copy: Copy, beat: Beat) -> None:
    require_folder(attempt.path)
    make_folder(folder)
    for path in (attempt.job, attempt.record, attempt.events, attempt.outcome, attempt.progress):
        _copy_if_there(path, folder / path.name, copy, beat)


def _copy_if_there(source: Path, target: Path, copy: Copy, beat: Beat) -> None:
    if stream := open_if_there(source):
        with stream:
            replace_file(stream, target, os.fstat(stream.fileno()).st_size, copy, beat)


def _stage_checkpoints(mirror: RunDirectory, staged: RunDirectory, copy: Copy, beat: Beat) -> list[str]:
    """Copy the good generations; returns the names of the damaged ones.

    Raises:
        UnreadableError: none can be read at the moment. The run must not start from the beginning then.
    """
    make_folder(staged.checkpoints)
    damaged: list[str] = []
    unreadable: UnreadableError | None = None
    good = 0
    for folder, manifest in CheckpointStore(mirror.checkpoints).manifests():
        try:
            _stage_checkpoint(folder, manifest, staged, copy, beat)
            good += 1
        except UnreadableError as error:
            unreadable = error
        except (DamagedError, VanishedError):
            damaged.append(folder.name)
    sweep(staged.checkpoints)
    if unreadable and not good:
        raise unreadable
    return damaged


def _stage_checkpoint(folder: Path, manifest: Manifest, staged: RunDirectory, copy: Copy, beat: Beat) -> None:
    generation = stage_generation(folder, manifest, staged.checkpoints, copy, beat)
    if not _ends_with_a_line(staged.audit, audit_log_bytes_of(generation)):
        raise DamagedError
    place_generation(generation, manifest.generation)


def _ends_with_a_line(audit_log: Path, size_bytes: int) -> bool:
    """Whether the audit log is as long as a checkpoint says, and a line ends there."""
    if size_bytes == 0:
        return True
    stream = open_if_there(audit_log)
    if stream is None:
        return False
    with stream:
        stream.seek(size_bytes - 1)
        return stream.read(1) == b"\n"
