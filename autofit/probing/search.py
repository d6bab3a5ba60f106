"""Find the largest batch that fits, in few trials and rarely one too many: a search that is asked and told.

    search = BatchSearch(limit_bytes=3 * 10**9, max_batch=1024)
    while (ask := search.ask()) is not None:
        search.tell(run_trial(ask))
    search.answer

Two kinds of trials. *Scouts* are small, ascend, and may share a process; a line through what they take says where the
limit is. A *candidate* is a size near the limit, run in a process of its own, where nothing before it can have helped
or hindered; only a candidate that fits is an answer. A scout costs about a second, a candidate some, and one that runs
out of memory on a GPU 10 s and a process; so the line is trusted as far as it has proved itself: the last scout is held
against what the ones before it had predicted, and that miss, by the distance, is the headroom of the candidate.

A saved profile takes the scouts' place. It is never an answer: its size is a candidate like any other, and where that
does not hold, the profile is dropped and the search begins as if there had been none.

The constants were chosen by simulation, on the thousand devices of `tests/probing/test_search.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from autofit.probing.evidence import FAILURES, Evidence
from autofit.probing.memory_model import MemoryModel
from autofit.protocol.messages import Trial, Verdict

GROWTH = 4  # second size over the first: far enough apart for a slope, near enough to be safe
LEAST_GROWTH = 1.5  # the second size even where one peak sees no room
SAFE_SHARE = 0.75  # a scout goes no further than this share of the predicted limit
SPEED_IS_KNOWN_AT = 64  # scouts up to here, as long as they are safe: a small batch is often the fastest
FARTHEST_JUMP = 64  # times the largest size that fits: beyond that a line through small sizes is a guess
LEAST_HEADROOM = 0.025  # of the images' bytes
WIDEST_MISS = 0.05  # of the limit: a candidate is not risked on a prediction that may be further off than this
SHRINKS = (0.955, 0.89, 0.77, 0.6, 0.4)  # after failed candidates, what to try of the first that failed
STOP_SHARE = 0.65  # of the tolerance, where the limit is only predicted and may be the other part away
STOP_SHARE_OF_WHAT_IS_FREE = 1.6  # where a full allocator says it: half of what it left free is gaps
CLOSING_SHARE = 0.6  # of the way from a size that fits to one that does not, which the line places no better


@dataclass(frozen=True, slots=True)
class Ask:
    """A size to try; `fresh` asks for a process in which it is the first."""

    size: int
    fresh: bool


class BatchSearch:
    """An ask/tell search for the largest batch that fits. All its state is what it was told.

    Args:
        limit_bytes: what `Trial.memory_bytes` may come to.
        max_batch: the largest size of interest.
        saved: trials of a saved profile, to begin with their line.
        guess: the size that the profile found for just this case; 0 where only the line is known.
        first: the size to begin with, without a profile.
        tolerance: stop when less than about this share of the answer can still be won.
        max_trials: never ask for more than this, whatever the device does.

    Raises:
        ValueError: `max_batch` or `first` is below 1, or `max_trials` too few to verify anything.
    """

    def __init__(
        self,
        limit_bytes: int,
        max_batch: int,
        *,
        saved: Sequence[Trial] = (),
        guess: int = 0,
        first: int = 4,
        tolerance: float = 0.05,
        max_trials: int = 10,
    ) -> None:
        if min(max_batch, first) < 1:
            raise ValueError(f"a batch has at least one image: max_batch {max_batch}, first {first}")
        if max_trials < 2:  # noqa: PLR2004 - one to find, one to verify
            raise ValueError(f"an answer is found and verified: max_trials {max_trials} is less than 2")
        self._seen = Evidence(limit_bytes, max_batch, tuple(saved), ())
        self._guess = guess
        self._first = min(first, max_batch)
        self._tolerance = tolerance
        self._max_trials = max_trials

    def ask(self) -> Ask | None:
        """The next size to try, always the same until the next `tell`; None when the search is finished.

        Below every size that failed, at most `max_batch`, and above every size that fits, unless that is to be
        verified. After a timeout a larger size is of no use, so what fits by then is verified.
        """
        seen = self._seen
        left = self._max_trials - len(seen.trials)
        if left <= 0 or seen.answer >= seen.ceiling or self._known_size_holds():
            return None
        if seen.fits == 0:
            return self._begin()
        if left == 1 or seen.timed_out:
            return Ask(seen.fits, fresh=True) if seen.fits > seen.answer else None
        return self._scout() or self._candidate()

    def tell(self, trial: Trial) -> None:
        """Take in a trial, of the size asked for or of any other. A size that fitted once and failed later, failed.

        `trial.fresh` says whether it was the first in its process.

        Raises:
            ValueError: the verdict says nothing about size; such an end is for the caller to report.
        """
        if trial.verdict is not Verdict.FITS and trial.verdict not in FAILURES:
            raise ValueError(f"a trial that ended as {trial.verdict.value} says nothing about batch {trial.batch_size}")
        self._seen = replace(self._seen, trials=(*self._seen.trials, trial))

    @property
    def answer(self) -> int:
        """The largest size that fitted in a process of its own, below every size that failed; 0 where there is none."""
        return self._seen.answer

    @property
    def model(self) -> MemoryModel | None:
        """The line through what was measured; None while nothing was."""
        return self._seen.model

    @property
    def fragmentation(self) -> float:
        """By how much the gaps in the allocator make a peak larger, as a factor, as the line has it."""
        return self._seen.gaps

    @property
    def hint_failed(self) -> bool:
        """Whether there was a profile that did not hold."""
        return bool(self._seen.saved) and not self._seen.believes_saved

    def headroom_bytes(self, size: int) -> float:
        """What the prediction for this size may be off by: the last miss by the distance, and the spread of steps.

        At least 2.5 % of what the images take: so much of a nearly full allocator is now enough and now not.
        """
        seen, line = self._seen, self._seen.model
        images_bytes = max(seen.limit_bytes - line.base_bytes, 0.0) if line else 0.0
        miss = (seen.miss or 0.0) * seen.doublings_to(size)
        return max(LEAST_HEADROOM * images_bytes, miss * seen.limit_bytes + seen.spread * images_bytes)

    @property
    def _settled(self) -> int:
        """The largest size that fits, if it is a candidate's and not only a scout's; else 0."""
        answer = self._seen.answer
        return answer if answer == self._seen.fits and answer > self._first else 0

    def _known_size_holds(self) -> bool:
        """Whether the size that a profile found for just this case was run and fits: that search was made before."""
        return self._guess > 0 and self._seen.believes_saved and self._seen.answer >= self._guess

    def _begin(self) -> Ask:
        """The profile's size; without one the first, and where that fails 1, which tells whether anything fits."""
        if self._seen.believes_saved:
            size = self._guess or self._aim()
            return Ask(max(1, min(size, self._farthest(), self._seen.ceiling)), fresh=True)
        if self._seen.failed:
            return Ask(1, fresh=True)
        return Ask(min(self._first, self._seen.ceiling), fresh=False)

    def _scout(self) -> Ask | None:
        """The next small size, while there is something to learn from it; None when it is time for a candidate."""
        seen = self._seen
        if seen.failed or seen.believes_saved:
            return None
        if seen.line is None:
            size = min(self._second_size(), seen.ceiling)
            return Ask(size, fresh=size == seen.ceiling) if seen.fits < size else None
        size = seen.fits * (GROWTH if seen.fits < self._first else 2)
        if self._settled or size > SAFE_SHARE * seen.reach:
            return None
        if seen.fits < SPEED_IS_KNOWN_AT or seen.gets_faster or self._is_guessing():
            return Ask(size, fresh=False)
        return None

    def _second_size(self) -> int:
        """Four times the first, or less where one peak, all laid on its images, says that less may fit."""
        fits = self._seen.fits
        known = [trial for trial in self._seen.fitting if trial.peak_bytes]
        if not known:  # with nothing measured, nothing says how far the limit is
            return fits * 2
        likely = (self._seen.limit_bytes - known[-1].non_allocator_bytes) * fits // known[-1].peak_bytes
        return max(fits + 1, min(fits * GROWTH, max(likely, math.floor(fits * LEAST_GROWTH))))

    def _is_guessing(self) -> bool:
        """Whether the line is not proved well enough for a jump to where it says the limit is."""
        miss = self._seen.miss
        return miss is None or miss * self._seen.doublings_to(self._seen.reach) > WIDEST_MISS

    def _candidate(self) -> Ask | None:
        """A size near the limit, in a process of its own; None where too little is left to be won."""
        settled = self._settled
        gain = self._seen.reach - settled
        if settled and gain <= self._may_be_left() * settled:
            return None
        least = settled + math.ceil(CLOSING_SHARE * gain) if settled else 0
        size = min(max(self._aim(), least), self._farthest(), self._seen.ceiling)
        return Ask(max(self._seen.answer + 1, size), fresh=True)

    def _may_be_left(self) -> float:
        """The share of the answer that is not worth another trial: less where one more may still move the line."""
        return (STOP_SHARE_OF_WHAT_IS_FREE if self._seen.has_filled else STOP_SHARE) * self._tolerance

    def _aim(self) -> int:
        """Where the line says that the limit is, less the headroom for so far a jump."""
        seen, line = self._seen, self._seen.line
        if line is None:
            return seen.ceiling
        headroom_bytes = self.headroom_bytes(min(line.largest_batch(seen.limit_bytes), seen.max_batch))
        return max(seen.fits, line.largest_batch(seen.limit_bytes - headroom_bytes))

    def _farthest(self) -> int:
        """The largest step up: a bounded extrapolation, and after failures a part of the way towards them."""
        seen, failed = self._seen, self._seen.failed
        if not failed:
            return seen.fits * FARTHEST_JUMP if seen.fits else seen.max_batch
        if settled := self._settled:  # between the two: the line is of no use where it has just been wrong
            return settled + math.ceil(CLOSING_SHARE * (seen.ceiling - settled))
        shrink = SHRINKS[min(len(failed), len(SHRINKS)) - 1]
        return max(seen.fits, math.ceil(shrink * max(failed)))
