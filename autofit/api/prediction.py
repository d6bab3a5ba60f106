"""The work of `Result.predict` and `Result.evaluate`: writes images to files, lets a worker predict, names the rows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from autofit.api.extractions import known_extraction
from autofit.api.own_images import own_images
from autofit.api.own_objects import code_to_open
from autofit.api.predictions import Predictions
from autofit.config.option_checks import image_sides
from autofit.config.run_options import MOST_VIEWS
from autofit.config.validators import whole_number
from autofit.dataset import asked_of
from autofit.dataset.labelled_sets import with_known_labels
from autofit.dataset.to_predict import ImagesToPredict, images_to_predict
from autofit.errors import UserError
from autofit.input.decode import decode_image
from autofit.input.image_files import UnreadableImageError
from autofit.input.numeric_images import NO_RANGES, ValueRanges, checked_ranges
from autofit.input.patient_call import patiently
from autofit.machine import hardware
from autofit.printable import printable
from autofit.process.launch import Launcher, ProcessLauncher
from autofit.process.monitor import View
from autofit.profiles.store import NoProfiles, ProfileStore, default_folder, shipped_folder
from autofit.protocol.messages import BadImage, writable_name
from autofit.report.progress import progress_view, showing
from autofit.report.views import ProgressView
from autofit.report.words import count_of
from autofit.runs.evaluation import NOT_FINITE, Evaluation
from autofit.runs.model_worker import require_there
from autofit.runs.multi_label_evaluation import evaluation_of
from autofit.runs.prediction import BATCH_SIZE, PredictionWorker, SavedModel
from autofit.runs.run_record import DataCall, RunRecord
from autofit.runs.warm_model import predicting
from autofit.storage.run_directory import RunDirectory
from autofit.storage.safe_files import sha256_of_file
from autofit.storage.scratch import scratch_folder
from autofit.storage.system_errors import explained, naming_system_errors
from autofit.worker.inline_launcher import InlineLauncher

T = TypeVar("T")

MOST_AT_ONCE = 256
PART_IMAGES = 4096
PART_BYTES = 32 * 2**20
"""The most images, and the most bytes of probabilities, that are predicted at a time and held in memory."""


def predicted(model: Path, run: RunRecord, data: Any, views: int, view: ProgressView | None = None) -> Predictions:
    """Predict images; see `Result.predict`."""
    views = whole_number("views", views, 1, MOST_VIEWS)
    with naming_system_errors(), _folder() as folder, showing(view) as shown:
        images = _found(data, shown, partial(images_to_predict, data, folder))
        rows, unreadable = _rows(model, run, images.paths, views, shown)
        named = _named(unreadable, images.paths, images.names)
        _show_unreadable(named, shown)
    return Predictions.of(rows, run.data.class_names, images.names, named, multi_label=run.options.multi_label)


def predicted_in_parts(
    model: Path, run: RunRecord, data: Any, views: int, view: ProgressView, go_on: Callable[[str], int] | None = None
) -> Generator[Predictions, None, None]:
    """Predict images in parts of bounded size; see `Result.predict_in_parts`."""
    views = whole_number("views", views, 1, MOST_VIEWS)
    launcher = _launcher_of(run)
    with _folder() as folder:
        images = _found(data, view, partial(images_to_predict, data, folder))
        done = 0
        if go_on is not None:
            done = go_on(_found(data, view, lambda *_: prediction_key(model, run, images, views, folder)))
        if done:
            view.message(f"going on after {done:,} of {len(images.paths):,} images that an earlier call has predicted")
        if done >= len(images.paths):
            return
        with predicting(_saved_model(model, run), launcher, view) as predict:
            for part, rows, unreadable in _answers(predict, images.paths, run, views, view, done):
                names = images.names[part]
                named = _named(unreadable, images.paths[part], names)
                _show_unreadable(named, view)
                yield Predictions.of(rows, run.data.class_names, names, named, multi_label=run.options.multi_label)


def _found(data: Any, view: ProgressView, find: Callable[[Callable[[str], None], Callable[[int], None]], T]) -> T:
    """The images that `find` finds; a drive that does not answer is named, and Ctrl-C stops the wait for it.

    Objects of the user's are looked at in this thread: some belong to it, as those of a database do.

    Args:
        data: as the user gave it.
        view: shows the progress.
        find: takes functions for lines to the user, and for counts.
    """
    paths = data if isinstance(data, list | tuple) else [data]
    if not paths or not all(isinstance(path, str | os.PathLike) for path in paths):
        return find(view.message, view.scanning)
    said: list[str] = []
    where = _absolute(os.fsdecode(paths[0]))
    found = patiently(lambda note: find(said.append, note), where, say=view.message, show=view.scanning)
    for line in said:
        view.message(line)
    return found


def prediction_key(
    model: Path, run: RunRecord, images: ImagesToPredict, views: int, in_memory: Path | None = None
) -> str:
    """A hash of model, images and options: a prediction may go on where another with the same hash stopped.

    Images are told by their names, which are written into the rows, and their paths, with the sizes and times of the
    files: an image that has changed has another row.
    Those that were given in memory are files in the folder `in_memory`, which is another one in each call; these are
    told by their content.

    Raises:
        UserError: the model does not exist, or cannot be read.
    """
    require_there(model)
    try:
        of_model = sha256_of_file(model)
    except OSError as error:
        raise UserError(explained(error, f"{printable(str(model))} cannot be read")) from None
    options = run.options
    told = (run.data.class_names, options.multi_label, options.image_size, options.flip, views)
    digest = hashlib.sha256(repr((of_model, *told, sorted(run.plan.value_ranges.items()))).encode())
    prefix = None if in_memory is None else f"{in_memory}{os.sep}"
    for path, name in zip(*images, strict=True):
        is_in_memory = prefix is not None and path.startswith(prefix)
        digest.update((sha256_of_file(Path(path)).encode() if is_in_memory else _stamp(path)) + b"\0")
        digest.update(os.fsencode(name) + b"\0")
    return digest.hexdigest()


def _stamp(path: str) -> bytes:
    """A file's absolute path, with its size and the time when it was last written, if it is there."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of each of a million images
    except (OSError, ValueError):
        return os.fsencode(_absolute(path))
    return os.fsencode(f"{_absolute(path)}\0{found.st_size}\0{found.st_mtime_ns}")


def evaluated(  # noqa: PLR0913 - as the method
    model: Path,
    run: RunRecord,
    data: Any,
    labels: Iterable[object] | None,
    *,
    views: int,
    path_column: str | None,
    label_column: str | Sequence[str] | None,
    images_in: str | Path | None,
    view: ProgressView | None = None,
) -> Evaluation:
    """Judge the model on images with known classes; see `Result.evaluate`."""
    views = whole_number("views", views, 1, MOST_VIEWS)
    multi_label = run.options.multi_label
    asked = asked_of(path_column, label_column, images_in, multi_label=multi_label)
    call = run.call or DataCall()
    asked = replace(
        asked,
        separator=run.data.label_separator,
        group_column=call.group_column,
        weight_column=call.weight_column,
        is_held_out=True,
        reads_weights=False,
    )
    class_names = run.data.class_names
    with naming_system_errors(), _folder() as folder, showing(view) as shown:
        images = _found(data, shown, lambda *told: with_known_labels(data, labels, class_names, asked, (folder, *told)))
        rows, unreadable = _rows(model, run, images.paths, views, shown)
        unreadable = _named(unreadable, images.paths, _names(images.paths, folder))
        figures = evaluation_of(
            rows, images.numbers, class_names, unreadable, views, images.groups, multi_label=multi_label
        )
        _show_unreadable(unreadable, shown)
        if figures is None:
            of_all, reason = count_of(len(rows), "image"), unreadable[0].reason
            raise UserError(f"of {of_all} none can be judged ({reason}): give others")
        judged = [path for path, row in zip(images.paths, rows, strict=True) if not np.isnan(row).any()]
        own = patiently(  # while those in memory are in files
            lambda _: own_images(RunDirectory(model.parent), run.data, judged),
            run.data.root,
            say=shown.message,
        )
    return figures.model_copy(update={"own_images": own})


def load_images(
    data: Any, image_size: int | Sequence[int] | str, value_ranges: ValueRanges = NO_RANGES
) -> NDArray[np.uint8]:
    """Read images as the array that a saved model expects: upright, RGB, stretched to its size as in training.

    Args:
        data: As in `Result.predict`.
        image_size: (height, width) in pixels, such as `model.input_shape[1:3]`, one number for both, or as in `run`. A
            network of your own that takes images of any size has None there: give the size of the run.
        value_ranges: The numbers that are black and white in images of more than 8 bits, by Pillow's mode (`I;16`, `I`
            or `F`), such as `{"I;16": (0, 4095)}`; `Result.preprocess` knows those of its run.

    Returns:
        uint8 (n, height, width, 3), 0 to 255.

    Raises:
        UserError: an image does not exist or cannot be read, or an argument is something else.
    """
    size, ranges = image_sides("image_size", image_size), checked_ranges("value_ranges", value_ranges)
    with _folder() as folder, progress_view(quiet=True) as view:
        images = images_to_predict(data, folder, view.message, view.scanning)
        out = np.empty((len(images.paths), *size, 3), np.uint8)
        for place, (path, name) in enumerate(zip(*images, strict=True)):
            try:
                out[place] = decode_image(path, size, ranges)
            except UnreadableImageError as error:
                raise UserError(f"{printable(name)} cannot be read: {error}") from None
    return out


def _folder() -> AbstractContextManager[Path]:
    """A folder for images in memory, removed at the end."""
    return scratch_folder("autofit-images-")


def _launcher_of(run: RunRecord) -> Launcher:
    return InlineLauncher() if run.options.isolation == "inline" else ProcessLauncher()


def _rows(
    model: Path, run: RunRecord, paths: Sequence[str], views: int, view: ProgressView
) -> tuple[NDArray[np.float32], list[BadImage]]:
    with predicting(_saved_model(model, run), _launcher_of(run), view) as predict:
        return whole(_answers(predict, paths, run, views, view), len(paths))


def predicted_rows(
    model: Path, run: RunRecord, paths: Sequence[str], launcher: Launcher, view: View
) -> tuple[NDArray[np.float32], list[BadImage]]:
    """Predict image files with the model of a run, as it was trained, in a worker that ends with it.

    Returns:
        As `PredictionWorker.predict`.

    Raises:
        AutofitError: the prediction failed; the message says why.
    """
    with closing(PredictionWorker(_saved_model(model, run), launcher, view)) as worker:
        return whole(_answers(worker.predict, paths, run, 1, view), len(paths))


def _saved_model(model: Path, run: RunRecord) -> SavedModel:
    return SavedModel(
        path=model,
        image_size=run.options.image_size,
        batch_size=batch_size_of(run),
        flips=run.options.flip,
        value_ranges=run.plan.value_ranges,
        code=code_to_open(run, model),
    )


def batch_size_of(run: RunRecord) -> int:
    """How many images to predict at once: the fastest size on this machine if it is known, else that of the training.

    The profile knows the fastest size if features were extracted here, which is the same pass through the network. If
    the training had whole batches on the device, more images may fit. On another machine, the worker halves the size
    until it fits.
    """
    store = (
        NoProfiles() if not run.options.profile else ProfileStore(default_folder(), shipped_folder(), lambda _: None)
    )
    known = known_extraction(run, hardware.detect(inline=run.options.isolation == "inline"), store)
    if known:
        return min(known.micro_batch_size, MOST_AT_ONCE)
    trained = run.plan.micro_batch_size
    return min(trained if trained < run.plan.first_batch_size else max(trained, BATCH_SIZE), MOST_AT_ONCE)


def _answers(
    predict: Callable[..., tuple[NDArray[np.float32], list[BadImage]]],
    paths: Sequence[str],
    run: RunRecord,
    views: int,
    view: View,
    begin: int = 0,
) -> Iterator[tuple[slice, NDArray[np.float32], list[BadImage]]]:
    """Predict one part of the images after another; yields the part, its rows, and its images without an answer."""
    size = max(1, min(PART_IMAGES, PART_BYTES // (4 * len(run.data.class_names))))
    for start in range(begin, len(paths), size):
        part = slice(start, start + size)
        rows, unreadable = predict(paths[part], view, views=views, done=start, total=len(paths))
        yield part, rows, [*unreadable, *_without_numbers(paths[part], rows, unreadable)]


def _without_numbers(
    paths: Sequence[str], rows: NDArray[np.float32], unreadable: Iterable[BadImage]
) -> Iterator[BadImage]:
    """The images that could be read, and for which the model gives NaN, as one that divides by an image's contrast."""
    known = {image.path for image in unreadable}
    for place in np.flatnonzero(np.isnan(rows).any(axis=1)).tolist():
        image = BadImage(path=_absolute(paths[place]), reason=NOT_FINITE)
        if image.path not in known:
            yield image


def whole(
    answers: Iterable[tuple[slice, NDArray[np.float32], list[BadImage]]], count: int
) -> tuple[NDArray[np.float32], list[BadImage]]:
    """The rows of all parts of `count` images, and the images without an answer; the rows are in memory once."""
    rows, unreadable = np.empty((count, 0), np.float32), list[BadImage]()
    for part, some, bad in answers:
        if not rows.size:
            rows = np.empty((count, *some.shape[1:]), np.float32)
        rows[part] = some
        unreadable += bad
    return rows, unreadable


def _named(unreadable: Iterable[BadImage], paths: Sequence[str], names: Sequence[str]) -> list[BadImage]:
    """The images that cannot be read by the names that they were given by, in their order; a file may have several."""
    reasons = {image.path: image.reason for image in unreadable}
    given = ((reasons.get(writable_name(_absolute(path))), name) for path, name in zip(paths, names, strict=True))
    return [BadImage(path=name, reason=reason) for reason, name in given if reason is not None]


def _names(paths: Sequence[str], in_memory: Path) -> list[str]:
    """The absolute path of each image; of one in memory, which is in that folder until the end, what `predict` says."""
    prefix = f"{in_memory}{os.sep}"
    return [f"image {place}" if path.startswith(prefix) else _absolute(path) for place, path in enumerate(paths)]


def _absolute(path: str) -> str:
    """The path of an image in the form in which a worker reports it."""
    return str(Path(path).absolute())


def _show_unreadable(unreadable: Iterable[BadImage], view: ProgressView) -> None:
    for image in unreadable:
        what = "has no answer" if image.reason == NOT_FINITE else "cannot be read"
        view.message(f"{what} and was left out: {image.path} ({image.reason})")
