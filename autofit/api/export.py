"""`export()`: the model of a run in the format of another runtime, compared with the saved one on real images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autofit.api.directories import absolute
from autofit.api.export_result import ExportResult
from autofit.api.own_objects import code_to_open
from autofit.api.result import Result
from autofit.api.workers import launcher_for, machine_for
from autofit.config.validators import choice, flag
from autofit.dataset import ImageIndex
from autofit.dataset.spread import spread_over
from autofit.errors import StorageError, UserError
from autofit.protocol.model_jobs import ExportFormat
from autofit.report.progress import showing
from autofit.report.views import ProgressView
from autofit.runs.export import (
    FILE_NAMES,
    FORMATS,
    INT8_FILE_NAME,
    MOST_COMPARED,
    MOST_FOR_CALIBRATION,
    ExportRequest,
    export_model,
    require_suffix,
)
from autofit.runs.history import kept_stage
from autofit.runs.model_worker import output_kind
from autofit.runs.run_record import listed_images
from autofit.storage.run_directory import RunDirectory
from autofit.storage.safe_files import make_folder_of, remove_empty
from autofit.storage.system_errors import explained, naming_system_errors


def export(
    run_dir: str | Path,
    format: str = "litert",  # noqa: A002 - Keras names it so
    path: str | Path | None = None,
    *,
    int8: bool = False,
    view: ProgressView | None = None,
) -> ExportResult:
    """Write the model of a run for another runtime, and compare both on up to 200 validation images.

    Args:
        run_dir: The run directory of a run that has a model.
        format: `litert` (phones, Raspberry Pi; formerly TensorFlow Lite), `onnx` or `savedmodel` (TensorFlow Serving).
            `onnx` needs `pip install 'autofit-keras[export]'`.
        path: The file, or the folder of a SavedModel; by default `model.tflite` (with `int8` `model-int8.tflite`),
            `model.onnx` or `savedmodel` in the run directory. What was there before is replaced when the new one is
            complete.
        int8: LiteRT only: weights and activations as 8-bit integers, which takes a quarter of the size and is mostly
            faster. Their scales are calibrated on 100 training images.
        view: Shows the progress.

    Raises:
        UserError: there is no such run or format, or the model cannot be exported to it.
        StorageError: the path cannot be written.
        AutofitError: the export failed; the message says why.
    """
    result, int8 = Result(run_dir), flag("int8", int8)
    export_format: Any = choice("format", format, FORMATS)
    if int8 and export_format != "litert":
        raise UserError(f"int8 is for litert, not for {export_format}: leave it out, or take litert")
    files = RunDirectory(result.run_dir)
    usual = INT8_FILE_NAME if int8 else FILE_NAMES[export_format]
    target = absolute(path) if path is not None else files.path / usual
    require_suffix(target, export_format)
    record = result.run_record
    index = listed_images(files, record.data)
    compared_with = "validation" if index.validation_count else "training"
    request = _request(index, target, export_format, int8=int8)
    with naming_system_errors(), _in_folder(target), showing(view) as shown:
        parity = export_model(
            files.model,
            request,
            record=record,
            launcher=launcher_for(record.options, machine_for(record.options)),
            view=shown,
            code=code_to_open(record, files.model),
        )
    kept = kept_stage(result.history, result.record.epoch_of_model, result.record.stages)
    return ExportResult(
        path=str(target),
        format=export_format,
        int8=int8,
        size_bytes=_size_bytes(target),
        model_bytes=files.model.stat().st_size,
        compared_with=compared_with,
        were_trained_on=compared_with == "training" or bool(kept and kept.refitted),
        parity=parity,
        outputs=output_kind(files.model),
    )


@contextmanager
def _in_folder(target: Path) -> Iterator[None]:
    """Make the folders that a target lacks; if the block ends in an error, remove them again.

    Raises:
        StorageError: they cannot be made.
    """
    try:
        made = make_folder_of(target)
    except OSError as error:
        raise StorageError(explained(error, f"{target.parent} cannot be made")) from None
    try:
        yield
    except BaseException:
        remove_empty(made)
        raise


def _request(index: ImageIndex, target: Path, export_format: ExportFormat, *, int8: bool) -> ExportRequest:
    """The request: compare on validation images, or on training images if there are none; calibrate on the latter."""
    first = index.validation_from if index.validation_count else 0
    count = index.validation_count or index.train_count
    compared = [first + place for place in spread_over(count, MOST_COMPARED)]
    return ExportRequest(
        target=target,
        format=export_format,
        int8=int8,
        compared=[index.path(number) for number in compared],
        labels=[index.classes_of(index.labels[number]) for number in compared],
        calibration=[index.path(number) for number in spread_over(index.train_count, MOST_FOR_CALIBRATION)],
    )


def _size_bytes(path: Path) -> int:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
