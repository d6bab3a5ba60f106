"""The search for the largest batch on a GPU: one process tries growing sizes, and a fresh one verifies the answer.

On a GPU, trials have other costs than on a CPU. A process takes some 15 s to start, and each new size seconds of
tuning; but the allocator survives an out-of-memory, so that the process goes on. The peaks of steady steps are on a
line. The higher peaks of the first steps do not matter, since cuDNN takes a smaller workspace if there is no room.

So the search tries few sizes, far apart, in one process: two or three for the line, more while a larger size is clearly
faster, and one that leaves the headroom free. Then a size near the limit runs as the first one of a fresh process: the
answer.

Why GPUs and CPUs are searched differently: docs/decisions/0029. The constants were chosen by simulation, on the
thousand devices of `tests/probing/test_gpu_search.py`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from autofit.probing.evidence import POINTS_OF_A_LINE, others_grew_bytes
from autofit.probing.memory_model import MAX_RELATIVE_ERROR, MemoryModel, fit
from autofit.probing.search import MAX_PREDICTION_ERROR, BatchSearch, NextTrial

HEADROOM_SHARE, LEAST_HEADROOM_BYTES = 0.05, 300 * 10**6
"""The memory that a training should leave free for what no trial shows; the largest size that fits does not."""

CLIMB_FACTOR = 8  # the ratio of one size to the last; smaller steps would cost tunings and tell little about the limit
MOST_CLIMBS = 4  # the most sizes before the one that leaves the headroom free
SAFE_SHARE = 0.75  # a climb goes up to this share of that size; one nearer to it would show nothing new
MARGIN = 0.015  # the distance of the answer's prediction from the limit, as a share of the images' bytes
ENOUGH = 0.95  # an answer of this share of the largest possible size ends the search
BISECTION_SHARE = 0.6  # the next size in a gap: this share of the way from the size that fits to the one that failed
LEAST_PART_OF_GAP = 4  # the shortest step into a gap is 1/4 of it
WIDE_GAP = 2  # if a gap's ends have a larger ratio, the next size is their geometric mean
WORTH_A_TRIAL = 1.02  # a size has to be larger than the largest that fits by this factor to be worth its tuning


class GpuSearch(BatchSearch):
    """The same ask/tell search as `BatchSearch`, with the order of sizes that suits a GPU."""

    _kept_for_verifying = 2  # a size that fits in the shared process may fail in a fresh one, so one more trial is kept
    _used_may_fail = False  # a GPU's allocator gives back unused blocks

    def headroom_bytes(self, size: int) -> float:
        """What a training should leave free, whatever the size: a share of the limit, and what other processes took."""
        del size
        return headroom_bytes(self._evidence.limit_bytes) + others_grew_bytes(self._evidence.trials)

    @property
    def model(self) -> MemoryModel | None:
        """The line through the measured sizes; None if there is none, or if it misses a size by far."""
        model = self._evidence.model
        return model if model and model.max_relative_error <= MAX_RELATIVE_ERROR else None

    @property
    def _line(self) -> MemoryModel | None:
        """The line to predict with: the model or, if it misses a size by far, a line through the two largest sizes."""
        evidence = self._evidence
        return evidence.line and (self.model or fit(evidence.points[-POINTS_OF_A_LINE:]))

    def _begin(self) -> NextTrial:
        """The first size: a profile's, in a fresh process; without one the usual first size, and 1 if that fails."""
        return replace(super()._begin(), fresh=self._evidence.believes_saved)

    def _exploratory_trial(self) -> NextTrial | None:
        """The next size in the shared process; None when it is time to verify the answer in a fresh one."""
        evidence = self._evidence
        if evidence.failed_sizes:
            size = self._size_in_the_gap()
        elif evidence.believes_saved:
            return None
        else:
            size = min(self._next_climb(), evidence.ceiling)
        near = size <= WORTH_A_TRIAL * evidence.largest_fitting
        if near or (size == evidence.ceiling and not evidence.failed_sizes):  # `_candidate` takes the last size
            return None
        return NextTrial(size, fresh=False)

    def _next_climb(self) -> int:
        """The next larger size: one that tells more about the line or the speed, or the one that leaves the headroom.

        If no line describes all sizes, the size grows by at most `CLIMB_FACTOR`.
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
        """Whether no prediction of the line was checked yet, or its error may be too large at this size."""
        error = self._evidence.prediction_error
        return error is None or error * self._evidence.doublings_to(size) > MAX_PREDICTION_ERROR

    def _size_in_the_gap(self) -> int:
        """A size between the largest that fits and the smallest that failed; the former if the gap is small enough.

        The failed size was predicted by a line through all sizes; a line through the two largest may predict better.
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
        """The size to verify in a fresh process; None if it was verified, or if a larger one would gain too little."""
        evidence = self._evidence
        fits, answer = evidence.largest_fitting, evidence.answer
        size = fits if evidence.failed_sizes else max(fits, min(self._predicted_size(), evidence.ceiling))
        if answer == fits and (evidence.failed_sizes or answer >= ENOUGH * size):
            return None
        return NextTrial(size, fresh=True)

    def _predicted_size(self) -> int:
        """The size just below the limit by the line; without a line, the largest that is not ruled out."""
        line = self._line
        return self._near_limit(line) if line else self._evidence.ceiling

    def _near_limit(self, line: MemoryModel) -> int:
        """The size that a line predicts to fit just below the limit, less a margin for the line's error so far."""
        evidence = self._evidence
        limit_bytes = evidence.limit_bytes - others_grew_bytes(evidence.trials)
        largest = line.largest_batch(limit_bytes)
        images_bytes = max(limit_bytes - line.base_bytes, 0.0)
        error = (evidence.prediction_error or 0.0) * evidence.doublings_to(min(largest, evidence.max_batch))
        aimed_at = line.largest_batch(limit_bytes - max(MARGIN * images_bytes, error * limit_bytes))
        return max(evidence.largest_fitting, aimed_at, min(math.ceil(ENOUGH * largest), largest))


def headroom_bytes(limit_bytes: int) -> float:
    """What a training on a GPU should leave free of its memory: 5 %, but at least 300 MB."""
    return max(HEADROOM_SHARE * limit_bytes, LEAST_HEADROOM_BYTES)
