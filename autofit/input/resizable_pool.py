"""A thread pool whose number of threads can change while it works; queued calls keep their place."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

CLOSE_SECONDS = 2.0
POLL_SECONDS = 0.002

Answer = str | None
Item = tuple[Future[Answer], Callable[[], Answer]]


class ResizablePool:
    """Makes calls in threads, in the order in which they were submitted.

    A `ThreadPoolExecutor` cannot change its number of threads. So this class has the queue, and the threads of an
    executor take calls from it until it is empty, or until another executor has replaced theirs.

    Args:
        threads: the number of threads, at least 1.
        name: prefix of the threads' names.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._queue: deque[Item] = deque()
        self._crew = _Crew(threads, name)
        self._retired: list[_Crew] = []
        self._is_closed = False

    @property
    def threads(self) -> int:
        """How many calls are made at once. After a change, calls that were begun before it run in addition."""
        return self._crew.threads

    def submit(self, call: Callable[[], Answer]) -> Future[Answer]:
        """Queue a call.

        Raises:
            RuntimeError: the pool is closed, or no thread can be started.
        """
        future: Future[Answer] = Future()
        with self._lock:
            self._require_open()
            self._queue.append((future, call))
            if self._crew.taking < self._crew.threads:
                self._crew.start_one(self._take)
        return future

    def resize(self, threads: int) -> None:
        """Change the number of threads, without waiting for calls that were begun.

        Raises:
            RuntimeError: the pool is closed, or no thread can be started; then the number stays as it was.
        """
        with self._lock:
            self._require_open()
            if threads == self._crew.threads:
                return
            crew = _Crew(threads, self._name)
            for _ in range(min(threads, len(self._queue))):
                crew.start_one(self._take)
            self._crew.executor.shutdown(wait=False)
            self._retired = [*_still_taking(self._retired), self._crew]
            self._crew = crew

    def close(self) -> None:
        """Cancel the queued calls, wait for those that were begun, and end the threads.

        Calls that take longer than `CLOSE_SECONDS`, such as those to a drive that hangs, are abandoned.
        """
        with self._lock:
            self._is_closed = True
            while self._queue:
                self._queue.popleft()[0].cancel()
        crews, until = (*self._retired, self._crew), time.monotonic() + CLOSE_SECONDS
        while any(crew.taking for crew in crews) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        for crew in crews:
            crew.executor.shutdown(wait=not crew.taking)

    def _require_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("the threads have ended")

    def _take(self, crew: _Crew) -> None:
        """Make calls until none is queued, or until this thread's crew has been replaced."""
        while (item := self._next(crew)) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                _complete(future, call)
            del item, future, call  # they hold a batch in memory, and the next call may come much later

    def _next(self, crew: _Crew) -> Item | None:
        with self._lock:
            if crew is self._crew and self._queue:
                return self._queue.popleft()
            crew.taking -= 1
            return None


class _Crew:
    """The threads of one executor. `taking` is the number of them that take calls from the queue, or are about to."""

    def __init__(self, threads: int, name: str) -> None:
        self.threads, self.taking = threads, 0
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def start_one(self, take: Callable[[_Crew], None]) -> None:
        """Let one more thread take calls from the queue.

        Raises:
            RuntimeError: the system can start no more threads, and this crew has none.
        """
        self.taking += 1
        try:
            self.executor.submit(partial(take, self))
        except RuntimeError:  # the executor leaves the call to the threads that it has
            if self.taking == 1:
                self.taking = 0
                raise


def _still_taking(retired: list[_Crew]) -> list[_Crew]:
    """The crews with a call that is still running. Waits for the threads of the others, which are about to end."""
    for crew in retired:
        if not crew.taking:
            crew.executor.shutdown(wait=True)
    return [crew for crew in retired if crew.taking]


def _complete(future: Future[Answer], call: Callable[[], Answer]) -> None:
    try:
        answer = call()
    except BaseException as error:  # noqa: BLE001 - every exception goes to the caller of `submit`
        future.set_exception(error)
    else:
        future.set_result(answer)
