"""How fast the first stage of a run was, from what its attempts have recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from autofit.probing.records import ProbeReport
from autofit.protocol.job import Job, TrainJob
from autofit.protocol.messages import LATER_STAGES, Phase, Verdict
from autofit.runs.collect_result import events_of, last_lines
from autofit.runs.result_record import AttemptRecord
from autofit.runs.stage_forecast import Speed
from autofit.storage.run_directory import AttemptDirectory, RunDirectory


def measured_speed(files: RunDirectory, least_images: int = 1) -> Speed:
    """The speed of the newest extraction of the first stage, and the other time of the attempt that finished it.

    An extraction of fewer than `least_images` does not tell: most of its time went into its first steps.
    """
    speed = Speed(None, trained_per_second=_probed_rates(files))
    for attempt, device, work in attempts_at_first_stage(files):
        speed = replace(speed, device=device)
        events = [event for event in events_of(attempt) if event.extracted or event.epoch_end]
        passes = [event.extracted for event in events if event.extracted]
        extracted = sum(one.seconds for one in passes)
        images = sum(one.images for one in passes)
        if images >= least_images and extracted > 0:
            steady = next((one.steady_per_second for one in reversed(passes) if one.steady_per_second), None)
            speed = replace(speed, images_per_second=steady or images / extracted, kernels=work.plan.kernels)
        if (wall := _completed_seconds(attempt)) is not None:
            solved = sum(
                end.epoch_end.solved.seconds or 0.0 for end in events if end.epoch_end and end.epoch_end.solved
            )
            other = max(wall - extracted - solved - _epochs_seconds(attempt), 0.0)
            speed = replace(speed, other_seconds=other)
    return speed


def measured_epochs(files: RunDirectory) -> tuple[float, float]:
    """The time of all epochs so far, and that of the newest finished attempt without them."""
    epochs = start = 0.0
    for attempt, *_ in attempts_at_first_stage(files):
        epochs += (spent := _epochs_seconds(attempt))
        if (wall := _completed_seconds(attempt)) is not None:
            start = max(wall - spent, 0.0)
    return epochs, start


def forward_by_epochs(files: RunDirectory, images: float) -> float | None:
    """The images a second of a forward pass, by the epochs of the first stage; None if it has none.

    Args:
        files: the run's directory.
        images: how many forward passes take as long as an epoch with its validation.
    """
    spent, done = measured_epochs(files)[0], 0
    for attempt, *_ in attempts_at_first_stage(files):
        done += sum(1 for event in events_of(attempt) if event.epoch_end and not event.epoch_end.solved)
    return images * done / spent if spent and done else None


def saved_probe(path: Path) -> ProbeReport | None:
    """The report of a probe in the run directory; None if there is none: estimates are less exact without it."""
    return ProbeReport.load_or_none(path)


def _probed_rates(files: RunDirectory) -> dict[str, float]:
    """The images a second in updates of fine-tuning, by the cut that was probed; empty without a probe."""
    report = saved_probe(files.fine_tune_probe)
    if report is None:
        return {}
    fitting = [trial for trial in report.trials if trial.verdict is Verdict.FITS and trial.step_seconds > 0]
    largest = max(fitting, key=lambda trial: trial.batch_size, default=None)
    return {report.workload.cut: largest.batch_size / largest.step_seconds} if largest else {}


def attempts_at_first_stage(
    files: RunDirectory, earlier: int = 0
) -> Iterator[tuple[AttemptDirectory, Literal["cpu", "gpu"], TrainJob]]:
    """The attempts at the first stage, or at the only one, with device and work; `earlier` attempts are left out."""
    for attempt in files.attempts()[earlier:]:
        job = Job.load_or_none(attempt.job)
        if job is not None and isinstance(job.work, TrainJob) and job.work.stage not in LATER_STAGES:
            yield attempt, job.memory.device, job.work


def _epochs_seconds(attempt: AttemptDirectory) -> float:
    """The time that an attempt has trained and validated by epochs; 0 if it does not tell."""
    spent = next((line.phase_seconds for line in last_lines([attempt])), {})
    return spent.get(Phase.TRAIN, 0.0) + spent.get(Phase.VALIDATE, 0.0)


def _completed_seconds(attempt: AttemptDirectory) -> float | None:
    """The time of an attempt that finished its stage; None for any other attempt."""
    record = AttemptRecord.load_or_none(attempt.record)
    return record.wall_seconds if record is not None and record.verdict is Verdict.COMPLETED else None
