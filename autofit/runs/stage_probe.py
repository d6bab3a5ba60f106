"""The probe of a stage that needs more memory than the one before: if it is made, of what, and what follows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from autofit.config.batch_schedule import LARGEST_EXTRACTION, auto_micro_batch_size
from autofit.config.cuts import WHOLE
from autofit.config.options import Options, begins_with_head
from autofit.config.rungs import Rung
from autofit.errors import DoesNotFitError
from autofit.probing.records import ProbeReport, Workload
from autofit.protocol.job import FineTunePlan, Kernels, TrainingPlan
from autofit.protocol.messages import FINE_TUNING, MemoryBudget, StageName, StageRecord, Verdict, at_once
from autofit.protocol.precision import PrecisionChoice
from autofit.runs.memory_budget import foreseen_bytes, most_to_extract_bytes
from autofit.runs.model_source import workload
from autofit.runs.plan import SHARE_FOR_ONEDNN, has_time_to_probe
from autofit.runs.stages import next_stage, stages_of
from autofit.runs.what_would_help import advice_after, tried_rungs, tried_words

LEAST_TO_PROBE_STAGE_SECONDS = 30.0
"""The shortest time budget with which a stage is probed, for whose probe there has to be time besides: it takes 5 s on
two cores with AVX-512, 11 s on slower ones (docs/decisions/0038), and shows whether memory is ample for kernels that
train up to three times as fast."""

LAYERWISE_ADAMW: Final = "layerwise-adamw"
"""The name of fine-tuning's optimizer in a workload."""


@dataclass(frozen=True, slots=True)
class StageStart:
    """What the attempts of a stage begin with: the micro-batch size, the memory of a worker, and further choices.

    `kernels`, `rung` and `precision` are None if they were not chosen for this stage.
    """

    micro_batch_size: int
    memory: MemoryBudget
    kernels: Kernels | None = None
    rung: Rung | None = None
    precision: PrecisionChoice | None = None


def needs_stage_probe(options: Options, plan: TrainingPlan, stage: StageName) -> bool:
    """Whether a stage is probed for its micro-batch size before it begins.

    It is not if a size was given, in a replay, which has the sizes of the replayed run, or if all layers train, since
    the run began with that probe. Nor is it with a short time budget, of which a probe would take too much.
    """
    is_given = options.batch_size is not None or options.micro_batch_size is not None
    is_known = is_given or plan.replay or begins_with_head(options)
    return stage in FINE_TUNING and not is_known and has_time_to_probe(options, LEAST_TO_PROBE_STAGE_SECONDS)


def stage_workload(options: Options, num_classes: int, fine_tune: FineTunePlan) -> Workload:
    """What a probe of fine-tuning measures: the layers above the cut, with the optimizer of this stage."""
    of_run = workload(options, num_classes)
    return of_run.model_copy(update={"trainable": "all", "optimizer": LAYERWISE_ADAMW, "cut": fine_tune.cut})


def size_of_stage(planned: int, report: ProbeReport) -> int:
    """The micro-batch size of a stage: the planned one if it fits, else one that does.

    Raises:
        DoesNotFitError: not even one image at a time fits.
    """
    if not report.largest_feasible_batch:
        tried = f"(limited by {report.limited_by}){tried_words(tried_rungs(report))}"
        helps = advice_after(report, "above a cut")
        why = f"fine-tuning: not even one image at a time fits {tried}"
        raise DoesNotFitError(f"{why}: {helps}", why)
    return auto_micro_batch_size(planned, report.largest_feasible_batch)


def kernels_of_stage(options: Options, plan: TrainingPlan, fine_tune: FineTunePlan, report: ProbeReport) -> Kernels:
    """OneDNN's kernels if the run's head has them, and if fine-tuning takes at most half of the memory, as measured.

    Args:
        options: the request.
        plan: the plan of the run.
        fine_tune: the plan of the stage, with its micro-batch size.
        report: the report of the stage's probe.
    """
    size = size_of_stage(fine_tune.micro_batch_size, report)
    fitting = [trial for trial in report.trials if trial.verdict is Verdict.FITS and trial.batch_size >= size]
    measured = [trial.memory_bytes for trial in fitting if trial.memory_bytes]
    takes = min([foreseen_bytes(report, size), *measured])
    if fine_tune.cut != WHOLE:  # then activations are extracted first
        takes = max(takes, most_to_extract_bytes(options, LARGEST_EXTRACTION["cpu"]))
    is_ample = takes <= SHARE_FOR_ONEDNN * report.memory_limit_bytes
    return "onednn" if plan.kernels == "onednn" and is_ample else fine_tune.kernels


def probed_words(report: ProbeReport) -> str:
    """What the probe of a stage found, in one line."""
    how = "as an earlier run has measured" if report.source == "profile" else f"probed in {report.all_seconds:.0f} s"
    saving = Rung(segments=report.workload.segments).words
    again = f" with {saving}" if saving else ""
    largest = report.largest_feasible_batch
    return f"fine-tuning: {at_once(largest)} {'fits' if largest == 1 else 'fit'}{again} ({how})"


def is_left_out(plan: TrainingPlan, finished: Sequence[StageRecord]) -> bool:
    """Whether fine-tuning was planned and left out: whether a run, which has ended, finished only stages before it."""
    return "fine-tune" in stages_of(plan) and bool(finished) and not FINE_TUNING & {stage.name for stage in finished}


def stage_left_out(
    plan: TrainingPlan, finished: Sequence[StageRecord], best_epoch: int | None
) -> Literal["fine-tune", "refit"] | None:
    """Which stage did not fit in a run that has ended without it; None if none was left out for that."""
    if is_left_out(plan, finished):
        return "fine-tune"
    return "refit" if finished and next_stage(plan, finished, best_epoch) == "refit" else None


def model_kept(plan: TrainingPlan, stage: StageName, committed: StageName, finished: Sequence[StageRecord]) -> str:
    """The model with which a run can end if a stage does not fit, in words; empty if more would be lost than that.

    Args:
        plan: the plan of the run.
        stage: the stage that does not fit.
        committed: the stage of the newest checkpoint.
        finished: the finished stages.
    """
    if stage == "refit":
        return "the model from before the fine-tuning on all images"
    is_head_alone = committed not in FINE_TUNING and is_left_out(plan, finished)
    return "the model with the head alone" if is_head_alone else ""
