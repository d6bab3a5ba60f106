"""The control pipe: it carries the parent's requests, and its end tells the worker that the parent is gone."""

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
    """The parent's requests in order of arrival; None means that the parent is gone.

    Attributes:
        grace_seconds: how long the worker may take to commit and stop after the parent is gone. 0 until a job has
            something to commit; while it is 0 the worker exits at once.
        stop_signal: the name of the signal that asked to commit and stop; empty if none came.
        commit_is_asked: whether a signal or a request has asked to commit and go on.
        shards: the numbers of the requested shards. They have a queue of their own, because a check whether to stop
            takes a request from the queue.
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
    """Read the control pipe on a separate thread.

    When the pipe ends, the parent is gone. The job finds None in the queue, and has `grace_seconds` to commit and stop;
    then this process exits, whatever the job does. PDEATHSIG would not do: it fires when the thread that started this
    process ends.
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
