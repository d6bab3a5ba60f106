"""Where a run is stored: in the directory that was asked for, in one named after the mirror, or in a new one."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autofit.config.options import Options
from autofit.errors import UserError
from autofit.mirror.overlap import refuse_overlap
from autofit.mirror.restore import STAGED
from autofit.printable import printable
from autofit.storage.run_directory import RUNS_FOLDER, RunDirectory
from autofit.storage.user_path import user_path


def absolute(path: Any, name: str = "path") -> Path:
    """The path made absolute: a worker starts in another folder than its parent.

    Raises:
        UserError: as `user_path`.
    """
    return user_path(path, name).absolute()


def require_utf8(*names: str | Path | None) -> None:
    """Check that names can be written to records, which are UTF-8; `samples.csv` is less strict.

    Raises:
        UserError: the bytes of a name on the disk are not UTF-8.
    """
    for name in names:
        try:
            str(name or "").encode()
        except UnicodeEncodeError:
            raise UserError(f"{str(name)!a} is a name that is not UTF-8: rename it") from None


RUNS = Path(RUNS_FOLDER)


def directory_for(run_dir: str | Path | None, options: Options) -> RunDirectory:
    """Create the run directory that was asked for, or a new one.

    Raises:
        UserError: it cannot be created there, overlaps with its mirror, or holds files that a run would write over.
    """
    mirror = Path(options.mirror_dir) if options.mirror_dir else None
    named = run_dir or (_beside(mirror) if mirror else _new_default(options))
    files = RunDirectory(absolute(named, "run_dir"))
    if mirror:
        refuse_overlap(files.path, mirror)
    files.create()
    _refuse_files_of_others(files)
    return files


def _refuse_files_of_others(files: RunDirectory) -> None:
    """Refuse a directory without a run that has files with the names of a run's results, which would be written over.

    A run that is half restored from its mirror has such files, too.

    Raises:
        UserError: it holds one.
    """
    if any(map(os.path.lexists, (files.run, files.path / STAGED))):
        return
    if found := next(filter(os.path.lexists, (*files.outputs(), files.doubts)), None):
        raise UserError(
            f"run directory {printable(str(files.path))} holds {found.name} and no run, which would write over it: "
            "give a run_dir that is empty or new"
        )


@contextlib.contextmanager
def making(run_dir: str | Path | None, options: Options) -> Iterator[Callable[[], RunDirectory]]:
    """A function that makes the run directory, as `directory_for`.

    A directory that nobody has named is removed if the block ends in an error before it holds a run or a probe:
    otherwise each refused call would leave its images in memory there.

    Raises:
        UserError: `run_dir` is no path.
    """
    if run_dir is not None:
        user_path(run_dir, "run_dir")
    made: list[RunDirectory] = []

    def make() -> RunDirectory:
        made.append(directory_for(run_dir, options))
        return made[-1]

    try:
        yield make
    except BaseException:
        for files in made if run_dir is None and not options.mirror_dir else ():
            if not (files.run.exists() or files.probe.exists()):
                shutil.rmtree(files.path, ignore_errors=True)
        raise


def _beside(mirror: Path) -> Path:
    """The run directory of every call with this mirror and no `run_dir`, so that the same call resumes the run."""
    return RUNS / mirror.name


def _stem(backbone: str | None) -> str:
    """The part of a folder's name that says the network: for a preset the last part of its name."""
    return "model" if backbone is None else backbone.rstrip("/").rpartition("/")[2].rpartition(":")[2]


def _new_default(options: Options) -> Path:
    """A new folder, also where another run starts in the same second."""
    stem = RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}-{_stem(options.backbone)}"
    path, number = stem, 1
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
            path = stem.with_name(f"{stem.name}-{number}")
        except OSError:  # `create` then fails too, and says why
            return path
        else:
            return path
