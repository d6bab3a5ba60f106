"""Noticing that a whole process sleeps, which on a CPU means that its allocator waits for memory in vain."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from autofit.worker.runtime import allocator_stall
from autofit.worker.runtime.allocator_stall import stall_watch


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator_stall, "ASLEEP_FOR_SECONDS", 0.4)
    monkeypatch.setattr(allocator_stall, "LOOK_EVERY_SECONDS", 0.05)


def test_a_process_in_which_nobody_runs_is_noticed_once() -> None:
    """Each out-of-memory of a probe would cost the allocator's 10 s."""
    noticed, stalls = threading.Event(), list[int]()

    def note() -> None:
        stalls.append(1)
        noticed.set()

    with stall_watch(note):
        assert noticed.wait(8.0)  # a thread of an earlier test may still run for a while
        time.sleep(1.0)
    assert len(stalls) == 1


@pytest.mark.slow
def test_work_is_no_stall() -> None:
    """A size that fits and takes its time would be taken for one that does not."""
    stalls: list[int] = []
    with stall_watch(lambda: stalls.append(1)):
        began = time.monotonic()
        while time.monotonic() - began < 1.2:
            sum(range(1000))
    assert stalls == []


def test_work_of_another_thread_is_no_stall() -> None:
    """The main thread only waits while TensorFlow's threads compute."""
    stalls: list[int] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            sum(range(1000))

    worker = threading.Thread(target=work)
    worker.start()
    with stall_watch(lambda: stalls.append(1)):
        time.sleep(1.2)
    over.set()
    worker.join()
    assert stalls == []


def test_a_block_that_ends_leaves_no_watcher() -> None:
    """A thread would be left for each trial, and report a stall of the next."""
    before = threading.active_count()
    with stall_watch(lambda: None):
        pass
    assert threading.active_count() == before


def test_a_system_that_tells_nothing_of_threads_has_no_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS every trial would be taken for out of memory."""
    monkeypatch.setattr(allocator_stall, "TASKS", Path("/nowhere"))
    stalls: list[int] = []
    with stall_watch(lambda: stalls.append(1)):
        time.sleep(1.0)
    assert stalls == []
