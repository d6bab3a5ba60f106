"""What the trials of a search say, and what a saved profile said before them: pure, and anew after each trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autofit.probing.memory_model import MemoryModel, fit
from autofit.protocol.messages import Trial, Verdict

FAILURES = frozenset({Verdict.DEVICE_OOM, Verdict.HOST_OOM, Verdict.TIMEOUT})

POINTS_OF_A_LINE = 2
FAILURES_OF_A_PROFILE = 2  # its first size may be a hair too much for today; a second failure is no accident
SAVED_MAY_BE_OFF = 0.15  # a profile's line, before it is taken for another machine's
STILL_FASTER = 1.1  # images a second of one size over all smaller ones: more than two timings differ by
SHORTEST_JUMP = 0.1  # doublings: what a line missed over a shorter one says nothing of a longer

Point = tuple[int, int]
"""A batch, and what it takes of the limit, in bytes."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The trials so far, in their order.

    Attributes:
        limit_bytes: what a size may take.
        max_batch: the largest size of interest.
        saved: trials of a saved profile; believed until they prove wrong.
        trials: those of this search.
    """

    limit_bytes: int
    max_batch: int
    saved: tuple[Trial, ...]
    trials: tuple[Trial, ...]

    # Sizes ------------------------------------------------------------------------------------------------------------

    @property
    def ceiling(self) -> int:
        """The largest size not yet ruled out."""
        return min([self.max_batch, *(size - 1 for size in self.failed)])

    @property
    def failed(self) -> list[int]:
        """The sizes that were tried in vain; not those that a profile led to which is dropped since.

        They ran with what that profile said of the process.
        """
        led = self._failures_at_first() if self.saved and not self.believes_saved else 0
        return [trial.batch_size for trial in self.trials[led:] if trial.verdict in FAILURES]

    @property
    def timed_out(self) -> bool:
        """Whether a size took too long."""
        return any(trial.verdict is Verdict.TIMEOUT for trial in self.trials)

    @property
    def fitting(self) -> list[Trial]:
        """What fits, below every size that failed."""
        ceiling = self.ceiling
        return [t for t in self.trials if t.verdict is Verdict.FITS and t.batch_size <= ceiling]

    @property
    def fits(self) -> int:
        """The largest size that fits, in whatever process; 0 where there is none."""
        return max((trial.batch_size for trial in self.fitting), default=0)

    @property
    def answer(self) -> int:
        """The largest size that fits in a process of its own; 0 where there is none."""
        return max((trial.batch_size for trial in self.fitting if trial.fresh), default=0)

    # The profile --------------------------------------------------------------------------------------------------

    @property
    def believes_saved(self) -> bool:
        """Whether there is a profile that has not failed twice at first, nor measured otherwise than its line says."""
        if not self.saved or self._failures_at_first() >= FAILURES_OF_A_PROFILE:
            return False
        first = next((trial for trial in self.trials if trial.verdict is Verdict.FITS), None)
        return first is None or self._agrees_with_saved(first)

    def _failures_at_first(self) -> int:
        verdicts = [trial.verdict for trial in self.trials[:FAILURES_OF_A_PROFILE]]
        return next((n for n, verdict in enumerate(verdicts) if verdict is Verdict.FITS), len(verdicts))

    def _agrees_with_saved(self, trial: Trial) -> bool:
        gaps, points = self._gaps(self.saved), self._points(self.saved)
        if len(points) < POINTS_OF_A_LINE or not trial.peak_bytes:
            return trial.batch_size >= self.max_batch  # it holds as far as anybody asks
        measured = _bytes_of(trial, gaps)
        return abs(fit(points).predict(trial.batch_size) - measured) <= SAVED_MAY_BE_OFF * measured

    # The line -----------------------------------------------------------------------------------------------------

    @property
    def points(self) -> list[Point]:
        """`(batch, bytes)` of what fits and was measured, by size; of a size that was run twice, the later.

        Where enough of them left the allocator room, only those: a full one rounds its chunks up to what is there, and
        its peaks say little (8 % more or less from one run to the next, with a frozen MobileNetV2).
        """
        return self._points(self._telling())

    @property
    def model(self) -> MemoryModel | None:
        """The line through the points; None while there is none."""
        points = self.points
        return fit(points) if points else None

    @property
    def line(self) -> MemoryModel | None:
        """The model, where it has two sizes to stand on."""
        points = self.points
        return fit(points) if len(points) >= POINTS_OF_A_LINE else None

    @property
    def reach(self) -> int:
        """The largest size that the line allows, with no headroom at all, or what the best candidate left free."""
        line = self.line
        if line is None:
            return self.ceiling
        return min(max(line.largest_batch(self.limit_bytes), self._left_free(line)), self.ceiling)

    @property
    def _best(self) -> Trial | None:
        """The trial of the largest size that fits."""
        return max(self.fitting, key=lambda trial: trial.batch_size, default=None)

    @property
    def has_filled(self) -> bool:
        """Whether the largest size that fits is known to have nearly filled its allocator."""
        best = self._best
        return best is not None and best.arena_resident_bytes > 0 and not self._is_roomy(best)

    def _left_free(self, line: MemoryModel) -> int:
        """How far the allocator's untouched rest would reach, in the process of the largest size that fits.

        A line through small sizes may be off by a few percent where it ends; this was measured there.
        """
        best = self._best
        if best is None or not best.fresh or not best.arena_resident_bytes or self._is_roomy(best):
            return 0
        free_bytes = max(best.allocator_bytes - best.arena_resident_bytes, 0)
        return best.batch_size + int(free_bytes / max(line.bytes_per_image, 1.0))

    @property
    def gaps(self) -> float:
        """By how much the gaps in the allocator make a peak larger, as a factor, 1 or more."""
        return self._gaps(self._telling())

    @property
    def miss(self) -> float | None:
        """How far the line was off when it last predicted: a share of the bytes, for each doubling of the size."""
        *before, last = self.points or [(0, 0)]
        if len(before) < POINTS_OF_A_LINE:
            return None
        size, measured = last
        return (
            abs(fit(before).predict(size) - measured) / measured / max(_doublings(before[-1][0], size), SHORTEST_JUMP)
        )

    @property
    def spread(self) -> float:
        """How far apart the peaks of equal steps lay, as a share of what they took; with room, where any had it."""
        measured = [trial for trial in self._telling() if trial.memory_bytes]
        told = [trial for trial in measured if self._is_roomy(trial)] or measured
        return max((trial.spread_bytes / trial.memory_bytes for trial in told), default=0.0)

    @property
    def gets_faster(self) -> bool:
        """Whether the largest size that was timed is clearly the fastest."""
        by_size = {t.batch_size: t.images_per_second for t in self.fitting if t.images_per_second > 0}
        speeds = [by_size[size] for size in sorted(by_size)]
        return len(speeds) > 1 and speeds[-1] > STILL_FASTER * max(speeds[:-1])

    def doublings_to(self, size: int) -> float:
        """How far this size lies beyond what was measured, in doublings; 0 within it."""
        points = self.points
        return _doublings(points[-1][0], size) if points and size > points[-1][0] else 0.0

    def _telling(self) -> list[Trial]:
        """The trials that the line goes through."""
        return [*(self.saved if self.believes_saved else ()), *self.fitting]

    def _points(self, trials: Sequence[Trial]) -> list[Point]:
        gaps = self._gaps(trials)
        measured = {t.batch_size: t for t in trials if t.verdict is Verdict.FITS and t.peak_bytes > 0}
        roomy = {size: trial for size, trial in measured.items() if self._is_roomy(trial)}
        chosen = roomy if len(roomy) > POINTS_OF_A_LINE else measured
        return sorted((size, _bytes_of(trial, gaps)) for size, trial in chosen.items())

    def _gaps(self, trials: Sequence[Trial]) -> float:
        """Of the two largest sizes that left the allocator room, so that gaps show, the lesser factor.

        Where a network's large tensors cannot be packed, that shows at every size; what shows at one only is chance.
        """
        factors = {
            t.batch_size: t.arena_resident_bytes / t.peak_bytes for t in trials if t.peak_bytes and self._is_roomy(t)
        }
        largest = sorted(factors)[-2:]
        return max(1.0, min(factors[size] for size in largest)) if len(largest) > 1 else 1.0

    def _is_roomy(self, trial: Trial) -> bool:
        """Whether the allocator had as much room again as it used, as far as that is known."""
        return 0 < 2 * trial.arena_resident_bytes < self.limit_bytes - trial.non_allocator_bytes


def _bytes_of(trial: Trial, gaps: float) -> int:
    """What a size takes of the limit, with the gaps that its tensors leave in the allocator."""
    return trial.non_allocator_bytes + round(gaps * trial.peak_bytes)


def _doublings(smaller: int, larger: int) -> float:
    return math.log2(larger / smaller)
