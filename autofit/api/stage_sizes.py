"""The sizes of a run's stages. Fine-tuning has a probe of its own, whose report is kept in the run directory."""

from __future__ import annotations

from dataclasses import dataclass, replace

from autofit.api.precision import stage_precision
from autofit.api.workers import machine_for, measurer_for
from autofit.config.options import Options
from autofit.config.rungs import Rung
from autofit.errors import TrainingFailedError
from autofit.machine.hardware import Hardware
from autofit.probing.records import ProbeReport
from autofit.process.monitor import View
from autofit.protocol.job import FineTunePlan, TrainingPlan
from autofit.protocol.messages import MemoryBudget, StageName
from autofit.protocol.payload import Payload
from autofit.protocol.precision import PrecisionChoice
from autofit.runs.memory_budget import foreseen_bytes, largest_decoded_batch, memory_budget
from autofit.runs.model_source import model_source
from autofit.runs.run_record import RunRecord
from autofit.runs.stage_precision import compares_stage, with_stage_precision
from autofit.runs.stage_probe import (
    StageStart,
    kernels_of_stage,
    needs_stage_probe,
    probed_words,
    size_of_stage,
    stage_workload,
)
from autofit.runs.stage_speed import saved_probe
from autofit.runs.stages import source_of_stage
from autofit.storage.run_directory import RunDirectory, writing_in


@dataclass(frozen=True, slots=True)
class StageSizes:
    """Finds the micro-batch size, memory budget, kernels and precision with which each stage of a run begins.

    Attributes:
        files: the run's directory.
        payload: the model function, if the network is one.
        view: shows the progress.
        memory: the memory budget of workers in stages without a probe of their own.
    """

    files: RunDirectory
    payload: Payload | None
    view: View
    memory: MemoryBudget

    def begin(self, record: RunRecord, stage: StageName, plan: TrainingPlan, *, is_begun: bool) -> StageStart:
        """The values with which a stage begins, or goes on if it has begun.

        A probe report in the run directory is used again, unless it says that nothing fits: memory may be free now.

        Raises:
            DoesNotFitError: not even one image at a time fits.
            InterruptedRunError: the probe was stopped.
            AutofitError: the model cannot be used, or the disk.
        """
        choice = None if is_begun or stage != "fine-tune" else self._precision(record)
        start = self._sized(with_stage_precision(record, choice), stage, plan, is_begun=is_begun)
        return replace(start, precision=choice)

    def _precision(self, record: RunRecord) -> PrecisionChoice | None:
        """The precision that `"auto"` chooses for fine-tuning; None where it is that of the run."""
        fine_tune, options = record.plan.fine_tune, record.settled_options
        if fine_tune is None or not compares_stage(record):
            return None
        source = source_of_stage(
            model_source(options, len(record.data.class_names)), record.plan, "fine-tune", record.data
        )
        measurer = measurer_for(options, machine_for(options), self.payload, self.view)
        return stage_precision(options, source, fine_tune.kernels, measurer)

    def _sized(self, record: RunRecord, stage: StageName, plan: TrainingPlan, *, is_begun: bool) -> StageStart:
        fine_tune = record.plan.fine_tune
        if fine_tune is None or not needs_stage_probe(record.options, plan, stage):
            return StageStart(plan.micro_batch_size, self.memory)
        report, machine = saved_probe(self.files.fine_tune_probe), machine_for(record.options)
        is_of_other = report is not None and report.workload.precision != record.options_of(stage).precision
        if report is None or is_of_other or not report.largest_feasible_batch:
            if is_begun or stage == "refit":  # the same work has just run, with these sizes
                return StageStart(plan.micro_batch_size, self.memory)
            report = self._probe_if_possible(record, plan, fine_tune, machine)
        if report is None:
            return StageStart(plan.micro_batch_size, self.memory)
        size = size_of_stage(plan.micro_batch_size, report)
        memory = self._memory_for(record.options, plan, report, size, machine)
        is_open = stage == "fine-tune" and not is_begun
        kernels = kernels_of_stage(record.options, record.plan, fine_tune, report) if is_open else None
        return StageStart(size, memory, kernels, Rung(segments=report.workload.segments))

    def _probe_if_possible(
        self, record: RunRecord, plan: TrainingPlan, fine_tune: FineTunePlan, machine: Hardware
    ) -> ProbeReport | None:
        """Probe the stage; None if a trial failed for a reason other than memory, such as a kill."""
        try:
            return self._probe(record, plan, fine_tune, machine)
        except TrainingFailedError as error:
            self.view.message(f"fine-tuning begins without a probe, and shrinks in the step if it has to: {error}")
            return None

    def _probe(self, record: RunRecord, plan: TrainingPlan, fine_tune: FineTunePlan, machine: Hardware) -> ProbeReport:
        """Probe the stage, or take the measurements of an earlier run; save the report."""
        options, data = record.options_of("fine-tune"), record.data
        classes = len(data.class_names)
        source = source_of_stage(model_source(options, classes), record.plan, "fine-tune", data)
        measurer = measurer_for(options, machine, self.payload, self.view)
        measured = stage_workload(options, classes, fine_tune)
        report = measurer.measure_size(options, source, measured, plan.micro_batch_size)
        with writing_in(self.files.path):
            report.save(self.files.fine_tune_probe)
        if report.largest_feasible_batch:
            self.view.message(probed_words(report))
        return report

    def _memory_for(
        self, options: Options, plan: TrainingPlan, report: ProbeReport, size: int, machine: Hardware
    ) -> MemoryBudget:
        """The memory budget of a worker that extracts the activations at the cut, then trains with this micro-batch."""
        return memory_budget(
            options,
            machine,
            largest_decoded_batch(plan, machine),
            extracts=plan.feature_cache,
            foreseen_bytes=foreseen_bytes(report, size),
        )
