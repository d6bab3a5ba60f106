"""The control pipe: the requests of the parent, and how a worker learns that the parent is gone."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time

from pydantic import ValidationError

from autofit.protocol.messages import Request

PARENT_GONE_EXIT_CODE = 71


class Requests(queue.Queue["Request | None"]):
    """Requests in their order; None means that the parent is gone.

    Attributes:
        grace_seconds: how long the worker may take to commit and stop after the parent is gone. 0 until a job has
            something to commit: the worker then exits at once.
        stop_signal: the name of a signal that asks to commit and stop; empty if none came.
        commit_is_asked: whether a signal asks to commit and go on.
        shards: the numbers of the shards that are asked for; apart, as a look whether to stop takes a request.
    """

    grace_seconds = 0.0
    stop_signal = ""
    commit_is_asked = False

    def __init__(self) -> None:
        super().__init__()
        self.shards: queue.SimpleQueue[int] = queue.SimpleQueue()

    def put(self, item: Request | None, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - as `Queue.put`
        """Add a request."""
        if item is not None and item.shard is not None:
            self.shards.put(item.shard)
        else:
            super().put(item, block, timeout)


def read_requests(control: int) -> Requests:
    """Read the control pipe on a thread of its own.

    When the pipe ends, the parent is gone. The job is told so, and has `grace_seconds` to commit and stop; then this
    process exits, whatever the job does. A pipe is used and not PDEATHSIG, which fires when the thread that started
    this process ends.
    """
    requests = Requests()

    def read() -> None:
        with os.fdopen(control, "rb") as lines:
            for line in lines:
                with contextlib.suppress(ValidationError):  # a line cut off by the parent's death
                    requests.put(Request.model_validate_json(line))
        requests.put(None)
        time.sleep(requests.grace_seconds)
        os._exit(PARENT_GONE_EXIT_CODE)

    threading.Thread(target=read, name="autofit-control", daemon=True).start()
    return requests
