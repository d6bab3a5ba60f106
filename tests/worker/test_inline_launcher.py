"""The inline launcher, over an attempt that stands in for TensorFlow's."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from autofit.errors import UserError
from autofit.process.launch import Exit, Worker
from autofit.protocol.messages import Request
from autofit.protocol.payload import Payload
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.inline_launcher import InlineLauncher, refuse_memory_limit
from tests.support.waiting import exit_of

Attempt = Callable[[Path, "queue.Queue[Request | None]", Callable[[], Payload | None]], int]


@pytest.fixture
def attempt(tmp_path: Path) -> AttemptDirectory:
    return AttemptDirectory(tmp_path)


@pytest.fixture
def start(attempt: AttemptDirectory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Worker]]:
    """Launch with a function in the place of `autofit.worker.jobs.dispatch.run_job`."""
    started: list[Worker] = []

    def start(run_job: Attempt, payload: Payload | None = None) -> Worker:
        module = ModuleType("autofit.worker.jobs.dispatch")
        module.run_job = run_job  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "autofit.worker.jobs.dispatch", module)
        started.append(InlineLauncher().launch(attempt, payload, None))
        return started[0]

    yield start
    for worker in started:
        worker.close()
    assert "autofit-worker" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("code", [0, 1])
def test_an_attempt_is_run_with_what_it_needs_and_its_code_kept(
    start: Callable[..., Worker], attempt: AttemptDirectory, code: int
) -> None:
    """The supervisor could tell the launchers apart: by the folder, the payload or the exit."""
    payload, seen = Payload(len), []

    def run_attempt(path: Path, requests: queue.Queue[Request | None], load: Callable[[], Payload | None]) -> int:
        seen.append((path, requests.qsize(), load(), threading.current_thread().name))
        return code

    assert exit_of(start(run_attempt, payload)) == Exit(code)
    assert seen == [(attempt.path, 0, payload, "autofit-worker")]


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(0), KeyboardInterrupt()])
def test_a_crash_ends_the_worker_and_not_the_notebook(
    start: Callable[..., Worker], attempt: AttemptDirectory, error: BaseException
) -> None:
    """A crash that is not heard is waited for without end; one that calls itself a good end is believed."""

    def run_attempt(*_: object) -> int:
        raise error

    assert exit_of(start(run_attempt)) == Exit(1)
    assert type(error).__name__ in attempt.stderr.read_text()


def serve(requests: queue.Queue[Request | None], got: list[Request | None]) -> int:
    while True:
        got.append(requests.get(timeout=10))
        if got[-1] is None or got[-1].leave:
            return 0


def test_requests_arrive_and_closing_ends_it(start: Callable[..., Worker]) -> None:
    """A thread that goes on after its cell has ended trains beside the next one."""
    got: list[Request | None] = []
    worker = start(lambda _, requests, __: serve(requests, got))
    worker.send(Request(trial=3))
    assert worker.poll() is None
    worker.close()
    assert worker.poll() == Exit(0)
    assert got == [Request(trial=3), Request(leave="interrupted")]
    worker.send(Request(trial=4))
    worker.kill()
    worker.close()


def test_kill_waits_for_the_step_it_cannot_stop(start: Callable[..., Worker]) -> None:
    """The next attempt would start in the same process while this one still holds the memory."""
    in_step = threading.Event()

    def run_attempt(_: object, requests: queue.Queue[Request | None], __: object) -> int:
        in_step.set()
        time.sleep(0.2)
        return serve(requests, [])

    worker = start(run_attempt)
    assert in_step.wait(10)
    worker.kill()
    assert worker.poll() == Exit(0)


@pytest.mark.parametrize(
    ("device", "given", "loaded", "refused"),
    [("cpu", True, True, True), ("cpu", True, False, False), ("cpu", False, True, False), ("gpu", True, True, False)],
)
def test_a_limit_that_cannot_be_kept_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    given: bool,  # noqa: FBT001
    loaded: bool,  # noqa: FBT001
    refused: bool,  # noqa: FBT001
) -> None:
    """TensorFlow reads the limit once: a notebook would be told 3 GB and take all there is."""
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    if loaded:
        monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    if refused:
        with pytest.raises(UserError, match="memory_limit cannot be kept with isolation='inline' once TensorFlow is"):
            refuse_memory_limit(device=device, limit_is_given=given)
    else:
        refuse_memory_limit(device=device, limit_is_given=given)
