"""What becomes of a worker when its parent is killed or interrupted: `children/stub_parent.py`, a process."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from autofit.errors import UserError
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory, RunLock
from tests.support.paths import CHILDREN, child_environment
from tests.support.waiting import wait_until

STUB_PARENT = CHILDREN / "stub_parent.py"
ENVIRONMENT = child_environment()
LIFE_WITHOUT_A_PARENT_SECONDS = 2.0


@dataclass
class Parent:
    """A parent that supervises, and the worker that it has started."""

    process: subprocess.Popen[str]
    worker: psutil.Process

    def said_last(self) -> list[str]:
        """The kind and the words of the error that the supervisor returned."""
        assert self.process.stdout
        kind, words = json.loads(self.process.stdout.read().splitlines()[-1])
        return [kind, words]


@contextlib.contextmanager
def parent_of(
    ends: str, files: RunDirectory, *, checkpoint_steps: int = 2, before: Sequence[str] = ()
) -> Iterator[Parent]:
    """A parent whose worker has made its first steps, in a job of its own; `before` stands before its command."""
    plan = json.dumps({"checkpoint_steps": checkpoint_steps})
    command = [*before, sys.executable, str(STUB_PARENT), str(files.path), ends, "/", plan]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, process_group=0) as process:
        try:
            assert process.stdout
            next(line for line in process.stdout if line.startswith("train") and "0 0" not in line)
            *_, worker = psutil.Process(process.pid).children(recursive=True)
            try:
                yield Parent(process, worker)
            finally:
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()
        finally:
            process.kill()


@pytest.fixture
def files(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def assert_gone(worker: psutil.Process) -> None:
    deadline = time.monotonic() + LIFE_WITHOUT_A_PARENT_SECONDS
    with contextlib.suppress(psutil.NoSuchProcess):
        while worker.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the worker outlives its parent"
            time.sleep(0.02)


def wait_until_stopped(worker: psutil.Process) -> None:
    wait_until(lambda: worker.status() == psutil.STATUS_STOPPED, "the worker does not stop")


def position_committed(files: RunDirectory) -> int:
    state = CheckpointStore(files.checkpoints).latest_state()
    return state["position"] if state else 0


def wait_until_committed(files: RunDirectory, position: int) -> None:
    """A worker tells of a step before it commits it, so its heartbeat does not say that the checkpoint is there."""
    wait_until(lambda: position_committed(files) >= position, "the worker does not commit")


def test_a_worker_does_not_outlive_its_parent(files: RunDirectory) -> None:
    """A killed notebook would leave a worker behind that holds the memory, and the run directory locked."""
    with parent_of("hang@2", files) as parent:
        wait_until_committed(files, position=8)
        parent.process.kill()
        assert_gone(parent.worker)
    with RunLock(files).acquire(0.5):
        assert position_committed(files) == 8


def test_a_worker_that_still_lives_keeps_other_writers_out(files: RunDirectory) -> None:
    """A run that is resumed the moment after a kill would write beside a worker that has not noticed yet."""
    with parent_of("hang@2", files) as parent:  # one that stopped itself might stop before its first heartbeat
        parent.worker.suspend()
        wait_until_stopped(parent.worker)
        parent.process.kill()
        parent.process.wait()
        with pytest.raises(UserError, match="is in use by another process"):
            RunLock(files).acquire(0.3)
        parent.worker.resume()
        with RunLock(files).acquire(LIFE_WITHOUT_A_PARENT_SECONDS):
            assert_gone(parent.worker)


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


def test_a_killed_worker_is_replaced_under_a_living_parent(files: RunDirectory) -> None:
    """A worker killed from outside, as the kernel kills it, would take its parent along, or the rest of the run."""
    with parent_of("stubborn@2,complete", files) as parent:
        parent.worker.kill()
        assert parent.said_last() == ["NoneType", "None"]
    assert [attempt.path.name for attempt in files.attempts()] == ["0001", "0002"]


STOPPED = ["InterruptedRunError", "asked to stop"]


def signal_all(parent: Parent, *names: str) -> None:
    """Send signals to parent and worker at once, as a batch system does."""
    for name in names:
        for process in (parent.worker, parent.process):
            process.send_signal(signal.Signals[name])


def assert_committed_all(files: RunDirectory) -> None:
    state = CheckpointStore(files.checkpoints).latest_state()
    assert state
    assert state["ledger_bytes"] == files.audit.stat().st_size > 0


@pytest.mark.parametrize("names", [("SIGTERM",), ("SIGHUP",), ("SIGTERM", "SIGHUP", "SIGTERM")], ids="+".join)
@pytest.mark.parametrize("to_all", [False, True], ids=["parent", "parent and worker"])
def test_a_closed_terminal_or_a_batch_system_saves_and_ends(
    files: RunDirectory, names: Sequence[str], *, to_all: bool
) -> None:
    """A lost ssh or the end of a job would cost what was trained since the last checkpoint."""
    with parent_of("slow", files, checkpoint_steps=1000) as parent:
        if to_all:
            signal_all(parent, *names)
        else:
            for name in names:
                parent.process.send_signal(signal.Signals[name])
        kind, words = parent.said_last()
        assert (kind, words.partition(" (")[0]) == ("InterruptedRunError", "asked to stop")
        assert parent.process.wait() == 0
    assert_committed_all(files)


def test_sigterm_counts_for_process_1_of_a_container(files: RunDirectory) -> None:
    """The kernel would keep it from the run, and the container's grace would end in SIGKILL."""
    unshare = [shutil.which("unshare") or "unshare", "--pid", "--fork", "--kill-child"]
    with contextlib.suppress(OSError):
        if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0:
            with parent_of("slow", files, checkpoint_steps=1000, before=unshare) as container:
                (process_1,) = psutil.Process(container.process.pid).children()
                process_1.send_signal(signal.SIGTERM)
                assert container.said_last() == STOPPED
            assert_committed_all(files)
            return
    pytest.skip("no process namespace can be made here")


@pytest.mark.parametrize("to_all", [False, True], ids=["parent", "parent and worker"])
def test_sigusr1_saves_a_checkpoint_and_goes_on(files: RunDirectory, *, to_all: bool) -> None:
    """The warning of a batch system would kill the run that it is to save."""
    with parent_of("slow", files, checkpoint_steps=1000) as parent:
        assert position_committed(files) == 0
        if to_all:
            signal_all(parent, "SIGUSR1")
        else:
            parent.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: CheckpointStore(files.checkpoints).latest_state() is not None, process=parent.process)
        assert parent.process.poll() is None
        assert parent.said_last() == ["NoneType", "None"]
    assert len(files.attempts()) == 1


def test_ctrl_z_pauses_parent_and_worker_until_fg(files: RunDirectory) -> None:
    """The worker would go on behind the back of the person who has stopped it, or be taken for hung afterwards."""
    with parent_of("slow", files) as parent:
        parent.process.send_signal(signal.SIGTSTP)
        wait_until_stopped(psutil.Process(parent.process.pid))
        wait_until_stopped(parent.worker)
        parent.process.send_signal(signal.SIGCONT)
        assert parent.said_last() == ["NoneType", "None"]
    assert len(files.attempts()) == 1


def test_ctrl_z_and_then_a_closed_terminal_saves(files: RunDirectory) -> None:
    """The kernel sends SIGHUP and SIGCONT to a stopped job whose terminal is gone."""
    with parent_of("slow", files, checkpoint_steps=1000) as parent:
        parent.process.send_signal(signal.SIGTSTP)
        wait_until_stopped(parent.worker)
        parent.process.send_signal(signal.SIGHUP)
        parent.process.send_signal(signal.SIGCONT)
        assert parent.said_last() == STOPPED
    assert_committed_all(files)
