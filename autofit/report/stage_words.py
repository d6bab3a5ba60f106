"""The stages of a run, and its epochs within them, in words: records count epochs on over the stages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from autofit.protocol.messages import StageName, StageRecord
from autofit.runs.history import EpochPlace, place_of

STAGE_WORDS: dict[StageName, str] = {
    "training": "training",
    "head": "head",
    "views": "head, on augmented views",
    "fine-tune": "fine-tuning",
    "refit": "fine-tuning on all images",
}


def epoch_in_stage(stages: Sequence[StageRecord], epoch: int) -> str:
    """An epoch, counted from zero over all stages, as `epoch 3 of fine-tuning`; as `epoch 3` where there is one stage.

    A solved head, which is no epoch, is `the solved head`.
    """
    place = place_of(stages, epoch)
    return _solved_words(place) if place.is_solved else f"epoch {place.number + 1:,}{_of_stage(place)}"


def step_in_stage(stages: Sequence[StageRecord], epoch: int, step: int) -> str:
    """A step of an epoch, both counted from zero, as `at epoch 3 of fine-tuning, step 7`; a solved head has none."""
    place = place_of(stages, epoch)
    if place.is_solved:
        return f"in {_head_stage(place.stage)}"
    return f"at {epoch_in_stage(stages, epoch)}, step {step + 1:,}"


def step_of_stage(stage: StageName, stages: Sequence[StageRecord], epoch: int, step: int) -> str:
    """The same of a step that is known to be of this stage, which may be unfinished, or may not have begun."""
    number = max(epoch - sum(one.epochs for one in takewhile(lambda one: one.name != stage, stages)), 0)
    record = next((one for one in stages if one.name == stage), None)
    may_be_solved = stage in {"head", "views"} and not (number or step)  # in no epochs
    if record.method == "solved" if record else may_be_solved:
        return f"in {_head_stage(stage)}"
    return f"at epoch {number + 1:,}{_of_stage(EpochPlace(stage, number, 0))}, step {step + 1:,}"


def reached_words(stage: StageName, stages: Sequence[StageRecord], epoch: int, epochs: int) -> str:
    """Where a checkpoint has come to, such as `in epoch 3 of fine-tuning`, or `after solving the head`.

    Args:
        stage: its stage.
        stages: the finished stages, of which that may be one.
        epoch: the epoch that it is in, counted from zero over all stages.
        epochs: how many epochs its history has.
    """
    if stage in {one.name for one in stages}:
        return f"after {done_words(stages, epochs)}"
    number = epoch - sum(one.epochs for one in stages)
    if stage in {"head", "views"} and not number:  # which may be solved, in no epochs
        return f"in {_head_stage(stage)}"
    return f"in epoch {number + 1:,}{_of_stage(EpochPlace(stage, number, 0))}"


def best_words(stages: Sequence[StageRecord], epoch: int) -> str:
    """What was best, counted from zero over all stages, such as `Best epoch 3 of 8 of fine-tuning`."""
    place = place_of(stages, epoch)
    return f"Best was {_solved_words(place)}" if place.is_solved else f"Best epoch {_number_words(place)}"


def best_fact(stages: Sequence[StageRecord], epoch: int, epochs: int) -> tuple[str, str]:
    """The same as a name and a value; `epochs` is how many there are in a training without stages."""
    place = place_of(stages, epoch)
    if place.is_solved:
        return "Best model", _solved_words(place)
    return "Best epoch", _number_words(place if _of_stage(place) else place._replace(epochs=epochs))


def how_solved(stage: StageRecord) -> str:
    """How a stage solved its head: to its optimum, unless a time budget has cut that short."""
    return "solved" if stage.cut_short else "solved to its optimum"


def trained_words(stages: Sequence[StageRecord], epochs: int) -> str:
    """What a completed run trained, such as `Solved the head and fine-tuned for 8 epochs`.

    Args:
        stages: the finished stages.
        epochs: how many epochs the history has. A solved head is one of them, but no epoch.
    """
    before, by_epochs = _before_fine_tuning(stages)
    if not before:
        return f"Trained {_epochs(epochs)}"
    head = f"Trained the head for {_epochs(by_epochs)}" if by_epochs else "Solved the head"
    is_tuned = any(stage.name == "fine-tune" and stage.epochs for stage in stages)
    return f"{head} and fine-tuned for {_epochs(epochs - before)}" if is_tuned else head


def done_words(stages: Sequence[StageRecord], epochs: int) -> str:
    """What was done of an unfinished run, such as `solving the head and 2 epochs of fine-tuning`; as above."""
    before, by_epochs = _before_fine_tuning(stages)
    if not before:
        return _epochs(epochs)
    head = f"{_epochs(by_epochs)} of the head" if by_epochs else "solving the head"
    return f"{head} and {_epochs(epochs - before)} of fine-tuning" if epochs > before else head


def _before_fine_tuning(stages: Sequence[StageRecord]) -> tuple[int, int]:
    """The epochs of the history that are from before any fine-tuning, and how many of these were no solved head."""
    before = [stage for stage in stages if stage.name in {"head", "views"}]
    by_epochs = sum(stage.epochs for stage in before if stage.method == "epochs")
    return sum(stage.epochs for stage in before), by_epochs


def _epochs(number: int) -> str:
    return f"{number:,} {'epoch' if number == 1 else 'epochs'}"


def _number_words(place: EpochPlace) -> str:
    of_epochs = f" of {place.epochs:,}" if place.epochs else ""
    return f"{place.number + 1:,}{of_epochs}{_of_stage(place)}"


def _of_stage(place: EpochPlace) -> str:
    if not place.stage or place.stage == "training":
        return ""
    return f" of {'the head' if place.stage == 'head' else STAGE_WORDS[place.stage]}"


def _head_stage(stage: str) -> str:
    return f"the stage of the {'head' if stage == 'head' else 'head on augmented views'}"


def _solved_words(place: EpochPlace) -> str:
    return "the head solved on augmented views" if place.stage == "views" else "the solved head"
