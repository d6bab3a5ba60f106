"""Running commands with their workers, and the end of both."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import psutil


def autofit_command(*arguments: object) -> list[str]:
    """A command line of autofit."""
    return [sys.executable, "-m", "autofit", *map(str, arguments)]


def workers_of(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The living workers of a running command."""
    try:
        children = psutil.Process(process.pid).children()
        return [child for child in children if "autofit.worker" in child.cmdline()]
    except psutil.Error:
        return []


def kill_with_children(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """`kill -9` a command and its children, and wait until all are gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(family[1:], timeout=30)
    process.wait()
