from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, NoReturn

import pytest

from autofit.input import resizable_pool as pool_module
from autofit.input.resizable_pool import ResizablePool
from tests.support.waiting import wait_until

NAME = "test-pool"


@pytest.fixture
def pool() -> Iterator[ResizablePool]:
    pool = ResizablePool(2, NAME)
    yield pool
    pool.close()


def threads() -> int:
    return sum(thread.name.startswith(NAME) for thread in threading.enumerate())


class Gate:
    """A call that waits; it counts those that are being made, and notes in which order they began."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun: list[int] = []
        self.inside = 0
        self._lock = threading.Lock()

    def call(self, number: int) -> Callable[[], str]:
        """The call of a number."""

        def made() -> str:
            with self._lock:
                self.begun.append(number)
                self.inside += 1
            assert self.opened.wait(10)
            with self._lock:
                self.inside -= 1
            return str(number)

        return made


def test_queued_calls_go_to_the_new_threads_in_their_order(pool: ResizablePool) -> None:
    """More threads would begin with the last of the batches ahead, and the first still wait for the few."""
    gate = Gate()
    futures = [pool.submit(gate.call(number)) for number in range(40)]
    wait_until(lambda: gate.inside == 2)
    pool.resize(4)
    wait_until(lambda: gate.inside == 6)
    assert sorted(gate.begun) == [0, 1, 2, 3, 4, 5]
    gate.opened.set()
    assert [future.result(10) for future in futures] == [str(number) for number in range(40)]


@pytest.mark.parametrize("number", [1, 2, 5])
def test_so_many_calls_are_made_at_once_after_a_change(pool: ResizablePool, number: int) -> None:
    """Threads of before would go on beside the new ones: the number would only grow."""
    wait([pool.submit(lambda: None) for _ in range(9)], 10)
    pool.resize(7)
    wait([pool.submit(lambda: None) for _ in range(9)], 10)
    pool.resize(number)
    assert pool.threads == number
    gate = Gate()
    futures = [pool.submit(gate.call(number)) for number in range(20)]
    wait_until(lambda: gate.inside == number)
    time.sleep(0.02)
    assert gate.inside == number
    gate.opened.set()
    wait(futures, 10)


def test_a_call_that_hangs_delays_no_change_and_no_other_call(pool: ResizablePool) -> None:
    """A file that a drive does not give would hold up the whole training."""
    gate = Gate()
    pool.submit(gate.call(0))
    pool.submit(gate.call(1))
    for number in (3, 1, 2):
        pool.resize(number)
        assert pool.submit(lambda: "done").result(10) == "done"
    gate.opened.set()


def test_many_changes_leave_no_threads(pool: ResizablePool) -> None:
    """A long run on a storage that is now fast, now slow would collect threads."""
    for number in range(200):
        futures = [pool.submit(lambda: None) for _ in range(6)]
        pool.resize(1 + number % 5)
        wait(futures, 10)
    wait_until(lambda: not any(crew.taking for crew in pool._retired))
    pool.resize(pool.threads + 1)
    assert len(pool._retired) <= 1
    pool.close()
    assert threads() == 0


def test_closing_cancels_what_is_queued_and_waits_for_what_is_begun() -> None:
    """Images would be decoded into memory that nobody holds any more."""
    pool, gate = ResizablePool(2, NAME), Gate()
    futures = [pool.submit(gate.call(number)) for number in range(10)]
    wait_until(lambda: gate.inside == 2)
    pool.resize(3)
    wait_until(lambda: gate.inside == 5)
    closing = threading.Thread(target=pool.close)
    closing.start()
    wait_until(lambda: sum(future.cancelled() for future in futures) == 5)
    assert closing.is_alive()
    gate.opened.set()
    closing.join(10)
    assert not closing.is_alive()
    assert (threads(), gate.inside) == (0, 0)
    with pytest.raises(RuntimeError, match="ended"):
        pool.submit(lambda: None)
    with pytest.raises(RuntimeError, match="ended"):
        pool.resize(5)


def test_an_error_belongs_to_the_one_who_asked(pool: ResizablePool) -> None:
    """The thread would end with it, and the one who waits wait for ever."""

    def fail() -> str:
        raise SystemExit("a decoder that wants to end the process")

    with pytest.raises(SystemExit):
        pool.submit(fail).result(10)
    assert pool.submit(lambda: "still there").result(10) == "still there"


def test_a_dropped_pool_ends_its_threads() -> None:
    """Whoever forgets to close it would leave threads behind."""
    pool = ResizablePool(2, NAME)
    wait([pool.submit(lambda: None) for _ in range(5)], 10)
    del pool
    gc.collect()
    wait_until(lambda: threads() == 0)


def test_where_no_thread_can_be_started_the_number_stays(pool: ResizablePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container with few processes the attempt to go faster would end the run, or hang it."""
    gate = Gate()
    futures = [pool.submit(gate.call(number)) for number in range(6)]
    wait_until(lambda: gate.inside == 2)

    class NoThreads(ThreadPoolExecutor):
        def submit(self, *_args: Any, **_kwargs: Any) -> NoReturn:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pool_module, "ThreadPoolExecutor", NoThreads)
    with pytest.raises(RuntimeError, match="can't start"):
        pool.resize(4)
    assert pool.threads == 2
    gate.opened.set()
    assert [future.result(10) for future in futures] == [str(number) for number in range(6)]
