"""How a parent handles signals: stop and save, save and go on, pause. Only the main thread can set handlers."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Protocol, runtime_checkable

STOPPING = ("SIGTERM", "SIGHUP")
"""Signals that stop a command as Ctrl-C does: what was trained is saved. Windows has only SIGTERM."""

Handler = Callable[[int, FrameType | None], None]


@runtime_checkable
class PausableWorker(Protocol):
    """A worker in a session of its own, which Ctrl-Z in the terminal does not reach: its parent pauses it."""

    @property
    def pid(self) -> int:
        """Its process number."""

    def pause(self) -> None:
        """Stop it (SIGSTOP), with everything that it started, until `go_on`."""

    def go_on(self) -> None:
        """Continue it (SIGCONT)."""


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, once, and ignore SIGUSR1 where nothing can be saved.

    A batch system or a closed terminal may send several of them at once: the second does not mean, as a second Ctrl-C
    does, that a person wants to stop without saving. With a handler, SIGTERM also reaches process 1 of a container,
    which the kernel otherwise protects from it. A signal that is ignored (nohup), or for which the caller has a
    handler, stays as it is.
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

    def on_save(number: int, frame: FrameType | None) -> None:
        del number, frame
        save()

    def pause(number: int, frame: FrameType | None) -> None:
        del frame
        try:
            if isinstance(worker, PausableWorker):
                worker.pause()
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_kill(threading.get_ident(), number)  # this process stops here, until SIGCONT
        finally:  # a SIGHUP that came meanwhile raises KeyboardInterrupt here
            signal.signal(number, pause)
            if isinstance(worker, PausableWorker):
                worker.go_on()

    with _handled({"SIGUSR1": on_save, "SIGTSTP": pause}):
        yield


def _do_nothing(number: int, frame: FrameType | None) -> None:
    del number, frame


@contextlib.contextmanager
def _handled(handlers: Mapping[str, Handler]) -> Iterator[None]:
    """Set handlers for those signals that have the system's default, and restore it after the block."""
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
