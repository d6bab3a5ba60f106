"""Predicting images with a saved model, in a worker, so that the caller's process does not load TensorFlow."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autofit.errors import UserError
from autofit.input.numeric_images import NO_RANGES, ValueRanges
from autofit.machine import hardware
from autofit.process.launch import Launcher
from autofit.process.monitor import View
from autofit.protocol.job import PredictJob
from autofit.protocol.messages import BadImage
from autofit.protocol.payload import NO_CODE, OwnCode
from autofit.runs.model_worker import output_kind, require_model, run_on_model, write_paths
from autofit.storage.run_directory import AttemptDirectory

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
    require_model(model_path)
    with tempfile.TemporaryDirectory(prefix="autofit-predict-") as folder:
        attempt = AttemptDirectory(Path(folder))
        listed = attempt.path / "paths"
        write_paths(listed, paths)
        work = PredictJob(
            model_path=str(model_path.resolve()),
            paths_file=str(listed),
            image_size=image_size,
            batch_size=BATCH_SIZE,
            threads=max(2, hardware.detect().cores),
            views=views,
            flips=flips,
            value_ranges=dict(value_ranges),
            outputs=output_kind(model_path),
            module=code.module,
        )
        events = run_on_model(work, attempt, launcher=launcher, view=view, name="prediction", code=code)
        rows = np.load(attempt.path / "predictions.npy", allow_pickle=False)
    return rows, [event.quarantined for event in events if event.quarantined]
