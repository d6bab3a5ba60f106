"""The ledger of applied updates (`audit.jsonl`), and following another run's.

A line is written after its update and before the next step. A checkpoint records the ledger's length; resuming truncates
it to that, so that the ledger and the weights always tell the same story.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from autofit.errors import UserError


class Ledger:
    """Writes `audit.jsonl`; without a path it writes nothing and is always empty."""

    def __init__(self, path: Path | None, committed_bytes: int) -> None:
        self._file = None
        if path is not None:
            self._file = path.open("ab")
            self._file.truncate(committed_bytes)
            self._file.seek(committed_bytes)

    def write(  # noqa: PLR0913 - the fields of a line
        self, *, attempt: int, epoch: int, step: int, micro_batch_size: int, samples: Sequence[int], skipped: Sequence[int]
    ) -> None:
        """Record one applied update; epochs and steps count from zero."""
        if self._file is None:
            return
        line = {
            "attempt": attempt,
            "epoch": epoch,
            "step": step,
            "micro_batch_size": micro_batch_size,
            "samples": [int(sample) for sample in samples],
            "skipped": [int(sample) for sample in skipped],
        }
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def commit(self) -> int:
        """Make what was written durable, and return the length in bytes that a checkpoint records."""
        if self._file is None:
            return 0
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_micro_batch_sizes(run_dir: Path) -> dict[tuple[int, int], int]:
    """The micro-batch size of each (epoch, step) of another run, from its ledger.

    Raises:
        UserError: the ledger cannot be read; the line is named.
    """
    sizes: dict[tuple[int, int], int] = {}
    path = run_dir / "audit.jsonl"
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                sizes[int(entry["epoch"]), int(entry["step"])] = max(1, int(entry["micro_batch_size"]))
            except (ValueError, KeyError, TypeError):
                raise UserError(f"replay: line {number} of {path} is damaged: follow another run") from None
    return sizes
