"""An extraction under a time budget: the order of its images, and when it ends although some are left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from autofit.input.views import ViewIndex
from autofit.worker.features.features_record import ExtractionChunk, interleaved

LEAST_BLOCKS = 2
"""So many blocks are extracted in any case: one of training images and one of validation images."""


class ExtractionClock(Protocol):
    """Says whether there is time for more images."""

    def ends_extraction(self, elapsed: float, ahead: float, done_share: float, *, is_first_stage: bool) -> bool:
        """Whether the extraction has to end after `elapsed` seconds, with `ahead` seconds of work left."""


class NoTimeLeft(Exception):  # noqa: N818 - not an error: the extraction ends here
    """There is no time for more images."""


class ExtractionPace:
    """Forecasts how long an extraction will take, by its fastest block in which nothing was traced.

    The first blocks trace the network with micro-batches of several sizes, and on a GPU tune its convolutions: by them,
    the rest looks several times as long as it is. Until there is another block, the rest is taken to be as fast as a
    micro-batch that was not the first of its size, or, if there was none, as all images so far. A forecast that is too
    short does no harm: it is made again before each block.

    Args:
        clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._block_began = clock()
        self._done = 0
        self._traced_seconds = self._rate = 0.0
        self._image_seconds = math.inf
        self._steady_images, self._steady_seconds = 0, 0.0

    def block_begins(self, done: int, traced_seconds: float, rate: float) -> None:
        """Note that a block begins.

        Args:
            done: the images before it.
            traced_seconds: the time of all steps so far that were the first of their size.
            rate: the images a second in other steps; 0 if unknown.
        """
        now = self._clock()
        if done > self._done and traced_seconds == self._traced_seconds:
            images, seconds = done - self._done, now - self._block_began
            self._image_seconds = min(self._image_seconds, seconds / images)
            self._steady_images, self._steady_seconds = self._steady_images + images, self._steady_seconds + seconds
        self._block_began, self._done, self._traced_seconds, self._rate = now, done, traced_seconds, rate

    @property
    def steady_per_second(self) -> float:
        """The images a second in all blocks so far in which nothing was traced; 0 if there was none."""
        return self._steady_images / self._steady_seconds if self._steady_seconds else 0.0

    def elapsed(self) -> float:
        """The seconds since the extraction began."""
        return self._clock() - self._began

    def done_share(self, count: int) -> float:
        """The share of `count` images that is done."""
        return self._done / count

    def ahead(self, count: int) -> float:
        """The seconds that the images take which are left of `count`; infinite before the first block is done."""
        left = count - self._done
        if math.isfinite(self._image_seconds) or not self._done:
            return left * self._image_seconds
        return left / self._rate if self._rate else left * (self._block_began - self._began) / self._done


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

    def check(self, blocks: int, pace: ExtractionPace, count: int) -> None:
        """Check that there is time for another block, after `blocks` of them.

        Raises:
            NoTimeLeft: there is not.
        """
        if self.clock is None or blocks < LEAST_BLOCKS:
            return
        so_far = pace.elapsed(), pace.ahead(count), pace.done_share(count)
        if self.clock.ends_extraction(*so_far, is_first_stage=self.is_first_stage):
            raise NoTimeLeft
