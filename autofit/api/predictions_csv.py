"""A CSV file of predictions that is written a part after another, and is whole or not there."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from autofit.api.predictions import Predictions
from autofit.errors import StorageError
from autofit.report.prediction_text import csv_header, csv_rows

PART_SUFFIX = ".part"
"""Added to the name of a file until it is complete."""


@dataclass(slots=True)
class PredictedFile:
    """What a file of predictions holds.

    Attributes:
        path: of the file, as it was given.
        images: how many it has.
        unreadable: how many of them could not be read, or got no finite probabilities.
        by_class: how many images have each label, the most frequent first; of several labels an image each counts.
    """

    path: str
    images: int = 0
    unreadable: int = 0
    by_class: Mapping[str, int] = field(default_factory=dict)


class CsvWriter:
    """Writes the rows of predictions as CSV, after a header, and counts them; without a stream it only counts."""

    def __init__(self, stream: TextIO | None, path: str = "") -> None:
        self._writer = None if stream is None else csv.writer(stream, lineterminator="\n")
        self._counts = Counter[str]()
        self.summary = PredictedFile(path)

    def add(self, part: Predictions) -> None:
        """Write the rows of a part."""
        labels = part.labels
        if self._writer is not None:
            if not self.summary.images:
                self._writer.writerow(csv_header(part.class_names))
            self._writer.writerows(csv_rows(part.paths, labels, part.probabilities, part.class_names))
        for label in labels:
            self._counts.update(label if isinstance(label, tuple) else () if label is None else (label,))
        self.summary.images += len(labels)
        self.summary.unreadable += labels.count(None)
        self.summary.by_class = dict(self._counts.most_common())


class CsvFile:
    """A CSV file with a row for each image. It grows under a name of its own, and is renamed when it is complete.

    Use it as a context manager. What is no ordinary file (a pipe, `/dev/null`) is written as it is.
    """

    def __init__(self, path: str | Path) -> None:
        """Name the file.

        Entering, `add` and leaving raise StorageError if it cannot be written.
        """
        self._path = str(path)
        self._target = Path(path).expanduser()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with self._named_errors():
            self._stream = self._open.enter_context(_written(self._target.resolve()))
        self._writer = CsvWriter(self._stream, self._path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._named_errors():
            self._open.__exit__(kind, error, trace)

    @property
    def summary(self) -> PredictedFile:
        """What it holds so far."""
        return self._writer.summary

    def add(self, part: Predictions) -> None:
        """Write the rows of a part; they are in the file when this returns."""
        with self._named_errors():
            self._writer.add(part)
            self._stream.flush()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = error.strerror or error
            raise StorageError(f"{self._path} cannot be written ({why}): give another file") from error


@contextmanager
def _written(path: Path) -> Iterator[TextIO]:
    """A stream into a file that replaces `path` at the end of the block; after an error in it, nothing has changed."""
    if path.exists() and not path.is_file():
        with _opened(path) as stream:
            yield stream
        return
    part = path.with_name(path.name + PART_SUFFIX)
    try:
        with _opened(part) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _opened(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
