"""The demo run: training that really runs out of memory, recovers, and finishes with a model."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from autofit.api import probe, run
from autofit.api.result import Result
from autofit.config.byte_size import format_size
from autofit.demo.data import write_photos
from autofit.errors import TrainingFailedError
from autofit.probing.records import ProbeReport
from autofit.protocol.messages import Verdict
from autofit.report.views import ProgressView

NETWORK: Final = "autofit.demo.network:digit_network"
BATCH_SIZE: Final = 64
IMAGE_PIXELS: Final = 64
"""Twice the size of the photos. An image then takes 2 MB in training, so half a batch takes far more memory than the
size of a process varies from one start to the next."""

EPOCHS: Final = 8
PLENTY_BYTES: Final = 3 * 10**9
SHARE_TO_THE_WHOLE: Final = 0.5
"""The memory limit lies in the middle between the memory of half a batch and that of a whole batch: the run has to run
out of memory once, and fits after one halving."""


def run_demo(folder: Path, view: ProgressView) -> Result:
    """Unpack the digits, train on them under a limit that is too small, and return the finished run.

    Raises:
        AutofitError: the run failed.
    """
    photos = folder / "digits"
    view.message("unpacking 1,797 handwritten digits (UCI Machine Learning Repository, CC BY 4.0)")
    write_photos(photos)
    view.message("measuring how much memory a small network needs for them")
    limit_bytes = insufficient_limit_bytes(_measure(view))
    view.message(
        f"training {BATCH_SIZE} images at a time under a limit of {format_size(limit_bytes)}, "
        f"which is too little on purpose: it will run out of memory and continue"
    )
    return run(
        photos,
        model=NETWORK,
        image_size=IMAGE_PIXELS,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        memory_limit=limit_bytes,
        run_dir=_next_run_dir(folder),
        view=view,
    )


def _measure(view: ProgressView) -> ProbeReport:
    return probe(
        model=NETWORK,
        image_size=IMAGE_PIXELS,
        num_classes=10,
        memory_limit=PLENTY_BYTES,
        max_batch=BATCH_SIZE,
        profile=False,  # with a saved profile the probe measures too few sizes for this
        view=view,
    )


def insufficient_limit_bytes(report: ProbeReport) -> int:
    """The memory limit in bytes under which half a batch fits, but a whole batch does not.

    A run with a given batch size has no probe: its worker estimates the non-allocator memory as the first trial did.
    """
    fitted = {trial.batch_size: trial for trial in report.trials if trial.verdict is Verdict.FITS and trial.peak_bytes}
    whole, half = fitted.get(BATCH_SIZE), fitted.get(BATCH_SIZE // 2)
    if whole is None or half is None:
        raise TrainingFailedError("the demo could not measure its network: too few trials fitted in memory")
    first = next(trial for trial in report.trials if trial.allocator_bytes)
    non_allocator_bytes = report.memory_limit_bytes - first.allocator_bytes
    return non_allocator_bytes + half.peak_bytes + int(SHARE_TO_THE_WHOLE * (whole.peak_bytes - half.peak_bytes))


def _next_run_dir(folder: Path) -> Path:
    """The next free run directory: each demo is a new run."""
    number = 1
    while (path := folder / f"run-{number}").exists():
        number += 1
    return path
