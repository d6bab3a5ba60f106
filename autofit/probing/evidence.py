"""Conclusions from the trials of a search and of a saved profile. Pure; recomputed after each trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

from autofit.probing.memory_model import MemoryModel, fit
from autofit.protocol.messages import Trial, Verdict

FAILURES = frozenset({Verdict.DEVICE_OOM, Verdict.HOST_OOM, Verdict.TIMEOUT})

POINTS_OF_A_LINE = 2
MAX_PROFILE_FAILURES = 2  # a profile's first size may be slightly too large today; a second failure is no accident
SAVED_LINE_TOLERANCE = 0.15  # if a profile's line is off by more, the machine is not the one that it was measured on
CLEARLY_FASTER = 1.1  # a ratio of speeds, larger than between two timings of one size
WIDE_GAPS = 1.15  # resident arena over the peak of the tensors in it: above this, more tensors may fit into the gaps
MAX_FAILURES_FOR_GAPS = 2  # after so many sizes that ran out of memory, a full allocator is assumed to keep its gaps
LEAST_RISE = 1.1  # a peak over that of the smallest size: where peaks fall, less than this is no rise
FLAT_GROWTH = 2  # the largest step in size while peaks are flat
MIN_DOUBLINGS = 0.1  # the error of a prediction over a shorter distance says nothing about a longer one

Point = tuple[int, int]
"""A batch size, and the memory that it takes, in bytes."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The trials so far, in order.

    Attributes:
        limit_bytes: the memory that a batch may take.
        max_batch: the largest size of interest.
        saved: trials of a saved profile, which are used until they prove wrong.
        trials: the trials of this search.
        used_may_fail: whether a used process may run out of memory at a size that fits in a fresh one.
    """

    limit_bytes: int
    max_batch: int
    saved: tuple[Trial, ...]
    trials: tuple[Trial, ...]
    used_may_fail: bool = False

    # Sizes ------------------------------------------------------------------------------------------------------------

    @property
    def ceiling(self) -> int:
        """The largest size not yet ruled out."""
        return min([self.max_batch, *(size - 1 for size in self.failed_sizes)])

    @property
    def failed_sizes(self) -> list[int]:
        """The sizes that failed, without those that were tried because of a profile that was dropped later.

        The processes of those had the memory budget of that profile.
        """
        skipped = self._failures_at_first() if self.saved and not self.believes_saved else 0
        return [t.batch_size for t in self.trials[skipped:] if t.verdict in FAILURES and not self._is_doubtful(t)]

    @property
    def doubtful_size(self) -> int:
        """The smallest size that failed only in a used process, against the prediction, and may yet fit; 0 if none."""
        sizes = [t.batch_size for t in self.trials if t.verdict in FAILURES and self._is_doubtful(t)]
        return min((size for size in sizes if self.answer < size <= self.ceiling), default=0)

    def _is_doubtful(self, failed: Trial) -> bool:
        """Whether a used process ran out of memory at a size that should have fitted by the trials before it."""
        if not self.used_may_fail or failed.fresh or failed.verdict is Verdict.TIMEOUT:
            return False
        points = _points_of(list(takewhile(lambda trial: trial is not failed, self.trials)), self.limit_bytes)
        return bool(points) and failed.batch_size <= fit(points).largest_batch(self.limit_bytes)

    @property
    def timed_out(self) -> bool:
        """Whether a size took too long."""
        return any(trial.verdict is Verdict.TIMEOUT for trial in self.trials)

    @property
    def fitting(self) -> list[Trial]:
        """The trials that fit, below every size that failed."""
        ceiling = self.ceiling
        return [t for t in self.trials if t.verdict is Verdict.FITS and t.batch_size <= ceiling]

    @property
    def largest_fitting(self) -> int:
        """The largest size that fits, in a fresh process or a used one; 0 if there is none."""
        return max((trial.batch_size for trial in self.fitting), default=0)

    @property
    def answer(self) -> int:
        """The largest size that fits in a fresh process; 0 if there is none."""
        return max((trial.batch_size for trial in self.fitting if trial.fresh), default=0)

    # The profile --------------------------------------------------------------------------------------------------

    @property
    def believes_saved(self) -> bool:
        """Whether there is a profile whose first two sizes did not both fail, and whose line agrees with a trial."""
        if not self.saved or self._failures_at_first() >= MAX_PROFILE_FAILURES:
            return False
        first = next((trial for trial in self.trials if trial.verdict is Verdict.FITS), None)
        return first is None or self._agrees_with_saved(first)

    def _failures_at_first(self) -> int:
        """How many of the first trials failed, before one that fits."""
        verdicts = [trial.verdict for trial in self.trials[:MAX_PROFILE_FAILURES]]
        return next((n for n, verdict in enumerate(verdicts) if verdict is Verdict.FITS), len(verdicts))

    def _agrees_with_saved(self, trial: Trial) -> bool:
        """Whether a trial took about as much as the profile's line predicts."""
        fragmentation = _fragmentation_of(self.saved, self.limit_bytes)
        points = _points_of(self.saved, self.limit_bytes)
        if len(points) < POINTS_OF_A_LINE or not trial.peak_bytes:
            return trial.batch_size >= self.max_batch  # then no size is left about which the profile could be wrong
        measured = _limit_bytes_of(trial, fragmentation)
        return abs(fit(points).predict(trial.batch_size) - measured) <= SAVED_LINE_TOLERANCE * measured

    # The line -----------------------------------------------------------------------------------------------------

    @property
    def points(self) -> list[Point]:
        """`(batch, bytes)` of the measured sizes that fit, by size; for a size that ran twice, of the later trial.

        If enough trials left the allocator room, only those count: a nearly full allocator hands out larger chunks than
        asked for, which makes its peaks imprecise (by 8 % from one run to the next, with a frozen MobileNetV2).
        """
        return _points_of(self.measured, self.limit_bytes)

    @property
    def model(self) -> MemoryModel | None:
        """The line through the points; None if there is no point."""
        points = self.points
        return fit(points) if points else None

    @property
    def line(self) -> MemoryModel | None:
        """The model, if it is based on at least two sizes; else None."""
        points = self.points
        return fit(points) if len(points) >= POINTS_OF_A_LINE else None

    @property
    def largest_conceivable(self) -> int:
        """The largest size that may fit: by the line without headroom, or by what the largest trial left free.

        Free is the part of the allocator that it did not touch; wide gaps between its tensors count too.
        """
        line = self.line
        if line is None:
            return self.ceiling
        if are_flat(self.measured):
            return min(FLAT_GROWTH * self.largest_fitting, self.ceiling)
        largest = max(line.largest_batch(self.limit_bytes), self._largest_in_full_allocator(line))
        return min(largest, self.ceiling)

    @property
    def _largest_fitting_trial(self) -> Trial | None:
        return max(self.fitting, key=lambda trial: trial.batch_size, default=None)

    @property
    def has_nearly_filled(self) -> bool:
        """Whether the largest size that fits is known to have used at least half of its allocator."""
        largest = self._largest_fitting_trial
        return largest is not None and largest.arena_resident_bytes > 0 and not _left_room(largest, self.limit_bytes)

    def _largest_in_full_allocator(self, line: MemoryModel) -> int:
        """The largest size by what the largest trial left free in the allocator that it nearly filled; 0 if unknown.

        It is more precise than a line through small sizes, which may be off by a few percent near the limit. Free is
        what was not touched, and after wide gaps all that no tensor took: an allocator with room spreads tensors that
        it would pack if it were full. So gaps do not show that a larger batch runs out of memory; two failures do.
        """
        largest = self._largest_fitting_trial
        if largest is None or not largest.fresh or not self.has_nearly_filled:
            return 0
        taken, bytes_per_image = largest.arena_resident_bytes, line.bytes_per_image
        if taken >= WIDE_GAPS * largest.peak_bytes > 0 and len(self.failed_sizes) < MAX_FAILURES_FOR_GAPS:
            taken, bytes_per_image = largest.peak_bytes, bytes_per_image / self.fragmentation
        return largest.batch_size + int(max(largest.allocator_bytes - taken, 0) / max(bytes_per_image, 1.0))

    @property
    def fragmentation(self) -> float:
        """The factor, 1 or more, by which gaps in the allocator make its resident memory larger than the peak."""
        return _fragmentation_of(self.measured, self.limit_bytes)

    @property
    def prediction_error(self) -> float | None:
        """The relative error of the line's prediction for the largest size, per doubling of the size.

        The prediction is that of the line through the smaller sizes; None if these are too few for a line.
        """
        *before, last = self.points or [(0, 0)]
        if len(before) < POINTS_OF_A_LINE:
            return None
        size, measured = last
        relative_error = abs(fit(before).predict(size) - measured) / measured
        return relative_error / max(_doublings(before[-1][0], size), MIN_DOUBLINGS)

    @property
    def spread(self) -> float:
        """The spread of the peaks of equal steps, relative to the peak, of the largest size that left room, if any."""
        measured = [trial for trial in self.measured if trial.peak_bytes]
        chosen = [trial for trial in measured if _left_room(trial, self.limit_bytes)] or measured
        largest = max(chosen, key=lambda trial: trial.batch_size, default=None)
        return largest.spread_bytes / largest.peak_bytes if largest else 0.0

    @property
    def gets_faster(self) -> bool:
        """Whether the largest size that was timed is clearly the fastest."""
        by_size = {t.batch_size: t.images_per_second for t in self.fitting if t.images_per_second > 0}
        speeds = [by_size[size] for size in sorted(by_size)]
        return len(speeds) > 1 and speeds[-1] > CLEARLY_FASTER * max(speeds[:-1])

    def doublings_to(self, size: int) -> float:
        """How many doublings this size lies beyond the measured sizes; 0 within them."""
        points = self.points
        return _doublings(points[-1][0], size) if points and size > points[-1][0] else 0.0

    @property
    def measured(self) -> list[Trial]:
        """The trials that the line is fitted to."""
        return [*(self.saved if self.believes_saved else ()), *self.fitting]


def _points_of(trials: Sequence[Trial], limit_bytes: int) -> list[Point]:
    fragmentation = _fragmentation_of(trials, limit_bytes)
    measured = {t.batch_size: t for t in trials if t.verdict is Verdict.FITS and t.peak_bytes > 0}
    with_room = {size: trial for size, trial in measured.items() if _left_room(trial, limit_bytes)}
    chosen = with_room if len(with_room) > POINTS_OF_A_LINE else measured
    return sorted((size, _limit_bytes_of(trial, fragmentation)) for size, trial in chosen.items())


def are_flat(trials: Sequence[Trial]) -> bool:
    """Whether peaks rise by less than they vary: a larger size took less than a smaller, and none clearly more.

    While the update of many weights takes more than the activations of few images, peaks tell nothing of an image:
    for all of ResNet50 at 128 px they were 834, 791 and 769 MB for 4, 6 and 10 images.
    """
    by_size = {trial.batch_size: trial.peak_bytes for trial in trials if trial.peak_bytes}
    falls = any(by_size[larger] < by_size[smaller] for smaller, larger in pairwise(sorted(by_size)))
    return falls and _hardly_rise(by_size)


def hide_images(trials: Sequence[Trial]) -> bool:
    """Whether peaks hardly rise: the update takes more than the images, and a line through them says little of these.

    All of ResNet50 at 96 px took 705, 707 and 744 MB for 4, 16 and 32 images, and then 8 MB for each further one.
    """
    by_size = {t.batch_size: t.peak_bytes for t in trials if t.peak_bytes and t.verdict is Verdict.FITS}
    return len(by_size) >= POINTS_OF_A_LINE and _hardly_rise(by_size)


def _hardly_rise(peak_bytes: Mapping[int, int]) -> bool:
    """Whether no peak, by size, is clearly over that of the smallest size."""
    return max(peak_bytes.values()) < LEAST_RISE * peak_bytes[min(peak_bytes)]


def _fragmentation_of(trials: Sequence[Trial], limit_bytes: int) -> float:
    """The smaller factor of the two largest sizes whose allocator had room, so that gaps could form; at least 1.

    If the large tensors of a network cannot be packed densely, every size shows it; a gap at one size only is chance.
    """
    factors = {
        t.batch_size: t.arena_resident_bytes / t.peak_bytes
        for t in trials
        if t.peak_bytes and _left_room(t, limit_bytes)
    }
    largest = sorted(factors)[-2:]
    return max(1.0, min(factors[size] for size in largest)) if len(largest) > 1 else 1.0


def others_grew_bytes(trials: Sequence[Trial]) -> int:
    """The most by which the memory of other processes on a GPU was seen to grow since the first trial."""
    held = [trial.other_processes_bytes for trial in trials]
    return max(held, default=0) - held[0] if held else 0


def _left_room(trial: Trial, limit_bytes: int) -> bool:
    """Whether the allocator used less than half of its memory, as far as that is known."""
    return 0 < 2 * trial.arena_resident_bytes < limit_bytes - trial.non_allocator_bytes


def _limit_bytes_of(trial: Trial, fragmentation: float) -> int:
    """The memory that a trial's size takes, with the gaps that its tensors leave in the allocator."""
    return trial.non_allocator_bytes + round(fragmentation * trial.peak_bytes)


def _doublings(smaller: int, larger: int) -> float:
    return math.log2(larger / smaller)
