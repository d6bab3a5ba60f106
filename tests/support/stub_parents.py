"""A parent of `children/stub_parent.py` with its worker, both of which tests kill, stop and signal."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil

from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.paths import CHILDREN, child_environment
from tests.support.waiting import wait_until

STUB_PARENT = CHILDREN / "stub_parent.py"


@dataclass
class Parent:
    """A parent that supervises, and the worker that it has started."""

    process: subprocess.Popen[str]
    worker: psutil.Process

    def said_last(self) -> list[str]:
        """The kind and the words of the error that the supervisor returned."""
        assert self.process.stdout
        return _error_in(self.process.stdout.read())


@contextlib.contextmanager
def parent_of(
    ends: str, files: RunDirectory, *, checkpoint_steps: int = 2, before: Sequence[str] = ()
) -> Iterator[Parent]:
    """A parent whose worker has made its first steps, in a job of its own; `before` stands before its command."""
    command = [*before, *_command(ends, files, checkpoint_steps)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=child_environment(), process_group=0
    ) as process:
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


def said_by_parent_of(ends: str, files: RunDirectory) -> list[str]:
    """What a parent says last whose workers end by themselves, as `Parent.said_last` returns it."""
    run = subprocess.run(
        _command(ends, files, 2), stdout=subprocess.PIPE, text=True, env=child_environment(), check=False
    )
    return _error_in(run.stdout)


def _command(ends: str, files: RunDirectory, checkpoint_steps: int) -> list[str]:
    plan = json.dumps({"checkpoint_steps": checkpoint_steps})
    return [sys.executable, str(STUB_PARENT), str(files.path), ends, "/", plan]


def _error_in(printed: str) -> list[str]:
    kind, words = json.loads(printed.splitlines()[-1])
    return [kind, words]


def wait_until_stopped(worker: psutil.Process) -> None:
    wait_until(lambda: worker.status() == psutil.STATUS_STOPPED, "the worker does not stop")


def position_committed(files: RunDirectory) -> int:
    state = CheckpointStore(files.checkpoints).latest_state()
    return state["position"] if state else 0
