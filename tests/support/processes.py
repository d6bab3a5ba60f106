"""Running commands with their workers, and the end of both."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

from tests.support.fork_server import forked_by, forks_workers
from tests.support.paths import CHILDREN, child_environment
from tests.support.waiting import wait_until

FORKING = str(CHILDREN / "forking.py")


def autofit_command(*arguments: object) -> list[str]:
    """A command line of autofit."""
    return [sys.executable, "-m", "autofit", *map(str, arguments)]


def forking(command: list[str]) -> list[str]:
    """The same command of Python, with forked workers (`fork_server.py`)."""
    return [command[0], FORKING, *command[1:]]


def unforked(command: list[str]) -> list[str]:
    """The command that `forking` was given."""
    return [word for word in command if word != FORKING]


def workers_of(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The living workers of a running command."""
    try:
        children = psutil.Process(process.pid).children()
        return [child for child in children if "autofit.worker" in child.cmdline()] + forked_by(process.pid)
    except psutil.Error:
        return []


def kill_with_children(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """`kill -9` a command and its children, and wait until all are gone; what forks the session's workers lives on."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        children = [child for child in parent.children() if not forks_workers(child)]
        family = [parent, *children, *forked_by(process.pid)]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        wait_until_gone(family[1:])
    process.wait()


def kill_both(command: list[str], reached: Callable[[], bool]) -> None:
    """Start a run, and kill it and its worker when it has reached a point."""
    environment = child_environment()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as parent:
        wait_until(reached, "the run never came so far", process=parent)
        kill_with_children(parent)


def is_alive(process: psutil.Process) -> bool:
    """Whether a process exists that is no zombie."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(processes: Sequence[psutil.Process]) -> None:
    """Wait for the end of processes; that of psutil 7 may end in a FileNotFoundError of `os.pidfd_open`."""
    wait_until(lambda: not any(map(is_alive, processes)), "killed processes live on")


@contextlib.contextmanager
def started(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running command; it does not outlive its test."""
    environment = child_environment()
    with log.open("ab") as output:
        process = subprocess.Popen(arguments, env=environment, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
