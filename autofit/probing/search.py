"""Finds the largest batch that fits, in few trials: an ask/tell search.

    search = BatchSearch(limit_bytes=3 * 10**9, max_batch=1024)
    while (trial := search.ask()) is not None:
        search.tell(run_trial(trial))
    search.answer

There are two kinds of trials. *Exploratory trials* have small, growing sizes and may share a process; a line through
their memory predicts the limit. A *candidate* is a size near the limit, which runs in a fresh process, where no earlier
trial can influence it. Only a candidate that fits is an answer. Only one that fails rules its size out: a used process
may run out of memory early, since the blocks that TensorFlow's allocator took for small tensors cannot hold larger ones
(seen at 128 images, while more than 140 fit in a fresh process).

An exploratory trial takes about a second, a candidate several, and one that runs out of memory also costs its process.
So the line is trusted as far as it has been checked: the largest trial is compared with the prediction by the
smaller ones, and that error, multiplied by the distance of the candidate, is the candidate's headroom.

A saved profile replaces the exploratory trials, but is never the answer itself: its size is a candidate like any other,
and if that fails, the profile is dropped and the search begins as if there had been none.

The constants were chosen by simulation, on the thousand devices of `tests/probing/test_search.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from autofit.probing.evidence import FAILURES, FLAT_GROWTH, Evidence, are_flat
from autofit.probing.memory_model import MemoryModel
from autofit.protocol.messages import Trial, Verdict

FIRST_SIZE = 4  # images: small enough to fit nearly everywhere; a single image would tell little about the speed
GROWTH = 4  # the second size over the first: far enough apart for a slope, near enough to be safe
MIN_GROWTH = 1.5  # the least of that ratio, even if the first peak suggests that less fits
SAFE_SHARE = 0.75  # an exploratory trial has at most this share of the predicted limit
EXPLORE_UP_TO = 64  # images; sizes up to this are explored while it is safe, since a small batch is often the fastest
MAX_EXTRAPOLATION = 64  # the next size is at most this many times the largest that fits
MIN_HEADROOM = 0.025  # the least headroom, as a share of the images' bytes
MAX_PREDICTION_ERROR = 0.05  # a share of the limit: if the prediction may be off by more, more sizes are explored first
SHRINK_FACTORS = (0.955, 0.89, 0.77, 0.6, 0.4)  # after 1, 2, ... failed sizes: the next one, over the largest of them
STOP_SHARE = 0.65  # the search stops if less than this share of the tolerance is left to gain by the predicted limit
STOP_SHARE_IF_FILLED = 1.6  # the same by the free memory of a nearly full allocator, of which about half is gaps
BISECTION_SHARE = 0.6  # between a size that fits and one that failed, the next is this share of the way to the latter


@dataclass(frozen=True, slots=True)
class NextTrial:
    """A size to try; with `fresh` it has to be the first of its process."""

    size: int
    fresh: bool


class BatchSearch:
    """An ask/tell search for the largest batch that fits. Its whole state is the trials given to `tell`.

    Args:
        limit_bytes: the most that `Trial.memory_bytes` may be.
        max_batch: the largest size of interest.
        saved: trials of a saved profile; the search begins with their line.
        expected: the size that the profile found for exactly this machine, workload and limit; 0 if it has only a line.
        first: the size to begin with, if there is no profile.
        tolerance: the search stops when less than about this share of the answer can still be gained.
        max_trials: the most trials that the search asks for, whatever the device does.

    Raises:
        ValueError: `max_batch` or `first` is below 1, or `max_trials` is too small to verify anything.
    """

    _kept_for_verifying = 1
    """How many of the last trials are kept for verifying the largest size that fits."""

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

        Its size is at most `max_batch` and below every size that is ruled out. It is above every size that fits, except
        where the largest of these is verified. After a timeout larger sizes are useless, so that one is verified too.
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
        """Add a finished trial, of the size asked for or any other. A size that has fitted and fails later has failed.

        `trial.fresh` says whether it was the first in its process.

        Raises:
            ValueError: the verdict says nothing about the size; the caller has to report such an exit.
        """
        if trial.verdict is not Verdict.FITS and trial.verdict not in FAILURES:
            raise ValueError(f"a trial that ended as {trial.verdict.value} says nothing about batch {trial.batch_size}")
        self._evidence = replace(self._evidence, trials=(*self._evidence.trials, trial))

    def doubt(self, size: int) -> bool:
        """Take a size that fitted for verified no longer, so that it is asked for again; False if no trial is left."""
        trials = self._evidence.trials
        if len(trials) >= self._max_trials:
            return False
        doubted = [t.model_copy(update={"fresh": False}) if t.batch_size == size else t for t in trials]
        self._evidence = replace(self._evidence, trials=tuple(doubted))
        return True

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials of this search."""
        return self._evidence.trials

    @property
    def answer(self) -> int:
        """The largest size that fitted in a fresh process, below every size that failed; 0 if there is none."""
        return self._evidence.answer

    @property
    def model(self) -> MemoryModel | None:
        """The line through the measured sizes; None if nothing was measured."""
        return self._evidence.model

    @property
    def fragmentation(self) -> float:
        """The factor by which gaps in the allocator increase the memory of tensors; the line includes it."""
        return self._evidence.fragmentation

    @property
    def hint_failed(self) -> bool:
        """Whether there was a profile, and it has proved wrong."""
        return bool(self._evidence.saved) and not self._evidence.believes_saved

    def headroom_bytes(self, size: int) -> float:
        """The possible error of the prediction for this size, in bytes.

        It is the last prediction's error times the distance, plus the spread of the steps, but at least `MIN_HEADROOM`
        of what the images take: if less of the allocator is free, some steps succeed and others fail.
        """
        return headroom_of(self._evidence, self._evidence.limit_bytes, size)

    @property
    def _candidate_that_fits(self) -> int:
        """The largest size that fits, if it ran as a candidate and not only as an exploratory trial; else 0."""
        answer = self._evidence.answer
        return answer if answer == self._evidence.largest_fitting and answer > self._first else 0

    def _expected_size_holds(self) -> bool:
        """Whether the profile's expected size was verified now; the profile's search has shown that no more fits."""
        return self._expected > 0 and self._evidence.believes_saved and self._evidence.answer >= self._expected

    def _begin(self) -> NextTrial:
        """The first trial: the profile's size; without a profile the first size, and if that fails, one image."""
        evidence = self._evidence
        if evidence.believes_saved:
            size = self._expected or self._predicted_size()
            return NextTrial(max(1, min(size, self._largest_allowed(), evidence.ceiling)), fresh=True)
        if evidence.failed_sizes:
            return NextTrial(1, fresh=True)
        return NextTrial(min(self._first, evidence.ceiling), fresh=False)

    def _exploratory_trial(self) -> NextTrial | None:
        """The next small size, while it tells something about the line or the speed; None if a candidate is next."""
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
        """`growth` times the first size, or less if less may fit, judged by the first peak over its images."""
        fits = self._evidence.largest_fitting
        measured = [trial for trial in self._evidence.fitting if trial.peak_bytes]
        if not measured:  # without a peak it is unknown how far the limit is
            return fits * 2
        predicted = (self._evidence.limit_bytes - measured[-1].non_allocator_bytes) * fits // measured[-1].peak_bytes
        return max(fits + 1, min(fits * growth, max(predicted, math.floor(fits * MIN_GROWTH))))

    def _is_line_unproven(self) -> bool:
        """Whether the line was not checked well enough to go straight to its predicted limit."""
        evidence = self._evidence
        error = evidence.prediction_error
        return error is None or error * evidence.doublings_to(evidence.largest_conceivable) > MAX_PREDICTION_ERROR

    def _candidate(self) -> NextTrial | None:
        """A size near the limit, in a fresh process; None if too little is left to gain."""
        evidence, verified = self._evidence, self._candidate_that_fits
        gain = evidence.largest_conceivable - verified
        if verified and gain <= self._negligible_share() * verified:
            return None
        least = verified + math.ceil(BISECTION_SHARE * gain) if verified else 0
        size = min(max(self._predicted_size(), least), self._largest_allowed(), evidence.ceiling)
        return NextTrial(max(evidence.answer + 1, size), fresh=True)

    def _negligible_share(self) -> float:
        """The share of the answer up to which a possible gain is not worth another trial."""
        return (STOP_SHARE_IF_FILLED if self._evidence.has_nearly_filled else STOP_SHARE) * self._tolerance

    def _predicted_size(self) -> int:
        """The largest size by the line, with the headroom for its prediction left free."""
        evidence, line = self._evidence, self._evidence.line
        if line is None:
            return evidence.ceiling
        headroom_bytes = self.headroom_bytes(min(line.largest_batch(evidence.limit_bytes), evidence.max_batch))
        return max(evidence.largest_fitting, line.largest_batch(evidence.limit_bytes - headroom_bytes))

    def _largest_allowed(self) -> int:
        """The largest size that the next trial may have: not too far above what fits, and below what failed."""
        evidence, failed = self._evidence, self._evidence.failed_sizes
        if not failed:
            fits = evidence.largest_fitting
            growth = FLAT_GROWTH if are_flat(evidence.measured) else MAX_EXTRAPOLATION
            return fits * growth if fits else evidence.max_batch
        if verified := self._candidate_that_fits:  # between a size that fits and one that failed the line does not help
            return verified + math.ceil(BISECTION_SHARE * (evidence.ceiling - verified))
        factor = SHRINK_FACTORS[min(len(failed), len(SHRINK_FACTORS)) - 1]
        return max(evidence.largest_fitting, math.ceil(factor * max(failed)))


def headroom_of(evidence: Evidence, limit_bytes: float, size: int) -> float:
    """The headroom below a limit for the prediction of this size, in bytes; see `BatchSearch.headroom_bytes`."""
    line = evidence.model
    images_bytes = max(limit_bytes - line.base_bytes, 0.0) if line else 0.0
    error = (evidence.prediction_error or 0.0) * evidence.doublings_to(size)
    return max(MIN_HEADROOM * images_bytes, error * limit_bytes + evidence.spread * images_bytes)
