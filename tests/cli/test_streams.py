"""A terminal that is gone, a pipe that nobody reads, a stream that was never open: no command crashes for that."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autofit.report.progress import progress_view
from autofit.report.steady_stream import steady
from autofit.report.views import PlainView
from tests.support.paths import child_environment


def command(redirection: str) -> subprocess.CompletedProcess[str]:
    """`autofit train` on a folder that does not exist, with its streams redirected; prints its exit code last."""
    program = f'"$0" -m autofit train nowhere {redirection}; echo "exit code $?"'
    return subprocess.run(
        ["/bin/sh", "-c", program, sys.executable], env=child_environment(), capture_output=True, text=True, check=False
    )


OTHERS = (">&-", "2>&-", ">&- 2>&-", "2>/dev/full")


@pytest.mark.slow
@pytest.mark.parametrize(
    "redirection",
    ["<&- >&- 2>&-", ">/dev/full", *(pytest.param(one, marks=pytest.mark.whole) for one in OTHERS)],
)
def test_a_stream_that_is_closed_or_full_is_no_crash(redirection: str) -> None:
    """A run from cron, or behind a closed window, would end with a traceback, or print into its own files."""
    done = command(redirection)
    assert done.stdout.splitlines()[-1] == "exit code 2"
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stderr
    if "2>" not in redirection:
        assert "nowhere" in done.stderr


def test_a_reader_that_has_ended_is_no_crash() -> None:
    """`autofit train 2>&1 | head -1` would end the training with its first line."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", buffering=1) as stream:
        os.close(reading)
        with PlainView(steady(stream), clock=time.monotonic) as view:
            view.message("one")
            view.passthrough("two\n")
        with pytest.raises(BrokenPipeError):
            stream.write("three\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # so that closing it does not raise


@pytest.mark.parametrize("arguments", [["--version"], ["train", "--help"], ["cache"]])
def test_a_help_that_is_read_in_part_is_no_failure(arguments: list[str]) -> None:
    """`autofit train --help | head` would end a script that stops at failures."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "autofit", *arguments]
    done = subprocess.run(
        command, env=child_environment(), stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_view_of_a_command_is_steady() -> None:
    """Each view would have to think of it."""
    stream = io.StringIO()
    with progress_view(stream) as view:
        view.message("shown")
        stream.close()
        view.message("not shown")
        view.passthrough("nor this")


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_program_without_standard_error_is_no_crash(monkeypatch: pytest.MonkeyPatch, stream: str | None) -> None:
    """A training in a daemon or a service, which have closed it, would end before it begins."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed if stream else None)
    with progress_view() as view:
        view.message("not shown")


def test_ctrl_c_while_a_command_starts_is_one_line(tmp_path: Path) -> None:
    """The second in which packages are loaded would end with a traceback."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    environment = child_environment()
    environment["PYTHONPATH"] = f"{tmp_path}:{environment['PYTHONPATH']}"
    command = [sys.executable, "-m", "autofit", "doctor"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "autofit: stopped\n")
