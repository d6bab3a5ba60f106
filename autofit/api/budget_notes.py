"""What is known about a run's speed before its first attempt, and the lines shown about its time budget."""

from __future__ import annotations

import time
from dataclasses import replace

from autofit.api.extractions import known_extraction
from autofit.config.options import freezes_backbone, refusing_fine_tuning
from autofit.machine.hardware import Hardware
from autofit.process.monitor import View
from autofit.profiles.store import ProfileStore
from autofit.report.words import count_of
from autofit.runs.run_record import RunRecord
from autofit.runs.stage_decision import foreseen_choices
from autofit.runs.stage_forecast import Speed, Work
from autofit.runs.stage_probe import needs_stage_probe
from autofit.runs.stages import stages_of
from autofit.runs.time_budget import (
    TimeBudget,
    is_asked_for,
    opening_words,
    resumed_words,
    seconds_words,
    words_of_test,
)


def with_known_speed(budget: TimeBudget, record: RunRecord, machine: Hardware, store: ProfileStore) -> TimeBudget:
    """The budget, with the network's speed if a profile of this machine has measured it."""
    known = known_extraction(record, machine, store)
    return replace(budget, known_per_second=known.images_per_second if known else None)


def announce_budget(budget: TimeBudget, record: RunRecord, machine: Hardware, view: View, *, is_resumed: bool) -> None:
    """Show the forecast of the run, or that no speed is known yet."""
    left_seconds = budget.left_seconds(time.monotonic())
    if is_resumed:
        view.message(resumed_words(budget.seconds, left_seconds))
        return
    if record.plan.epochs_by_budget == "open":
        view.message(f"time budget {seconds_words(budget.seconds)}: the first epoch shows how many there is time for")
        return
    if stages_of(record.plan) == ("training",):
        view.message(f"time budget {seconds_words(budget.seconds)}: {_epochs_words(record)}")
        return
    speed = Speed(budget.known_per_second, record.plan.kernels, device=machine.device)
    work = Work(record.data.train_count, record.data.validation_count, speed)
    test_seconds = work.test_seconds(record.data.test_count)
    words = opening_words(
        budget.seconds,
        left_seconds - test_seconds,
        foreseen_choices(record),
        work,
        extracts=record.plan.head == "solve",
        is_asked_for=is_asked_for(record.options),
        is_to_probe=needs_stage_probe(record.options, record.plan, "fine-tune"),
        views=record.plan.views,
    )
    view.message(words + words_of_test(test_seconds))


def _epochs_words(record: RunRecord) -> str:
    """What a budget means for a training in one stage, and why that is not fine-tuned where a backbone is frozen."""
    options, most = record.options, f"{count_of(record.plan.epochs, 'epoch')} at most"
    is_free = freezes_backbone(options) and options.replay is None
    refusing = refusing_fine_tuning(options) if is_free else ()
    if not refusing:
        return most
    return f"{most}, and no fine-tuning because of {' and '.join(refusing)}: give fine_tune_epochs for it"
