"""`run()`: start a training, or go on with the same one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autofit import dataset
from autofit.api.backbone_objects import named_backbone
from autofit.api.data_call import data_call
from autofit.api.directories import RUNS, absolute, making, require_utf8
from autofit.api.earlier_runs import Call, earlier_run, taking
from autofit.api.existing_run import (
    AnotherRunError,
    already_trained,
    find_same_run,
    go_on,
    going_on,
    is_only_read,
    remove_refused_images,
)
from autofit.api.given_data import GivenData
from autofit.api.mirroring import finished_result, mirror_for, restore_from, write_list
from autofit.api.new_run import Called, announce_training, in_order, new_run, require_known_metrics
from autofit.api.result import Result
from autofit.api.resuming import LOCK_PATIENCE_SECONDS
from autofit.api.supervision import say_of_lock, supervise
from autofit.api.workers import code_of_run, machine_for, payload_of
from autofit.config.options import Options, check_for_training, options_of_call
from autofit.dataset import HeldOut, ImageIndex
from autofit.dataset.contents import looked_at
from autofit.mirror.mirror import Mirror
from autofit.process.signals import stop_signals
from autofit.protocol.payload import Payload
from autofit.report.progress import showing
from autofit.report.views import ProgressView
from autofit.runs.rerun import Rerun
from autofit.runs.result_record import is_finished
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock
from autofit.storage.system_errors import naming_system_errors


def run(  # noqa: PLR0913 - the options are the interface
    data: Any,
    labels: Iterable[Any] | None = None,
    *,
    backbone: str | Callable[..., Any] | None = None,
    model: Any = None,
    weights: str | Path | None = "imagenet",
    image_size: int | tuple[int, int] | str | None = None,
    trainable: str | None = None,
    hidden_units: int = 0,
    dropout: float = 0.2,
    recipe: str = "auto",
    epochs: int | str = "auto",
    fine_tune_epochs: int | str | None = None,
    fine_tune_from: str | float = "auto",
    batch_size: int | str = "auto",
    micro_batch_size: int | str = "auto",
    batch_schedule: str | tuple[int, int] | None = None,
    optimizer: Any = "adam",
    devices: str | int = 1,
    recompute: str = "auto",
    precision: str = "float32",
    learning_rate: Any = None,
    class_weight: str | Mapping[str | int, float] | None = "none",
    loss: Any = None,
    metrics: Sequence[Any] = (),
    monitor: str = "auto",
    early_stopping: int | None = None,
    validation: float | HeldOut | tuple[Any, Any] = 0.2,
    test: HeldOut | tuple[Any, Any] | None = None,
    path_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    group_column: str | None = None,
    weight_column: str | None = None,
    multi_label: bool = False,
    images_in: str | Path | None = None,
    augment: str | None = "auto",
    flip: bool = True,
    feature_cache: str | None = "auto",
    feature_views: int = 4,
    pixel_cache: str | None = "auto",
    cache_by: str = "stat",
    memory_limit: str | int | None = None,
    profile: bool = True,
    seed: int = 0,
    deterministic: bool = False,
    checkpoint_every: str | float = "60s",
    max_minutes: float | None = None,
    time_budget: str | float | None = None,
    max_bad_images: float = 0.1,
    run_dir: str | Path | None = None,
    take_over: bool = False,
    mirror_dir: str | Path | None = None,
    isolation: str = "process",
    audit: bool = False,
    replay: str | Path | None = None,
    callbacks: Any = None,
    view: ProgressView | None = None,
) -> Result:
    """Train an image classifier; an out-of-memory does not end the run as long as a smaller size fits.

    Args:
        data: A folder with one subfolder for each class, or with `train/`, `val/` and `test/` that have them; a CSV
            or JSON file or a DataFrame with a column of paths and one of labels; or a list of paths. Also images in
            memory: an array `(n, height, width, channels)`, a list of arrays or PIL images, a `tf.data.Dataset` or a
            `PyDataset` of images and labels. They are written to `images/` in the run directory; `validation` and
            `test` may then be datasets or pairs `(images, labels)`.
        labels: A class name or number for each path or image of a list or array, or one-hot rows for images. With
            `multi_label` a list of names for each, or rows of 0 and 1.
        backbone: A network of `keras.applications`, by name, or `hub:` and a preset of KerasHub: its name or its
            folder. In Python also the function, such as `keras.applications.ResNet50`, or an object of KerasHub.
            Default: `MobileNetV2`.
        model: Your own network instead of a backbone: a function `(input_shape, num_classes) -> keras.Model`, or its
            name as `module:function`. In Python also a `keras.Model`, of which a copy is trained. The function may be
            defined in a notebook cell. Its inputs are raw images, 0 to 255, `(n, height, width, 3)`. It trains in
            stages with `trainable` `head`.
        weights: The backbone's initial weights: `imagenet`, `none` (random), or a file. For a preset of KerasHub
            `imagenet` means its own.
        image_size: The size of the images in pixels: `160`, or `160x192` (height x width). In Python also `(160, 192)`.
            Default: the backbone's or the model's own, else 224.
        trainable: The layers that train: only the `head`, with a frozen backbone, or `all`. The head of a `model` is
            its last `Dense`, with its softmax and dropout; all below has to be pretrained. Default: `head` with
            weights, `all` without; of a `model` `head` with `fine_tune_epochs`, else `all`.
        hidden_units: The width of a hidden layer in the head; 0 for none.
        dropout: The share of the head's inputs that is dropped in training.
        recipe: How the head of a frozen backbone trains: `auto` solves it to its optimum, `classic` trains it by
            epochs. `auto` trains it by epochs, too, if any of `epochs`, `batch_size`, `batch_schedule`, `hidden_units`,
            `optimizer`, `learning_rate` (without `fine_tune_epochs`, or with a budget's `auto`), `loss`, `metrics`,
            `early_stopping`, `replay` or callbacks is given, or augmentation without views. A default is as not given.
        epochs: The number of passes over the training images. `auto` is 10 where the head is not solved.
        fine_tune_epochs: The number of epochs of fine-tuning after the head: upper layers train as well, also those a
            `model` froze. The saved model is that of the best epoch by validation, of the head's stage or of
            fine-tuning. `auto` is as many epochs as `time_budget` has time for, but at most 8: more did not give a
            better model. Default: 0; `auto` with a `time_budget` and a frozen backbone, unless `epochs`, `replay` or
            `recipe` is given.
        fine_tune_from: The layer above which fine-tuning trains: `auto`, `input` (everything), a layer's name, or the
            share of the backbone's layers that stays frozen.
        batch_size: The number of samples in an update. `auto` follows from the data, never from the machine: 32; 16
            with less than 1,280 training images (from scratch 3,840), 8 with less than 640 (not from scratch); 32 for
            fine-tuning.
        micro_batch_size: The number of samples on the device at once. `auto` takes the batch size if it fits and the
            backbone trains; else what the probe recommends, but at most the batch size.
        batch_schedule: A ramp of the batch size over the epochs, such as `32:16`. Not together with `batch_size`.
        optimizer: A Keras optimizer, by name. In Python also an object of `keras.optimizers`. A compiled `model` has
            its own.
        devices: The GPUs of this machine that layers of the backbone are trained on: a number, or `all`. Each GPU
            trains on a part of every batch, and all make the same update; `micro_batch_size` is per GPU. The order of
            the images and the number of updates are the same as on one GPU, and so are the weights, to float tolerance.
            Features, the head on features, and validation are computed on the first GPU.
        recompute: Whether activations are recomputed in the backward pass instead of kept (gradient checkpointing):
            `on`, `off` or `auto`. A step then needs less memory and more time, and has the same gradients to float
            tolerance. `auto` recomputes where the wanted micro-batch does not fit otherwise.
        precision: The numbers that the layers compute with: `float32`, `mixed_bfloat16`, `mixed_float16` or `auto`. In
            mixed precision, activations have 16 bits, which saves up to half of their memory; weights, head and loss
            stay float32, and so does the saved model. The trained weights differ from those of float32. It is fast on a
            GPU with units for 16 bits, and mostly slow on a CPU. `auto` measures float32 and 16 bits where the machine
            has such units, and takes 16 bits if they are clearly faster and features and loss differ by a few percent
            at most. `estimate` and `extract` do not take `auto`.
        learning_rate: The optimizer's learning rate. In Python also an object of `keras.optimizers.schedules`. From
            random weights it falls to zero after seven tenths of the updates, unless `recipe` is `classic`, or
            callbacks, `loss`, `metrics`, an optimizer object or a `model` are given. In fine-tuning after a
            solved head it is the peak of a rate that rises and falls. Default: 0.001, more with a `batch_size` over 32,
            or 0.0001 if pretrained layers train; 0.01 with `sgd`.
        class_weight: The weights of the classes in the loss: `balanced` makes all classes count alike. In Python also
            weights by class, such as `{0: 1.0, 'cats': 2.0}`: by name, or by number in the order of the names; 1 for
            the others.
        loss: The loss, by its name in Keras. In Python also an object of `keras.losses`, or a function or class of your
            own that is registered with Keras. A compiled `model` has its own. Default: the cross-entropy.
        metrics: Further metrics than loss and accuracy, in Python only: names or objects of `keras.metrics`, or
            functions and classes of your own that are registered with Keras. A compiled `model` has its own.
        monitor: The metric by which the best epoch is chosen, whose model is saved: `val_loss`, `val_accuracy`, `loss`,
            `accuracy`, or another metric of the run, such as `val_auc`. `early_stopping` follows it too. `auto` is
            `val_loss`, in fine-tuning `val_accuracy` with any class weights; without validation images `loss` and
            `accuracy`.
        early_stopping: Stop after this many epochs in a row without a better validation loss, or metric of `monitor`.
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
        augment: Augmentation of the training images, anew in each epoch: `none`, `light` or `strong`. As layers of
            Keras, `light` is `RandomFlip("horizontal")` and `RandomCrop` to 87 to 100 % of each side, and `strong` is
            `RandomFlip("horizontal")`, `RandomZoom((-0.3, 0))` with a window anywhere, `RandomRotation(15 / 360)`,
            `RandomContrast(0.2)`, `RandomBrightness(0.2)` and `RandomErasing(0.5, scale=(0.02, 0.2))`. `auto` is
            `light` in fine-tuning above a cut, and else `none`. How an image is augmented depends only on the seed, the
            epoch and the image.
        flip: Whether augmentation may mirror an image left to right. Switch it off where left and right matter: for
            digits, text or signs. `predict` and `evaluate` with `views` then leave out mirrored views, too.
        feature_cache: Run a frozen backbone once on each image, store the features on disk, and train the head on them.
            The training is the same, but many times faster, and later runs use the features too. `auto` does so if the
            backbone is frozen, nothing is augmented, and there is more than one epoch. `off` runs the backbone in every
            epoch. `on` with `augment` is an approximation: it trains on a few fixed views of each image.
        feature_views: The number of fixed views of each training image, with `feature_cache` `on` and `augment`.
        pixel_cache: Decode each image once and store its pixels on disk. `auto` does so if the backbone runs in more
            than one epoch; the pixels are the same. `off` decodes the images each time.
        cache_by: How the caches recognise an image: `content` by all its bytes; `stat` likewise up to 256 KiB, and a
            larger file by path, size, times, inode and samples of its bytes.
        memory_limit: The memory that may be used, such as `3GB` (3 * 10^9 bytes) or `3GiB`. On a CPU it limits the
            resident memory of the worker, on a GPU the device memory. Default: what the machine has.
        profile: Start from earlier measurements on such a machine, and save the new ones. Otherwise the saved profiles
            are neither read nor written. In either case the largest batch size that a probe reports has just run; the
            speed of the recommended one may have been measured earlier.
        seed: The seed of the split, the order, the initial weights and dropout.
        deterministic: Use only operations that give the same bits each time, also on a GPU. Runs with the same sizes,
            replays, resumes and repeats after an out-of-memory are then bit-equal on one machine. It may be slower, and
            a model with an operation that has no such implementation is refused.
        checkpoint_every: How often to save: a time such as `60s` or `2m`, or a number of steps.
        max_minutes: Save and stop after this many minutes; the run can be resumed.
        time_budget: The time until the finished model, such as `90s`, `5m` or `1h`; or a number of seconds. It decides
            whether the head is also trained on augmented views, and whether all layers or only the upper ones are
            fine-tuned, and for how many epochs; from a minute on also how many epochs train a backbone from random
            weights whose `epochs` are not given. Training ends after the last epoch that fits; if there is not even
            time to read all images, fewer are used. The run ends at most a tenth of the budget, or 5 s, after it. A
            resumed run goes on with what is left.
        max_bad_images: Stop as soon as more than this share of all images cannot be read; 1 for never. All images are
            those for training and for validation. One or two bad images stop a run only if the share is 0.
        run_dir: The folder for checkpoints, log, model and report. If it holds an unfinished run of the same request,
            that is resumed; the result of a finished one is returned at once. Default: the run of the same call under
            `runs`, if there is one, else `runs/<time>-<backbone>`; with a mirror `runs/<the mirror's name>`.
        take_over: End a worker that still holds the run directory although its parent is gone, such as a suspended one.
            The worker is woken, saves what it has trained, and is killed only if it does not end by itself. A worker
            whose parent is alive is never ended.
        mirror_dir: A folder on a mounted drive for a copy of the run directory, from which the run can be resumed. If
            it holds the same request and has trained further than `run_dir`, or `run_dir` is empty, the run is restored
            from it. A failure of the drive never stops the training.
        isolation: Where to train: in a `process` of its own, which may be killed without harm, or `inline` in the
            caller's.
        audit: Write all updates to `audit.jsonl`.
        replay: A run directory with `audit.jsonl`, whose micro-batch sizes are repeated step by step.
        callbacks: Keras callbacks, a list or one, in Python only. They are called in the worker and keep their state
            over restarts and resumes. After the run your objects have the state that the run left.
        view: An object that shows the progress, in Python only. Default: bars in a terminal or notebook, else plain
            lines.

    Returns:
        The finished run.

    Raises:
        UserError: an argument cannot be used.
        DoesNotFitError: not even one image at a time fits into memory.
        InterruptedRunError: Ctrl-C or `max_minutes` stopped it; resume it with `autofit.resume(run_dir)`.
        TrainingFailedError: the training failed for a reason that is not memory.
    """
    asked_of_tables: dict[str, Any] = {
        "path_column": path_column,
        "label_column": label_column,
        "group_column": group_column,
        "weight_column": weight_column,
        "images_in": images_in,
    }
    called_at, backbone = time.monotonic(), named_backbone(backbone)
    tables = {"validation": dataset.stand_in(validation), "test": dataset.stand_in(test)}
    options = options_of_call(locals() | tables)
    check_for_training(options)
    asked = dataset.asked_of(**asked_of_tables, multi_label=options.multi_label)
    called = Called(called_at, data_call(data, labels, test, **asked_of_tables))
    given = GivenData(data, labels, validation, test, asked)
    with naming_system_errors(), showing(view) as shown, stop_signals(), making(run_dir, options) as make:
        made = make() if given.is_in_memory else None
        if made is not None:
            given = given.in_files(made.images, options, shown)
        index, odd = given.found(options, shown, looked_at)
        if odd:
            shown.message(odd)
        index = replace(in_order(index, options), store=str(made.images) if made else "")
        require_utf8(run_dir, index.root, *index.class_names)
        payload = payload_of(model, callbacks, options)
        called = called._replace(code=code_of_run(options, payload))
        if run_dir is None and options.mirror_dir is None:
            call = Call(options, index, called.code, machine_for(options))
            earlier = earlier_run(absolute(RUNS), call, shown, take_over=take_over)
            if earlier is not None:
                index = call.index_in(earlier)
                made = taking(earlier, made)
        files = made or make()
        return _start_or_resume(files, options, index, payload, shown, called, take_over=take_over)


def _start_or_resume(
    files: RunDirectory,
    options: Options,
    index: ImageIndex,
    payload: Payload | None,
    view: ProgressView,
    called: Called,
    *,
    take_over: bool,
) -> Result:
    """Start the run, or resume it if its directory or its mirror holds it already."""
    require_known_metrics(options, index)
    if not os.access(files.path, os.W_OK):
        rerun = find_same_run(files, options, index, called.code, machine_for(options))
        if rerun is not None and is_only_read(files, rerun):
            return _as_it_is(files, rerun, None, view)
    if take_over:
        RunLock(files).take_over()
    with RunLock(files).acquire(LOCK_PATIENCE_SECONDS) as lock, mirror_for(files, options.mirror_dir, view) as mirror:
        if mirror:
            restore_from(mirror, files, options, index)
            if index.store:
                view.message("images in memory are not copied to the mirror: without run_dir, give this call again")
        say_of_lock(lock, view)
        machine = machine_for(options)
        try:
            rerun = find_same_run(files, options, index, called.code, machine)
        except AnotherRunError:
            remove_refused_images(files, index)
            raise
        if rerun is not None and is_finished(files) and not rerun.trains_on:
            return _as_it_is(files, rerun, mirror, view)
        announce_training(options, index, view)
        if rerun is None:
            record = new_run(files, options, index, machine, payload, view, called)
        else:
            view.message(going_on(files))
            if index.store:
                write_list(files, index)
            record = go_on(files, rerun, view)
        return supervise(files, record, machine, payload, lock, view, mirror, called.at)


def _as_it_is(files: RunDirectory, rerun: Rerun, mirror: Mirror | None, view: ProgressView) -> Result:
    """The result of a run that is finished already."""
    result = finished_result(files, mirror)
    view.message(already_trained(result.record, files, rerun.words))
    return result
