"""Whether fine-tuning has its own comparison of precisions, and the run with its outcome. Pure."""

from __future__ import annotations

from autofit.config.options import begins_with_head
from autofit.probing.precision_choice import gives_the_same
from autofit.protocol.precision import PrecisionChoice
from autofit.runs.run_record import RunRecord


def compares_stage(record: RunRecord) -> bool:
    """Whether `precision="auto"` is decided again for fine-tuning, by a comparison of that stage.

    It is not in a replay, with a time budget, which has no time for it, or if all layers train from the beginning,
    since the first comparison was of the same work. Fine-tuning begins with the run's head. So the first decision stays
    too if the backbone's features were too far from those in float32, or if nothing was measured.
    """
    options, first = record.options, record.plan.precision_choice
    is_open = options.precision == "auto" and not record.plan.replay and options.time_budget_seconds is None
    if record.plan.fine_tune is None or not is_open or begins_with_head(options):
        return False
    is_new = record.plan.fine_tune.precision_choice is None
    return is_new and first is not None and first.comparison is not None and gives_the_same(first.comparison)


def with_stage_precision(record: RunRecord, choice: PrecisionChoice | None) -> RunRecord:
    """The run with the precision that was chosen for fine-tuning; unchanged if none was."""
    if choice is None or record.plan.fine_tune is None:
        return record
    fine_tune = record.plan.fine_tune.model_copy(update={"precision_choice": choice})
    return record.model_copy(update={"plan": record.plan.model_copy(update={"fine_tune": fine_tune})})
