"""The search for the largest batch on a GPU: one process climbs, and only the answer has a process of its own.

A GPU differs from a CPU in what a trial costs. A process takes some 15 s to start and each new size seconds of
tuning, while an out-of-memory leaves the allocator whole, so that the process goes on. Steady peaks are on a line;
those of the first steps are not, and do not matter: cuDNN takes a smaller workspace where there is no room for a larger
one. So there are few sizes, far apart: two or three that show the line, more while larger is clearly faster, one that
keeps the headroom, all in one process; then, as the first in a process of its own, one near the limit: the answer.

Why GPUs and CPUs are searched differently: docs/decisions/0029. Chosen by simulation, on the thousand devices of
`tests/probing/test_gpu_search.py`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from autofit.probing.evidence import POINTS_OF_A_LINE, others_grew_bytes
from autofit.probing.memory_model import MAX_RELATIVE_ERROR, MemoryModel, fit
from autofit.probing.search import MAX_PREDICTION_ERROR, BatchSearch, NextTrial

HEADROOM_SHARE, LEAST_HEADROOM_BYTES = 0.05, 300 * 10**6
"""Free memory of the limit for what no trial shows; a training keeps it, the largest size that fits does not."""

CLIMB_FACTOR = 8  # from one size to the next; memory for 32 images says more about the limit than 4 tunings in between
MOST_CLIMBS = 4  # sizes before the one that keeps the headroom
SAFE_SHARE = 0.75  # of that one: a size between would cost its tuning and show nothing new
MARGIN = 0.015  # of the images' bytes between the answer's prediction and the limit
ENOUGH = 0.95  # of the true maximum
BISECTION_SHARE = 0.6  # of the way from a size that fits to one that failed
LEAST_PART_OF_GAP = 4  # a fourth of the way is the shortest step into it
WIDE_GAP = 2  # times the size that fits; in a wider one the next size is the geometric mean
WORTH_A_TRIAL = 1.02  # times the largest size that fits: a smaller step is not worth its tuning


class GpuSearch(BatchSearch):
    """The same ask/tell search as `BatchSearch`, with the order of sizes that suits a GPU."""

    _kept_for_verifying = 2  # here all sizes but the answer's share a process: one that fits there may fail in its own
    _used_may_fail = False  # a GPU's allocator gives back the blocks that nothing uses

    def headroom_bytes(self, size: int) -> float:
        """What a training should leave free of the limit, at any size: a share, and what other processes took."""
        del size
        return headroom_bytes(self._evidence.limit_bytes) + others_grew_bytes(self._evidence.trials)

    @property
    def model(self) -> MemoryModel | None:
        """The line through the measured sizes; None if there is none, or it misses one of them by far."""
        model = self._evidence.model
        return model if model and model.max_relative_error <= MAX_RELATIVE_ERROR else None

    @property
    def _line(self) -> MemoryModel | None:
        """The line to predict with: the model, or if that misses a size by far, one through the two largest sizes."""
        evidence = self._evidence
        return evidence.line and (self.model or fit(evidence.points[-POINTS_OF_A_LINE:]))

    def _begin(self) -> NextTrial:
        """A profile's size, in a process of its own; without a profile the first size, and if that fails 1."""
        return replace(super()._begin(), fresh=self._evidence.believes_saved)

    def _exploratory_trial(self) -> NextTrial | None:
        """The next size in the process that climbs; None when it is time for the answer's own process."""
        evidence = self._evidence
        if evidence.failed_sizes:
            size = self._size_in_the_gap()
        elif evidence.believes_saved:
            return None
        else:
            size = min(self._next_climb(), evidence.ceiling)
        near = size <= WORTH_A_TRIAL * evidence.largest_fitting
        if near or (size == evidence.ceiling and not evidence.failed_sizes):  # the end of the climb is the answer's
            return None
        return NextTrial(size, fresh=False)

    def _next_climb(self) -> int:
        """The next larger size: a step that shows more of the line or of the speed, or the one that keeps the headroom.

        If no line describes all sizes, a step is never longer than the usual one.
        """
        evidence, line = self._evidence, self._line
        fits, step = evidence.largest_fitting, CLIMB_FACTOR * evidence.largest_fitting
        if line is None:
            return self._second_size(CLIMB_FACTOR)
        keeps_headroom = min(line.largest_batch(evidence.limit_bytes - self.headroom_bytes(0)), evidence.ceiling)
        if self.model is None:
            return max(fits, min(step, keeps_headroom))
        is_safe = step <= SAFE_SHARE * keeps_headroom
        has_more_to_show = self._is_unproven(keeps_headroom) or evidence.gets_faster
        climbs = sum(not trial.saved for trial in evidence.fitting)
        return step if is_safe and has_more_to_show and climbs < MOST_CLIMBS else max(fits, keeps_headroom)

    def _is_unproven(self, size: int) -> bool:
        """Whether the line has predicted no size yet, or would be off by too much at this one."""
        error = self._evidence.prediction_error
        return error is None or error * self._evidence.doublings_to(size) > MAX_PREDICTION_ERROR

    def _size_in_the_gap(self) -> int:
        """A size between the largest that fits and the smallest that failed; the former if the gap does not matter.

        The line that failed was the one through smaller sizes; the one through the two largest may still say where.
        """
        evidence = self._evidence
        fits, ceiling = evidence.largest_fitting, evidence.ceiling
        if fits >= ENOUGH * ceiling:
            return fits
        gap = ceiling - fits
        middle = math.isqrt(fits * ceiling) if ceiling > WIDE_GAP * fits else fits + math.ceil(BISECTION_SHARE * gap)
        predicted = self._near_limit(fit(evidence.points[-POINTS_OF_A_LINE:])) if evidence.line else ceiling
        return max(fits + 1, fits + gap // LEAST_PART_OF_GAP, predicted if predicted < ceiling else middle)

    def _candidate(self) -> NextTrial | None:
        """The answer's size, as the first in a process; None if it ran, or so little is left to gain."""
        evidence = self._evidence
        fits, answer = evidence.largest_fitting, evidence.answer
        size = fits if evidence.failed_sizes else max(fits, min(self._predicted_size(), evidence.ceiling))
        if answer == fits and (evidence.failed_sizes or answer >= ENOUGH * size):
            return None
        return NextTrial(size, fresh=True)

    def _predicted_size(self) -> int:
        """The size just below the limit by the line; without a line the largest not yet ruled out."""
        line = self._line
        return self._near_limit(line) if line else self._evidence.ceiling

    def _near_limit(self, line: MemoryModel) -> int:
        """The size that a line predicts just below the limit, as far as it has proved itself."""
        evidence = self._evidence
        limit_bytes = evidence.limit_bytes - others_grew_bytes(evidence.trials)
        largest = line.largest_batch(limit_bytes)
        images_bytes = max(limit_bytes - line.base_bytes, 0.0)
        error = (evidence.prediction_error or 0.0) * evidence.doublings_to(min(largest, evidence.max_batch))
        aimed_at = line.largest_batch(limit_bytes - max(MARGIN * images_bytes, error * limit_bytes))
        return max(evidence.largest_fitting, aimed_at, min(math.ceil(ENOUGH * largest), largest))


def headroom_bytes(limit_bytes: int) -> float:
    """What a training on a GPU leaves free of so much memory: 5 %, and 300 MB at least."""
    return max(HEADROOM_SHARE * limit_bytes, LEAST_HEADROOM_BYTES)
