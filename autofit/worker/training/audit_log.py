"""The audit log of updates (`audit.jsonl`), written by a run and read by a replay of it.

A line is written after its update and before the next step. A checkpoint records the length of the log; a resumed run
truncates the log to it, so that log and weights always agree.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from autofit.errors import StorageError, UserError
from autofit.storage.json_bounds import JsonLimits, require_bounded
from autofit.storage.records import Record
from autofit.storage.safe_files import bounded_lines, cut_file, fsync_file, open_plain_unbuffered
from autofit.storage.system_errors import said_of

MOST_LOG_BYTES = 8 * 2**30
"""The largest log that is replayed: about 16 million updates of 64 samples."""

LINE = JsonLimits(2**28, 10_000, 2**25)
"""The limits of the JSON of one update. The only update of a solved head lists all training images, of which an entry
of the cache holds up to 16 million (`MAX_ROWS`)."""


class AuditLine(Record):
    """One update; `samples` and `skipped` are indices into `samples.csv`. Epochs and steps count from zero.

    `stage` is the run's stage; logs of earlier versions lack it. `applied` is false, and only then written, if the
    gradients in float16 were not finite: the weights stayed.
    """

    attempt: int
    epoch: int
    step: int
    micro_batch_size: int = Field(ge=1)
    samples: list[int]
    skipped: list[int]
    stage: str = Field("", max_length=20)
    applied: bool = True


class AuditLog:
    """Writes `audit.jsonl`; without a path it writes nothing. The updates are those of one stage.

    Raises:
        StorageError: the file is shorter than a checkpoint says.
    """

    def __init__(self, path: Path | None, committed_bytes: int, stage: str = "") -> None:
        self._file: io.BufferedWriter | None = None
        self._stage = stage
        if path is not None:
            self._file = io.BufferedWriter(open_plain_unbuffered(path, "ab"))
            size = self._file.tell()
            if size < committed_bytes:
                self._file.close()
                raise StorageError(
                    f"{path} has {size} bytes, but the checkpoint counts on {committed_bytes}: bring the file back, "
                    "or start anew in another run directory"
                )
            cut_file(self._file, committed_bytes)
            self._file.seek(committed_bytes)

    def write(
        self,
        *,
        attempt: int,
        epoch: int,
        step: int,
        micro_batch_size: int,
        samples: Sequence[int],
        skipped: Sequence[int],
        applied: bool = True,
    ) -> None:
        """Record one update; epochs and steps count from zero."""
        if self._file is None:
            return
        line = AuditLine(
            attempt=attempt,
            epoch=epoch,
            step=step,
            micro_batch_size=micro_batch_size,
            samples=[int(sample) for sample in samples],
            skipped=[int(sample) for sample in skipped],
            stage=self._stage,
            applied=applied,
        )
        self._file.write(line.model_dump_json(exclude_defaults=True).encode() + b"\n")
        self._file.flush()

    def commit(self) -> int:
        """Write all lines to the disk, and return the length in bytes that a checkpoint records."""
        if self._file is None:
            return 0
        fsync_file(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_micro_batch_sizes(run_dir: Path) -> dict[tuple[str, int, int], int]:
    """The micro-batch size of each (stage, epoch, step) of another run, from its audit log.

    The stage is empty in logs of earlier versions.

    Raises:
        UserError: the log cannot be read, or a line of it is damaged; the line is named.
    """
    sizes: dict[tuple[str, int, int], int] = {}
    path = run_dir / "audit.jsonl"
    try:
        lines = bounded_lines(path, LINE.size_bytes, MOST_LOG_BYTES, follow_links=True, all_of_them=True)
        for number, text in enumerate(lines, start=1):
            line = _parse(text, f"line {number} of {path}")
            sizes[sys.intern(line.stage), line.epoch, line.step] = line.micro_batch_size
    except OSError as error:
        raise UserError(said_of(error, f"replay: {path} cannot be read", "follow another run")) from None
    except ValueError as error:
        raise UserError(f"replay: {path} is damaged ({error}): follow another run") from None
    return sizes


def _parse(text: bytes, where: str) -> AuditLine:
    try:
        require_bounded(text, where, LINE)
        return AuditLine.model_validate_json(text)
    except ValueError:
        raise UserError(f"replay: {where} is damaged: follow another run") from None
