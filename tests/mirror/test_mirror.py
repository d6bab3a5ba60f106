"""The mirror's thread: whatever the drive does, the run goes on, a person learns of it once, and nobody waits long."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from autofit.errors import InterruptedRunError, UserError
from autofit.mirror import mirror as module
from autofit.mirror.copying import Beat, copy_file
from autofit.mirror.mirror import Mirror
from autofit.mirror.overlap import refuse_overlap
from autofit.mirror.patience import PATIENCE, MirrorPatience
from autofit.mirror.restore import held_by
from autofit.mirror.watchdog import AbandonedError, Pulse, run_with_watchdog
from autofit.process import monitor
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock
from tests.support.waiting import wait_until

FAST = MirrorPatience(look=0.01, retry=0.02, answer=10.0, silence=5.0, lock=0.0, last=5.0, leave=0.5)
IMPATIENT = replace(FAST, answer=0.3)
"""For drives that hang and not for busy machines."""

SAME_DISK = "is on the same disk as the run and is lost with it: is the drive mounted?"


class Drive:
    """A drive that fails or hangs when it is told to."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.writes = 0
        self.is_free, self.is_stuck = threading.Event(), threading.Event()
        self.is_free.set()

    def __call__(self, source: IO[bytes], target: Path, size_bytes: int, beat: Beat) -> str:
        """Copy a file, as far as the drive lets it."""
        self.writes += 1
        if not self.is_free.is_set():
            self.is_stuck.set()
            self.is_free.wait(20)
        if self.failure:
            raise self.failure
        return copy_file(source, target, size_bytes, beat)

    def hang(self) -> None:
        """From now on a write does not return."""
        self.is_free.clear()


class Watcher:
    """The supervising thread: sleeps, and keeps what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.threads: set[str] = set()

    def tell(self, text: str) -> None:
        """Keep it."""
        self.told.append(text)
        self.threads.add(threading.current_thread().name)

    def until(self, mirror: Mirror, condition: Callable[[], object]) -> None:
        """Sleep as the supervisor does, until it is so."""
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, self.told
            mirror.sleep(0.005)

    def heard(self, words: str) -> int:
        """How often this was said."""
        return sum(words in text for text in self.told)


@pytest.fixture
def drive() -> Iterator[Drive]:
    drive = Drive()
    yield drive
    drive.is_free.set()  # let its thread end


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def make_mirror(training: Any, mirror: RunDirectory, drive: Drive, watcher: Watcher) -> Callable[..., Mirror]:
    """`make_mirror()`: a mirror of the run, not entered yet."""

    def make_mirror(patience: MirrorPatience = FAST) -> Mirror:
        return Mirror(training.files, mirror.path, watcher.tell, patience=patience, copy=drive)

    return make_mirror


def position(mirror: RunDirectory) -> int:
    """Where a run that is resumed from there would stand."""
    held = held_by(mirror)
    return held.progress[1] if held else -1


def wait_for_the_end_of_all_threads() -> None:
    wait_until(
        lambda: not any(thread.name.startswith("autofit-") for thread in threading.enumerate()),
        "a thread that was left behind does not end",
    )


def test_each_new_checkpoint_arrives_beside_the_run(
    training: Any, mirror: RunDirectory, make_mirror: Callable[..., Mirror], watcher: Watcher, resumable: Any
) -> None:
    """The mirror would stay behind, or be told of where there is nothing to tell."""
    with make_mirror() as one:
        one.start()
        for number in range(1, 4):
            training.commit()
            watcher.until(one, lambda number=number: position(mirror) == 3 * number)  # type: ignore[misc]
        training.commit()
        training.finish()
    assert (mirror.path / "result.json").exists()
    assert resumable(mirror.path) == 12
    assert [text for text in watcher.told if SAME_DISK not in text] == []
    wait_for_the_end_of_all_threads()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.ENOTCONN, errno.EDQUOT])
def test_a_drive_that_fails_is_told_of_once_and_retried(
    training: Any, mirror: RunDirectory, make_mirror: Callable[..., Mirror], drive: Drive, watcher: Watcher, code: int
) -> None:
    """A night without the drive would end the run, or fill the log, or nobody would learn that the mirror is old."""
    with make_mirror() as one:
        one.start()
        training.commit()
        watcher.until(one, (mirror.checkpoints / "00000001").exists)
        drive.failure = OSError(code, os.strerror(code))
        before = drive.writes
        training.commit()
        watcher.until(one, lambda: drive.writes > before + 5)
        expected = (
            f"the mirror {mirror.path} cannot be written ({os.strerror(code)}): trying again every 0.02 s; "
            "the run goes on"
        )
        assert watcher.told[1:] == [expected]
        drive.failure = None
        watcher.until(one, (mirror.checkpoints / "00000002").exists)
        watcher.until(one, lambda: len(watcher.told) == 3)
    assert watcher.told[2:] == [f"the mirror {mirror.path} works again"]
    assert watcher.threads == {"MainThread"}


def test_another_cause_is_told_too_and_the_same_not_again(
    training: Any, make_mirror: Callable[..., Mirror], drive: Drive, watcher: Watcher
) -> None:
    """A drive that comes and goes all night would fill a notebook."""
    with make_mirror() as one:
        one.start()
        for _ in range(4):
            for code in (errno.EIO, errno.ENOSPC):
                drive.failure = OSError(code, os.strerror(code))
                before = drive.writes
                training.commit()
                watcher.until(one, lambda before=before: drive.writes > before + 1)  # type: ignore[misc]
                watcher.until(one, lambda code=code: watcher.heard(os.strerror(code)))  # type: ignore[misc]
            drive.failure = None
            watcher.until(one, lambda: one._trouble is None)
            watcher.until(one, lambda: watcher.heard("works again"))
    assert watcher.heard("Input/output error") == watcher.heard("No space left on device") == 1
    assert watcher.heard("works again") == 1


def test_the_pauses_grow(training: Any, make_mirror: Callable[..., Mirror], drive: Drive, watcher: Watcher) -> None:
    """A drive that is gone for a night would be written to every few seconds."""
    drive.failure = OSError(errno.EIO, "gone")
    training.commit()
    with make_mirror(MirrorPatience(look=0.01, retry=60.0, answer=1.0, last=0.0)) as one:
        one.start()
        ends = time.monotonic() + 1.0
        watcher.until(one, lambda: time.monotonic() > ends)
        assert 5 <= drive.writes <= 8  # at 0, 10, 30, 70, 150, 310 and 630 ms
    assert watcher.heard("is behind (gone)") == 1


def test_a_defect_of_ours_does_not_end_the_run(
    training: Any, make_mirror: Callable[..., Mirror], drive: Drive, watcher: Watcher
) -> None:
    """An exception that nobody thought of would end the thread, and the mirror grow old without a word."""
    drive.failure = RuntimeError("not thought of")
    training.commit()
    with make_mirror() as one:
        one.start()
        watcher.until(one, lambda: watcher.heard("cannot be written (RuntimeError: not thought of)"))
        drive.failure = None
        watcher.until(one, lambda: watcher.heard("works again"))


# A drive that hangs --------------------------------------------------------------------------------------------------


def test_a_drive_that_hangs_holds_nobody_up(
    training: Any,
    mirror: RunDirectory,
    make_mirror: Callable[..., Mirror],
    drive: Drive,
    watcher: Watcher,
    resumable: Any,
) -> None:
    """The supervisor would wait in the drive's system call while its worker dies, or the mirror never be heard of."""
    with make_mirror(replace(FAST, silence=0.1, answer=5.0)) as one:
        one.start()
        drive.hang()
        training.commit()
        slept: list[float] = []
        for _ in range(40):
            began = time.monotonic()
            one.sleep(0.005)
            slept.append(time.monotonic() - began)
        assert max(slept) < 1.0
        watcher.until(one, drive.is_stuck.is_set)
        watcher.until(one, lambda: watcher.heard("cannot be written"))
        assert watcher.heard("cannot be written (it has not answered for 0.1 s)") == 1
        drive.is_free.set()
        watcher.until(one, lambda: watcher.heard("works again"))
    assert resumable(mirror.path) == 3


@pytest.mark.parametrize("error", [InterruptedRunError("asked to stop"), KeyboardInterrupt(), None], ids=repr)
def test_at_the_end_a_hanging_drive_is_left_behind(
    training: Any, mirror: RunDirectory, make_mirror: Callable[..., Mirror], drive: Drive, watcher: Watcher, error: Any
) -> None:
    """Ctrl-C would not end the run; or a finished run never return, or leave its user in the belief of a whole copy."""
    with suppress(KeyboardInterrupt, InterruptedRunError), make_mirror(IMPATIENT) as one:
        one.start()
        drive.hang()
        training.commit()
        watcher.until(one, drive.is_stuck.is_set)
        began = time.monotonic()
        if error:
            raise error
    assert time.monotonic() - began < 2.0
    run_dir = training.files.path
    assert watcher.told[-1] == (
        f"the mirror {mirror.path} is behind (it does not answer); {run_dir} has everything: "
        f"once the mirror can be written, cp -r {run_dir}/. {mirror.path}"
    )
    before = drive.writes
    drive.is_free.set()
    wait_for_the_end_of_all_threads()
    assert drive.writes == before  # what is left behind does not go on behind everybody's back
    with RunLock(mirror).acquire(0.0):  # nor does it keep the mirror
        pass


def test_a_drive_that_hangs_at_the_start_is_no_reason_to_stop(
    training: Any,
    mirror: RunDirectory,
    make_mirror: Callable[..., Mirror],
    watcher: Watcher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that is here could not be resumed while the drive sleeps."""
    is_awake = threading.Event()

    def asleep(files: RunDirectory) -> Any:
        return is_awake.wait(10) if files.path == mirror.path else held_by(files)

    monkeypatch.setattr(module, "held_by", asleep)
    with make_mirror(IMPATIENT) as one:
        assert not one.restore(lambda _: None)
    shutil.rmtree(training.files.path)
    training.files.path.mkdir()
    said = r"cannot be used \(it has not answered for 0.3 s\): mend that"
    with pytest.raises(UserError, match=said), make_mirror(IMPATIENT) as one:
        one.restore(lambda _: None)
    is_awake.set()
    assert watcher.told == []


def test_ctrl_c_ends_the_last_wait(
    training: Any, make_mirror: Callable[..., Mirror], drive: Drive, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person could not leave a slow drive behind, or their finished run would end with an error for it."""
    joins: list[float] = []

    def pressed(_: threading.Thread, timeout: float) -> None:
        joins.append(timeout)
        if len(joins) == 3:
            raise KeyboardInterrupt

    with make_mirror() as one:
        one.start()
        drive.hang()
        training.commit()
        monkeypatch.setattr(threading.Thread, "join", pressed)
    assert len(joins) == 3
    assert watcher.heard("is behind (there was no time to copy the rest)") == 1


def test_the_second_ctrl_c_hardly_waits(training: Any, make_mirror: Callable[..., Mirror], drive: Drive) -> None:
    """A person who has pressed twice does not want to wait for a drive."""
    with suppress(InterruptedRunError), make_mirror(MirrorPatience(leave=30.0)) as one:
        one.start()
        drive.hang()
        training.commit()
        one.hurry()
        began = time.monotonic()
        raise InterruptedRunError("stopped at once")
    assert time.monotonic() - began < 2.0


def test_a_slow_drive_is_waited_for_at_the_end(
    training: Any, mirror: RunDirectory, watcher: Watcher, resumable: Any
) -> None:
    """The model of a finished run would be missing on the drive, because the last copy takes longer than a pause."""

    def slow(source: IO[bytes], target: Path, size_bytes: int, beat: Beat) -> str:
        time.sleep(0.1)
        return copy_file(source, target, size_bytes, beat)

    patience = replace(FAST, quiet=0.1)
    with Mirror(training.files, mirror.path, watcher.tell, patience=patience, copy=slow) as one:
        one.start()
        training.commit()
        training.finish()
    assert resumable(mirror.path) == 3
    assert (mirror.path / "result.json").exists()
    assert watcher.heard("copying the rest to the mirror") == 1
    assert watcher.heard("is behind") == 0


# Whose it is ---------------------------------------------------------------------------------------------------------


def test_two_runs_cannot_have_one_mirror(training: Any, another: Any, mirror: RunDirectory) -> None:
    """Two runs would write over each other's checkpoints; or a mirror stay locked when its run is over."""
    assert training.record
    with Mirror(training.files, mirror.path, print, patience=FAST):
        second = Mirror(another.files, mirror.path, print, patience=FAST)
        with pytest.raises(UserError, match=r"mirror_dir .*mirror is in use by another run: wait for it, or give anot"):
            second.__enter__()
        with pytest.raises(UserError, match="is in use by another process"):
            RunLock(mirror).acquire(0.0)  # nor can it be resumed meanwhile
    with Mirror(another.files, mirror.path, print, patience=FAST):
        pass


def test_a_drive_without_locks_is_used_all_the_same(
    training: Any,
    make_mirror: Callable[..., Mirror],
    watcher: Watcher,
    mirror: RunDirectory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No run could be mirrored to such a drive."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with make_mirror() as one:
        one.start()
        training.commit()
        watcher.until(one, (mirror.checkpoints / "00000001").exists)
    assert watcher.heard("this drive cannot lock files") == 1


def test_a_mirror_that_cannot_be_made_is_refused_where_nothing_is_lost_yet(training: Any, tmp_path: Path) -> None:
    """A typing error would be told of as a drive that fails, all night; or a run that is here be stopped by it."""
    (tmp_path / "file").touch()
    told: list[str] = []
    with Mirror(training.files, tmp_path / "file" / "m", told.append, patience=FAST) as one:
        assert not one.restore(lambda _: None)
        one.start()
        training.commit()
    assert told[-1].startswith(f"the mirror {tmp_path}/file/m is behind (Not a directory)")
    new = RunDirectory(tmp_path / "new")
    new.create()
    with (
        pytest.raises(UserError, match=r"mirror_dir .*file/m cannot be used \(Not a directory\): mend that, give"),
        Mirror(new, tmp_path / "file" / "m", told.append, patience=FAST) as one,
    ):
        one.restore(lambda _: None)


def test_nothing_is_written_where_google_drive_is_not_mounted(
    training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colab's `drive.mount` refuses a folder that has files in it: the drive could be mounted no more."""
    monkeypatch.setattr(module, "COLAB_DRIVE", tmp_path / "content" / "drive")
    folder = tmp_path / "content" / "drive" / "MyDrive" / "flowers"
    new = RunDirectory(tmp_path / "new")
    new.create()
    with (
        pytest.raises(UserError, match=r"cannot be used \(Google Drive is not mounted: drive.mount\('.*drive'\)\)"),
        Mirror(new, folder, print, patience=FAST) as one,
    ):
        one.restore(lambda _: None)
    told: list[str] = []
    with Mirror(training.files, folder, told.append, patience=FAST) as one:
        one.start()
        training.commit()
    assert "is behind (Google Drive is not mounted" in told[-1]
    assert not (tmp_path / "content").exists()


def test_nothing_is_written_under_a_drive_that_was_unmounted(
    training: Any,
    mirror: RunDirectory,
    make_mirror: Callable[..., Mirror],
    watcher: Watcher,
    resumable: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run would be mirrored to the local disk below the mount point, and hidden when the drive comes back."""
    gone = mirror.path.with_name("gone")
    with make_mirror() as one:
        one.start()
        training.commit()
        watcher.until(one, (mirror.checkpoints / "00000001").exists)
        with monkeypatch.context() as unmounted:
            unmounted.setattr(module, "_device_of", lambda _: -1)
            mirror.path.rename(gone)
            training.commit()
            watcher.until(one, lambda: watcher.heard("cannot be written (the drive is no longer mounted)"))
            assert not mirror.path.exists()
            gone.rename(mirror.path)  # mounted again, and so another device
            watcher.until(one, lambda: watcher.heard("works again"))
    assert resumable(mirror.path) == 6


@pytest.mark.parametrize(
    ("run_dir", "folder", "words"),
    [
        ("a", "a", "is the run directory itself"),
        ("a", "x/../a", "is the run directory itself"),
        ("a", "link", "is the run directory itself"),
        ("a", "a/mirror", "lie one in the other"),
        ("a/run", "a", "lie one in the other"),
        ("link/run", "a", "lie one in the other"),
    ],
)
def test_a_mirror_that_overlaps_with_its_run_is_refused(tmp_path: Path, run_dir: str, folder: str, words: str) -> None:
    """A run would be copied into itself, without end."""
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UserError, match=rf"mirror_dir .* {words}: give another"):
        refuse_overlap(tmp_path / run_dir, tmp_path / folder)
    refuse_overlap(tmp_path / "a", tmp_path / "ab")


# Doing on a thread what may hang -------------------------------------------------------------------------------------


def test_watched_work_returns_or_raises_as_it_would() -> None:
    """An answer, or a failure, would be lost on its way between two threads."""
    assert run_with_watchdog(lambda _: 7, 5.0) == 7
    with pytest.raises(ZeroDivisionError):
        run_with_watchdog(lambda _: 1 // 0, 5.0)
    with pytest.raises(TimeoutError, match="the drive's own"):
        run_with_watchdog(lambda _: (_ for _ in ()).throw(TimeoutError("the drive's own")), 5.0)


def test_work_that_gets_on_is_waited_for_and_work_that_does_not_is_left() -> None:
    """A large checkpoint on a slow drive would be given up; or a dead drive be waited for."""

    def slow(pulse: Pulse) -> str:
        for _ in range(10):
            time.sleep(0.15)
            pulse()
        return "done"

    assert run_with_watchdog(slow, 1.0) == "done"
    ends: list[str] = []
    is_free = threading.Event()

    def stuck(pulse: Pulse) -> None:
        is_free.wait(10)
        try:
            pulse()
        except AbandonedError:
            ends.append("abandoned")
            raise

    with pytest.raises(TimeoutError, match=r"it has not answered for 0.2 s"):
        run_with_watchdog(stuck, 0.2)
    is_free.set()
    deadline = time.monotonic() + 5
    while not ends:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_worker_and_a_mirror_that_both_hang_are_left_within_half_a_minute() -> None:
    """Ctrl-C would take longer than was promised, where both take all the time that they may."""
    assert monitor.PATIENCE.stop_seconds + PATIENCE.leave <= 28
