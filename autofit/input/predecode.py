"""Predecoding: while the worker imports TensorFlow, another process decodes the first images.

The import takes seconds, in which one core is busy and the others are idle. Threads do not help: the import holds the
interpreter's lock, and with two decoding threads it took 1.6 s instead of 1.1. So a process without TensorFlow decodes,
`python -P -m autofit.input.predecode_process` (which describes the protocol). It is ended before the first image is
needed. Images that it has not decoded, or whose file has changed since, are decoded as usual.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autofit.input.numeric_images import NO_RANGES, ValueRanges
from autofit.protocol.job import Job, TrainJob
from autofit.storage.run_directory import RunDirectory

END_SECONDS = 5.0
MOST_THREADS = 4
"""Each thread holds an image in memory, and the import takes no longer on a machine with many cores."""

STATE_NUMBERS = 4
"""The number of values that describe the state of a file, by which a changed file is recognised."""

Row = NDArray[np.uint8]


class PredecodeTable:
    """The decoded images, in a file in memory that both processes map.

    Args:
        file: the file's descriptor.
        count: the number of images for which it has room.
        image_size: (height, width) in pixels.

    Attributes:
        rows: uint8 (count, height, width, 3).
        files: int64 (count, 4): the size in bytes, inode, mtime and ctime in nanoseconds of the file from which a row
            was decoded; a size of 0 if the row has no image.
    """

    def __init__(self, file: int, count: int, image_size: tuple[int, int]) -> None:
        self.files: NDArray[np.int64] = np.memmap(_opened(file), np.int64, "r+", shape=(count, STATE_NUMBERS))
        self.rows: Row = np.memmap(_opened(file), np.uint8, "r+", self.files.nbytes, (count, *image_size, 3))

    @staticmethod
    def size_bytes(count: int, image_size: tuple[int, int]) -> int:
        """The size of the file."""
        return count * (STATE_NUMBERS * np.dtype(np.int64).itemsize + 3 * math.prod(image_size))


class PredecodedImages:
    """The images of the first samples of a run, decoded in a process of its own.

    Args:
        run_dir: the run directory with `samples.csv`.
        data_root: the folder that its paths are relative to.
        image_size: (height, width) in pixels.
        count: how many samples at most.
        threads: how many are decoded at once.
        ranges: as in `decode_image`.

    Raises:
        OSError: there is no memory, or no process can be started.
    """

    def __init__(
        self,
        run_dir: Path,
        data_root: str,
        image_size: tuple[int, int],
        *,
        count: int,
        threads: int,
        ranges: ValueRanges = NO_RANGES,
    ) -> None:
        samples = RunDirectory(run_dir).samples
        file = os.memfd_create("autofit-predecoded")
        try:
            os.ftruncate(file, PredecodeTable.size_bytes(count, image_size))
            self._table: PredecodeTable | None = PredecodeTable(file, count, image_size)
            numbers = (json.dumps(dict(ranges)), *map(str, (file, count, *image_size, threads)))
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "autofit.input.predecode_process", str(samples), data_root, *numbers],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[file],
            )
        finally:
            os.close(file)

    def stop(self) -> None:
        """End the process: from now on, the images that it has decoded can be read."""
        assert self._process.stdin is not None  # noqa: S101 - it was started with one
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if not self._has_ended():
            self._process.kill()
            if not self._has_ended():  # it is blocked by a disk that does not answer
                self._table = None

    def _has_ended(self) -> bool:
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def drop(self) -> None:
        """End the process and free the memory: from now on, there are no images."""
        self.stop()
        self._table = None

    def read_into(self, sample: int, path: str, out: Row) -> bool:
        """Write the image of a sample into `out`, uint8 (height, width, 3). Call it after `stop`, in any thread.

        Returns:
            Whether there is such an image, decoded from the file at `path` as it is now.
        """
        table = self._table
        if table is None or sample >= len(table.files) or not table.files[sample, 0]:
            return False
        if file_state(path) != tuple(table.files[sample].tolist()):
            return False
        out[...] = table.rows[sample]
        return True


@contextlib.contextmanager
def predecoding(job: Job) -> Iterator[PredecodedImages | None]:
    """Decode the first images in this context, if the job asks for it and no earlier attempt extracted all features.

    A later stage has no use for them if it augments its images, which are then decoded with a margin, or caches none.
    """
    predecoded = _start(job, job.work) if isinstance(job.work, TrainJob) else None
    try:
        yield predecoded
    finally:
        if predecoded:
            predecoded.drop()


def _start(job: Job, work: TrainJob) -> PredecodedImages | None:
    if work.cache is None or not work.cache.early_images or job.source is None or not job.isolated:
        return None
    if not work.plan.feature_cache or work.plan.augment != "none":
        return None
    if not hasattr(os, "memfd_create") or RunDirectory(Path(work.run_dir)).features.exists():
        return None
    with contextlib.suppress(OSError):  # predecoding only saves time
        return PredecodedImages(
            Path(work.run_dir),
            work.data_root,
            job.source.spec.image_size,
            count=work.cache.early_images,
            threads=min(max(1, work.plan.threads - 1), MOST_THREADS),
            ranges=work.plan.value_ranges,
        )
    return None


def file_state(path: str) -> tuple[int, ...] | None:
    """The state of a file, as in `PredecodeTable.files`; None if it does not exist."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, _signed(status.st_ino), status.st_mtime_ns, status.st_ctime_ns


def _signed(number: int) -> int:
    """An unsigned number of 64 bits, such as an inode, as the signed one of the same bits."""
    return number - 2**64 if number >= 2**63 else number


def _opened(file: int) -> str:
    """The path by which Linux opens the file of a descriptor again."""
    return f"/proc/self/fd/{file}"
