"""Whether fine-tuning has a comparison of precisions of its own, and the run with what came of it. Pure."""

from __future__ import annotations

from autofit.config.options import begins_with_head
from autofit.probing.precision_choice import gives_the_same
from autofit.protocol.precision import PrecisionChoice
from autofit.runs.run_record import RunRecord


def compares_stage(record: RunRecord) -> bool:
    """Whether `precision="auto"` is decided for fine-tuning anew, by its own work.

    Not in a replay, nor where all layers train from the first: that is what the run has compared. What is compared here
    begins with the head of the run, so where the features of its backbone were too far from those in float32, or
    nothing was measured, it stays at what was chosen then. A time budget has no time for it.
    """
    options, first = record.options, record.plan.precision_choice
    is_open = options.precision == "auto" and not record.plan.replay and options.time_budget_seconds is None
    if record.plan.fine_tune is None or not is_open or begins_with_head(options):
        return False
    is_new = record.plan.fine_tune.precision_choice is None
    return is_new and first is not None and first.comparison is not None and gives_the_same(first.comparison)


def with_stage_precision(record: RunRecord, choice: PrecisionChoice | None) -> RunRecord:
    """The run with the precision of its fine-tuning, where one was chosen."""
    if choice is None or record.plan.fine_tune is None:
        return record
    fine_tune = record.plan.fine_tune.model_copy(update={"precision_choice": choice})
    return record.model_copy(update={"plan": record.plan.model_copy(update={"fine_tune": fine_tune})})
