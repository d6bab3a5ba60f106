"""Small records of a probe, a sweep and a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autofit.probing.records import MemoryModelRecord, ProbeReport, SweepFailure, SweepReport, Workload
from autofit.protocol.messages import OomEvent, Phase, Trial, Verdict
from autofit.runs.result_record import AttemptRecord, ResultRecord
from tests.support.records import make_workload

NON_ALLOCATOR_BYTES = 300_000_000


def _trial(batch_size: int, gigabytes: float, images_per_second: float) -> Trial:
    return Trial(
        batch_size=batch_size,
        verdict=Verdict.FITS,
        peak_bytes=round(gigabytes * 1e9) - NON_ALLOCATOR_BYTES,
        non_allocator_bytes=NON_ALLOCATOR_BYTES,
        images_per_second=images_per_second,
    )


@pytest.fixture
def report() -> ProbeReport:
    return ProbeReport(
        workload=make_workload(image_size=(160, 192)),
        hardware={"cpu": "Some CPU", "cores": 2, "host_bytes": 12_700_000_000, "gpu": None},
        memory_limit_bytes=3_000_000_000,
        allocator_limit_bytes=2_500_000_000,
        limited_by="--memory-limit",
        largest_feasible_batch=256,
        recommended_batch=32,
        memory_model=MemoryModelRecord(base_bytes=1.2e8, bytes_per_image=1.06e7, max_relative_error=0.021),
        trials=[
            _trial(256, 2.41, 124),
            _trial(32, 0.46, 146),
            _trial(64, 0.8, 149),
            Trial(batch_size=384, verdict=Verdict.DEVICE_OOM, peak_bytes=1_140_000_000),  # the peak before it failed
            _trial(256, 2.41, 121).model_copy(update={"fresh": True}),
        ],
        wall_seconds=41.2,
    )


@pytest.fixture
def known(report: ProbeReport) -> ProbeReport:
    """The same from a saved profile: all sizes known, the largest verified."""
    saved = [t.model_copy(update={"saved": True, "fresh": False}) for t in report.trials[:4]]
    return report.model_copy(
        update={
            "trials": [*saved, report.trials[4]],
            "source": "profile",
            "wall_seconds": 6.21,
            "non_allocator_bytes": 0,
        }
    )


@pytest.fixture
def sweep(report: ProbeReport) -> SweepReport:
    """A fast network, a slow one, one that does not fit at one of its sizes, and one that cannot be probed."""

    def workload(backbone: str, size: int) -> Workload:
        return report.workload.model_copy(update={"backbone": backbone, "image_size": (size, size)})

    def slower(backbone: str, times: float) -> ProbeReport:
        slow = [
            t.model_copy(update={"batch_size": t.batch_size // 4, "images_per_second": t.images_per_second / times})
            for t in report.trials
        ]
        sizes = {"largest_feasible_batch": 64, "recommended_batch": 8}
        return report.model_copy(
            update={"workload": workload(backbone, 224), "trials": slow, "wall_seconds": 123.0} | sizes
        )

    nothing = {
        "largest_feasible_batch": 0,
        "recommended_batch": 0,
        "memory_model": None,
        "trials": [Trial(batch_size=1, verdict=Verdict.DEVICE_OOM)],
    }
    return SweepReport(
        probes=[
            report,
            slower("ResNet50", 30.0),
            report.model_copy(update={"workload": workload("ResNet50", 1024)} | nothing),
            report.model_copy(update={"workload": workload("NASNetLarge", 512)} | nothing),
        ],
        failures=[SweepFailure(workload=workload("VGG16", 16), cause="images of 32 x 32 or more, not 16 x 16")],
        wall_seconds=204.0,
    )


@pytest.fixture
def make_oom() -> Callable[..., OomEvent]:
    return _oom


def _oom(step: int, before: int, phase: Phase = Phase.TRAIN) -> OomEvent:
    return OomEvent(
        attempt=1,
        epoch=0,
        step=step,
        phase=phase,
        micro_batch_size_before=before,
        micro_batch_size_after=before // 2,
        seconds_lost=10.0,
    )


@pytest.fixture
def make_attempt() -> Callable[..., AttemptRecord]:
    return _attempt


def _attempt(verdict: Verdict, cause: str = "") -> AttemptRecord:
    return AttemptRecord(
        verdict=verdict, cause=cause, batch_size=64, micro_batch_size=32, epoch=1, step=6, wall_seconds=30
    )


@pytest.fixture
def make_result() -> Callable[..., ResultRecord]:
    return _result


def _result(**changes: Any) -> ResultRecord:
    fields: dict[str, Any] = {
        "status": "completed",
        "history": {
            "loss": [0.9, 0.5, 0.3],
            "accuracy": [0.6, 0.8, 0.9],
            "val_loss": [0.8, 0.4, 0.45],
            "val_accuracy": [0.7, 0.875, 0.88],
        },
        "attempts": [_attempt(Verdict.COMPLETED)],
        "oom_events": [],
        "quarantined": [],
        "result_changed": False,
        "weights_sha256": "ab" * 32,
        "seconds_to_first_step": 9.31,
        "wall_seconds": 132.4,
    }
    return ResultRecord(**(fields | changes))
