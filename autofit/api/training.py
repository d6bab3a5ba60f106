"""`run()` and `resume()`: the stages of a training, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from autofit import dataset
from autofit.api.directories import absolute, directory_for, require_utf8
from autofit.api.existing_run import (
    allowing,
    check_model_again,
    is_finished,
    kept,
    read_run,
    same_request,
    tell_of_import,
)
from autofit.api.mirroring import finished, mirror_again, mirror_for, take_up
from autofit.api.new_run import announce, new_run
from autofit.api.result import Result
from autofit.api.supervision import supervise
from autofit.api.workers import ModelFunction, machine_for, payload_of
from autofit.config.options import Options, check_for_training, make_options
from autofit.config.validators import share
from autofit.dataset import ImageIndex
from autofit.protocol.payload import Payload
from autofit.report.progress import ProgressView, showing
from autofit.storage.run_directory import RunDirectory, RunLock

LOCK_PATIENCE_SECONDS = 10.0


def run(  # noqa: PLR0913 - the options are the interface
    data: Any,
    labels: Iterable[str | int] | None = None,
    *,
    backbone: str | None = None,
    model: str | ModelFunction | None = None,
    weights: str | Path | None = "imagenet",
    image_size: int | tuple[int, int] | str | None = None,
    trainable: str | None = None,
    hidden_units: int = 0,
    dropout: float = 0.2,
    epochs: int = 10,
    fine_tune_epochs: int = 0,
    batch_size: int | str = "auto",
    micro_batch_size: int | str = "auto",
    batch_schedule: str | tuple[int, int] | None = None,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    class_weight: str | None = "none",
    early_stopping: int | None = None,
    validation: float | str | Path = 0.2,
    augment: str | None = "none",
    feature_cache: str | None = "auto",
    feature_views: int = 4,
    pixel_cache: str | None = "auto",
    cache_by: str = "stat",
    precision: str = "float32",
    memory_limit: str | int | None = None,
    seed: int = 0,
    checkpoint_every: str | float = "60s",
    max_minutes: float | None = None,
    max_bad_images: float = 0.1,
    run_dir: str | Path | None = None,
    mirror_dir: str | Path | None = None,
    isolation: str = "process",
    audit: bool = False,
    replay: str | Path | None = None,
    callbacks: Sequence[Any] = (),
    view: ProgressView | None = None,
) -> Result:
    """Train an image classifier, and never lose the run to memory.

    Args:
        data: a folder with one subfolder a class, a CSV file with the columns `path` and `label`, a list of paths, or a
            DataFrame with those columns.
        labels: a class name or number for each path of a list.
        backbone: any network of `keras.applications`, by name; `"MobileNetV2"` by default.
        model: instead of a backbone, a function `(input_shape, num_classes) -> keras.Model` (it may stand in a notebook
            cell) or its name as `"module:function"`. Its inputs are raw 0..255 images `(n, height, width, 3)`.
        weights: `"imagenet"`, `"none"`, or a file with the backbone's weights.
        image_size: pixels, one number or `(height, width)`; the backbone's own by default.
        trainable: `"head"` (the default with weights) or `"all"` (the default without).
        hidden_units: width of a hidden layer in the head; 0 for none.
        dropout: share of the head's inputs that is dropped in training.
        epochs: passes over the training images.
        fine_tune_epochs: not in this version.
        batch_size: samples per update; `"auto"` takes the probe's recommendation.
        micro_batch_size: samples on the device at once; `"auto"` likewise.
        batch_schedule: `"32:16"` ramps the batch size over the epochs; excludes `batch_size`.
        optimizer: a Keras optimizer by name.
        learning_rate: its learning rate.
        class_weight: `"balanced"` makes all classes count alike.
        early_stopping: end after so many epochs without a better validation loss.
        validation: a share of the images, or a folder.
        augment: `"light"` shows each training image mirrored half of the time and mildly cropped, anew in each epoch.
            What an epoch sees depends on nothing but seed, epoch and image.
        feature_cache: `"on"` computes what a frozen backbone makes of each image once, keeps it on the disk for this
            run and the next ones, and trains the head on it: the same training, many times faster. `"auto"` does so
            where the backbone is frozen, nothing is augmented, and there is more than one epoch. `"off"` runs the
            backbone in every epoch. `"on"` with `augment` is an approximation: a few fixed views of each image.
        feature_views: how many views that are.
        pixel_cache: `"auto"` keeps decoded images on the disk, where they are needed in more than one epoch: the same
            pixels, decoded once. `"off"` decodes them each time.
        cache_by: how an image is known again: `"stat"` by path, size and time of change, `"content"` by what is in it.
        precision: `"float32"`.
        memory_limit: such as `"3GB"`. On a CPU: resident memory of the worker; on a GPU: device memory.
        seed: for the split, the order, the initial weights and dropout.
        checkpoint_every: `"60s"`, or a number of steps.
        max_minutes: commit and stop after so long; the run can be resumed.
        max_bad_images: end the run as soon as more than this share of all images, for training and for validation,
            cannot be read; 1 never does. Two bad images end a run only if it is 0. It may change when a run is resumed.
        run_dir: where everything is kept; `runs/<time>-<backbone>` by default. One that holds the same request,
            unfinished, is resumed; finished, its result is returned at once. With a `mirror_dir`, `runs/<its name>`.
        mirror_dir: a folder on a mounted drive that is kept a copy of the run directory, itself a run directory. Where
            it holds the same request, and is further than `run_dir` or alone, the run is taken up from there. What the
            drive does never stops the training.
        isolation: `"process"`, or `"inline"` to train in this process.
        audit: write the ledger of all updates.
        replay: a run directory whose recorded micro-batch sizes are followed step by step.
        callbacks: Keras callbacks. They act in the worker; those that offer `get_state()` and `set_state()` keep their
            state over a resume.
        view: what shows the progress; by default bars in a terminal or notebook, else plain lines.

    Returns:
        The finished run.

    Raises:
        UserError: something given cannot be used.
        DoesNotFitError: not even one image at a time fits into memory.
        InterruptedRunError: stopped by Ctrl-C or by `max_minutes`; resume it with `autofit.resume(run_dir)`.
        TrainingFailedError: it failed for another reason.
    """
    options = make_options(
        backbone=backbone,
        model=model,
        weights=weights,
        image_size=image_size,
        trainable=trainable,
        hidden_units=hidden_units,
        dropout=dropout,
        epochs=epochs,
        fine_tune_epochs=fine_tune_epochs,
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        batch_schedule=batch_schedule,
        optimizer=optimizer,
        learning_rate=learning_rate,
        class_weight=class_weight,
        early_stopping=early_stopping,
        validation=validation,
        augment=augment,
        feature_cache=feature_cache,
        feature_views=feature_views,
        pixel_cache=pixel_cache,
        cache_by=cache_by,
        precision=precision,
        memory_limit=memory_limit,
        seed=seed,
        checkpoint_every=checkpoint_every,
        max_minutes=max_minutes,
        max_bad_images=max_bad_images,
        mirror_dir=mirror_dir,
        isolation=isolation,
        audit=audit,
        replay=replay,
    )
    check_for_training(options)
    with showing(view) as shown:
        index = dataset.scan(data, labels, validation=options.validation, seed=options.seed, on_progress=shown.scanning)
        require_utf8(run_dir, index.root, *index.class_names)
        files = directory_for(run_dir, options)
        return _begin_or_go_on(files, options, index, payload_of(model, callbacks), shown)


def resume(
    run_dir: str | Path,
    *,
    model: str | ModelFunction | None = None,
    callbacks: Sequence[Any] = (),
    max_bad_images: float | None = None,
    view: ProgressView | None = None,
) -> Result:
    """Go on with a run that was interrupted, killed or failed, at the exact sample where its last checkpoint stands.

    Args:
        run_dir: its run directory, or the mirror of one. Where it was given a mirror that is further, the run is taken
            up from there; and it is kept up as before.
        model: the model function again, where the run was started with one that was given as an object; its name
            again, where it was given by name and the run was not started by this user in this folder.
        callbacks: the callbacks again; without them the run goes on without callbacks.
        max_bad_images: as in `run`, from now on; as it was by default.
        view: as in `run`.

    Raises:
        AutofitError: as in `run`.
    """
    allowed = None if max_bad_images is None else share("max_bad_images", max_bad_images)
    files = RunDirectory(absolute(run_dir))
    record = read_run(files)
    if is_finished(files) and not record.options.mirror_dir:
        return Result(files.path)
    with (
        showing(view) as shown,
        RunLock(files).acquire(LOCK_PATIENCE_SECONDS) as lock,
        mirror_again(files, record, shown) as mirror,
    ):
        if mirror and mirror.take_up(lambda _: None):
            record = read_run(files)
        if is_finished(files):
            return finished(files, mirror)
        check_model_again(files, record, model)
        tell_of_import(record, shown)
        if allowed is not None:
            record = kept(files, record, allowing(record, allowed))
        return supervise(files, record, machine_for(record.options), payload_of(model, callbacks), lock, shown, mirror)


def _begin_or_go_on(
    files: RunDirectory, options: Options, index: ImageIndex, payload: Payload | None, view: ProgressView
) -> Result:
    """Start the run, or go on with it where its directory or its mirror holds it already."""
    with RunLock(files).acquire(LOCK_PATIENCE_SECONDS) as lock, mirror_for(files, options.mirror_dir, view) as mirror:
        if mirror:
            take_up(mirror, files, options, index)
        record = same_request(files, options, index)
        if record is not None and is_finished(files):
            return finished(files, mirror)
        machine = machine_for(options)
        announce(options, index, view)
        if record is None:
            record = new_run(files, options, index, machine, payload, view)
        return supervise(files, record, machine, payload, lock, view, mirror)
