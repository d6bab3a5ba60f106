"""Work that a drive holds up: it is named, and Ctrl-C is heard. The drive is a pipe that nobody writes to."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.errors import UserError
from autofit.input import patient_call
from autofit.input.patient_call import patiently


def nothing(_: object) -> None:
    """Say or show nothing."""


def test_an_answer_and_its_progress_are_passed_on() -> None:
    """A bar would stand still, or the answer be lost."""
    shown: list[int] = []
    both = threading.Event()

    def call(on_progress: Callable[[int], None]) -> str:
        on_progress(1000)
        on_progress(2000)
        assert both.wait(60)
        return "index"

    def show(count: int) -> None:
        shown.append(count)
        if count == 2000:
            both.set()

    assert patiently(call, "/photos", say=nothing, show=show) == "index"
    assert shown[-1] == 2000


def test_an_error_is_the_caller_s() -> None:
    """A folder without images would end in a traceback of a thread, and the caller wait for ever."""

    def call(_: Callable[[int], None]) -> None:
        raise UserError("no images")

    with pytest.raises(UserError, match=r"^no images$"):
        patiently(call, "/photos", say=nothing, show=nothing)


def test_a_drive_that_hangs_is_named_once_and_ctrl_c_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook would only come back when the drive does."""
    monkeypatch.setattr(patient_call, "SAY_SECONDS", 0.2)
    os.mkfifo(tmp_path / "pipe")
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        patiently(lambda _: (tmp_path / "pipe").read_bytes(), str(tmp_path), say=say, show=nothing)
    assert time.monotonic() - began < 30
    (line,) = said
    assert line.startswith("the drive /")
    assert "does not answer, for" in line
    assert "Ctrl-C stops" in line
    os.close(os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK))  # the thread that waits for it ends
