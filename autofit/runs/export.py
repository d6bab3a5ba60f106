"""A saved model in another format, by a worker, and how much the two differ on real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autofit.config.multi_label_figures import THRESHOLD
from autofit.errors import UserError
from autofit.machine import hardware
from autofit.process.launch import Launcher
from autofit.process.monitor import View
from autofit.protocol.model_jobs import ExportFormat, ExportJob
from autofit.protocol.payload import NO_CODE, OwnCode
from autofit.runs.model_worker import output_kind, require_model, run_on_model, write_paths
from autofit.runs.multi_label_evaluation import truth_of
from autofit.runs.run_record import RunRecord
from autofit.storage.records import Record
from autofit.storage.run_directory import AttemptDirectory
from autofit.storage.scratch import scratch_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS: tuple[ExportFormat, ...] = ("litert", "onnx", "savedmodel")
FILE_NAMES = {"litert": "model.tflite", "onnx": "model.onnx", "savedmodel": "savedmodel"}
INT8_FILE_NAME = "model-int8.tflite"
"""Beside the one of float32, which may be there to be compared with."""
MOST_COMPARED, MOST_FOR_CALIBRATION = 200, 100


class Parity(Record):
    """How much an exported model differs from the saved one, on images that both have predicted.

    Attributes:
        images: how many images could be read.
        same: for how many of them the most probable class is the same; with several labels an image, all that are told.
        largest_difference: of a probability, from 0 to 1.
        accuracy_before: of the saved model; with several labels an image, the share of images told right in all.
        accuracy_after: of the exported one.
        multi_label: whether an image may have several labels.
    """

    images: int
    same: int
    largest_difference: float
    accuracy_before: float
    accuracy_after: float
    multi_label: bool = False


class Export(Record):
    """An exported model.

    Attributes:
        path: the file, or the folder of a SavedModel.
        format: `litert`, `onnx` or `savedmodel`.
        int8: whether its weights and activations are 8-bit integers.
        size_bytes: of the file, or of all files in the folder.
        model_bytes: of the saved model.
        compared_with: the images that both have predicted: `validation`, or `training` in a run without those.
        were_trained_on: whether the model has been trained on them, as it has after a refit.
        parity: the comparison; None if the format's runtime is not installed, or no image can be read.
    """

    path: str
    format: ExportFormat
    int8: bool
    size_bytes: int
    model_bytes: int
    compared_with: str
    were_trained_on: bool
    parity: Parity | None


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is exported, and the images for that.

    Attributes:
        target: the file, or the folder of a SavedModel.
        format: which.
        int8: whether with 8-bit integers.
        compared: those that both models predict.
        labels: the class numbers of each of these.
        calibration: from which the scales of 8-bit integers are found.
    """

    target: Path
    format: ExportFormat
    int8: bool
    compared: Sequence[str]
    labels: Sequence[Sequence[int]]
    calibration: Sequence[str]


def export_model(
    model_path: Path,
    request: ExportRequest,
    *,
    record: RunRecord,
    launcher: Launcher,
    view: View,
    code: OwnCode = NO_CODE,
) -> Parity | None:
    """Write a saved model in another format, and compare the two.

    Returns:
        None if there was nothing to compare with.

    Raises:
        UserError: there is no saved model, or it cannot be exported to this format.
        AutofitError: the worker failed; the message says why.
    """
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    require_model(model_path)
    with scratch_folder("autofit-export-") as folder:
        attempt = AttemptDirectory(folder)
        files = attempt.path / "paths", attempt.path / "calibration"
        for file, paths in zip(files, (request.compared, request.calibration if request.int8 else ()), strict=True):
            write_paths(file, paths)
        work = ExportJob(
            model_path=str(model_path.resolve()),
            target=str(request.target),
            format=request.format,
            int8=request.int8,
            paths_file=str(files[0]),
            calibration_file=str(files[1]),
            image_size=record.options.image_size,
            threads=max(2, hardware.detect().cores),
            value_ranges=dict(record.plan.value_ranges),
            outputs=output_kind(model_path),
            module=code.module,
        )
        run_on_model(work, attempt, launcher=launcher, view=view, name="export", code=code)
        if not (attempt.path / "after.npy").exists():
            return None
        before, after = (np.load(attempt.path / name, allow_pickle=False) for name in ("before.npy", "after.npy"))
    return parity(before, after, request.labels, multi_label=record.options.multi_label)


def parity(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    labels: Sequence[Sequence[int]],
    *,
    multi_label: bool = False,
) -> Parity | None:
    """Compare the probabilities of two models, float32 (n, classes); None if all rows are NaN.

    Args:
        before: of the saved model.
        after: of the exported one.
        labels: the class numbers of each image.
        multi_label: whether an image may have several.
    """
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    def told(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
        return rows >= THRESHOLD if multi_label else rows.argmax(axis=1)[:, None] == np.arange(rows.shape[1])

    known = ~np.isnan(before).any(axis=1)
    if not known.any():
        return None
    before, after, truth = before[known], after[known], truth_of(labels, before.shape[1])[known]
    fails = np.isnan(after).any(axis=1)  # the exported model has no answer: as far from the saved one's as can be
    return Parity(
        images=len(truth),
        same=int(((told(before) == told(after)).all(axis=1) & ~fails).sum()),
        largest_difference=1.0 if fails.any() else float(np.abs(before - after).max()),
        accuracy_before=float((told(before) == truth).all(axis=1).mean()),
        accuracy_after=float(((told(after) == truth).all(axis=1) & ~fails).mean()),
        multi_label=multi_label,
    )


def require_suffix(target: Path, export_format: ExportFormat) -> None:
    """Check that a path ends as its format does.

    Raises:
        UserError: it does not, or there is something else of that name.
    """
    suffix = Path(FILE_NAMES[export_format]).suffix
    if suffix and target.suffix != suffix:
        raise UserError(f"{target.name} does not end in {suffix}, as {export_format} files do: name it so")
    if suffix and target.is_dir():
        raise UserError(f"{target} is a folder: give the path of a file")
    if not suffix and target.exists() and not (target / "saved_model.pb").is_file():
        raise UserError(f"{target} exists and is no SavedModel: give another folder")
