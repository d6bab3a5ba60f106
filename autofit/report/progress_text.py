"""A heartbeat of a worker as one line of text. Pure.

Records count epochs and steps from zero; people read them from one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autofit.printable import printable
from autofit.protocol.messages import EpochEnd, Phase, Progress, StageName
from autofit.report.words import DOT, count_of, duration_words, named_metric

MICRO_BATCH = "micro-batch"
LEAST_SECONDS_LEFT = 2.0
IN_STEPS = {Phase.TRAIN, Phase.EXTRACT, Phase.PREDICT}  # extraction and training alternate within a step: shown as one

DOING = {
    Phase.START: "Starting",
    Phase.WEIGHTS: "Loading the weights",
    Phase.BUILD: "Building the model",
    Phase.TRACE: "Tracing",
    Phase.PROBE: "Probing",
    Phase.EXTRACT: "Extracting features",
    Phase.SOLVE: "Solving the head",
    Phase.TRAIN: "Training",
    Phase.VALIDATE: "Validating",
    Phase.SAVE: "Saving",
    Phase.PREDICT: "Predicting",
}


EPOCH_OF: dict[StageName, str] = {"fine-tune": "Fine-tuning, epoch", "refit": "Fine-tuning on all images, epoch"}
"""The words for an epoch in a stage of fine-tuning."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the worker is doing, in words, counted from one; `steps` is 0 if their number is unknown."""

    words: str
    step: int = 0
    steps: int = 0
    facts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The status on one line."""
        return DOT.join([self.words, *self.facts])


def describe(progress: Progress, epochs: int) -> Status:
    """A line of `progress.jsonl` as a status; `epochs` is 0 if none are planned, or their number is open.

    A heartbeat repeats the last value of every field, so each phase shows only its own fields.
    """
    phase, step, steps = progress.phase, min(progress.step + 1, progress.steps), progress.steps
    if phase is Phase.PROBE:
        return Status(DOING[phase], facts=(f"{count_of(progress.micro_batch_size, 'image')} at once",))
    if phase not in IN_STEPS or not steps:
        return Status(epoch_words(progress, epochs) + ", validating" if phase is Phase.VALIDATE else DOING[phase])
    if progress.counts == "images":
        facts = (f"{progress.step:,}/{steps:,} images", *_left_facts(progress), *_pace_facts(progress))
        return Status(DOING[phase], progress.step, steps, facts)
    words = DOING[phase] if phase is Phase.PREDICT else epoch_words(progress, epochs)
    metrics = metric_facts(progress.metrics) if progress.step else []  # else the previous epoch's
    return Status(words, step, steps, (f"{step:,}/{steps:,}", *_pace_facts(progress), *metrics))


def describe_epoch(end: EpochEnd, epochs: int) -> str:
    """A finished epoch and its figures, on one line."""
    done = "Head solved" if end.solved else f"{epoch_words(end, epochs)} done"
    return Status(done, facts=tuple(metric_facts(end.metrics))).text


def epoch_words(told: Progress | EpochEnd, epochs: int) -> str:
    """An epoch within its stage, as `Epoch 3/10`; the stage ends after `epochs` of all stages, 0 if that is unknown."""
    word, number = EPOCH_OF.get(told.stage, "Epoch"), told.epoch - told.first_epoch + 1
    return f"{word} {number:,}/{epochs - told.first_epoch:,}" if epochs else f"{word} {number:,}"


def _left_facts(progress: Progress) -> list[str]:
    """How long the remaining images take at this speed, if it is more than a few seconds."""
    left = progress.steps - progress.step
    seconds = left / progress.images_per_second if progress.images_per_second > 0 else 0.0
    return [f"about {duration_words(seconds)} left"] if seconds >= LEAST_SECONDS_LEFT else []


def _pace_facts(progress: Progress) -> list[str]:
    speed, micro = progress.images_per_second, progress.micro_batch_size
    return [*([f"{speed:,.0f} images/s"] if speed > 0 else []), *([f"{MICRO_BATCH} {micro:,}"] if micro > 0 else [])]


def metric_facts(metrics: dict[str, float]) -> list[str]:
    """Metrics with their names, losses first and validation last: `loss 0.420`, `accuracy 0.910`, `val loss 0.510`."""
    ordered = sorted(metrics, key=lambda name: (name.startswith("val_"), not name.endswith("loss")))
    return [f"{printable(name).replace('_', ' ')} {named_metric(name, metrics[name])}" for name in ordered]


def shortened(status: Status, cells: int) -> Status:
    """The status shortened to `cells` columns: drops the micro-batch first, then the last facts."""
    facts = list(status.facts)
    while facts and len(replace(status, facts=tuple(facts)).text) > cells:
        spare = [place for place, fact in enumerate(facts) if fact.startswith(MICRO_BATCH)]
        facts.pop(spare[0] if spare else -1)
    return replace(status, facts=tuple(facts))
