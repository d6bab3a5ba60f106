"""An extraction under a time budget: the order of its images, and when it ends although some are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from autofit.input.views import ViewIndex
from autofit.worker.features.features_record import ExtractionChunk, interleaved

LEAST_BLOCKS = 2
"""So many blocks are extracted in any case: one of training images and one of validation images."""


class ExtractionClock(Protocol):
    """Says whether there is time for more images."""

    def ends_extraction(self, began: float, done: int, count: int, *, is_first_stage: bool) -> bool:
        """Whether the extraction has to end with `done` of `count` images; `began` is read from `time.monotonic()`."""


class NoTimeLeft(Exception):  # noqa: N818 - not an error: the extraction ends here
    """There is no time for more images."""


@dataclass(frozen=True, slots=True)
class ExtractionTimeLimit:
    """Ends an extraction in time.

    Attributes:
        clock: the clock of the stage; None without a budget, which changes nothing.
        is_first_stage: whether the extraction is for the first stage of a run.
    """

    clock: ExtractionClock | None
    is_first_stage: bool

    def ordered(self, chunks: Sequence[ExtractionChunk], views: ViewIndex) -> list[ExtractionChunk]:
        """The chunks, with those of validation images spread among those of training images, so that both are begun."""
        if self.clock is None:
            return list(chunks)
        first = views.train_count * views.views
        of_training = [chunk for chunk in chunks if chunk.samples[-1] < first]
        of_validation = [chunk for chunk in chunks if chunk.samples[-1] >= first]  # one may have some of both
        return interleaved(of_training, of_validation)

    def check(self, blocks: int, began: float, done: int, count: int) -> None:
        """Check that there is time for another block, after `blocks` of them.

        Raises:
            NoTimeLeft: there is not.
        """
        if self.clock is None or blocks < LEAST_BLOCKS:
            return
        if self.clock.ends_extraction(began, done, count, is_first_stage=self.is_first_stage):
            raise NoTimeLeft
