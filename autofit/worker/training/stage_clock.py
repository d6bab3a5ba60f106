"""Whether a stage has time for more: of the seconds that a time budget leaves it."""

from __future__ import annotations

import time
from collections.abc import Callable

from autofit.protocol.job import Job, StageTime, TrainJob

VALIDATION_SHARE = 0.25
"""Of the time that an epoch has trained so far, in which it can surely be validated: a fifth of the images, forward."""

SOLVE_SECONDS, SOLVE_SHARE = 2.0, 0.2
"""What training the head takes after an extraction: solving it on some hundred images, SciPy's import included, and the
share of the extraction's time on top, for the passes over many rows."""

LEAST_SOLVE_SECONDS = 5.0
"""What the search for a head has, also if the time is over when it begins: on thousands of images it is done by then. A
head that is not solved to its optimum is of little use, and no replay would find the same."""

USUAL_START_SECONDS, MOST_SLOWNESS = 5.0, 3.0
"""From a worker's launch to its network, on two idle CPU cores. Where it took longer, others are busy, and solving and
saving take longer as well: at most by this factor, since a cold disk delays the start alone."""

EARLY_SHARE = 0.25
"""After this share of an extraction it is known well enough whether it ends in time."""


class StageClock:
    """Decides what is begun and when work is cut short; without a budget there is always time.

    Args:
        stage: the time that the stage has; None for as much as it takes.
        clock: in seconds, the same as the parent's.
        launched_at: when the worker was launched, by the clock; None where its start says nothing of its speed.
    """

    def __init__(
        self,
        stage: StageTime | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        launched_at: float | None = None,
    ) -> None:
        self._stage, self._clock = stage, clock
        start_seconds = 0.0 if launched_at is None else clock() - launched_at
        self._slowness = min(max(start_seconds / USUAL_START_SECONDS, 1.0), MOST_SLOWNESS)
        self._epoch_seconds = stage.epoch_seconds if stage else 0.0
        self._began = self._solve_until = clock()

    def epoch_begins(self) -> None:
        """An epoch begins; a second call takes back the first."""
        self._began = self._clock()

    def epoch_ended(self) -> bool:
        """An epoch was trained and validated, and the next takes as long; returns whether it would be done in time."""
        self._epoch_seconds = self._clock() - self._began
        return self.has_time_for_epoch()

    def solving_begins(self) -> None:
        """The search for a head begins; it has a few seconds in any case."""
        self._solve_until = self._clock() + self._slowness * LEAST_SOLVE_SECONDS

    def has_time_to_solve(self) -> bool:
        """Whether the search for a head may go on."""
        if self._stage is None or self._clock() < self._solve_until:
            return True
        return self._ends(0.0) <= self._stage.last_at

    def has_time_for_epoch(self) -> bool:
        """Whether another epoch would be done in time."""
        return self._stage is None or self._ends(self._epoch_seconds) <= self._stage.end_at

    def is_over(self) -> bool:
        """Whether an epoch that has begun must stop in the middle, to be validated and saved."""
        if self._stage is None:
            return False
        return self._ends(VALIDATION_SHARE * (self._clock() - self._began)) >= self._stage.last_at

    def ends_extraction(self, began: float, done: int, count: int, *, is_first_stage: bool) -> bool:
        """Whether an extraction ends before all images are through.

        That of a first stage goes on as long as what follows has time, and a little longer if all images will be
        through then. That of a later one, whose model may be left as it is, ends as soon as it shows that there will
        be no time for an epoch.

        Args:
            began: a reading of the clock.
            done: images so far.
            count: of all.
            is_first_stage: there is no model yet.
        """
        if self._stage is None:
            return False
        elapsed = self._clock() - began
        ahead = elapsed * (count - done) / max(done, 1)
        if is_first_stage:
            follows = self._slowness * SOLVE_SECONDS + SOLVE_SHARE * elapsed
            is_late = self._ends(follows) >= self._stage.end_at
            return is_late and self._ends(follows + ahead) >= self._stage.last_at
        foreseen = ahead if done >= EARLY_SHARE * count else 0.0
        return self._ends(foreseen + self._epoch_seconds) >= self._stage.last_at

    def _ends(self, seconds: float) -> float:
        """When the run ends if so many seconds of work follow."""
        return self._clock() + seconds + (self._slowness * self._stage.finish_seconds if self._stage else 0.0)


def stage_clock(job: Job, work: TrainJob) -> StageClock:
    """The clock of an attempt, when its network is built: on a CPU what that took says how busy the machine is."""
    return StageClock(work.time, launched_at=work.launched_at if job.memory.device == "cpu" else None)
