"""Decides whether a stage has time for more work, by the seconds that the time budget leaves it."""

from __future__ import annotations

import time
from collections.abc import Callable

from autofit.protocol.job import Job, StageTime, TrainJob
from autofit.worker.training.training_progress import TrainingProgress

VALIDATION_SHARE = 0.25
"""The time reserved for the validation of an epoch, as a share of the time that the epoch has trained so far. It is
certainly enough: the validation has a fifth of the images, and runs forward only."""

SOLVE_SECONDS, SOLVE_SHARE = 1.0, 0.2
"""The time reserved for solving the head after an extraction: a fixed part, for some hundred images and SciPy's import,
and a share of the extraction's time, for the passes over many rows."""

LEAST_SOLVE_SECONDS = 5.0
"""The time that the search for a head has even if the stage's time is over when it begins. It is enough for thousands
of images. A head that is not solved to its optimum is of little use, and a replay would not find the same one."""

USUAL_START_SECONDS, MOST_SLOWNESS = 5.0, 3.0
"""A worker takes about five seconds from its launch to its network on two idle CPU cores. If it took longer, other
processes use the cores, and solving and saving will take longer by the same factor. The factor is at most three,
since a cold disk delays only the start."""

FASTEST_LATER = 0.8
"""The later epochs of a refit may take this share of its first ones, which trace the graph of a partial batch and wait
for whatever else the machine did then. A refit that is given up for nothing costs a better model, one that is not only
the rest of its time."""

ALL_IMAGES_SHARE = 0.5
"""A first stage may end later than others, by this share of what the latest end is after the budget, if it has all
images then: a head solved on a third of them is worse by far, on 352 photos of food by a tenth to a fifth."""

EARLY_SHARE = 0.25
"""After this share of an extraction, the forecast of its end is good enough to end it early."""


class StageClock:
    """Decides what work is begun and when it is cut short; without a time budget there is always time.

    Args:
        stage: the time that the stage has; None without a budget.
        clock: in seconds, the same as the parent's.
        launched_at: when the worker was launched, by the clock; None if the time of its start does not tell how busy
            the machine is.
        together: how many epochs are of use only if all of them end in time, as those of a refit.
        validates: whether a validation follows each epoch.
    """

    def __init__(
        self,
        stage: StageTime | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        launched_at: float | None = None,
        together: int = 1,
        validates: bool = True,
    ) -> None:
        self._stage, self._clock, self._together = stage, clock, together
        self._validation_share = VALIDATION_SHARE if validates else 0.0
        start_seconds = 0.0 if launched_at is None else clock() - launched_at
        self._slowness = min(max(start_seconds / USUAL_START_SECONDS, 1.0), MOST_SLOWNESS)
        self._epoch_seconds = stage.epoch_seconds if stage else 0.0
        self._began = self._solve_until = clock()

    def epoch_begins(self) -> None:
        """Note that an epoch begins; a second call replaces the first."""
        self._began = self._clock()

    def epoch_ended(self) -> bool:
        """Note the duration of the epoch that has ended; returns whether the next ones, if as long, would end in time.

        That is one, or all that are of use only together; these have until the latest end, and may be faster than the
        one that has ended.
        """
        self._epoch_seconds = self._clock() - self._began
        self._together = max(self._together - 1, 1)
        last_ends = self._ends(FASTEST_LATER * self._together * self._epoch_seconds)
        return self.has_time_for_epoch() and (self._stage is None or last_ends <= self._stage.last_at)

    def solving_begins(self) -> None:
        """Note that the search for a head begins; it has a few seconds in any case."""
        self._solve_until = self._clock() + self._slowness * LEAST_SOLVE_SECONDS

    def has_time_to_solve(self) -> bool:
        """Whether the search for a head may go on."""
        if self._stage is None or self._clock() < self._solve_until:
            return True
        return self._ends(0.0) <= self._stage.last_at

    def has_time_for_epoch(self) -> bool:
        """Whether another epoch would end in time."""
        return self._stage is None or self._ends(self._epoch_seconds) <= self._stage.end_at

    def is_over(self) -> bool:
        """Whether an epoch that has begun must stop in the middle, to be validated and saved."""
        if self._stage is None:
            return False
        return self._ends(self._validation_share * (self._clock() - self._began)) >= self._stage.last_at

    def ends_extraction(self, elapsed: float, ahead: float, done_share: float, *, is_first_stage: bool) -> bool:
        """Whether an extraction must end before it has the features of all images.

        In a first stage it goes on as long as there is time to solve and save afterwards, and a little past the latest
        end if all images will be done by then. In a later stage, whose model may be left as it is, it ends as soon as
        the forecast says that there will be no time for an epoch.

        Args:
            elapsed: the seconds since the extraction began.
            ahead: the seconds that its other images will take.
            done_share: the share of its images that are done.
            is_first_stage: whether this is the first stage, so that there is no model yet.
        """
        if self._stage is None:
            return False
        if is_first_stage:
            follows = self._slowness * SOLVE_SECONDS + SOLVE_SHARE * elapsed
            is_late = self._ends(follows) >= self._stage.end_at
            last_at = self._stage.last_at + ALL_IMAGES_SHARE * (self._stage.last_at - self._stage.end_at)
            return is_late and self._ends(follows + ahead) >= last_at
        foreseen = ahead if done_share >= EARLY_SHARE else 0.0
        return self._ends(foreseen + self._epoch_seconds) >= self._stage.last_at

    def _ends(self, seconds: float) -> float:
        """When the run ends, by the clock, if so many seconds of work follow: after it the model is saved."""
        return self._clock() + seconds + (self._slowness * self._stage.finish_seconds if self._stage else 0.0)


def epochs_done(progress: TrainingProgress, planned: int, *, is_torn: bool = False) -> str:
    """How many of a stage's epochs are done, if it ends after epoch `planned`; empty if all are.

    The last one is not done if it `is_torn`, that is ended before it had all images.
    """
    before = progress.first_epoch
    done, all_epochs = progress.epoch - is_torn - before, planned - before
    if not is_torn:
        return f"{done} of {all_epochs} epochs" if done < all_epochs else ""
    if done:
        return f"{done} of {all_epochs} epochs and a part of the next"
    return "a part of an epoch" if all_epochs == 1 else f"a part of the first of {all_epochs} epochs"


def stage_clock(job: Job, work: TrainJob, epoch: int = 0) -> StageClock:
    """The clock of an attempt that begins with an epoch, and whose network has just been built.

    On a CPU, the time that this took tells how busy it is.
    """
    launched_at = work.launched_at if job.memory.device == "cpu" else None
    is_refit = work.stage == "refit"
    return StageClock(
        work.time,
        launched_at=launched_at,
        together=work.plan.epochs - epoch if is_refit else 1,
        validates=not is_refit,
    )
