"""What a time budget has room for: whether the upper layers are fine-tuned, for how many epochs and views. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from autofit.config.batch_schedule import steps_per_epoch
from autofit.config.cuts import AUTO_CUT, AUTO_SHARE, WHOLE
from autofit.config.fine_tuning import LEAST_AUTO_EPOCHS, LEAST_WHOLE_EPOCHS
from autofit.config.options import Options
from autofit.protocol.job import FineTunePlan, Kernels, StageTime, ViewsPlan

FINISH_SECONDS = 2.0
"""From the last epoch to the end of the run: the model is saved, the worker exits, result and page are written."""

START_SECONDS = 10.0
"""A worker's start, its network and the saving of a stage, where this run has not measured it."""

SOLVE_SECONDS = 2.0
"""Solving the head on some hundred images, SciPy's import included, where this run has not measured it."""

MARGIN = 1.2
"""A forecast of an extraction or an epoch is longer by this factor than what was measured suggests. The rate of
fine-tuning falls to zero over the planned epochs, so one epoch less is better than a training that is cut short."""

EIGEN_FACTOR, EIGEN_TRAIN_FACTOR = 1.4, 1.2
"""How much longer Eigen's kernels take than oneDNN's: forward, and where the network trains (docs/decisions/0023)."""

TRAIN_FACTOR = 3.0
"""Forward and backward take about so many times as long as forward alone."""

TRACE_SECONDS, WHOLE_TRACE_SECONDS = 3.0, 12.0
"""The first steps of fine-tuning, which trace forward and backward, at the least; and those of a whole MobileNetV2, on
two cores."""

VIEW_SECONDS = 0.001
"""How much longer an augmented view takes to make than an image: on one core of an AMD EPYC, photos of food, 224 px."""

UPDATE_SECONDS = 0.01
EPOCH_SECONDS = 0.3
"""What an update and an epoch take besides: reading the features; metrics and a checkpoint."""

UNKNOWN_SHARE = 0.5
"""The share of the network below a layer given by its name, about which nothing is known."""

IN_SECONDS_BELOW = 120
"""Shorter times are shown in seconds."""

TOLERANCE, LEAST_TOLERANCE_SECONDS = 0.1, 5.0
"""A run ends at most this share of its budget after it, or these seconds."""


@dataclass(frozen=True, slots=True)
class TimeBudget:
    """A time budget, and when it ends.

    Attributes:
        seconds: of the whole run.
        end_at: a reading of `time.monotonic()`; a resumed run has used some of the seconds before.
        known_per_second: images a second that a profile of this machine has for the network; None if there is none.
    """

    seconds: float
    end_at: float
    known_per_second: float | None = None

    def left_seconds(self, now: float) -> float:
        """What is left at a reading of the same clock; below zero when it is over."""
        return self.end_at - now

    def stage_time(self, epoch_seconds: float = 0.0) -> StageTime:
        """What a worker is told; half of the tolerance is for what has begun."""
        over = max(TOLERANCE * self.seconds, LEAST_TOLERANCE_SECONDS) / 2
        return StageTime(
            end_at=self.end_at,
            last_at=self.end_at + over,
            epoch_seconds=epoch_seconds,
            finish_seconds=FINISH_SECONDS,
        )


@dataclass(frozen=True, slots=True)
class Speed:
    """What is known of a run's speed when its head is done.

    Attributes:
        images_per_second: through the whole network forward, decoding included; None if nothing was extracted.
        kernels: with which it was.
        other_seconds: everything else in that stage's attempt but the extraction and the solver.
        trained_per_second: images a second in updates of the second stage, by its cut, if that was probed: with Eigen's
            kernels, which a probe has.
    """

    images_per_second: float | None
    kernels: Kernels = "eigen"
    other_seconds: float = START_SECONDS
    trained_per_second: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """The images of a run, and the speed at which it reads and trains on them."""

    train_count: int
    validation_count: int
    speed: Speed

    def epoch_seconds(self, stage: FineTunePlan) -> float:
        """An epoch of fine-tuning, with its validation, as it is foreseen; 0 if no speed is known."""
        passes = TRAIN_FACTOR * self.train_count + self.validation_count
        if trained := self.speed.trained_per_second.get(stage.cut):
            faster = EIGEN_TRAIN_FACTOR if stage.kernels == "onednn" else 1.0
            network = passes / TRAIN_FACTOR / trained / faster
        elif self.speed.images_per_second:
            network = (1 - share_below(stage.cut)) * passes * self._image_seconds(stage.kernels)
        else:
            return 0.0
        updates = steps_per_epoch(self.train_count, stage.batch_size)
        return MARGIN * (network + UPDATE_SECONDS * updates + EPOCH_SECONDS)

    def refitted(self) -> Work:
        """The same images, all of them for training."""
        return replace(self, train_count=self.train_count + self.validation_count, validation_count=0)

    def stage_seconds(self, stage: FineTunePlan) -> float:
        """Fine-tuning and its refit, from the start of a worker to the end of the run, as it is foreseen."""
        views = stage.views if stage.cut != WHOLE else 0
        plain = self.validation_count if views else 0
        seconds = self._worker_seconds(stage, views * self.train_count, plain)
        if stage.refit:  # the activations of the training images are cached by then
            seconds += self.refitted()._worker_seconds(stage, views * self.validation_count, 0)  # noqa: SLF001
        return seconds + FINISH_SECONDS

    def views_seconds(self, views: ViewsPlan, solve_seconds: float) -> float:
        """Solving the head once more, on augmented views, as it is foreseen: with as many times the rows."""
        of_training = views.count * self.train_count
        extraction = of_training * (self._image_seconds(self.speed.kernels) + VIEW_SECONDS)
        start = self.speed.other_seconds + (views.count + 1) * solve_seconds
        return start + MARGIN * extraction + FINISH_SECONDS

    def probe_seconds(self, stage: FineTunePlan) -> float:
        """A worker's start and its first steps, which is what a probe of the stage makes."""
        return self.speed.other_seconds + max(TRACE_SECONDS, WHOLE_TRACE_SECONDS * (1 - share_below(stage.cut)))

    def _worker_seconds(self, stage: FineTunePlan, views: int, plain: int) -> float:
        """A worker that extracts so many augmented views and plain images, and then trains all epochs."""
        extraction = share_below(stage.cut) * (views + plain) * self._image_seconds(stage.kernels)
        start = self.probe_seconds(stage)
        if stage.augment != "none":
            extraction += views * VIEW_SECONDS
        return start + MARGIN * extraction + stage.epochs * self.epoch_seconds(stage)

    def _image_seconds(self, kernels: Kernels) -> float:
        """One image through the whole network, forward, with these kernels; 0 if no speed is known."""
        if not self.speed.images_per_second:
            return 0.0
        slower = EIGEN_FACTOR if (kernels, self.speed.kernels) == ("eigen", "onednn") else 1.0
        return slower / self.speed.images_per_second


def share_below(cut: str) -> float:
    """The share of the network's work that is done below a cut: it is taken to be that of the layers with kernels."""
    named = {AUTO_CUT: AUTO_SHARE, WHOLE: 0.0}
    try:
        return named[cut] if cut in named else min(max(float(cut), 0.0), 1.0)
    except ValueError:
        return UNKNOWN_SHARE


def with_epochs(stage: FineTunePlan, epochs: int) -> FineTunePlan:
    """The stage with fewer epochs: more views of an image than epochs would be extracted for nothing."""
    return stage.model_copy(update={"epochs": epochs, "views": min(stage.views, epochs)})


def most_epochs(seconds_for: Callable[[int], float], left_seconds: float, most: int, least: int = 1) -> int:
    """The most epochs, up to `most`, whose forecast fits in what is left; 0 if that is fewer than `least`."""
    fitting = [epochs for epochs in range(least, most + 1) if seconds_for(epochs) <= left_seconds]
    return max(fitting, default=0)


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows on the head.

    Attributes:
        fine_tune: the second stage; None for none.
        words: for the user.
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
    """Decide about the second stage when the head is done: the first of the choices for which there is time.

    Args:
        choices: the stage as it may be, the best first, each with the most epochs that it may have. Of those whose
            speed is not known only the last is taken: the others take longer.
        work: images and speeds.
        left_seconds: of the budget.
        is_asked_for: the user has given the number of epochs.
        is_to_probe: some of what is left goes to a probe of the stage.
    """
    choices = [*(choice for choice in choices[:-1] if work.epoch_seconds(choice)), choices[-1]]
    left = f"time budget: {seconds_words(max(left_seconds, 0.0))} left"
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
    views: ViewsPlan, choices: Sequence[FineTunePlan], work: Work, left_seconds: float, solved_seconds: float
) -> bool:
    """Whether there is time to solve the head once more on views. They are worth less than epochs of all layers.

    Args:
        views: of each training image.
        choices: the fine-tuning that may follow, the best first; nothing for none.
        work: images and speeds.
        left_seconds: of the budget.
        solved_seconds: what solving the head took, or is foreseen to take.
    """
    after_seconds = left_seconds - work.views_seconds(views, solved_seconds)
    if after_seconds < 0 or not choices:
        return after_seconds >= 0
    without, then = (decide(choices, work, left, is_asked_for=False) for left in (left_seconds, after_seconds))
    is_of_all = without.fine_tune is not None and share_below(without.fine_tune.cut) == 0
    return not is_of_all or then.fine_tune == without.fine_tune


def _least_epochs(stage: FineTunePlan, *, is_asked_for: bool, is_only: bool) -> int:
    """The fewest epochs for which a stage is begun."""
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
    if not work.speed.images_per_second:
        return "; how fast that is shows then, and it ends in time"
    if stage.epochs < planned.epochs:
        return f" (of {planned.epochs})"
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
    is_resumed: bool,
    views: ViewsPlan | None = None,
) -> str:
    """What is said of a budget before the first attempt of a session.

    Args:
        budget_seconds: of the whole run.
        left_seconds: of them.
        choices: the fine-tuning that may follow, the best first; nothing for none.
        work: images, and the speed that a profile of this machine has.
        extracts: whether the first stage computes features.
        is_asked_for: the user has given the number of epochs.
        is_resumed: some of the budget was used before.
        views: on which the head may be solved once more.
    """
    opening = f"time budget {seconds_words(budget_seconds)}"
    if is_resumed:
        return f"{opening}: {seconds_words(max(left_seconds, 0.0))} left"
    if not extracts or not work.speed.images_per_second:
        then = "; then it is decided whether and for how long to fine-tune" if choices else ""
        return f"{opening}: how fast this machine is shows in the first stage{then}"
    images = work.train_count + work.validation_count
    head = START_SECONDS + SOLVE_SECONDS + images / work.speed.images_per_second
    if views and views_fit(views, choices, work, left_seconds - head, SOLVE_SECONDS):
        again = work.views_seconds(views, SOLVE_SECONDS)
        opening, left_seconds = f"{opening}: head, also on augmented views", left_seconds - again
        head_words = f"about {seconds_words(head + again)}"
    else:
        opening, head_words = f"{opening}: head", f"about {seconds_words(head)}"
    if not choices:
        return f"{opening} {head_words}"
    after = decide(choices, work, left_seconds - head, is_asked_for=is_asked_for)
    then = f"then {_plan_words(after.fine_tune, work)}" if after.fine_tune else "and no time to fine-tune"
    return f"{opening} {head_words}, {then}"


def seconds_words(seconds: float) -> str:
    """A duration in whole seconds below two minutes, else in minutes."""
    return f"{math.ceil(seconds)} s" if seconds < IN_SECONDS_BELOW else f"{seconds / 60:.1f} min".replace(".0 ", " ")


def is_asked_for(options: Options) -> bool:
    """Whether the user has given the number of epochs of fine-tuning."""
    return options.fine_tune_epochs not in {"auto", 0} or (options.trainable == "all" and options.epochs is not None)
