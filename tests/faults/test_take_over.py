"""A worker that was stopped (SIGSTOP) and whose parent is gone holds a run directory: it is named, and can be ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from autofit.errors import UserError
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.lock_holders import end_orphans, holders_of
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock
from tests.support.stub_parents import Parent, parent_of, wait_until_stopped

pytestmark = pytest.mark.slow

PROMISE = 17


@pytest.fixture
def files(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


@contextmanager
def stopped_orphan(files: RunDirectory) -> Iterator[Parent]:
    """A worker that has updates to save, was stopped, and has lost its parent."""
    with parent_of("slow", files, checkpoint_steps=1000) as parent:
        parent.worker.suspend()
        wait_until_stopped(parent.worker)
        parent.process.kill()
        parent.process.wait()
        yield parent


def test_a_stopped_worker_without_a_parent_is_named_with_what_to_do(
    files: RunDirectory, count: Callable[..., None]
) -> None:
    """The next call would wait, and say that another process has the directory, which no tool finds."""
    count(promise=PROMISE)
    with stopped_orphan(files) as parent:
        with pytest.raises(UserError) as caught:
            RunLock(files).acquire(0.3)
        words = (
            rf"run directory .* is in use by a worker \(pid {parent.worker.pid}, stopped\) whose parent is gone, "
            r"silent since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d: --take-over \(take_over=True\) lets it save, and ends it"
        )
        assert re.fullmatch(words, str(caught.value))


def test_taking_over_lets_it_save_and_ends_it(files: RunDirectory, count: Callable[..., None]) -> None:
    """What it had trained since its last checkpoint would be lost, or the run could not go on."""
    count(promise=PROMISE)
    with stopped_orphan(files) as parent:
        with RunLock(files).take_over().acquire(0):
            assert not parent.worker.is_running() or parent.worker.status() == psutil.STATUS_ZOMBIE
        state = CheckpointStore(files.checkpoints).latest_state()
        assert state
        assert state["ledger_bytes"] == files.audit.stat().st_size > 0


def test_a_worker_that_does_not_end_is_killed(files: RunDirectory, count: Callable[..., None]) -> None:
    """A worker that hangs would hold its run directory until the machine is started anew."""
    count(promise=PROMISE)
    with stopped_orphan(files):
        end_orphans(files.path / ".lock", leaves_seconds=0.0)
        with RunLock(files).acquire(5):  # the kernel takes a moment to close its files
            pass


def test_a_run_whose_parent_lives_is_never_ended(files: RunDirectory, count: Callable[..., None]) -> None:
    """A second call with the flag would kill a training that is well."""
    count(promise=PROMISE)
    with parent_of("slow", files) as parent:
        assert {holder.pid for holder in holders_of(files.path / ".lock")} >= {parent.process.pid, parent.worker.pid}
        with pytest.raises(UserError, match=rf"is in use by another process: .*pid {parent.process.pid}, "):
            RunLock(files).take_over().acquire(0)
        assert parent.said_last() == ["NoneType", "None"]
    assert len(files.attempts()) == 1
