"""What becomes of a worker when its parent is killed or interrupted: `children/stub_parent.py`, a process."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

import psutil
import pytest

from autofit.errors import UserError
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock
from tests.support.stub_parents import parent_of, position_committed, wait_until_stopped
from tests.support.waiting import wait_until

LIFE_WITHOUT_A_PARENT_SECONDS = 2.0


@pytest.fixture
def files(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def assert_gone(worker: psutil.Process) -> None:
    deadline = time.monotonic() + LIFE_WITHOUT_A_PARENT_SECONDS
    with contextlib.suppress(psutil.NoSuchProcess):
        while worker.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the worker outlives its parent"
            time.sleep(0.02)


def wait_until_committed(files: RunDirectory, position: int) -> None:
    """A worker tells of a step before it commits it, so its heartbeat does not say that the checkpoint is there."""
    wait_until(lambda: position_committed(files) >= position, "the worker does not commit")


@pytest.mark.slow
def test_a_worker_does_not_outlive_its_parent(files: RunDirectory) -> None:
    """A killed notebook would leave a worker behind that holds the memory, and the run directory locked."""
    with parent_of("hang@2", files) as parent:
        wait_until_committed(files, position=8)
        parent.process.kill()
        assert_gone(parent.worker)
    with RunLock(files).acquire(0.5):
        assert position_committed(files) == 8


@pytest.mark.slow
def test_a_worker_that_still_lives_keeps_other_writers_out(files: RunDirectory) -> None:
    """A run that is resumed the moment after a kill would write beside a worker that has not noticed yet."""
    with parent_of("hang@2", files) as parent:  # one that stopped itself might stop before its first heartbeat
        parent.worker.suspend()
        wait_until_stopped(parent.worker)
        parent.process.kill()
        parent.process.wait()
        with pytest.raises(UserError, match="is in use by a worker"):
            RunLock(files).acquire(0.3)
        parent.worker.resume()
        with RunLock(files).acquire(LIFE_WITHOUT_A_PARENT_SECONDS):
            assert_gone(parent.worker)


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_commits_and_ends_as_interrupted(files: RunDirectory) -> None:
    """The signal must reach the parent alone, and the worker by its pipe, or a step is torn."""
    with parent_of("slow", files) as parent:
        parent.process.send_signal(signal.SIGINT)
        assert parent.said_last() == ["InterruptedRunError", "asked to stop"]
        assert parent.process.wait() == 0
        assert not parent.worker.is_running()
    state = CheckpointStore(files.checkpoints).latest_state()
    assert state
    assert state["ledger_bytes"] == files.audit.stat().st_size > 0


@pytest.mark.slow
def test_a_second_ctrl_c_ends_parent_and_worker_at_once(files: RunDirectory) -> None:
    """A person who presses again does not want to wait for thirty seconds."""
    with parent_of("stubborn@2", files) as parent:
        began = time.monotonic()
        parent.process.send_signal(signal.SIGINT)
        assert parent.process.stdout
        next(line for line in parent.process.stdout if line.startswith("stopping"))
        parent.process.send_signal(signal.SIGINT)
        assert parent.said_last() == ["KeyboardInterrupt", ""]
        assert not parent.worker.is_running()
        assert time.monotonic() - began < 2
    with RunLock(files).acquire(0):
        pass


@pytest.mark.slow
def test_a_killed_worker_is_replaced_under_a_living_parent(files: RunDirectory) -> None:
    """A worker killed from outside, as the kernel kills it, would take its parent along, or the rest of the run."""
    with parent_of("stubborn@2,complete", files) as parent:
        parent.worker.kill()
        assert parent.said_last() == ["NoneType", "None"]
    assert [attempt.path.name for attempt in files.attempts()] == ["0001", "0002"]
