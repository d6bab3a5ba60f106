"""The test at the end of a run: the finished model is evaluated on the test images."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from autofit.api.prediction import predicted_rows
from autofit.api.workers import launcher_for
from autofit.errors import AutofitError
from autofit.machine.hardware import Hardware
from autofit.printable import one_line
from autofit.process.monitor import View
from autofit.runs.evaluation import Evaluation
from autofit.runs.multi_label_evaluation import evaluation_of
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord, listed_images
from autofit.storage.probabilities import write_probabilities
from autofit.storage.run_directory import RunDirectory


def with_test(
    files: RunDirectory, record: RunRecord, result: ResultRecord, machine: Hardware, view: View
) -> ResultRecord:
    """The result of a finished run with the figures of its test; unchanged if the run has no test images.

    A test that fails, or is interrupted, changes nothing: the run is finished, and the reason is shown. The time of a
    test counts as that of the run.
    """
    if not record.data.test_count:
        return result
    with contextlib.suppress(OSError):  # of the model before
        files.test.unlink(missing_ok=True)
    view.message(f"testing the finished model on {record.data.test_count} images that were never trained on")
    began = time.monotonic()
    try:
        figures = _figures(files, record, machine, view)
    except (AutofitError, MemoryError) as error:  # a million images of ten thousand classes have 40 GB of figures
        view.message(f"the test images were not evaluated ({one_line(error)}): do it with Result.evaluate()")
        return result
    if figures is None:
        view.message("the test images were not evaluated: none of them can be read")
        return result
    for image in figures.unreadable:
        view.message(f"test image left out: {image.path} ({image.reason})")
    update: dict[str, Any] = _with_time(result, time.monotonic() - began)
    update |= {"test_loss": figures.loss, "tested_images": figures.images}
    if record.options.multi_label:
        update["test_mean_average_precision"] = figures.mean_average_precision
    else:
        update |= {"test_accuracy": figures.accuracy, "test_standard_error": figures.standard_error}
    return result.model_copy(update=update)


def _with_time(result: ResultRecord, seconds: float) -> dict[str, Any]:
    """The times of a run that a test of so many seconds changes."""
    spent = result.time_spent
    if spent is not None:
        spent = spent.model_copy(update={"other_seconds": spent.other_seconds + seconds})
    return {"wall_seconds": result.wall_seconds + seconds, "time_spent": spent}


def _figures(files: RunDirectory, record: RunRecord, machine: Hardware, view: View) -> Evaluation | None:
    index = listed_images(files, record.data)
    paths = [index.test_path(number) for number in range(index.test_count)]
    rows, unreadable = predicted_rows(files.model, record, paths, launcher_for(record.options, machine), view)
    with contextlib.suppress(OSError):  # `Result.worst("test")` and the like say that they are missing
        write_probabilities(files.test, rows)
    numbers = [index.classes_of(label) for label in index.test_labels]
    groups, multi_label = index.test_groups, index.is_multi_label
    return evaluation_of(rows, numbers, index.class_names, unreadable, 1, groups, multi_label=multi_label)
