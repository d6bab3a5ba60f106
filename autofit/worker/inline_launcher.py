"""Runs the worker inside this process, for when no other process can be started.

It runs on a thread of its own, so the supervisor can monitor it like a process. It cannot be killed, and if the kernel
kills it for lack of memory, this process ends: promises 2, 7 and 10 of docs/promises.md do not hold here.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback

from autofit.errors import UserError
from autofit.process.launch import Exit, Worker
from autofit.protocol.messages import Request
from autofit.protocol.payload import Payload
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.runtime.control_pipe import Requests

WHAT_INLINE_CANNOT = (
    "isolation='inline': training runs inside this process, so kill -9 or a host out-of-memory ends this process too, "
    "and where TensorFlow is loaded already it keeps the settings that it was loaded with"
)


def refuse_memory_limit(*, device: str, limit_is_given: bool) -> None:
    """Refuse a memory limit that cannot be enforced: TensorFlow reads the allocator's limit once, when it is loaded.

    Raises:
        UserError: a limit was given for a CPU, and TensorFlow is loaded already.
    """
    if limit_is_given and device == "cpu" and "tensorflow" in sys.modules:
        raise UserError(
            "memory_limit cannot be kept with isolation='inline' once TensorFlow is loaded: "
            "use isolation='process', or restart Python and call autofit first"
        )


class InlineLauncher:
    """Starts the worker's job on a thread."""

    isolated = False

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        """Start the job; this process already holds the lock."""
        del lock_fd
        return _InlineWorker(attempt, payload)


class _InlineWorker:
    def __init__(self, attempt: AttemptDirectory, payload: Payload | None) -> None:
        self._requests = Requests()
        self._exit: Exit | None = None
        self._thread = threading.Thread(target=self._run, args=(attempt, payload), name="autofit-worker", daemon=True)
        self._thread.start()

    def _run(self, attempt: AttemptDirectory, payload: Payload | None) -> None:
        code = 1
        try:
            from autofit.worker.jobs.dispatch import run_job  # noqa: PLC0415 - the bridge to TensorFlow, crossed only here

            code = run_job(attempt.path, self._requests, lambda: payload)
        except BaseException:  # noqa: BLE001 - also SystemExit: it ends the worker and not the process that it runs in
            with contextlib.suppress(OSError):
                attempt.stderr.write_text(traceback.format_exc(), encoding="utf-8")
        finally:
            self._exit = Exit(code)

    def poll(self) -> Exit | None:
        return self._exit

    def send(self, request: Request) -> None:
        self._requests.put(request)

    def kill(self) -> None:
        """Ask it to stop, and wait until it does, after its current step: a thread cannot be killed."""
        self._requests.put(Request(leave="interrupted"))
        self._thread.join()

    def close(self) -> None:
        self.kill()
