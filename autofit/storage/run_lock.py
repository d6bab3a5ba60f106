"""The lock that keeps a run directory to one writer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Self

from autofit.errors import UserError
from autofit.storage.holder_file import HolderFile
from autofit.storage.lock_holders import end_orphans, holders_of, in_use_words
from autofit.storage.locks import Lock, open_lock_file, try_lock, wait_for_lock
from autofit.storage.run_directory import RunDirectory, writing_in

HOLDER_POLL_SECONDS = 0.5
NO_FLOCK = "this drive cannot lock files: a file .lock-holder there keeps other runs out"


class RunLock:
    """An advisory lock on a run directory, which the worker inherits: it is held until parent and worker are both gone.

    A worker that outlives its parent still holds it; see `locks`. On a drive without such locks, a file that names the
    holder takes their place.

    Attributes:
        has_flock: whether the drive has locks; False once it was found to have none.
    """

    def __init__(self, run_directory: RunDirectory) -> None:
        self._path = run_directory.path / ".lock"
        self._file = -1
        self._holder = HolderFile(run_directory.path)
        self.has_flock = True

    def acquire(
        self,
        patience_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Self:
        """Take the lock, waiting a little until a worker whose parent was killed notices it and stops.

        Raises:
            UserError: another process works in this run directory.
            StorageError: the directory cannot be written.
        """
        with writing_in(self._path.parent):
            self._file = open_lock_file(self._path)
        try:
            answer = wait_for_lock(self._file, patience_seconds, clock, sleep)
            if answer is Lock.UNSUPPORTED:
                self.has_flock = False
                answer = self._take_holder_file(clock() + patience_seconds, clock, sleep)
        except BaseException:
            self.release()
            raise
        if answer is Lock.BUSY:
            self.release()
            raise UserError(in_use_words(self._path.parent, holders_of(self._path)))
        return self

    def take_over(self) -> Self:
        """End workers whose parent is gone, so that the lock can be acquired; they may save what they trained.

        Raises:
            UserError: a worker cannot be ended.
            StorageError: the directory cannot be written.
        """
        if not self.is_free():
            end_orphans(self._path)
        return self

    def _take_holder_file(self, deadline: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> Lock:
        with writing_in(self._path.parent):
            while not self._holder.take():
                if clock() > deadline:
                    return Lock.BUSY
                sleep(HOLDER_POLL_SECONDS)
        return Lock.HELD

    def is_free(self) -> bool:
        """Whether no process holds the lock at this moment.

        Raises:
            StorageError: the directory cannot be written.
        """
        with writing_in(self._path.parent):
            file = open_lock_file(self._path)
        try:
            answer = try_lock(file)
            return self._holder.is_free() if answer is Lock.UNSUPPORTED else answer is not Lock.BUSY
        finally:
            os.close(file)

    def fileno(self) -> int:
        """The descriptor that a worker inherits."""
        return self._file

    def release(self) -> None:
        """Release the lock; it is free once no worker holds it either."""
        self._holder.release()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
