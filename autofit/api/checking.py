"""`check()`: how a training would understand a data set, and what should be put right in it first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from autofit import dataset
from autofit.api.backbone_objects import named_backbone
from autofit.api.data_report import DataReport
from autofit.api.given_data import GivenData
from autofit.config.options import Options, make_options
from autofit.config.validators import flag
from autofit.dataset import HeldOut, ImageIndex
from autofit.dataset.contents import odd_files
from autofit.dataset.found import kinds_text
from autofit.input.image_sizes import sizes_line
from autofit.machine import hardware
from autofit.printable import printable
from autofit.report.progress import showing
from autofit.report.views import ProgressView
from autofit.runs.data_check import AllImages, known_findings, with_alike_features, with_doubts, with_survey
from autofit.runs.data_findings import DataFindings
from autofit.storage.scratch import scratch_folder
from autofit.storage.system_errors import naming_system_errors

LOOKED_FOR = "Wrong labels were looked for with {network}, each image by a head and neighbours that had not seen it"
CHECKED_IMAGES = "autofit-checked-images-"
"""The prefix of the names of folders for images that were given in memory."""

NOT_LOOKED_FOR = "Wrong labels were not looked for"


def check(  # noqa: PLR0913 - as `run`, which it looks at data for
    data: Any,
    labels: Iterable[Any] | None = None,
    *,
    find_wrong_labels: bool = True,
    backbone: str | Callable[..., Any] | None = None,
    weights: str | Path | None = "imagenet",
    image_size: int | tuple[int, int] | str | None = None,
    validation: float | HeldOut | tuple[Any, Any] = 0.2,
    test: HeldOut | tuple[Any, Any] | None = None,
    path_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    group_column: str | None = None,
    weight_column: str | None = None,
    multi_label: bool = False,
    images_in: str | Path | None = None,
    memory_limit: str | int | None = None,
    view: ProgressView | None = None,
) -> DataReport:
    """Look at a data set as `run` would understand it, and find what should be put right.

    Finds unreadable images, equal and similar images within and across splits and classes, tiny and empty classes, odd
    images, and images that are probably labelled wrong. Changes nothing.

    Args:
        data: As in `run`.
        labels: As in `run`.
        find_wrong_labels: Whether to look for images that are probably labelled wrong, by the features of the backbone.
            The feature cache keeps these for a later run.
        backbone: A network of `keras.applications`, by name, or `hub:` and a preset of KerasHub: its name or its
            folder. In Python also the function, such as `keras.applications.ResNet50`, or an object of KerasHub.
            Default: `MobileNetV2`.
        weights: The backbone's initial weights: `imagenet`, `none` (random), or a file. For a preset of KerasHub
            `imagenet` means its own.
        image_size: The size of the images in pixels: `160`, or `160x192` (height x width). In Python also `(160, 192)`.
            Default: the backbone's or the model's own, else 224.
        validation: The images to validate on: a share of each class, a folder, or a CSV or JSON file. In Python also a
            DataFrame. Where the data has images for validation (`val/`, a column `split`), a share above 0 means these.
        test: The images to judge the finished model by: a folder, or a CSV or JSON file. In Python also a DataFrame.
            They are never trained on. Default: those that the data has (`test/`, a column `split`), if any.
        path_column: The column of a table that holds the paths. Default: `path`, or another usual name.
        label_column: The column of a table that holds the labels. With `multi_label` also `a,b,c`, or a list in Python:
            the columns of 0 and 1, one for each label. Default: `label`, or another usual name.
        group_column: The column of a table that says which images belong together, such as those of one patient. Those
            with the same value are all for training or all for validation, and in one fold where the head's penalty is
            chosen by cross-validation. An image without a value belongs to no other.
        weight_column: The column of a table that says how much each image counts in the training loss: a number of 0 or
            more. Only ratios matter. All figures count images alike. A `tf.data.Dataset` of images, labels and weights
            has its own.
        multi_label: An image may have any number of labels, also none; each class then has a probability of its own.
            The labels of an image are in one column, separated by semicolons, bars, commas or blanks, or as lists; or
            each label has a column of 0 and 1. In Python also an array `(n, classes)` of 0 and 1 beside images in
            memory.
        images_in: The folder that a table's relative paths are relative to. Default: that of the table, or the one in
            it where the images are.
        memory_limit: The memory that may be used, such as `3GB` (3 * 10^9 bytes) or `3GiB`. On a CPU it limits the
            resident memory of the worker, on a GPU the device memory. Default: what the machine has.
        view: An object that shows the progress, in Python only. Default: bars in a terminal or notebook, else plain
            lines.

    Returns:
        What was found.

    Raises:
        UserError: an argument cannot be used, or the data cannot be understood.
        InterruptedRunError: Ctrl-C stopped it.
    """
    backbone = named_backbone(backbone)
    network = {"backbone": backbone, "weights": weights, "image_size": image_size, "memory_limit": memory_limit}
    options = make_options(**network, validation=dataset.stand_in(validation), multi_label=multi_label)
    is_looked_for = flag("find_wrong_labels", find_wrong_labels)
    columns = {"group_column": group_column, "weight_column": weight_column}
    asked = dataset.asked_of(path_column, label_column, images_in, multi_label=multi_label, **columns)
    in_call = GivenData(data, labels, validation, test, asked)
    with naming_system_errors(), showing(view) as shown, _in_files(in_call, options, shown) as (given, release):
        index = given.found(options, shown, lambda index: index)
        findings = _looked_at(index, options, shown)
        if is_looked_for:
            findings = _with_doubts(
                findings,
                index,
                make_options(**network, validation=0.0, max_bad_images=1.0, multi_label=multi_label),
                shown,
            )
        else:
            findings = _with_cached_copies(findings, AllImages(index), NOT_LOOKED_FOR, shown)
    return DataReport(findings, release)


@contextlib.contextmanager
def _in_files(
    given: GivenData, options: Options, view: ProgressView
) -> Iterator[tuple[GivenData, Callable[[], None] | None]]:
    """The data in files, and a function that removes the folder to which images in memory were written; None without.

    The folder is removed here if the block of this context manager fails.
    """
    if not given.is_in_memory:
        yield given, None
        return
    while_reported = contextlib.ExitStack()
    with contextlib.ExitStack() as if_it_fails:
        folder = if_it_fails.enter_context(scratch_folder(CHECKED_IMAGES))
        yield given.in_files(folder, options, view), while_reported.close
        while_reported.callback(if_it_fails.pop_all().close)


def _looked_at(index: ImageIndex, options: Options, view: ProgressView) -> DataFindings:
    """All findings that need no network."""
    from autofit.input.image_survey import survey  # noqa: PLC0415 - kept out of `import autofit`

    images = AllImages(index)
    findings = known_findings(index).model_copy(update={"understood": list(_understood(index, options))})

    def show(words: str, done: int) -> None:
        view.working(words, done, len(images.paths))

    def show_share(share: float) -> None:
        view.working("Comparing images", round(share * len(images.paths)), len(images.paths))

    seen = survey(images.paths, threads=max(2, hardware.detect().cores), say=view.message, show=show)
    return with_survey(findings, images, seen, show_share)


def _understood(index: ImageIndex, options: Options) -> Iterator[str]:
    """How a training would understand the data, in the words of its opening lines."""
    if index.skipped_files:
        yield f"{index.skipped_files:,} other files are skipped ({kinds_text(index.skipped_kinds)})"
    if sizes := sizes_line(index, options.image_size):
        yield sizes
    if odd := odd_files(index):
        yield odd
    yield from index.notes


def _with_doubts(findings: DataFindings, index: ImageIndex, options: Options, view: ProgressView) -> DataFindings:
    """Add the images whose labels are doubtful, the most doubtful first, or the reason why they were not looked for."""
    from autofit.api.label_check import doubted_labels  # noqa: PLC0415 - kept out of `import autofit`

    images, why, found = AllImages(index), _why_not(options), None
    if not why:
        found, why = doubted_labels(index, images.once(findings), options, view)
    if found is None:
        return _with_cached_copies(findings, images, printable(f"{NOT_LOOKED_FOR}: {why}"), view)
    named = with_doubts(with_alike_features(findings, images, found.alike), images, found, index.class_names)
    return named.model_copy(update={"labels_note": LOOKED_FOR.format(network=options.backbone)})


def _with_cached_copies(
    findings: DataFindings, images: AllImages, labels_note: str, view: ProgressView
) -> DataFindings:
    """Add the copies that are found by features in the cache, and the note on why wrong labels were not looked for."""
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    from autofit.api.cached_copies import cached_copies  # noqa: PLC0415 - loads SciPy

    kept = images.once(findings)
    copies = cached_copies([images.paths[number] for number in kept], view)
    if len(copies.pairs):
        findings = with_alike_features(findings, images, np.asarray(kept, np.int64)[copies.pairs])
    return findings.model_copy(update={"labels_note": labels_note, "copies_note": copies.note})


def _why_not(options: Options) -> str:
    """Why wrong labels cannot be looked for; empty if they can."""
    if options.weights == "none":
        return "that needs the weights of a trained backbone"
    return ""
