"""The earlier run of the same request and photos, for a call that names no run directory."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from autofit.api.code_identity import differing, what_of
from autofit.api.existing_run import find_same_run, is_only_read
from autofit.api.result import shown_path
from autofit.config.options import Options
from autofit.config.request_difference import difference
from autofit.dataset import ImageIndex
from autofit.errors import AutofitError, UserError
from autofit.machine.hardware import Hardware
from autofit.process.monitor import View
from autofit.runs.result_record import is_finished
from autofit.runs.run_record import RunRecord, read_run
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock

MOST_RUNS = 500
MOST_SECONDS = 3.0
"""At most this many runs, the newest first, are compared with the call, and for at most this long."""

WORKER_LEAVES_SECONDS = 25.0
"""How long a run is waited for whose parent may have been killed: its worker then ends within 20 s."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of `run`: the request, the photos, the hashes of the user's code, and the machine."""

    options: Options
    index: ImageIndex
    code: Mapping[str, str]
    machine: Hardware

    def index_in(self, files: RunDirectory) -> ImageIndex:
        """The images, as they are found in this run: images that were given in memory are files of the run itself."""
        return self.index.with_store(str(files.images)) if self.index.store else self.index


def earlier_run(
    folder: Path, call: Call, view: View, clock: Callable[[], float] = time.monotonic, *, take_over: bool = False
) -> RunDirectory | None:
    """The newest run of this call in the folder of runs; None if there is none, or a process works on it.

    If there is a run of the same request on other photos, or one that cannot go on with these epochs, a message names
    it. With `take_over`, a worker that holds the run although its parent is gone saves its progress and is ended.
    """
    deadline = clock() + MOST_SECONDS
    near = ""
    for files in _newest_first(folder):
        record = _record_of(files)
        if record is not None and _is_request(files, record, call):
            try:
                found = find_same_run(files, call.options, call.index_in(files), call.code, call.machine)
            except AutofitError as error:
                near = near or getattr(error, "why", str(error))
            else:
                if found is not None:
                    is_ready = is_only_read(files, found) or _is_free(files, view, take_over=take_over)
                    return files if is_ready else None
        if clock() > deadline:
            break
    if near:
        view.message(f"{near}; another run is begun")
    return None


def _newest_first(folder: Path) -> Iterator[RunDirectory]:
    """The run directories in a folder: their names begin with the time."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for name in sorted(names, reverse=True)[:MOST_RUNS]:
        yield RunDirectory(folder / name)


def _record_of(files: RunDirectory) -> RunRecord | None:
    try:
        return read_run(files)
    except (OSError, ValueError):
        return None


def _is_request(files: RunDirectory, record: RunRecord, call: Call) -> bool:
    """Whether a run has the same options and code, and these photos, or others from the same folder."""
    return (
        difference(record.options, call.options, is_finished=is_finished(files)) is None
        and set(map(what_of, record.code))
        <= set(map(what_of, call.code))  # runs of earlier versions have no hash of their weights file
        and not differing(record.code, call.code)
        and record.has_callbacks == ("callbacks" in call.code)
        and (record.data.root == call.index.root or record.data.fingerprint == call.index.fingerprint())
    )


def _is_free(files: RunDirectory, view: View, *, take_over: bool) -> bool:
    """Whether no other process works on a run; a worker whose parent was killed is waited for, or ended."""
    lock = RunLock(files)
    try:
        if take_over:
            lock.take_over()
        if not lock.is_free():
            view.message(f"the same run is at work in {shown_path(files.path)}: waiting in case it is about to end")
        with lock.acquire(WORKER_LEAVES_SECONDS):
            return True
    except UserError as error:  # it says which process that is, and whether it can be ended
        view.message(f"{error}; a second run is begun")
    except AutofitError:  # a folder that cannot be written
        pass
    return False


def taking(earlier: RunDirectory, made: RunDirectory | None) -> RunDirectory:
    """Use the directory of an earlier run, and remove one that was made for images in memory: the earlier has them."""
    if made is not None:
        shutil.rmtree(made.path, ignore_errors=True)
    return earlier
