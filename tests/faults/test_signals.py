"""Signals of terminals, batch systems and containers, sent to a run: it saves, pauses or goes on, and loses nothing."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from autofit.runs.collect_result import collect_result
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.run_files import assert_each_epoch_once, updates_of
from tests.support.stub_parents import Parent, parent_of, position_committed, said_by_parent_of, wait_until_stopped
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

PROMISE = 17
IMAGES, UPDATES_AN_EPOCH = 24, 6


@pytest.fixture
def files(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


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
    files: RunDirectory, count: Callable[..., None], names: Sequence[str], *, to_all: bool
) -> None:
    """A lost ssh or the end of a job would cost what was trained since the last checkpoint."""
    count(promise=PROMISE)
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


def test_sigterm_counts_for_process_1_of_a_container(files: RunDirectory, count: Callable[..., None]) -> None:
    """The kernel would keep it from the run, and the container's grace would end in SIGKILL."""
    count(promise=PROMISE)
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
def test_sigusr1_saves_a_checkpoint_and_goes_on(
    files: RunDirectory, count: Callable[..., None], *, to_all: bool
) -> None:
    """The warning of a batch system would kill the run that it is to save."""
    count(promise=PROMISE)
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


def test_ctrl_z_pauses_parent_and_worker_until_fg(files: RunDirectory, count: Callable[..., None]) -> None:
    """The worker would go on behind the back of the person who has stopped it, or be taken for hung afterwards."""
    count(promise=PROMISE)
    with parent_of("slow", files) as parent:
        parent.process.send_signal(signal.SIGTSTP)
        wait_until_stopped(psutil.Process(parent.process.pid))
        wait_until_stopped(parent.worker)
        parent.process.send_signal(signal.SIGCONT)
        assert parent.said_last() == ["NoneType", "None"]
    assert len(files.attempts()) == 1


def test_ctrl_z_and_then_a_closed_terminal_saves(files: RunDirectory, count: Callable[..., None]) -> None:
    """The kernel sends SIGHUP and SIGCONT to a stopped job whose terminal is gone."""
    count(promise=PROMISE)
    with parent_of("slow", files, checkpoint_steps=1000) as parent:
        parent.process.send_signal(signal.SIGTSTP)
        wait_until_stopped(psutil.Process(parent.process.pid))
        wait_until_stopped(parent.worker)
        parent.process.send_signal(signal.SIGHUP)
        parent.process.send_signal(signal.SIGCONT)
        assert parent.said_last() == STOPPED
    assert_committed_all(files)


BY_DAEMON = "SIGTERM with 5 % of the memory left, as a daemon such as earlyoom sends it"


def attempts_of(files: RunDirectory) -> list[tuple[str, str, int]]:
    """Verdict, cause and micro-batch size of each attempt."""
    found = collect_result(files, "completed", "", 0.0).attempts
    return [(one.verdict.value, one.cause, one.micro_batch_size) for one in found]


def test_a_worker_that_a_daemon_ends_for_memory_saves_and_the_run_goes_on_smaller(
    files: RunDirectory, count: Callable[..., None]
) -> None:
    """The run would end as by Ctrl-C where earlyoom ends its worker, or meet it again, as large as before."""
    count(promise=7)
    with parent_of("crowded,complete", files, checkpoint_steps=1000) as parent:
        parent.worker.terminate()
        assert parent.said_last() == ["NoneType", "None"]
    assert attempts_of(files) == [("host_oom", BY_DAEMON, 4), ("completed", "", 2)]
    steps = [line["epoch"] * UPDATES_AN_EPOCH + line["step"] for line in updates_of(files.path)]
    assert steps == list(range(2 * UPDATES_AN_EPOCH))
    assert {line["attempt"] for line in updates_of(files.path)} == {1, 2}
    assert_each_epoch_once(files.path, 2, range(IMAGES))


def test_a_worker_that_a_daemon_ends_before_it_can_save_is_out_of_memory(
    files: RunDirectory, count: Callable[..., None]
) -> None:
    """A probe would end with the words that this is not about memory, and a run be tried again as large as it was."""
    count(promise=7)
    assert said_by_parent_of("evicted@3,complete", files) == ["NoneType", "None"]
    assert attempts_of(files) == [("host_oom", BY_DAEMON, 4), ("completed", "", 2)]
    assert_each_epoch_once(files.path, 2, range(IMAGES))


@pytest.mark.parametrize(("way", "to_all"), [("roomy", False), ("crowded", True)], ids=["room", "to all"])
def test_a_worker_that_a_person_or_a_batch_system_ends_ends_the_run(
    files: RunDirectory, count: Callable[..., None], way: str, *, to_all: bool
) -> None:
    """Who stops a worker would have to stop the next one, and a batch system kill what it gave time to save."""
    count(promise=PROMISE)
    with parent_of(way, files, checkpoint_steps=1000) as parent:
        if to_all:
            signal_all(parent, "SIGTERM")
        else:
            parent.worker.terminate()
        kind, words = parent.said_last()
        assert (kind, words.partition(" (")[0]) == ("InterruptedRunError", "asked to stop")
    assert_committed_all(files)
    assert len(files.attempts()) == 1
