"""What a run says of its time budget before its first attempt."""

from __future__ import annotations

import time

from autofit.api.extractions import known_extraction
from autofit.machine.hardware import Hardware
from autofit.process.monitor import View
from autofit.profiles.store import ProfileStore
from autofit.runs.run_record import RunRecord
from autofit.runs.time_budget import Speed, TimeBudget, Work, is_asked_for, opening_words


def announce_budget(
    budget: TimeBudget, record: RunRecord, machine: Hardware, store: ProfileStore, view: View, *, is_resumed: bool
) -> None:
    """Show the forecast, by what a profile of this machine knows; or that nothing is known yet."""
    known = known_extraction(record, machine, store)
    speed = Speed(known.images_per_second if known else None, record.plan.kernels)
    words = opening_words(
        budget.seconds,
        budget.left_seconds(time.monotonic()),
        record.plan.fine_tune,
        Work(record.data.train_count, record.data.validation_count, speed),
        extracts=record.plan.head == "solve",
        is_asked_for=is_asked_for(record.options),
        is_resumed=is_resumed,
    )
    view.message(words)
