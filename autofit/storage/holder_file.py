"""A lock for drives that have none: a file that names its holder, and that exactly one process can create.

The file names the host, the process, and when that was started. Whether a holder on this host is alive is looked up
among its processes. A holder on another host, or in a container, shows that it is alive by rewriting the file every few
seconds. How old the file is, is measured by the drive's own clock, so that a wrong clock of a machine does no harm; nor
does one that is set, since Linux also tells when a process was started in ticks since the machine was.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

from pydantic import Field

from autofit.storage.records import Record
from autofit.storage.safe_files import create_plain, whole_file

BEAT_SECONDS = 15.0
SILENT_SECONDS = 120.0
"""A holder on another host that has not rewritten its file for so long is taken for dead. It is more than 60 s, for
which network drives may show an old time."""

START_TOLERANCE_SECONDS = 2.0


class Holder(Record):
    """The process that holds the lock.

    Attributes:
        host: the name of its machine.
        pid: its number there.
        started: when it was started, in seconds since 1970 by that machine's clock then.
        ticks: when it was started, in clock ticks since the machine was; None where the system does not tell.
    """

    host: str = Field(max_length=300)
    pid: int = Field(ge=1)
    started: float
    ticks: int | None = None


class HolderFile:
    """The lock of one folder, held until `release` or the end of the process and of the workers in that folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / ".lock-holder"
        self._written: Holder | None = None  # what the file says while the lock is held
        self._guard = threading.Lock()  # a beat that is written after the release would lock everybody out
        self._done = threading.Event()

    def take(self) -> bool:
        """Take the lock; False if another process holds it.

        Raises:
            OSError: the folder cannot be written.
        """
        for _ in range(2):  # the second time after a dead holder's file was removed
            if self._create(this_process()):
                threading.Thread(target=self._beat, name="autofit-holder", daemon=True).start()
                return True
            if not self._remove_left_over():
                return False
        return False

    def is_free(self) -> bool:
        """Whether no process holds the lock.

        Raises:
            OSError: the folder cannot be written.
        """
        return not os.path.lexists(self._path) or self._is_left_over()

    def release(self) -> None:
        """Give the lock back, if it is held."""
        self._done.set()
        with self._guard:
            if self._is_ours():
                with suppress(OSError):  # the drive is gone: the next holder will find that this process is dead
                    self._path.unlink()
            self._written = None

    def holder(self) -> Holder | None:
        """Who holds the lock, as its file says; None if that cannot be read."""
        return _read(self._path)

    def _create(self, holder: Holder) -> bool:
        try:
            stream = create_plain(self._path)
        except FileExistsError:
            return False
        try:
            with stream:
                stream.write(_text_of(holder))
        except OSError:  # the drive is full: an empty file would keep everybody out
            with suppress(OSError):
                self._path.unlink()
            raise
        self._written = holder
        return True

    def _is_left_over(self) -> bool:
        holder = self.holder()
        if holder is not None and holder.host == socket.gethostname():
            return not _is_alive(holder) and not _has_workers(self._folder)
        return self._silent_seconds() > SILENT_SECONDS

    def _remove_left_over(self) -> bool:
        """Remove the file of a dead holder; False if the holder lives, or another process has taken the lock."""
        judged = self.holder()
        if not self._is_left_over():
            return False
        aside = self._path.with_name(f".lock-left-over-{os.getpid()}")
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            return True
        is_new = _read(aside) != judged
        if is_new:  # another process has taken the lock since it was judged
            aside.rename(self._path)
        else:
            aside.unlink()
        return not is_new

    def _silent_seconds(self) -> float:
        """For how long the file was not written, by the drive's clock."""
        probe = self._path.with_name(f".lock-clock-{os.getpid()}")
        try:
            with whole_file(probe) as stream:
                stream.write(b"now")
            return probe.stat().st_mtime - self._path.stat().st_mtime
        except FileNotFoundError:  # it was released meanwhile
            return SILENT_SECONDS + 1
        finally:
            probe.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._done.wait(BEAT_SECONDS):
            with self._guard, suppress(OSError):
                if self._written and self._is_ours():
                    self._write_again(self._written)

    def _write_again(self, holder: Holder) -> None:
        """Write the same bytes over those that are there: a full drive, or a kill, never leaves an empty file.

        Raises:
            OSError: the file can neither be written nor be given a new time.
        """
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.pwrite(file, _text_of(holder), 0)
            finally:
                os.close(file)
        except OSError:
            os.utime(self._path)

    def _is_ours(self) -> bool:
        """Whether the file still says what was written: another process may have taken this one for dead."""
        return bool(self._written) and self.holder() == self._written


def _text_of(holder: Holder) -> bytes:
    return holder.to_json().encode()


def _read(path: Path) -> Holder | None:
    with suppress(OSError, ValueError):
        return Holder.load(path, follow_links=False)
    return None


def this_process() -> Holder:
    """This process, as the holder of a lock."""
    import psutil  # noqa: PLC0415 - only where a drive cannot lock

    started, pid = psutil.Process().create_time(), os.getpid()
    return Holder(host=socket.gethostname(), pid=pid, started=started, ticks=_ticks_of(pid))


def _is_alive(holder: Holder) -> bool:
    import psutil  # noqa: PLC0415 - only where a drive cannot lock

    ticks = _ticks_of(holder.pid)
    if ticks is not None and holder.ticks is not None:
        return ticks == holder.ticks
    try:
        started = psutil.Process(holder.pid).create_time()
    except psutil.Error:
        return False
    return abs(started - holder.started) < START_TOLERANCE_SECONDS


def _ticks_of(pid: int) -> int | None:
    """When a process was started, in ticks since the machine was; None if there is none, or the system is not Linux.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: the 22nd field. The second, in brackets, is a name.
    """
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    return None


def _has_workers(folder: Path) -> bool:
    """Whether a worker of an attempt in this folder is still there: its command line ends with the attempt's folder."""
    import psutil  # noqa: PLC0415 - only where a drive cannot lock

    attempts = os.fspath(folder / "attempts") + os.sep
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if words and words[-1].startswith(attempts) and process.info["status"] != psutil.STATUS_ZOMBIE:
            return True
    return False
