"""The predecoding process: `python -P -m autofit.input.predecode_process SAMPLES ROOT RANGES FD COUNT HEIGHT WIDTH N`.

The protocol, whole:
  in    SAMPLES, ROOT                  the run's samples.csv, and the folder that its paths are relative to
        RANGES                         as in `decode_image`, as JSON
        FD, COUNT, HEIGHT, WIDTH       an inherited file in memory, and its shape (`predecode.PredecodeTable`)
        N                              how many are decoded at once
        stdin                          nothing; its end means that the worker needs no more, or has ended: exit
  out   FD                             the images of the first COUNT samples, each with size and time of its file

An image that cannot be decoded is left out: the worker will decode it again and find out why.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from autofit.dataset.table import read_rows
from autofit.input.decode import decode_into, lack_their_end
from autofit.input.image_files import UnreadableImageError
from autofit.input.numeric_images import ValueRanges
from autofit.input.predecode import PredecodeTable, file_state

PATH_COLUMN = ("path",)
"""The column of `samples.csv` that is read; its other columns depend on whether an image may have several labels."""


def main(samples: str, root: str, ranges_json: str, *numbers: str) -> None:
    """Decode until all images are done, or until stdin ends."""
    file, count, height, width, threads = map(int, numbers)
    threading.Thread(target=_exit_with_stdin, daemon=True).start()
    ranges: ValueRanges = json.loads(ranges_json)
    table = PredecodeTable(file, count, (height, width))

    def decode(sample: int, path: str) -> None:
        before = file_state(path)
        with contextlib.suppress(UnreadableImageError, MemoryError, OSError):
            decode_into(path, table.rows[sample], ranges)
            if before is not None and file_state(path) == before and path not in lack_their_end():
                table.files[sample] = before

    with ThreadPoolExecutor(threads) as pool:
        for sample, (_, (path,)) in enumerate(islice(read_rows(Path(samples), PATH_COLUMN), count)):
            pool.submit(decode, sample, os.path.join(root, path))  # noqa: PTH118 - text, as in the index


def _exit_with_stdin() -> None:
    """Exit at the end of stdin, at once: a hostile image may take seconds to decode.

    It reads without a buffer, since Python could not end while another thread reads a buffered stdin.
    """
    os.read(0, 1)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
