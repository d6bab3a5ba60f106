"""The demo: a real out-of-memory, caught in front of the user, and a model at the end of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from autofit.api import probe, run
from autofit.api.result import Result
from autofit.config.byte_size import format_size
from autofit.demo.data import PHOTO_PIXELS, write_photos
from autofit.errors import TrainingFailedError
from autofit.probing.records import ProbeReport
from autofit.protocol.messages import Verdict
from autofit.report.progress import ProgressView

NETWORK: Final = "autofit.demo.network:digit_network"
BATCH_SIZE: Final = 64
EPOCHS: Final = 12
PLENTY_BYTES: Final = 3 * 10**9
SHARE_OF_THE_BATCH: Final = 0.6
"""The run gets the memory of this share of its first batch: it must run out once, and has room after one halving."""


def tell(folder: Path, view: ProgressView) -> Result:
    """Unpack the digits, train on them under a limit that is too small, and return the finished run.

    Raises:
        AutofitError: the run did not end well.
    """
    photos = folder / "digits"
    view.message("unpacking 1,797 handwritten digits (UCI Machine Learning Repository, CC BY 4.0)")
    write_photos(photos)
    view.message("measuring what a small network needs for them")
    limit_bytes = too_small_a_limit(_measure(view))
    view.message(
        f"training {BATCH_SIZE} images at a time under a limit of {format_size(limit_bytes)}, "
        f"which is too little on purpose: watch it run out of memory and go on"
    )
    return run(
        photos,
        model=NETWORK,
        image_size=PHOTO_PIXELS,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        memory_limit=limit_bytes,
        run_dir=_next_run_dir(folder),
        view=view,
    )


def _measure(view: ProgressView) -> ProbeReport:
    return probe(
        model=NETWORK,
        image_size=PHOTO_PIXELS,
        num_classes=10,
        memory_limit=PLENTY_BYTES,
        max_batch=BATCH_SIZE,
        profile=False,  # what a saved line leaves to be measured is too little for this
        view=view,
    )


def too_small_a_limit(report: ProbeReport) -> int:
    """The limit in bytes under which a part of the first batch fits: what the process needs besides, and that part.

    A run that is given its batch has no probe: its worker estimates what it needs besides, as that of the first trial.
    """
    fitted = [trial for trial in report.trials if trial.verdict is Verdict.FITS and trial.peak_bytes]
    small = min(fitted, key=lambda trial: trial.batch_size, default=None)
    large = max(fitted, key=lambda trial: trial.batch_size, default=None)
    if small is None or large is None or small.batch_size == large.batch_size:
        raise TrainingFailedError("the demo could not measure its network: too few trials have fitted")
    image_bytes = (large.peak_bytes - small.peak_bytes) / (large.batch_size - small.batch_size)
    besides = report.memory_limit_bytes - fitted[0].allocator_bytes
    return int(besides + small.peak_bytes + image_bytes * (BATCH_SIZE * SHARE_OF_THE_BATCH - small.batch_size))


def _next_run_dir(folder: Path) -> Path:
    """A new run directory each time: a second demo is a second run."""
    number = 1
    while (path := folder / f"run-{number}").exists():
        number += 1
    return path
