"""The response to an out-of-memory: halve the micro-batch, repeat the same work, report it.

Nothing here changes weights. Work that is repeated must have no side effects until it has succeeded.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, TypeVar

import tensorflow as tf

from autofit.config.batch_schedule import shrink, slice_rows
from autofit.protocol.messages import OomEvent, Phase
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError

WHOLE_BATCH = 2**30
"""A size that no batch has."""

T = TypeVar("T")


class Blame(StrEnum):
    """Whether an error is about memory."""

    MEMORY = "memory"
    PERHAPS = "perhaps"
    OTHER = "other"


# System errors that TensorFlow also raises as ResourceExhaustedError (tsl, errors.cc, `ErrnoToCode`), although they are
# not about memory. Their text is at the end of the message about a file.
NO_MEMORY = tuple(
    f"; {os.strerror(code)}"
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EMLINK, errno.ENOBUFS, errno.ENODATA)
)
# Errors of other classes which mean that the device's memory ran out, and where they come from.
CERTAIN = (
    "CUDA_ERROR_OUT_OF_MEMORY",  # CUDA driver: cuMemAlloc and cuModuleLoad
    "Dst tensor is not initialized",  # TensorFlow gpu_util.cc: no room for a copy from host to device
    "Failed copying input tensor",  # TensorFlow eager execute.cc: the same, for a function's input
)
# Errors that may also have other causes: the work is repeated with smaller slices, but memory is not certain.
AMBIGUOUS = (
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "failed to create cublas handle",
    "No algorithm worked",
    "Failed to get convolution algorithm",
    "Operation received an exception:Status",  # oneDNN's, as TensorFlow's mkl_conv_ops.cc passes them on
)


def blame(error: BaseException) -> Blame:
    """Whether an error is an out-of-memory on the device, by its class and, for TensorFlow's errors, by its message."""
    if not isinstance(error, tf.errors.OpError):
        return Blame.OTHER
    text = str(error)
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return Blame.OTHER if any(words in text for words in NO_MEMORY) else Blame.MEMORY
    if any(words in text for words in CERTAIN):
        return Blame.MEMORY
    return Blame.PERHAPS if any(words in text for words in AMBIGUOUS) else Blame.OTHER


@dataclass(frozen=True, slots=True)
class Shrink:
    """An out-of-memory with recovery: the micro-batch sizes before and after it, and the seconds that were lost."""

    before: int
    after: int
    seconds: float

    def event(self, attempt: int, phase: Phase, *, epoch: int = 0, step: int = 0) -> OomEvent:
        """The event for the parent."""
        return OomEvent(
            attempt=attempt,
            epoch=epoch,
            step=step,
            phase=phase,
            micro_batch_size_before=self.before,
            micro_batch_size_after=self.after,
            seconds_lost=self.seconds,
        )


class MicroBatcher:
    """A micro-batch size that only shrinks, and two ways to process a batch with it.

    Args:
        size: the size at the start, in images.
        on_shrink: called after an out-of-memory.
        clock: gives the time in seconds.
        pads: whether smaller slices are padded to `rows`, so that all take the same memory.
    """

    def __init__(
        self,
        size: int,
        on_shrink: Callable[[Shrink], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        pads: bool = False,
    ) -> None:
        self.size = size
        self._on_shrink = on_shrink
        self._clock = clock
        self._pads = pads
        self._ran: set[int] = set()
        self._of_heads: MicroBatcher | None = None

    @property
    def of_heads(self) -> MicroBatcher:
        """For heads on pooled features: they take a batch whole, and its half where it does not fit."""
        if self._of_heads is None:
            self._of_heads = MicroBatcher(WHOLE_BATCH, self._on_shrink, self._clock)
        return self._of_heads

    @classmethod
    def fixed(cls, size: int) -> Self:
        """A micro-batch size that may not shrink: it is measured, and an out-of-memory is a result.

        `repeat` and `slices` raise OutOfDeviceMemoryError then.
        """

        def refuse(shrink: Shrink) -> None:
            raise OutOfDeviceMemoryError(f"{shrink.before} images at once do not fit")

        return cls(size, refuse)

    def rows(self, usual: int | None = None) -> int:
        """How many rows a slice has: the size or, if slices are padded, as few as batches of `usual` images need."""
        return slice_rows(self.size, usual) if self._pads and usual is not None else self.size

    def repeat(self, count: int, work: Callable[[int], T], usual: int | None = None) -> T:
        """Do `work(rows)` on `count` images; after an out-of-memory repeat all of it with half as many rows.

        Raises:
            OutOfDeviceMemoryError: not even a single image fits.
        """
        while True:
            started, rows = self._clock(), self.rows(usual)
            try:
                result = work(rows)
            except Exception as error:  # noqa: BLE001 - raised again if it is not about memory
                self._shrink_or_raise(error, count, rows, self._clock() - started)
            else:
                self._note_run(count, rows)
                return result

    def slices(self, count: int, work: Callable[[int, int], T], usual: int | None = None) -> list[T]:
        """Do `work(start, stop)` on slices of `count` images; after an out-of-memory repeat only that slice."""
        results: list[T] = []
        start = 0
        while start < count:
            began, rows = self._clock(), self.rows(usual)
            stop = min(start + self.size, count)
            try:
                results.append(work(start, stop))
            except Exception as error:  # noqa: BLE001 - as above
                self._shrink_or_raise(error, stop - start, rows, self._clock() - began)
            else:
                self._note_run(stop - start, rows)
                start = stop
        return results

    def _note_run(self, count: int, rows: int) -> None:
        if count >= rows or self._pads:
            self._ran.add(rows)

    def _shrink_or_raise(self, error: Exception, count: int, rows: int, seconds: float) -> None:
        verdict = blame(error)
        before = rows if self._pads else min(rows, count)
        if verdict is Blame.OTHER or (verdict is Blame.PERHAPS and before == 1):
            raise error
        if before == 1:
            raise OutOfDeviceMemoryError("a single image does not fit into the device's memory") from error
        self.size = shrink(before, self._ran)
        self._on_shrink(Shrink(before, self.size, seconds))
