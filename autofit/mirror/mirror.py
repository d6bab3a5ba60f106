"""The mirror of a run: its thread, its lock, its retries, its messages, and the wait for its last copy.

Only the mirror's thread, and those of `run_with_watchdog`, access the drive. The supervising thread reads the state
that they record.
"""

from __future__ import annotations

import errno
import os
import shlex
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from autofit.errors import InterruptedRunError, StorageError, UserError
from autofit.mirror.content import MirrorContent, require_empty, require_held
from autofit.mirror.copying import Copy, copy_file
from autofit.mirror.patience import PATIENCE, MirrorPatience
from autofit.mirror.restore import STAGED, Held, discard, held_by, put_in_place, stage
from autofit.mirror.watchdog import AbandonedError, Pulse, run_with_watchdog
from autofit.printable import one_line
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import NO_FLOCK, RunLock
from autofit.storage.system_errors import said_of

COLAB_DRIVE = Path("/content/drive")
"""Where Colab's instructions mount Google Drive. Nothing may be written there before: it could no longer be mounted."""
REPEAT_SECONDS = 600.0
"""The same trouble is shown again only after this time: a drive may come and go all night."""


class Mirror:
    """The mirror of one run, from its lock to the last copy; a context manager around the run.

    Args:
        files: the files of the run, whose lock is held.
        folder: the folder of the mirror.
        show: shows a message; it is called in the thread that calls the methods.
        must_hold_it: whether to write only if the folder holds this very run already. It is True if the user has not
            named the folder: a `run.json` that names its mirror may come from an untrusted source.
        patience: the time limits.
        copy: copies one file; see `copy_file`.
        clock: gives the time in seconds.

    Raises:
        UserError: on entering: another run is using this mirror.
    """

    def __init__(
        self,
        files: RunDirectory,
        folder: Path,
        show: Callable[[str], None],
        *,
        must_hold_it: bool = False,
        patience: MirrorPatience = PATIENCE,
        copy: Copy = copy_file,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self._must_hold_it = folder, must_hold_it
        self._files, self._mirror, self._show = files, RunDirectory(folder), show
        self._patience, self._copy, self._clock = patience, copy, clock
        self._lock: RunLock | None = None
        self._device: int | None = None
        self._pulse = Pulse(clock)
        self._content = MirrorContent(files, self._mirror, self._pulse, copy)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._trouble: str | None = None
        self._is_complete = False
        self._leave_seconds = patience.leave
        self._shown_at: dict[str, float] = {}
        self._is_outage_shown = False
        self._is_flock_missed = False

    def __enter__(self) -> Self:
        try:
            run_with_watchdog(
                lambda pulse: self._lock_folder(pulse, self._patience.lock), self._patience.answer, self._clock
            )
        except (OSError, StorageError, ValueError) as error:
            self._trouble = words_of(error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        in_a_hurry = kind is not None and issubclass(kind, (InterruptedRunError, KeyboardInterrupt))
        self.close(in_a_hurry=in_a_hurry)

    # Before the run ------------------------------------------------------------------------------------------------

    def restore(self, check: Callable[[RunRecord], None]) -> bool:
        """Copy the mirror's run into the run directory if it is further than the run there; returns whether it was.

        Args:
            check: raises a `UserError` if the run in the mirror is not the requested one.

        Raises:
            UserError: the mirror holds another run; or it cannot be used while the run directory holds no run.
            StorageError: the run cannot be copied.
        """
        here = self._held_here()
        there = self._held_there(is_needed=here is None)
        if there is None:
            return False
        check(there.record)
        if here is not None and here.record.started != there.record.started:
            if self._must_hold_it:
                return False
            raise UserError(
                f"mirror_dir {self.folder} holds another run of this request than {self._files.path}: "
                "give another mirror_dir, or another run_dir to restore the one in the mirror"
            )
        if here is not None and here.progress >= there.progress:
            return False
        return self._restore_from_mirror(here)

    def _held_here(self) -> Held | None:
        try:
            return held_by(self._files)
        except (OSError, ValueError) as error:
            raise UserError(said_of(error, f"{self._files.path} cannot be read", "give another run_dir")) from None

    def _held_there(self, *, is_needed: bool) -> Held | None:
        """The run in the mirror; None if there is none, or if it cannot be read and is not needed.

        Raises:
            UserError: it is needed, and the mirror cannot be read or written.
        """
        try:
            there = run_with_watchdog(lambda _: self._look(), self._patience.answer, self._clock)
            trouble = self._trouble if there is None else None
        except (OSError, StorageError, UserError, ValueError) as error:
            there, trouble = None, words_of(error)
        if is_needed and trouble:
            raise UserError(
                f"mirror_dir {self.folder} cannot be used ({trouble}): mend that, give another, or leave mirror_dir out"
            )
        return there

    def _look(self) -> Held | None:
        there = held_by(self._mirror)
        if there is None:
            require_empty(self._mirror)
        return there

    def _restore_from_mirror(self, here: Held | None) -> bool:
        self._show(f"restoring the run in {self.folder}")
        try:
            damaged = run_with_watchdog(
                lambda pulse: stage(self._mirror, self._files, pulse, self._copy), self._patience.answer, self._clock
            )
            for name in damaged:
                self._show(f"checkpoint {name} in {self.folder} is damaged and was left out")
            staged = held_by(RunDirectory(self._files.path / STAGED))
            is_further = here is None or (staged is not None and staged.progress > here.progress)
            (put_in_place if is_further else discard)(self._files)
        except (OSError, StorageError, ValueError) as error:
            cause = _cause_of(error)
            what = f"the run in {self.folder} cannot be restored to {self._files.path}"
            raise StorageError(f"{said_of(cause, what, 'mend the drive')}; then run the same again") from error
        return is_further

    # Beside the run ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread that copies while the run goes on."""
        if self._device is not None and self._device == self._device_of_run():
            self._show(
                f"the mirror {self.folder} is on the same disk as the run and is lost with it: is the drive mounted?"
            )
        self._thread = threading.Thread(target=self._copy_until_closed, name="autofit-mirror", daemon=True)
        self._thread.start()

    def _device_of_run(self) -> int | None:
        with suppress(OSError):
            return self._files.path.stat().st_dev
        return None

    def sleep(self, seconds: float) -> None:
        """Sleep in the supervising thread, after showing messages of the mirror: a view is called from one thread."""
        self._report()
        time.sleep(seconds)

    def _copy_until_closed(self) -> None:
        """Copy, wait, and repeat; copy once more when the run has ended. This is what the thread runs."""
        failures, is_last = 0, False
        while not is_last:
            is_last = self._closing.is_set()
            began = self._clock()
            try:
                self._copy_once(everything=is_last)
                failures, self._trouble, self._is_complete = 0, None, is_last
            except AbandonedError:
                break
            except Exception as error:  # noqa: BLE001 - no failure of the mirror stops the run
                failures, self._trouble = failures + 1, words_of(error)
            finally:
                self._busy = False
            pause = self._patience.look * 2 ** min(failures - 1, 30) if failures else self._clock() - began
            self._closing.wait(min(self._patience.retry, max(self._patience.look, pause)))
        self._release()

    def _copy_once(self, *, everything: bool) -> None:
        self._pulse()
        self._busy = True
        self._require_drive()
        self._lock_folder(self._pulse, 0.0)
        if not self._must_hold_it:
            self.folder.mkdir(parents=True, exist_ok=True)  # somebody may have deleted it
        self._content.bring_up_to_date(everything=everything)

    def _require_drive(self) -> None:
        """Check that the drive is mounted: after an unmount the folder is empty. After a new mount, release the lock.

        Raises:
            OSError: the drive is not mounted.
        """
        if self._device is None or self._device == _device_of(self.folder):
            return
        if not os.path.lexists(self._mirror.run):
            raise OSError(errno.ENODEV, "the drive is no longer mounted")
        self._release()

    def _lock_folder(self, pulse: Pulse, patience_seconds: float) -> None:
        """Create the folder and take its lock, if the drive has locks.

        Raises:
            UserError: another run has the lock.
            OSError, StorageError: the folder cannot be created or written.
        """
        if self._lock is not None:
            return
        if self._must_hold_it:
            require_held(self._files, self._mirror)
        if self.folder.is_relative_to(COLAB_DRIVE) and not COLAB_DRIVE.is_mount():
            raise OSError(errno.ENODEV, f"Google Drive is not mounted: drive.mount('{COLAB_DRIVE}')")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = RunLock(self._mirror).acquire(patience_seconds)
        except UserError:
            raise UserError(
                f"mirror_dir {self.folder} is in use by another run: wait for it, or give another"
            ) from None
        try:
            pulse()
            self._device = _device_of(self.folder)
        except BaseException:
            lock.release()
            raise
        self._lock, self._is_flock_missed = lock, not lock.has_flock

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # Messages -------------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        """Show trouble with the mirror, at most once in `REPEAT_SECONDS` for each cause, and its end."""
        if self._is_flock_missed:
            self._is_flock_missed = False
            self._show(f"the mirror {self.folder}: {NO_FLOCK}")
        trouble = self._current_trouble()
        if trouble and self._clock() - self._shown_at.get(trouble, -REPEAT_SECONDS) >= REPEAT_SECONDS:
            self._shown_at[trouble] = self._clock()
            self._is_outage_shown = True
            self._show(
                f"the mirror {self.folder} cannot be written ({trouble}): trying again every "
                f"{self._patience.retry:g} s; the run goes on"
            )
        if not trouble and self._is_outage_shown:
            self._is_outage_shown = False
            self._show(f"the mirror {self.folder} works again")

    def _current_trouble(self) -> str | None:
        if self._busy and self._pulse.silence_seconds > self._patience.silence:
            return f"it has not answered for {self._patience.silence:g} s"
        return self._trouble

    # The end -------------------------------------------------------------------------------------------------------

    def hurry(self) -> None:
        """Limit the wait for the last copy, after an interruption, to one second."""
        self._leave_seconds = min(1.0, self._leave_seconds)

    def close(self, *, in_a_hurry: bool = False) -> None:
        """Let the thread copy what is missing, wait a while for it, and show a message if the mirror stays behind."""
        if self._thread is None:
            self._release()
            return
        self._closing.set()
        with suppress(KeyboardInterrupt):
            self._wait(self._thread, self._leave_seconds if in_a_hurry else self._patience.last)
        self._pulse.abandon()
        if self._is_complete:
            self._report()
            return
        cause = self._trouble or ("it does not answer" if self._is_silent() else "there was no time to copy the rest")
        there = shlex.quote(str(self.folder))
        self._show(
            f"the mirror {self.folder} is behind ({cause}); {self._files.path} has everything: once the mirror can be "
            f"written, cp -r {shlex.quote(str(self._files.path))}/. {there}"
        )

    def _wait(self, thread: threading.Thread, most_seconds: float) -> None:
        ends = self._clock() + most_seconds
        shown_at = self._clock() + self._patience.quiet
        while thread.is_alive() and self._clock() < ends and not self._is_silent():
            thread.join(0.05)
            if self._clock() >= shown_at:
                shown_at = ends
                self._show(f"copying the rest to the mirror {self.folder} (Ctrl-C leaves it behind)")

    def _is_silent(self) -> bool:
        return self._busy and self._pulse.silence_seconds > self._patience.answer


def words_of(error: Exception) -> str:
    """The cause of a failure in a few words without a path, so that the same cause has the same words."""
    error = _cause_of(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    kind = "" if isinstance(error, (OSError, ValueError, StorageError, UserError)) else f"{type(error).__name__}: "
    return kind + one_line(error)


def _cause_of(error: Exception) -> Exception:
    """The OSError behind a StorageError; else the error itself."""
    cause = error.__cause__
    return cause if isinstance(error, StorageError) and isinstance(cause, OSError) else error


def _device_of(folder: Path) -> int:
    """The device of a folder, or of its nearest parent that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder.stat().st_dev
