"""A CSV file of predictions that is written in parts and gets its name only when it is complete.

It grows as `FILE.part`. Beside it `FILE.part.json` records which prediction it is and up to where it is complete, so
that after a kill or Ctrl-C the same call goes on, while any other call begins anew.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO

from pydantic import Field

from autofit.api.predictions import Predictions
from autofit.dataset.table import csv_line
from autofit.errors import InterruptedRunError, StorageError
from autofit.printable import printable
from autofit.report.prediction_text import csv_header, csv_rows, file_words
from autofit.storage.locks import Lock, try_lock
from autofit.storage.records import Record
from autofit.storage.safe_files import (
    cut_file,
    fsync_file,
    make_folder_of,
    open_plain_unbuffered,
    plain_target,
    remove_empty,
)
from autofit.storage.system_errors import said_of
from autofit.storage.user_path import user_path

PART_SUFFIX, STATE_SUFFIX = ".part", ".part.json"
"""The suffixes of the incomplete file and of the record of how far it is."""


class CsvState(Record):
    """`FILE.part.json`: up to where `FILE.part` is complete.

    Attributes:
        key: the hash of the prediction, from `prediction_key`.
        size_bytes: the size of the header and the rows so far.
        images: the number of rows.
        unreadable: how many of these images have no label.
        by_class: how many images have each label.
    """

    schema_: Literal["autofit/csv-part/1"] = Field("autofit/csv-part/1", alias="schema")
    key: str
    size_bytes: int = Field(ge=0)
    images: int = Field(ge=1)
    unreadable: int = Field(ge=0)
    by_class: dict[str, int]


@dataclass(slots=True, repr=False)
class PredictedFile:
    """A summary of a file of predictions. It prints its figures as text.

    Attributes:
        path: the path of the file, as it was given.
        images: the number of images in it.
        unreadable: how many of them could not be read, or got no finite probabilities.
        by_class: how many images have each label, the most frequent label first; an image counts for each of its
            labels.
    """

    path: str
    images: int = 0
    unreadable: int = 0
    by_class: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return file_words(self.path, self.images, self.unreadable, self.by_class)


class CsvWriter:
    """Writes the rows of predictions as CSV, after a header, and counts them; without a stream it only counts."""

    def __init__(self, stream: TextIO | None, path: str = "") -> None:
        self._stream = stream
        self._counts = Counter[str]()
        self.summary = PredictedFile(path)

    def add(self, part: Predictions) -> None:
        """Write the rows of a part."""
        labels = part.labels
        if self._stream is not None:
            if not self.summary.images:
                self._stream.write(csv_line(csv_header(part.class_names)) + "\n")
            for row in csv_rows(part.paths, labels, part.probabilities, part.class_names):
                self._stream.write(csv_line(row) + "\n")
        for label in labels:
            self._counts.update(label if isinstance(label, tuple) else () if label is None else (label,))
        self.summary.images += len(labels)
        self.summary.unreadable += labels.count(None)
        self.summary.by_class = dict(self._counts.most_common())

    def go_on_after(self, state: CsvState) -> None:
        """Count the rows that are there already."""
        self._counts = Counter(state.by_class)
        self.summary.images, self.summary.unreadable = state.images, state.unreadable
        self.summary.by_class = dict(self._counts.most_common())


class CsvFile:
    """A CSV file with a row for each image. It grows under another name, and is renamed when it is complete.

    Use it as a context manager. A pipe or a device, such as `/dev/null`, is written to directly.
    """

    def __init__(self, path: str | Path) -> None:
        """Set the file's name; nothing is opened yet.

        Entering, `add`, `go_on` and leaving raise StorageError if it cannot be written, or another process writes it.
        """
        self._path = str(path)
        self._target = user_path(path)
        self._is_plain, self._key, self._is_kept = True, "", False
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        with self._named_errors():
            plain = plain_target(self._target)
            self._is_plain, self._target = plain is not None, plain or self._target
            if self._is_plain:
                self._made = make_folder_of(self._target)
            self._stream = _growing(self._part) if self._is_plain else _written(self._target)
        self._writer = CsvWriter(self._stream, self._path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._named_errors():
                if error is None:
                    self._finish()
                elif self._is_plain and not self._is_kept and self._is_of_this_call():
                    self._remove_parts()
        finally:
            with suppress(OSError):
                self._stream.close()
        if isinstance(error, InterruptedRunError) and self._is_kept:
            kept = f"{self.summary.images:,} images are in {printable(str(self._part))}"
            raise InterruptedRunError(f"{error}; {kept}, and it goes on after them") from error

    @property
    def summary(self) -> PredictedFile:
        """The summary of what has been written so far."""
        return self._writer.summary

    def go_on(self, key: str) -> int:
        """Begin the prediction with this key; returns how many of its images an earlier call has written already."""
        if not self._is_plain:
            return 0
        self._key = key
        with self._named_errors():
            state = self._state_of(key)
            if state is None:
                return 0
            cut_file(self._stream, state.size_bytes)
        self._writer.go_on_after(state)
        self._is_kept = True
        return state.images

    def add(self, part: Predictions) -> None:
        """Write the rows of a part, and flush them to the file."""
        with self._named_errors():
            if self._is_plain and not self.summary.images:  # what was there is of another prediction
                self._state.unlink(missing_ok=True)
                cut_file(self._stream, 0)
            self._writer.add(part)
            self._stream.flush()
            if self._key:
                self._note_state()

    @property
    def _part(self) -> Path:
        return self._target.with_name(self._target.name + PART_SUFFIX)

    @property
    def _state(self) -> Path:
        return self._target.with_name(self._target.name + STATE_SUFFIX)

    def _state_of(self, key: str) -> CsvState | None:
        """The record of the incomplete file, if there is one with this key."""
        state, size = CsvState.load_or_none(self._state, follow_links=False), os.fstat(self._stream.fileno()).st_size
        return state if state is not None and state.key == key and state.size_bytes <= size else None

    def _note_state(self) -> None:
        """Record how far the incomplete file is, after fsync."""
        fsync_file(self._stream.fileno())
        summary = self.summary
        CsvState(
            key=self._key,
            size_bytes=os.fstat(self._stream.fileno()).st_size,
            images=summary.images,
            unreadable=summary.unreadable,
            by_class=dict(summary.by_class),
        ).save(self._state)
        self._is_kept = True

    def _finish(self) -> None:
        if not self._is_plain:
            self._stream.close()
            return
        if not self.summary.images:
            cut_file(self._stream, 0)
        self._stream.flush()
        fsync_file(self._stream.fileno())
        self._part.replace(self._target)
        self._state.unlink(missing_ok=True)

    def _is_of_this_call(self) -> bool:
        """Whether this call has written to the incomplete file: one of an earlier call is kept if this one fails."""
        return self.summary.images > 0 or os.fstat(self._stream.fileno()).st_size == 0

    def _remove_parts(self) -> None:
        with suppress(OSError):
            self._part.unlink(missing_ok=True)
            self._state.unlink(missing_ok=True)
        remove_empty(self._made)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = f"{printable(self._path)} cannot be written"
            raise StorageError(said_of(error, what, "give another file")) from error


def _growing(part: Path) -> TextIO:
    """A stream that appends to a file, of which this process is the only writer.

    Raises:
        OSError: it cannot be opened, or has another writer.
    """
    raw = open_plain_unbuffered(part, "ab")
    with ExitStack() as if_it_fails:
        if_it_fails.callback(raw.close)
        if try_lock(raw.fileno()) is Lock.BUSY or not _is_still(part, raw.fileno()):
            raise OSError(f"another process writes {part.name}")
        if_it_fails.pop_all()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors="surrogateescape", newline="")


def _is_still(part: Path, handle: int) -> bool:
    """Whether a file still has its name: another process may have finished it before the lock was free."""
    with suppress(FileNotFoundError):
        return part.stat().st_ino == os.fstat(handle).st_ino
    return False


def _written(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
