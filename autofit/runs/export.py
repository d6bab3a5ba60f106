"""Exports a saved model to another format, in a worker, and measures how much the two differ on real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from autofit.config.multi_label_figures import THRESHOLD
from autofit.errors import UserError
from autofit.machine import hardware
from autofit.process.launch import Launcher
from autofit.process.monitor import View
from autofit.protocol.model_jobs import ExportFormat, ExportJob, OutputKind
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
        same: for how many of them the most probable class is the same; if images may have several labels, all
            predicted labels.
        largest_difference: the largest difference of a probability, from 0 to 1.
        accuracy_before: the accuracy of the saved model; if images may have several labels, the share of images for
            which all are predicted right.
        accuracy_after: the accuracy of the exported model.
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
        size_bytes: the size of the file, or of all files in the folder.
        model_bytes: the size of the saved model.
        compared_with: the images that both have predicted: `validation`, or `training` in a run without validation.
        were_trained_on: whether the model was trained on these images, as it is after a refit.
        parity: the comparison; None if the format's runtime is not installed, or no image can be read.
        outputs: what it gives, as the saved model does.
    """

    schema_: Literal["autofit/export/1"] = Field("autofit/export/1", alias="schema")
    path: str
    format: ExportFormat
    int8: bool
    size_bytes: int
    model_bytes: int
    compared_with: str
    were_trained_on: bool
    parity: Parity | None
    outputs: OutputKind = "probabilities"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is exported, and the images that are used for it.

    Attributes:
        target: the file, or the folder of a SavedModel.
        format: the format.
        int8: whether weights and activations become 8-bit integers.
        compared: the paths of the images that both models predict.
        labels: the class numbers of each of these images.
        calibration: the paths of the images that set the scales of 8-bit integers.
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
        The comparison; None if the exported model could not be run here, or no image could be read.

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
        before: the probabilities of the saved model.
        after: those of the exported model.
        labels: the class numbers of each image.
        multi_label: whether an image may have several classes.
    """
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    def told(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
        return rows >= THRESHOLD if multi_label else rows.argmax(axis=1)[:, None] == np.arange(rows.shape[1])

    known = ~np.isnan(before).any(axis=1)
    if not known.any():
        return None
    before, after, truth = before[known], after[known], truth_of(labels, before.shape[1])[known]
    fails = np.isnan(after).any(axis=1)  # the exported model gives NaN, which counts as the largest difference
    return Parity(
        images=len(truth),
        same=int(((told(before) == told(after)).all(axis=1) & ~fails).sum()),
        largest_difference=1.0 if fails.any() else float(np.abs(before - after).max()),
        accuracy_before=float((told(before) == truth).all(axis=1).mean()),
        accuracy_after=float(((told(after) == truth).all(axis=1) & ~fails).mean()),
        multi_label=multi_label,
    )


def require_suffix(target: Path, export_format: ExportFormat) -> None:
    """Check that a path has the suffix of its format, and may be written.

    Raises:
        UserError: it has another suffix, or something else of that name exists.
    """
    suffix = Path(FILE_NAMES[export_format]).suffix
    if suffix and target.suffix != suffix:
        raise UserError(f"{target.name} does not end in {suffix}, as {export_format} files do: name it so")
    if suffix and target.is_dir():
        raise UserError(f"{target} is a folder: give the path of a file")
    if not suffix and target.exists() and not (target / "saved_model.pb").is_file():
        raise UserError(f"{target} exists and is no SavedModel: give another folder")
