"""Temporary folders, which the next process removes if the one that made them was killed.

A process holds a lock on its folder, which is released however the process ends. A marker file shows that a folder was
made by this module: a user's folder may have a name with the same beginning, most likely in the working folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from autofit.storage.locks import Lock, try_lock

LEAST_FREE_BYTES = 64 * 10**6
"""The free space that a temporary folder needs: for a worker's heartbeat and log, a list of images, and predictions."""

OTHER_PLACES = ("/var/tmp", "/tmp", ".")  # noqa: S108 - mkdtemp makes a folder there that only this user reads
"""Where a temporary folder is made if the usual place has no room."""

MARK = ".autofit-scratch"
"""The marker file in each folder that this module makes; no folder without it is ever removed."""

YOUNG_SECONDS = 60.0
"""A folder younger than this is not removed: its process may not have locked it yet."""


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Make a temporary folder for the block; before that, remove those that killed processes of this user have left.

    Args:
        prefix: the beginning of the folder's name, and of the names of those that are removed.

    Raises:
        OSError: it cannot be made, or no place has room for it.
    """
    remove_abandoned(prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_place_with_room()))
    try:
        (folder / MARK).touch()
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(prefix: str, young_seconds: float = YOUNG_SECONDS) -> None:
    """Remove the folders of `scratch_folder` whose processes are gone, except those that cannot be removed."""
    for place in _places():
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith(prefix) and _is_marked(entry):
                    _remove_if_abandoned(entry, young_seconds)


def _places() -> list[str]:
    return list(dict.fromkeys(os.path.realpath(place) for place in (tempfile.gettempdir(), *OTHER_PLACES)))


def _place_with_room() -> str:
    usual, *others = _places()
    for place in (usual, *others):
        with contextlib.suppress(OSError):
            if os.access(place, os.W_OK) and shutil.disk_usage(place).free >= LEAST_FREE_BYTES:
                return place
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), usual)


def _is_marked(entry: os.DirEntry[str]) -> bool:
    """Whether `scratch_folder` has made the folder."""
    with contextlib.suppress(OSError):
        return stat.S_ISREG((Path(entry.path) / MARK).lstat().st_mode)
    return False


def _remove_if_abandoned(entry: os.DirEntry[str], young_seconds: float) -> None:
    with contextlib.suppress(OSError):
        found = entry.stat(follow_symlinks=False)
        is_own = entry.is_dir(follow_symlinks=False) and found.st_uid == os.getuid()
        if is_own and time.time() - found.st_mtime >= young_seconds:
            with _locked(Path(entry.path)) as lock:
                if lock is Lock.HELD:
                    shutil.rmtree(entry.path, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[Lock]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield try_lock(handle)
    finally:
        os.close(handle)
