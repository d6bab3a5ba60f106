"""Where a run is kept: the directory that was asked for, one named after its mirror, or a new one; never a bad name."""

from __future__ import annotations

import time
from pathlib import Path

from autofit.config.options import Options
from autofit.errors import UserError
from autofit.mirror.mirror import refuse_overlap
from autofit.storage.run_directory import RunDirectory


def absolute(path: str | Path) -> Path:
    """A worker starts in another folder than ours."""
    return Path(path).expanduser().absolute()


def require_utf8(*names: str | Path | None) -> None:
    """Records are UTF-8; the names of single images go into `samples.csv`, which is not so strict.

    Raises:
        UserError: a name on the disk is bytes of another encoding.
    """
    for name in names:
        try:
            str(name or "").encode()
        except UnicodeEncodeError:
            raise UserError(f"{str(name)!a} is a name that is not UTF-8: rename it") from None


def directory_for(run_dir: str | Path | None, options: Options) -> RunDirectory:
    """The run directory that was asked for, or a new one, made.

    Raises:
        UserError: it cannot be made there, or overlaps with its mirror.
    """
    mirror = Path(options.mirror_dir) if options.mirror_dir else None
    files = RunDirectory(absolute(run_dir or (_beside(mirror) if mirror else _new_default(options))))
    if mirror:
        refuse_overlap(files.path, mirror)
    files.create()
    return files


def _beside(mirror: Path) -> Path:
    """The same folder for each run with this mirror, so that the same call goes on with what is there."""
    return Path("runs") / mirror.name


def _new_default(options: Options) -> Path:
    """A folder of its own for each run, also for those that start in the same second."""
    stem = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{options.backbone or 'model'}"
    path, number = stem, 1
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
            path = stem.with_name(f"{stem.name}-{number}")
        except OSError:  # it cannot be made: said where it is made sure of
            return path
        else:
            return path
