"""`features.json` of a run: where the rows of features are, and in which chunks missing ones are extracted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from autofit.storage.json_bounds import JsonLimits
from autofit.storage.records import Record

MOST_SLICES = 2**24
LIMITS = JsonLimits(2**28, values=2**25)
"""The record has a number for each row that a time budget has left out, which may be millions."""


class FeaturesRecord(Record):
    """The content of `features.json`.

    Attributes:
        key: the key of the entries.
        own: the name of the entry that this run writes.
        entries: the names of all entries that hold the rows; empty until there is a row for each readable image.
        slices: the `(start, stop)` of rows that were computed together; empty until then, too.
        unreadable: the rows whose images could not be read.
        left_out: the rows for which a time budget had no time. They stay out when the run is resumed or replayed.
    """

    limits: ClassVar[JsonLimits] = LIMITS

    schema_: Literal["autofit/features/1"] = Field("autofit/features/1", alias="schema")
    key: str
    own: str
    entries: list[str] = Field(default_factory=list)
    slices: list[tuple[int, int]] = Field(default_factory=list, max_length=MOST_SLICES)
    unreadable: list[int] = Field(default_factory=list, max_length=MOST_SLICES)
    left_out: list[int] = Field(default_factory=list, max_length=MOST_SLICES)


def load_features_record(path: Path, key: str) -> FeaturesRecord | None:
    """The `features.json` of a run directory; None if it does not exist, is damaged, or is about other features."""
    with contextlib.suppress(OSError, ValueError):
        record = FeaturesRecord.load(path)
        if record.key == key:
            return record
    return None


@dataclass(frozen=True, slots=True)
class ExtractionChunk:
    """Rows that are decoded together.

    Attributes:
        samples: the numbers of the rows, int64 (k,).
        at_once: how many of them go through the backbone at once; None for the autotuner's current size.
    """

    samples: NDArray[np.int64]
    at_once: int | None


def extraction_chunks(
    missing: NDArray[np.bool_], block: int, recorded: FeaturesRecord | None
) -> Iterator[ExtractionChunk]:
    """The rows that have to be extracted, in order.

    Blocks begin at multiples of `block`, so that an interrupted extraction continues with the same blocks. If a record
    tells which rows were computed together, all of these are computed together again, even if only some were lost. Rows
    that were unreadable then do not cause that; they may be readable now, and are extracted in blocks.
    """
    missing = missing.copy()
    lost = missing.copy()
    lost[[row for row in (recorded.unreadable if recorded else []) if 0 <= row < len(lost)]] = False
    left_out = recorded.left_out if recorded else []
    for start, stop in recorded.slices if recorded else []:
        if 0 <= start < stop <= len(lost) and lost[start:stop].any():
            rows = np.setdiff1d(np.arange(start, stop), left_out)
            yield ExtractionChunk(rows, len(rows))
            missing[start:stop] = False
    for start in range(0, len(missing), block):
        rows = start + np.flatnonzero(missing[start : start + block])
        if len(rows):
            yield ExtractionChunk(rows, None)


def interleaved(one: Sequence[ExtractionChunk], other: Sequence[ExtractionChunk]) -> list[ExtractionChunk]:
    """The chunks of both lists, each in its order, mixed so that every beginning has about the same share of both."""
    places = [(place / max(len(chunks), 1), chunk) for chunks in (one, other) for place, chunk in enumerate(chunks)]
    return [chunk for _, chunk in sorted(places, key=lambda placed: placed[0])]
