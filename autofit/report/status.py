"""What goes on in a worker, in words: from its heartbeat to one line. Pure.

Records count epochs and steps from zero; people read them from one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autofit.process.messages import Phase, Progress
from autofit.report.words import count_of, metric_words, printable

MICRO_BATCH = "micro-batch"
IN_STEPS = {Phase.TRAIN, Phase.EXTRACT, Phase.PREDICT}  # extraction and training alternate within a step: shown as one
IN_EPOCH = {Phase.TRAIN, Phase.EXTRACT, Phase.VALIDATE, Phase.SAVE}

DOING = {
    Phase.START: "Starting",
    Phase.WEIGHTS: "Loading the weights",
    Phase.BUILD: "Building the model",
    Phase.TRACE: "Tracing",
    Phase.PROBE: "Probing",
    Phase.EXTRACT: "Extracting features",
    Phase.TRAIN: "Training",
    Phase.VALIDATE: "Validating",
    Phase.SAVE: "Saving",
    Phase.PREDICT: "Predicting",
}


@dataclass(frozen=True, slots=True)
class Status:
    """What goes on, in words, counted from one; `steps` is 0 where nobody knows how many there are."""

    words: str
    step: int = 0
    steps: int = 0
    facts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The status on one line."""
        return " · ".join([self.words, *self.facts])


def describe(progress: Progress, epochs: int) -> Status:
    """What one line of `progress.jsonl` says; `epochs` is 0 where none are planned.

    A heartbeat repeats what was last said of everything, so each phase shows only what is its own.
    """
    phase, step, steps = progress.phase, min(progress.step + 1, progress.steps), progress.steps
    if phase is Phase.PROBE:
        return Status(DOING[phase], facts=(f"{count_of(progress.micro_batch_size, 'image')} at once",))
    if phase not in IN_STEPS or not steps:
        return Status(_epoch_words(progress, epochs) + ", validating" if phase is Phase.VALIDATE else DOING[phase])
    words = DOING[phase] if phase is Phase.PREDICT else _epoch_words(progress, epochs)
    metrics = metric_facts(progress.metrics) if progress.step else []  # before the first step those of the epoch before
    return Status(words, step, steps, (f"{step:,}/{steps:,}", *_pace_facts(progress), *metrics))


def _epoch_words(progress: Progress, epochs: int) -> str:
    return f"Epoch {progress.epoch + 1:,}/{epochs:,}" if epochs else f"Epoch {progress.epoch + 1:,}"


def _pace_facts(progress: Progress) -> list[str]:
    speed, micro = progress.images_per_second, progress.micro_batch_size
    return [*([f"{speed:,.0f} images/s"] if speed > 0 else []), *([f"{MICRO_BATCH} {micro:,}"] if micro > 0 else [])]


def metric_facts(metrics: dict[str, float]) -> list[str]:
    """Metrics in words, losses first and validation last: `loss 0.420`, `accuracy 0.910`, `val loss 0.510`."""
    ordered = sorted(metrics, key=lambda name: (name.startswith("val_"), not name.endswith("loss")))
    return [f"{printable(name).replace('_', ' ')} {metric_words(metrics[name])}" for name in ordered]


def shortened(status: Status, cells: int) -> Status:
    """The status in as many columns: the micro-batch goes first, then what stands last."""
    facts = list(status.facts)
    while facts and len(replace(status, facts=tuple(facts)).text) > cells:
        spare = [place for place, fact in enumerate(facts) if fact.startswith(MICRO_BATCH)]
        facts.pop(spare[0] if spare else -1)
    return replace(status, facts=tuple(facts))


class EpochWatch:
    """Tells from the heartbeat when an epoch is finished, and with which metrics.

    The heartbeat is sampled a few times a second, so an epoch's last step may go unseen; its metrics are then those of
    the last step that was seen, and the line says so.
    """

    def __init__(self) -> None:
        self._last: Progress | None = None

    def finished_by(self, progress: Progress, epochs: int) -> str:
        """The line on the epoch that this progress shows to be over; empty where it shows none."""
        if not epochs or not progress.steps or progress.phase not in IN_EPOCH:
            return ""
        last, self._last = self._last, progress
        if last is None or progress.epoch <= last.epoch:  # lower than before where a new attempt resumed
            return ""
        if progress.step == 0 and progress.epoch == last.epoch + 1:  # repeats what was said last, of the epoch before
            last = last.model_copy(update={"step": last.steps, "metrics": progress.metrics})
        return _done(last, epochs)

    def finished_at_the_end(self, epochs: int) -> str:
        """The line on the last epoch, where it came to its end."""
        last = self._last
        if last is None or last.phase is Phase.VALIDATE or last.step < last.steps:
            return ""
        return _done(last, epochs)


def _done(last: Progress, epochs: int) -> str:
    at_step = [f"at step {last.step:,}/{last.steps:,}"] if 0 < last.step < last.steps else []
    metrics = metric_facts(last.metrics) if last.step else []
    return Status(f"{_epoch_words(last, epochs)} done", facts=(*at_step, *metrics)).text
