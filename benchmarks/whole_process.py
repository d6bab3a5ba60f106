"""Running a program as a user does: a whole process, its time and its memory seen from outside."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended. `peak_bytes` is the most that it or any process that it waited for had resident.

    `cpu_seconds` are the processor's, of it and of all processes that it waited for.
    """

    seconds: float
    peak_bytes: int
    exit_code: int
    output: str
    errors: str
    cpu_seconds: float = 0.0

    @property
    def last_error(self) -> str:
        """The last line of standard error, which names the exception."""
        return (self.errors.strip().splitlines() or [""])[-1]

    def answer(self, name: str) -> Any:
        """The last line of its output, which is JSON.

        Raises:
            RuntimeError: it failed; `name` says which program that is.
        """
        if self.exit_code:
            raise RuntimeError(f"{name}: {self.last_error or self.exit_code}")
        return json.loads(self.output.splitlines()[-1])


def run_whole(command: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> Finished:
    """Run `command` in `folder` to its end, with `environment` added to our own."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        said, cpu_seconds = (output.read(), errors.read()), usage.ru_utime + usage.ru_stime
        return Finished(seconds, usage.ru_maxrss * KIBIBYTE, process.returncode, *said, cpu_seconds)
