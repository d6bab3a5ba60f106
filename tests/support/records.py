"""Made-up records that cross the process boundary or are saved."""

from __future__ import annotations

from typing import Any

from autofit.config.options import make_options
from autofit.probing.records import ProbeReport, Workload
from autofit.protocol.job import TrainingPlan
from autofit.protocol.messages import BadImage, Verdict
from autofit.runs.evaluation import ClassCounts, Evaluation
from autofit.runs.export import Export
from autofit.runs.model_source import workload
from autofit.runs.result_record import AttemptRecord


def make_plan(**changes: Any) -> TrainingPlan:
    """A plan of one epoch at a fixed batch size, with a checkpoint after each update; or one that differs."""
    fields: dict[str, Any] = {
        "epochs": 1,
        "first_batch_size": 8,
        "last_batch_size": 8,
        "micro_batch_size": 8,
        "seed": 0,
        "class_weight": "none",
        "early_stopping": None,
        "checkpoint_seconds": None,
        "checkpoint_steps": 1,
        "audit": False,
        "replay": None,
        "threads": 2,
    }
    return TrainingPlan(**(fields | changes))


def make_workload(**changes: Any) -> Workload:
    """A frozen MobileNetV2 with ImageNet weights for five classes; or a workload that differs."""
    fields: dict[str, Any] = {
        "backbone": "MobileNetV2",
        "image_size": (160, 160),
        "num_classes": 5,
        "trainable": "head",
        "weights": "imagenet",
        "hidden_units": 0,
        "dropout": 0.2,
        "optimizer": "adam",
    }
    return Workload(**(fields | changes))


def make_probe_report(recommended: int, largest: int = 4096) -> ProbeReport:
    """The report of a probe that found these sizes."""
    return ProbeReport(
        workload=workload(make_options(), 3),
        hardware={},
        memory_limit_bytes=10**9,
        limited_by="a test",
        largest_feasible_batch=largest,
        recommended_batch=recommended,
        memory_model=None,
        trials=[],
        wall_seconds=1.0,
    )


def make_attempt_record(verdict: Verdict, wall_seconds: float) -> AttemptRecord:
    """The record of an attempt that ended so, after so long."""
    return AttemptRecord(
        verdict=verdict, cause="", batch_size=8, micro_batch_size=8, epoch=0, step=0, wall_seconds=wall_seconds
    )


def make_evaluation(name: str, **changes: Any) -> Evaluation:
    """The figures of a model on two images, of which one cannot be read: its path, and the class, have this name."""
    fields: dict[str, Any] = {
        "accuracy": 0.5,
        "standard_error": 0.1,
        "loss": 0.3,
        "images": 2,
        "views": 1,
        "classes": [ClassCounts(name=name, images=2, right=1, predicted=2)],
        "unreadable": [BadImage(path=name, reason=name)],
    }
    return Evaluation(**(fields | changes))


def make_export(path: str, **changes: Any) -> Export:
    """A model that was exported to this path and compared with nothing; or an export that differs."""
    fields: dict[str, Any] = {
        "path": path,
        "format": "savedmodel",
        "int8": False,
        "size_bytes": 1,
        "model_bytes": 1,
        "compared_with": "validation",
        "were_trained_on": False,
        "parity": None,
    }
    return Export(**(fields | changes))
