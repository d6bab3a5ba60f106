"""What a time budget has time for: whether layers of the backbone are fine-tuned, and for how many epochs. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from autofit.config.cuts import AUTO_CUT, WHOLE
from autofit.config.fine_tuning import LEAST_AUTO_EPOCHS, LEAST_WHOLE_EPOCHS
from autofit.config.options import Options
from autofit.protocol.job import FineTunePlan, StageTime, ViewsPlan
from autofit.runs.stage_forecast import FINISH_SECONDS, SOLVE_SECONDS, START_SECONDS, Work

IN_SECONDS_BELOW = 120
"""Durations shorter than this are shown in seconds."""

LEAST_FOR_EPOCHS_SECONDS = 60.0
"""The shortest time budget that decides about the epochs of a training from scratch: it starts a second worker."""

MOST_EPOCHS = 100
"""The most epochs for which a time budget trains a network from scratch."""

EPOCHS_MARGIN = 1.1
"""The factor by which the estimate of a later epoch exceeds the first one: if the time is over before the learning rate
has fallen, most of what the fall gains is lost (docs/decisions/0071)."""

TOLERANCE, LEAST_TOLERANCE_SECONDS = 0.1, 5.0
"""How much later than its budget a run may end: this share of the budget, or this many seconds if that is more."""


@dataclass(frozen=True, slots=True)
class TimeBudget:
    """A time budget, and when it ends.

    Attributes:
        seconds: the budget of the whole run.
        end_at: when it ends, a reading of `time.monotonic()`; a resumed run has used some of the budget before.
        known_per_second: the images a second of the network by a profile of this machine; None if there is none.
    """

    seconds: float
    end_at: float
    known_per_second: float | None = None

    def left_seconds(self, now: float) -> float:
        """The time that is left at a reading of the same clock; negative when the budget is used up."""
        return self.end_at - now

    def before_test(self, test_seconds: float) -> TimeBudget:
        """The budget of what comes before a test that takes so long."""
        return replace(self, end_at=self.end_at - test_seconds)

    def stage_time(self, epoch_seconds: float = 0.0) -> StageTime:
        """The times that a worker gets.

        It begins no epoch that would end after the budget, and cuts a running one short after half of the tolerance;
        the other half is for the end of the run.
        """
        over = max(TOLERANCE * self.seconds, LEAST_TOLERANCE_SECONDS) / 2
        return StageTime(
            end_at=self.end_at,
            last_at=self.end_at + over,
            epoch_seconds=epoch_seconds,
            finish_seconds=FINISH_SECONDS,
        )


def with_epochs(stage: FineTunePlan, epochs: int) -> FineTunePlan:
    """The stage with fewer epochs, and with no more views of an image than epochs, which would not be used."""
    return stage.model_copy(update={"epochs": epochs, "views": min(stage.views, epochs)})


def most_epochs(seconds_for: Callable[[int], float], left_seconds: float, most: int, least: int = 1) -> int:
    """The most epochs, up to `most`, whose estimated time is left; 0 if that is fewer than `least`."""
    fitting = [epochs for epochs in range(least, most + 1) if seconds_for(epochs) <= left_seconds]
    return max(fitting, default=0)


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows after the head.

    Attributes:
        fine_tune: the plan for fine-tuning; None if there is none.
        words: a message for the user.
    """

    fine_tune: FineTunePlan | None
    words: str


def decide(
    choices: Sequence[FineTunePlan],
    work: Work,
    left_seconds: float,
    *,
    is_asked_for: bool,
    is_to_probe: bool = False,
) -> Decision:
    """Decide about fine-tuning when the head is done: the first of the choices for which there is time.

    Args:
        choices: the plans to choose from, the best and slowest first, each with the most epochs that it may have. A
            choice whose speed is unknown is skipped, except the last.
        work: the number of images, and the speeds.
        left_seconds: the time that is left of the budget.
        is_asked_for: whether the user has given the number of epochs.
        is_to_probe: whether some of the time that is left is for a probe of the stage.
    """
    choices = [*(choice for choice in choices[:-1] if work.epoch_seconds(choice)), choices[-1]]
    left = left_words(left_seconds)
    for stage in choices:
        free_seconds = left_seconds - (work.probe_seconds(stage) if is_to_probe else 0.0)
        least = _least_epochs(stage, is_asked_for=is_asked_for, is_only=stage is choices[-1])
        if epochs := _most_epochs(stage, work, free_seconds, least):
            decided = with_epochs(stage, epochs).model_copy(update={"by_budget": False})
            rest = _rest_words(decided, work, free_seconds, stage)
            return Decision(decided, f"{left}: {_plan_words(decided, work)}{rest}")
    needed = seconds_words(work.stage_seconds(with_epochs(stage, least)))
    return Decision(None, f"{left}, fine-tuning would take {needed}: the head is the result")


def views_fit(
    views: ViewsPlan,
    choices: Sequence[FineTunePlan],
    work: Work,
    left_seconds: float,
    solved_seconds: float,
    *,
    is_asked_for: bool,
    is_to_probe: bool = False,
) -> bool:
    """Whether there is time to solve the head again on augmented views.

    There is not if that would take epochs from fine-tuning all layers, which gains more, or from a fine-tuning whose
    epochs or cut the user has given.

    Args:
        views: the plan for the views.
        choices: the plans for fine-tuning that may follow, the best first; empty if none may.
        work: the number of images, and the speeds.
        left_seconds: the time that is left of the budget.
        solved_seconds: the time that solving the head took, or an estimate of it.
        is_asked_for: whether the user has given the number of epochs of fine-tuning.
        is_to_probe: whether some of the time that is left is for a probe of fine-tuning.
    """
    after_seconds = left_seconds - work.views_seconds(views, solved_seconds)
    if after_seconds < 0 or not choices:
        return after_seconds >= 0
    without, then = (
        decide(choices, work, left, is_asked_for=is_asked_for, is_to_probe=is_to_probe)
        for left in (left_seconds, after_seconds)
    )
    comes_first = without.fine_tune is not None and (is_asked_for or without.fine_tune.cut != AUTO_CUT)
    return not comes_first or then.fine_tune == without.fine_tune


def _least_epochs(stage: FineTunePlan, *, is_asked_for: bool, is_only: bool) -> int:
    """The fewest epochs for which a stage is worth beginning."""
    if not is_only:
        return min(LEAST_WHOLE_EPOCHS, stage.epochs)
    return 1 if is_asked_for else min(LEAST_AUTO_EPOCHS, stage.epochs)


def _most_epochs(stage: FineTunePlan, work: Work, left_seconds: float, least: int) -> int:
    return most_epochs(lambda count: work.stage_seconds(with_epochs(stage, count)), left_seconds, stage.epochs, least)


def _plan_words(stage: FineTunePlan, work: Work) -> str:
    where = {AUTO_CUT: "of the upper layers", WHOLE: "of all layers"}.get(stage.cut, f"above {stage.cut}")
    how_long = f", about {seconds_words(work.stage_seconds(stage))}" if work.speed.images_per_second else ""
    epochs = f"{stage.epochs} epoch" if stage.epochs == 1 else f"{stage.epochs} epochs"
    return f"fine-tuning {where} for {epochs}{how_long}"


def _rest_words(stage: FineTunePlan, work: Work, left_seconds: float, planned: FineTunePlan) -> str:
    if stage.epochs < planned.epochs:
        return f" (of {planned.epochs})"
    if not work.speed.images_per_second:
        return "; its speed is not known yet, and it ends in time"
    spare = left_seconds - work.stage_seconds(stage)
    return "; more epochs have not helped, so the budget is not used up" if spare > stage.epochs else ""


def opening_words(
    budget_seconds: float,
    left_seconds: float,
    choices: Sequence[FineTunePlan],
    work: Work,
    *,
    extracts: bool,
    is_asked_for: bool,
    is_to_probe: bool = False,
    views: ViewsPlan | None = None,
) -> str:
    """The message about a time budget before the first attempt.

    Args:
        budget_seconds: the budget of the whole run.
        left_seconds: the time that is left of it.
        choices: the plans for fine-tuning that may follow, the best first; empty if none may.
        work: the number of images, and the speed by a profile of this machine.
        extracts: whether the first stage extracts features.
        is_asked_for: whether the user has given the number of epochs.
        is_to_probe: whether fine-tuning would be probed before it begins.
        views: the plan for solving the head again on augmented views; None if there is none.
    """
    opening = f"time budget {seconds_words(budget_seconds)}"
    if not extracts or not work.speed.images_per_second:
        then = "; then it is decided whether and for how long to fine-tune" if choices else ""
        return f"{opening}: the first stage shows how fast this machine is{then}"
    images = work.train_count + work.validation_count
    head = START_SECONDS + SOLVE_SECONDS + images / work.speed.images_per_second
    how = {"is_asked_for": is_asked_for, "is_to_probe": is_to_probe}
    if views and views_fit(views, choices, work, left_seconds - head, SOLVE_SECONDS, **how):
        again = work.views_seconds(views, SOLVE_SECONDS)
        opening, left_seconds = f"{opening}: head, also on augmented views", left_seconds - again
        head_words = f"about {seconds_words(head + again)}"
    else:
        opening, head_words = f"{opening}: head", f"about {seconds_words(head)}"
    if not choices:
        return f"{opening} {head_words}"
    after = decide(choices, work, left_seconds - head, **how)
    then = f"then {_plan_words(after.fine_tune, work)}" if after.fine_tune else "and no time to fine-tune"
    return f"{opening} {head_words}, {then}"


def words_of_test(test_seconds: float) -> str:
    """How much of a time budget is kept for the test, after a message about it; empty if there is no test."""
    return f"; about {seconds_words(test_seconds)} are kept for the test" if test_seconds else ""


def left_words(left_seconds: float) -> str:
    """How much of a time budget is left; nothing if it is used up."""
    return f"time budget: {seconds_words(max(left_seconds, 0.0))} left"


def resumed_words(budget_seconds: float, left_seconds: float) -> str:
    """The message about a time budget of which earlier sessions have used some."""
    return f"time budget {seconds_words(budget_seconds)}: {seconds_words(max(left_seconds, 0.0))} left"


def epochs_by_budget(options: Options) -> Literal["no", "open"]:
    """Whether a time budget decides how many epochs a training from scratch has, if callbacks do not need to know."""
    seconds = options.time_budget_seconds
    is_free = options.epochs is None and options.batch_schedule is None and options.replay is None
    return "open" if seconds is not None and seconds >= LEAST_FOR_EPOCHS_SECONDS and is_free else "no"


def epochs_in(left_seconds: float, done: int, epoch_seconds: float, start_seconds: float) -> int:
    """How many epochs a training has time for, with those that are done, if another worker trains the others.

    Args:
        left_seconds: the time that is left of the budget.
        done: the epochs that are done.
        epoch_seconds: the time of an epoch.
        start_seconds: the time of the first worker without its epochs.
    """
    more = (left_seconds - start_seconds - FINISH_SECONDS) / (EPOCHS_MARGIN * epoch_seconds) if epoch_seconds else 0.0
    return max(done, min(done + math.floor(min(more, MOST_EPOCHS)), MOST_EPOCHS))


def seconds_words(seconds: float) -> str:
    """A duration in whole seconds below two minutes, else in minutes."""
    return f"{math.ceil(seconds)} s" if seconds < IN_SECONDS_BELOW else f"{seconds / 60:.1f} min".replace(".0 ", " ")


def is_asked_for(options: Options) -> bool:
    """Whether the user has given the number of epochs of fine-tuning."""
    return options.fine_tune_epochs not in {"auto", 0} or (options.trainable == "all" and options.epochs is not None)
