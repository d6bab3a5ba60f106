"""What a worker does on a signal. A batch system may send signals to all processes of a job, not only to the parent."""

from __future__ import annotations

import os
import signal
from types import FrameType

from autofit.worker.runtime.control_pipe import Requests

STOPPING = ("SIGTERM", "SIGHUP", "SIGINT")


def heed_signals(requests: Requests) -> None:
    """Let SIGTERM, SIGHUP and SIGINT ask the job to commit and stop, and SIGUSR1 to commit and go on.

    Until a job has something to commit, the first three end the process at once, and SIGUSR1 has no effect. A handler
    only sets a flag: it may interrupt code that holds the lock of the queue of requests, so that it would wait for this
    lock for ever.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        if requests.grace_seconds:
            requests.stop_signal = signal.Signals(number).name
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def commit(number: int, frame: FrameType | None) -> None:
        del number, frame
        requests.commit_is_asked = True

    for name in STOPPING:
        signal.signal(getattr(signal, name), stop)
    signal.signal(signal.SIGUSR1, commit)
