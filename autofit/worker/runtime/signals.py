"""What signals mean to a worker. A batch system may send them to all processes of a job, not to the parent alone."""

from __future__ import annotations

import os
import signal
from types import FrameType

from autofit.worker.runtime.control_pipe import Requests

STOPPING = ("SIGTERM", "SIGHUP", "SIGINT")


def heed_signals(requests: Requests) -> None:
    """Let SIGTERM, SIGHUP and SIGINT ask the job to commit and stop, and SIGUSR1 to commit and go on.

    Without a job that has something to commit, those that stop end the process at once, and SIGUSR1 does nothing. A
    handler only sets a flag: it may interrupt the queue of requests, whose lock it would then wait for in vain.
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
