"""Find the largest batch that fits, in few trials and rarely one too many: a search that is asked and told.

    search = BatchSearch(limit_bytes=3 * 10**9, max_batch=1024)
    while (size := search.ask()) is not None:
        search.tell(run_trial(size))
    search.answer

What decides the strategy: a small trial that fits costs about a second, one that runs out of memory costs 10 s in
TensorFlow's allocator and then a new process with its import and trace. So the limit is approached from below, where a
line through the measured peaks says how far away it is, and the answer is only ever a size that was itself seen to fit:
peaks have steps and dips (cuDNN's workspaces), so neither the line nor a larger size that fits proves anything about
another.

The constants were chosen by simulation. Of the thousand devices in `tests/probing/test_search.py`, 98 % end within 5 %
or one image of their true maximum; the median is 3 trials (4 for those that hold 16 images or more) and no
out-of-memory.
"""

from __future__ import annotations

import math

from autofit.probing.memory_model import MemoryModel, fit
from autofit.process.messages import Trial, Verdict

FAILURES = frozenset({Verdict.DEVICE_OOM, Verdict.HOST_OOM, Verdict.TIMEOUT})

GROWTH = 4  # second size over the first: far enough apart for a slope, near enough to be safe
LEAST_GROWTH = 1.5  # the second size even where the pessimistic line through one point sees no room
FARTHEST_JUMP = 16  # times the largest size that fits: beyond that a line through small sizes is a guess
LEAST_HEADROOM = 0.02  # of the images' bytes; two points have no error to tell of
HEADROOM_A_DOUBLING = 0.5  # so much more headroom for each doubling of the largest size that fits
CLOSING_SHARE = 0.7  # of what is left: at least so far towards the predicted limit, at most so far towards a failure,
# and to the power of the failures met, as each of them says that the line is not to be trusted
STOP_SHARE = 0.5  # of the tolerance: the limit is only predicted, and may be the other half away


def first_sizes(max_batch: int, first: int = 4) -> tuple[int, ...]:
    """The one or two sizes that a search begins with: `first` and four times that, as far as `max_batch` allows.

    The second is an upper bound: less is tried where the first peak says that less may fit.
    """
    return tuple(sorted({min(first, max_batch), min(first * GROWTH, max_batch)}))


class BatchSearch:
    """An ask/tell search for the largest batch that fits. All its state is the trials it was told.

    Args:
        limit_bytes: what the allocator may hold.
        max_batch: the largest size of interest.
        first: the size to begin with.
        tolerance: stop when less than about this share of the answer can still be won.
        max_trials: never ask for more than this, whatever the device does.

    Raises:
        ValueError: `max_batch` or `first` is below 1.
    """

    def __init__(
        self, limit_bytes: int, max_batch: int, *, first: int = 4, tolerance: float = 0.05, max_trials: int = 8
    ) -> None:
        if min(max_batch, first) < 1:
            raise ValueError(f"a batch has at least one image: max_batch {max_batch}, first {first}")
        self._limit_bytes = limit_bytes
        self._max_batch = max_batch
        self._first_sizes = first_sizes(max_batch, first)
        self._tolerance = tolerance
        self._max_trials = max_trials
        self._trials: list[Trial] = []

    def ask(self) -> int | None:
        """The next size to try, always the same until the next `tell`; None when the search is finished.

        Above `answer`, below every size that failed, at most `max_batch`. If the first size fails, 1 is next: it tells
        whether anything fits at all. After a timeout a larger size is of no use, so what fits by then is the answer.
        """
        if len(self._trials) >= self._max_trials or self.answer >= self._ceiling:
            return None
        if self.answer == 0:
            return 1 if self._trials else self._first_sizes[0]
        timed_out = any(trial.verdict is Verdict.TIMEOUT for trial in self._trials)
        if timed_out or self._gain() <= STOP_SHARE * self._tolerance * self.answer:
            return None
        return max(self.answer + 1, min(self._aim(), self._farthest(), self._ceiling))

    def tell(self, trial: Trial) -> None:
        """Take in a trial, of the size asked for or of any other, such as the answer's verification.

        A size that fitted once and failed later counts as failed. A peak of 0 bytes means that none was measured.

        Raises:
            ValueError: the verdict says nothing about size; such an end is for the caller to report.
        """
        if trial.verdict is not Verdict.FITS and trial.verdict not in FAILURES:
            raise ValueError(f"a trial that ended as {trial.verdict.value} says nothing about batch {trial.batch_size}")
        self._trials.append(trial)

    @property
    def answer(self) -> int:
        """The largest size that was itself told to fit, below every size that failed; 0 where there is none."""
        return max((trial.batch_size for trial in self._fitting()), default=0)

    @property
    def model(self) -> MemoryModel | None:
        """The line through the measured peaks; None while there is none."""
        peaks = self._peaks()
        return fit(list(peaks.items())) if peaks else None

    @property
    def _ceiling(self) -> int:
        """The largest size not yet ruled out."""
        failed = [trial.batch_size - 1 for trial in self._trials if trial.verdict in FAILURES]
        return min([self._max_batch, *failed])

    def _fitting(self) -> list[Trial]:
        ceiling = self._ceiling
        return [t for t in self._trials if t.verdict is Verdict.FITS and t.batch_size <= ceiling]

    def _peaks(self) -> dict[int, int]:
        """Measured bytes by size."""
        return {trial.batch_size: trial.peak_bytes for trial in self._fitting() if trial.peak_bytes > 0}

    def _line(self) -> MemoryModel | None:
        """The model, where it has two sizes to stand on."""
        return self.model if len(self._peaks()) > 1 else None

    def _gain(self) -> int:
        """How many images more than the answer may fit, by the line if there is one."""
        line = self._line()
        reach = line.largest_batch(self._limit_bytes) if line else self._ceiling
        return min(reach, self._ceiling) - self.answer

    def _aim(self) -> int:
        """The size to try for its own sake, before the bounds: near the predicted limit, less headroom."""
        line = self._line()
        if line is None:
            return self._second_size()
        least = self.answer + CLOSING_SHARE * self._gain()
        return max(line.largest_batch(self._limit_bytes - self._headroom_bytes(line)), math.floor(least))

    def _second_size(self) -> int:
        """The next of the first sizes, or less where one peak says so; with no peak known, the same factor again."""
        largest = next((size for size in self._first_sizes if size > self.answer), self.answer * GROWTH)
        if self.model is None:
            return largest
        likely = self.model.largest_batch(self._limit_bytes)
        return min(largest, max(likely, math.floor(self.answer * LEAST_GROWTH)))

    def _headroom_bytes(self, line: MemoryModel) -> float:
        """What to leave free: the line's error, at least 2 % of the images' bytes, more the farther it is stretched."""
        least_bytes = LEAST_HEADROOM * (self._limit_bytes - line.base_bytes)
        error_bytes = max(line.max_relative_error * self._limit_bytes, least_bytes)
        doublings = math.log2((self.answer + self._gain()) / self.answer)
        return error_bytes * (1 + HEADROOM_A_DOUBLING * doublings)

    def _farthest(self) -> int:
        """The largest step up: a bounded extrapolation, and after failures a part of the way towards them."""
        failures = sum(trial.verdict in FAILURES for trial in self._trials)
        if failures == 0:
            return self.answer * FARTHEST_JUMP
        return self.answer + math.floor(CLOSING_SHARE**failures * (self._ceiling + 1 - self.answer))
