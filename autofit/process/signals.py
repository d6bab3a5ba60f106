"""What signals mean to a parent: stop and save, save and go on, pause. Only the main thread can take them."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Protocol, runtime_checkable

STOPPING = ("SIGTERM", "SIGHUP")
"""They stop a command as Ctrl-C does: what was trained is saved. Windows has only one of them."""

Handler = Callable[[int, FrameType | None], None]


@runtime_checkable
class PausableWorker(Protocol):
    """A worker that does not stop by itself when its parent is stopped: it has a session of its own."""

    @property
    def pid(self) -> int:
        """Its number."""

    def pause(self) -> None:
        """Stop it where it is, with everything that it started."""

    def go_on(self) -> None:
        """Let it go on."""


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, once, and SIGUSR1 do no harm where nothing can be saved.

    A batch system or a closed terminal may send several at once: the second of them is none of a person who wants to
    stop without saving. A handler also makes SIGTERM count for process 1 of a container, which the kernel otherwise
    protects from it. What is ignored (nohup) or has a handler of the caller's stays as it is.
    """
    is_stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        nonlocal is_stopping
        if not is_stopping:
            is_stopping = True
            raise KeyboardInterrupt

    with _handled({**dict.fromkeys(STOPPING, stop), "SIGUSR1": _do_nothing}):
        yield


@contextlib.contextmanager
def worker_signals(worker: object, save: Callable[[], None]) -> Iterator[None]:
    """Let SIGUSR1 call `save`, and Ctrl-Z (SIGTSTP) pause the worker together with this process, until `fg`."""

    def asked(number: int, frame: FrameType | None) -> None:
        del number, frame
        save()

    def pause(number: int, frame: FrameType | None) -> None:
        del frame
        try:
            if isinstance(worker, PausableWorker):
                worker.pause()
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_kill(threading.get_ident(), number)  # stops here, until SIGCONT
        finally:  # SIGHUP may have come with it
            signal.signal(number, pause)
            if isinstance(worker, PausableWorker):
                worker.go_on()

    with _handled({"SIGUSR1": asked, "SIGTSTP": pause}):
        yield


def _do_nothing(number: int, frame: FrameType | None) -> None:
    del number, frame


@contextlib.contextmanager
def _handled(handlers: Mapping[str, Handler]) -> Iterator[None]:
    """Set handlers for signals that have none but the system's, and take them back."""
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name, handler in handlers.items():
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in {signal.SIG_DFL, _do_nothing}:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
