"""The control pipe: what the parent asks of its worker, for as long as the parent lives."""

from __future__ import annotations

import contextlib
import os
import queue
import threading

from pydantic import ValidationError

from autofit.protocol.messages import Request

Requests = queue.Queue[Request | None]
"""Requests in their order; None means that the parent is gone or wants nothing more."""

PARENT_GONE_EXIT_CODE = 71


def read_requests(control: int) -> Requests:
    """Read the control pipe on a thread of its own; when it ends, the parent is gone, and so are we.

    A pipe and not PDEATHSIG, which fires when the thread that started us ends.
    """
    requests: Requests = queue.Queue()

    def read() -> None:
        with os.fdopen(control, "rb") as lines:
            for line in lines:
                with contextlib.suppress(ValidationError):  # cut off by the parent's end, which we must live to see
                    requests.put(Request.model_validate_json(line))
        os._exit(PARENT_GONE_EXIT_CODE)

    threading.Thread(target=read, name="autofit-control", daemon=True).start()
    return requests
