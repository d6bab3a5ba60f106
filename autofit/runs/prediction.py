"""Predicting images with a saved model, in a worker, so that the caller's process does not load TensorFlow."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from autofit.errors import DoesNotFitError, InterruptedRunError, TrainingFailedError, UserError
from autofit.input.numeric_images import NO_RANGES, ValueRanges
from autofit.machine import hardware
from autofit.process.launch import Launcher
from autofit.process.monitor import View, monitored
from autofit.protocol.job import Job, OutputKind, PredictJob
from autofit.protocol.messages import BadImage, MemoryBudget, Verdict
from autofit.protocol.payload import NO_CODE, OwnCode
from autofit.storage.run_directory import AttemptDirectory
from autofit.storage.safe_files import open_plain

if TYPE_CHECKING:
    import numpy as np

BATCH_SIZE = 32


def predict_paths(  # noqa: PLR0913 - all that a prediction has of its run
    model_path: Path,
    image_size: tuple[int, int],
    paths: Sequence[str],
    *,
    launcher: Launcher,
    view: View,
    views: int = 1,
    flips: bool = True,
    value_ranges: ValueRanges = NO_RANGES,
    code: OwnCode = NO_CODE,
) -> tuple[np.ndarray, list[BadImage]]:
    """Predict images.

    Args:
        model_path: a `model.keras` that autofit wrote.
        image_size: the model's input size in pixels, (height, width).
        paths: image files; they are decoded as in training.
        launcher: starts the worker.
        view: shows the progress.
        views: how many views of an image are predicted and their probabilities averaged.
        flips: whether mirror images are among them.
        value_ranges: the numbers that are black and white in images of more than 8 bits, as in training.
        code: of the user, which opening the model needs.

    Returns:
        Probabilities, float32 `(n, classes)` in the order of `paths`, with a row of NaN for an image that could not be
        read, and those images with their reasons.

    Raises:
        UserError: no path was given, or the saved model does not exist.
        AutofitError: the worker failed; the message says why.
    """
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    if not paths:
        raise UserError("there are no images to predict: give at least one path")
    if not model_path.is_file():
        raise UserError(f"the model {model_path} is gone: train again, or bring it back")
    with tempfile.TemporaryDirectory(prefix="autofit-predict-") as folder:
        attempt = AttemptDirectory(Path(folder))
        listed = attempt.path / "paths"
        listed.write_bytes("\0".join(map(_absolute, paths)).encode("utf-8", "surrogateescape"))
        work = PredictJob(
            model_path=str(model_path.resolve()),
            paths_file=str(listed),
            image_size=image_size,
            batch_size=BATCH_SIZE,
            threads=max(2, hardware.detect().cores),
            views=views,
            flips=flips,
            value_ranges=dict(value_ranges),
            outputs=_output_kind(model_path),
            module=code.module,
        )
        job = _job(work, code.import_paths, isolated=launcher.isolated)
        with monitored(job, attempt, launcher, view=view, payload=code.payload) as worker:
            worker_exit = worker.run()
        if worker_exit.diagnosis.verdict is not Verdict.COMPLETED:
            raise _error(worker_exit.diagnosis.verdict, worker_exit.diagnosis.cause)
        rows = np.load(attempt.path / "predictions.npy", allow_pickle=False)
    return rows, [event.quarantined for event in worker_exit.events if event.quarantined]


def _absolute(path: str) -> str:
    """The path made absolute: the worker starts in another folder than its parent."""
    return str(Path(path).expanduser().absolute())


def _output_kind(model_path: Path) -> OutputKind:
    """What a saved model gives, as `labels.json` beside it says; earlier ones do not."""
    try:
        with open_plain(model_path.with_name("labels.json")) as file:
            said = json.load(file).get("outputs", "probabilities")
    except (OSError, ValueError, AttributeError):
        return "probabilities"
    return next((kind for kind in get_args(OutputKind) if kind == said), "probabilities")


def _job(work: PredictJob, import_paths: Sequence[str], *, isolated: bool) -> Job:
    machine = hardware.detect()
    has = machine.device_free_bytes if machine.device == "gpu" else machine.host_available_bytes
    return Job(
        attempt=1,
        source=None,
        import_paths=list(import_paths),
        isolated=isolated,
        memory=MemoryBudget(device=machine.device, limit_bytes=has or machine.host_available_bytes, is_given=False),
        work=work,
    )


def _error(verdict: Verdict, cause: str) -> Exception:
    if verdict is Verdict.USER_ERROR:
        return UserError(cause)
    if verdict is Verdict.INTERRUPTED:
        return InterruptedRunError("the prediction was stopped: give the same call again")
    if verdict in {Verdict.DEVICE_OOM, Verdict.HOST_OOM}:
        return DoesNotFitError(f"not even one image at a time can be predicted here: {cause}")
    return TrainingFailedError(f"the prediction failed: {cause}")
