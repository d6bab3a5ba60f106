"""What follows an attempt: the next rung and what would help, for the retry policy, or more of the same stage. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from autofit.protocol.messages import OUT_OF_MEMORY, MemoryBudget, StageName, Verdict
from autofit.runs.collect_result import Committed
from autofit.runs.retry_policy import AttemptSummary, Sizes, next_sizes
from autofit.runs.run_record import RunRecord
from autofit.runs.squeeze import Squeeze
from autofit.runs.stage_decision import saving_rung
from autofit.runs.what_would_help import advice_of_attempt

SHORT_OF = {"gpu": {Verdict.DEVICE_OOM}, "cpu": {*OUT_OF_MEMORY, Verdict.YIELDED}}
"""The verdicts, by device, after which other programs may have taken memory: of the GPU, or of the host for a CPU."""


def size_that_held(state: Committed | None, stage: StageName) -> int:
    """The micro-batch size that a stage came to, or the fine-tuning that a refit repeats; 0 if neither has begun."""
    if state is None or (state.stage != stage and (state.stage, stage) != ("fine-tune", "refit")):
        return 0
    return state.micro_batch_size


def trains_on(record: RunRecord, state: Committed) -> bool:
    """Whether a training whose first epoch has shown how many there is time for has more of them."""
    is_decided = record.plan.epochs_by_budget == "decided" and state.stage == "training"
    return is_decided and not state.stopped and state.epoch < record.plan.epochs


def following_sizes(
    record: RunRecord,
    stage: StageName,
    memory: MemoryBudget,
    past: Sequence[AttemptSummary],
    batch_bytes: int,
    squeeze: Squeeze | None,
) -> Sizes:
    """The sizes of the attempt that follows one that failed.

    Args:
        record: the run.
        stage: the stage of the attempts.
        memory: what the worker of the last attempt could use.
        past: the attempts at the stage, at least one.
        batch_bytes: the host memory that the images of one batch take.
        squeeze: what other programs took of the memory meanwhile; None if they took none.

    Raises:
        AutofitError: another attempt would be useless; the class and the message say why.
    """
    verdict = past[-1].diagnosis.verdict
    saving = saving_rung(record, stage, past[-1].sizes.rung, max(one.most_segments for one in past))
    if memory.device == "gpu" and verdict is Verdict.HOST_OOM:
        saving = None  # a rung saves memory of the GPU
    others, fits_now = (squeeze.words, squeeze.size) if squeeze else ("", None)
    helps, for_weights = advice_of_attempt(record.options_of(stage), stage, memory, verdict, others)
    return next_sizes(past, batch_bytes, fits_now, saving, helps, for_weights)
