"""What crosses the boundary between the parent and its worker, each message a frozen record.

The parent writes `job.json`; the worker appends `progress.jsonl` and ends with `outcome.json`. While it lives, the
parent sends it lines over the control pipe (`Request`); the end of that pipe means that the parent is gone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from autofit.records import Record


class Verdict(StrEnum):
    """How a trial or an attempt ended."""

    FITS = "fits"
    COMPLETED = "completed"
    DEVICE_OOM = "device_oom"
    HOST_OOM = "host_oom"
    TIMEOUT = "timeout"
    HUNG = "hung"
    CRASHED = "crashed"
    YIELDED = "yielded"
    STORAGE = "storage"
    USER_ERROR = "user_error"
    INTERRUPTED = "interrupted"


class Phase(StrEnum):
    """What a worker is doing; announced before it begins, each with a deadline of its own."""

    START = "start"
    WEIGHTS = "weights"
    BUILD = "build"
    TRACE = "trace"
    PROBE = "probe"
    EXTRACT = "extract"
    TRAIN = "train"
    VALIDATE = "validate"
    SAVE = "save"
    PREDICT = "predict"


class Progress(Record):
    """One line of `progress.jsonl`, at most four a second. Epochs and steps count from zero."""

    time: float
    phase: Phase
    epoch: int = 0
    step: int = 0
    steps: int = 0
    images_per_second: float = 0.0
    micro_batch_size: int = 0
    device_bytes: int = 0
    host_bytes: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)


class MemorySample(Record):
    """Bytes in use just now: by tensors in the allocator, and resident in the worker and its children."""

    device_bytes: int = 0
    host_bytes: int = 0


class OomEvent(Record):
    """One out-of-memory that a worker caught and got over. Epochs and steps count from zero."""

    attempt: int
    epoch: int
    step: int
    phase: Phase
    micro_batch_size_before: int
    micro_batch_size_after: int
    seconds_lost: float


def describe_oom(event: OomEvent) -> str:
    """What a person is told at once: what happened, and with how many images at once it goes on."""
    before, after = event.micro_batch_size_before, event.micro_batch_size_after
    return f"out of memory with {before} images at once: going on with {after}"


def _writable(name: str) -> str:
    """A file name as text that every file can hold: bytes that are no UTF-8 are written out."""
    return name.encode("utf-8", "backslashreplace").decode()


class QuarantinedImage(Record):
    """An image that could not be decoded, and why."""

    path: Annotated[str, BeforeValidator(_writable)]
    reason: str


class EpochEnd(Record):
    """One finished epoch, counted from zero, and its metrics as `model.fit` would log them."""

    epoch: int
    metrics: dict[str, float]


class Trial(Record):
    """One measured size. `peak_bytes` is the allocator's peak, `host_bytes` the process's resident size at the end."""

    batch_size: int = Field(ge=1)
    verdict: Verdict
    peak_bytes: int = Field(default=0, ge=0)
    host_bytes: int = Field(default=0, ge=0)
    step_seconds: float = Field(default=0.0, ge=0)
    images_per_second: float = Field(default=0.0, ge=0)
    cause: str = ""


class Request(Record):
    """One line from the parent to its worker: run a trial of this size, or commit and leave for this reason."""

    trial: int | None = None
    leave: Literal["interrupted", "yielded"] | None = None
