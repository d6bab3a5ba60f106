"""Find the largest batch that fits, in few trials and rarely one too many: an ask/tell search.

    search = BatchSearch(limit_bytes=3 * 10**9, max_batch=1024)
    while (trial := search.ask()) is not None:
        search.tell(run_trial(trial))
    search.answer

There are two kinds of trials. *Exploratory trials* are small, ascend, and may share a process; a line through the
memory that they take predicts the limit. A *candidate* is a size near the limit, run in a process of its own, where no
trial before it can have helped or hindered. Only a candidate that fits is an answer, and only one that fails rules its
size out: the blocks that TensorFlow's allocator took for small tensors hold no larger ones, so that a used process may
run out of memory early (at 128 images, where 140 and more fit in fresh ones).

An exploratory trial costs about a second, a candidate several, and one that runs out of memory on a GPU 10 s and a
process. So the line is trusted as far as it has proved itself: the last exploratory trial is compared with what the
ones before it had predicted, and that error, multiplied by the distance, is the headroom of the candidate.

A saved profile replaces the exploratory trials. It is never an answer: its size is a candidate like any other, and if
that does not hold, the profile is dropped and the search begins as if there had been none.

The constants were chosen by simulation, on the thousand devices of `tests/probing/test_search.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from autofit.probing.evidence import FAILURES, Evidence
from autofit.probing.memory_model import MemoryModel
from autofit.protocol.messages import Trial, Verdict

FIRST_SIZE = 4  # images: little enough to fit nearly everywhere, and more than one, which says little of the speed
GROWTH = 4  # second size over the first: far enough apart for a slope, near enough to be safe
MIN_GROWTH = 1.5  # the second size over the first even if the first peak, all counted as images, leaves less room
SAFE_SHARE = 0.75  # an exploratory trial is at most this share of the predicted limit
EXPLORE_UP_TO = 64  # images; explored as long as it is safe, because a small batch is often the fastest
MAX_EXTRAPOLATION = 64  # times the largest size that fits: beyond that a line through small sizes is a guess
MIN_HEADROOM = 0.025  # of the images' bytes
MAX_PREDICTION_ERROR = 0.05  # of the limit: no candidate is risked on a prediction that may be off by more than this
SHRINK_FACTORS = (0.955, 0.89, 0.77, 0.6, 0.4)  # of the first failed candidate: the sizes to try after 1, 2, ... failed
STOP_SHARE = 0.65  # of the tolerance, if the limit is only predicted: the other part is the prediction's own error
STOP_SHARE_IF_FILLED = 1.6  # of the tolerance, if a nearly full allocator was measured: half of its free memory is gaps
BISECTION_SHARE = 0.6  # of the way from a size that fits to one that failed: the line is no better guide between them


@dataclass(frozen=True, slots=True)
class NextTrial:
    """A size to try; `fresh` requires a process in which it is the first."""

    size: int
    fresh: bool


class BatchSearch:
    """An ask/tell search for the largest batch that fits. Its whole state is the trials given to `tell`.

    Args:
        limit_bytes: the most that `Trial.memory_bytes` may be.
        max_batch: the largest size of interest.
        saved: trials of a saved profile; the search begins with their line.
        expected: the size that the profile found for exactly this case; 0 if only the line is known.
        first: the size to begin with, without a profile.
        tolerance: stop when less than about this share of the answer can still be gained.
        max_trials: the most trials that the search asks for, whatever the device does.

    Raises:
        ValueError: `max_batch` or `first` is below 1, or `max_trials` too few to verify anything.
    """

    _kept_for_verifying = 1
    """The last trials, in which only what fits is verified."""

    _used_may_fail = True
    """Whether a size that ran out of memory in a used process is tried in a fresh one before it is ruled out."""

    def __init__(
        self,
        limit_bytes: int,
        max_batch: int,
        *,
        saved: Sequence[Trial] = (),
        expected: int = 0,
        first: int = FIRST_SIZE,
        tolerance: float = 0.05,
        max_trials: int = 10,
    ) -> None:
        if min(max_batch, first) < 1:
            raise ValueError(f"a batch has at least one image: max_batch {max_batch}, first {first}")
        if max_trials < 2:  # noqa: PLR2004 - one to find, one to verify
            raise ValueError(f"an answer is found and verified: max_trials {max_trials} is less than 2")
        self._evidence = Evidence(limit_bytes, max_batch, tuple(saved), (), self._used_may_fail)
        self._expected = expected
        self._first = min(first, max_batch)
        self._tolerance = tolerance
        self._max_trials = max_trials

    def ask(self) -> NextTrial | None:
        """The next trial to run, the same until the next `tell`; None when the search is finished.

        Its size is below every size that is ruled out, at most `max_batch`, and above every size that fits, unless that
        is to be verified. After a timeout a larger size is of no use, so the largest size that fits is verified.
        """
        evidence = self._evidence
        left = self._max_trials - len(evidence.trials)
        if left <= 0 or evidence.answer >= evidence.ceiling or self._expected_size_holds():
            return None
        if evidence.largest_fitting == 0:
            return self._begin()
        if left <= self._kept_for_verifying or evidence.timed_out:
            fits = evidence.largest_fitting
            return NextTrial(fits, fresh=True) if fits > evidence.answer else None
        if evidence.doubtful_size:
            return NextTrial(evidence.doubtful_size, fresh=True)
        return self._exploratory_trial() or self._candidate()

    def tell(self, trial: Trial) -> None:
        """Add a finished trial, of the size asked for or any other. A size that fits once and fails later has failed.

        `trial.fresh` says whether it was the first in its process.

        Raises:
            ValueError: the verdict says nothing about the size; such an exit is for the caller to report.
        """
        if trial.verdict is not Verdict.FITS and trial.verdict not in FAILURES:
            raise ValueError(f"a trial that ended as {trial.verdict.value} says nothing about batch {trial.batch_size}")
        self._evidence = replace(self._evidence, trials=(*self._evidence.trials, trial))

    @property
    def answer(self) -> int:
        """The largest size that fitted in a process of its own, below every size that failed; 0 if there is none."""
        return self._evidence.answer

    @property
    def model(self) -> MemoryModel | None:
        """The line through the measured sizes; None if nothing was measured."""
        return self._evidence.model

    @property
    def fragmentation(self) -> float:
        """The factor by which gaps in the allocator make a peak larger; the line includes it."""
        return self._evidence.fragmentation

    @property
    def hint_failed(self) -> bool:
        """Whether there was a profile that did not hold."""
        return bool(self._evidence.saved) and not self._evidence.believes_saved

    def headroom_bytes(self, size: int) -> float:
        """The possible error of the prediction for this size: the last error times the distance, and the steps' spread.

        At least 2.5 % of what the images take: the last 2.5 % of a nearly full allocator suffice for some steps only.
        """
        return headroom_of(self._evidence, self._evidence.limit_bytes, size)

    @property
    def _candidate_that_fits(self) -> int:
        """The largest size that fits, if it ran as a candidate and not only as an exploratory trial; else 0."""
        answer = self._evidence.answer
        return answer if answer == self._evidence.largest_fitting and answer > self._first else 0

    def _expected_size_holds(self) -> bool:
        """Whether the size that a profile found for exactly this case was run and fits: its search was made before."""
        return self._expected > 0 and self._evidence.believes_saved and self._evidence.answer >= self._expected

    def _begin(self) -> NextTrial:
        """The profile's size; without a profile the first size, and if that fails 1, which shows if anything fits."""
        evidence = self._evidence
        if evidence.believes_saved:
            size = self._expected or self._predicted_size()
            return NextTrial(max(1, min(size, self._largest_allowed(), evidence.ceiling)), fresh=True)
        if evidence.failed_sizes:
            return NextTrial(1, fresh=True)
        return NextTrial(min(self._first, evidence.ceiling), fresh=False)

    def _exploratory_trial(self) -> NextTrial | None:
        """The next small size, while there is something to learn from it; None when it is time for a candidate."""
        evidence = self._evidence
        fits = evidence.largest_fitting
        if evidence.failed_sizes or evidence.believes_saved:
            return None
        if evidence.line is None:
            size = min(self._second_size(GROWTH), evidence.ceiling)
            return NextTrial(size, fresh=size == evidence.ceiling) if fits < size else None
        size = fits * (GROWTH if fits < self._first else 2)
        if self._candidate_that_fits or size > SAFE_SHARE * evidence.largest_conceivable:
            return None
        if fits < EXPLORE_UP_TO or evidence.gets_faster or self._is_line_unproven():
            return NextTrial(size, fresh=False)
        return None

    def _second_size(self, growth: int) -> int:
        """`growth` times the first, or less if its peak, all counted as images, says that less may fit."""
        fits = self._evidence.largest_fitting
        measured = [trial for trial in self._evidence.fitting if trial.peak_bytes]
        if not measured:  # without a peak nothing says how far the limit is
            return fits * 2
        predicted = (self._evidence.limit_bytes - measured[-1].non_allocator_bytes) * fits // measured[-1].peak_bytes
        return max(fits + 1, min(fits * growth, max(predicted, math.floor(fits * MIN_GROWTH))))

    def _is_line_unproven(self) -> bool:
        """Whether the line is not proved well enough for a jump to its predicted limit."""
        evidence = self._evidence
        error = evidence.prediction_error
        return error is None or error * evidence.doublings_to(evidence.largest_conceivable) > MAX_PREDICTION_ERROR

    def _candidate(self) -> NextTrial | None:
        """A size near the limit, in a process of its own; None if too little is left to gain."""
        evidence, verified = self._evidence, self._candidate_that_fits
        gain = evidence.largest_conceivable - verified
        if verified and gain <= self._negligible_share() * verified:
            return None
        least = verified + math.ceil(BISECTION_SHARE * gain) if verified else 0
        size = min(max(self._predicted_size(), least), self._largest_allowed(), evidence.ceiling)
        return NextTrial(max(evidence.answer + 1, size), fresh=True)

    def _negligible_share(self) -> float:
        """The share of the answer that is not worth another trial: less if one more may still change the line."""
        return (STOP_SHARE_IF_FILLED if self._evidence.has_nearly_filled else STOP_SHARE) * self._tolerance

    def _predicted_size(self) -> int:
        """The limit that the line predicts, less the headroom for so far a jump."""
        evidence, line = self._evidence, self._evidence.line
        if line is None:
            return evidence.ceiling
        headroom_bytes = self.headroom_bytes(min(line.largest_batch(evidence.limit_bytes), evidence.max_batch))
        return max(evidence.largest_fitting, line.largest_batch(evidence.limit_bytes - headroom_bytes))

    def _largest_allowed(self) -> int:
        """The largest next size: a bounded extrapolation, and after failures a part of the way towards them."""
        evidence, failed = self._evidence, self._evidence.failed_sizes
        if not failed:
            fits = evidence.largest_fitting
            return fits * MAX_EXTRAPOLATION if fits else evidence.max_batch
        if verified := self._candidate_that_fits:  # the line is of no use between a size that fits and one that failed
            return verified + math.ceil(BISECTION_SHARE * (evidence.ceiling - verified))
        factor = SHRINK_FACTORS[min(len(failed), len(SHRINK_FACTORS)) - 1]
        return max(evidence.largest_fitting, math.ceil(factor * max(failed)))


def headroom_of(evidence: Evidence, limit_bytes: float, size: int) -> float:
    """What to leave free of a limit where this size is predicted for it; see `BatchSearch.headroom_bytes`."""
    line = evidence.model
    images_bytes = max(limit_bytes - line.base_bytes, 0.0) if line else 0.0
    error = (evidence.prediction_error or 0.0) * evidence.doublings_to(size)
    return max(MIN_HEADROOM * images_bytes, error * limit_bytes + evidence.spread * images_bytes)
