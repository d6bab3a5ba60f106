"""`extract()`: fills the feature cache, and trains nothing; any number of processes share the work."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from autofit import dataset
from autofit.api.backbone_objects import named_backbone
from autofit.api.extracted import Extracted
from autofit.api.extracting_by_ray import extracted_by_ray, require_ray
from autofit.api.given_data import GivenData
from autofit.api.new_run import new_run
from autofit.api.workers import import_paths, launcher_for, machine_for
from autofit.cache.folder import default_folder
from autofit.cache.shards import LEASES
from autofit.cache.store import default_limit_bytes
from autofit.config.batch_schedule import DETERMINISTIC_EXTRACTION
from autofit.config.options import Options, freezes_backbone, make_options
from autofit.config.shard_choice import SHARD_IMAGES, chosen_shard
from autofit.config.validators import choice, real_number, whole_number
from autofit.dataset import HeldOut, ImageIndex
from autofit.errors import InterruptedRunError, TrainingFailedError, UserError
from autofit.machine.hardware import Hardware
from autofit.protocol.cache_job import CacheJob, ShardJob
from autofit.protocol.job import Event
from autofit.report.progress import showing
from autofit.report.views import ProgressView
from autofit.runs.collect_result import events_of
from autofit.runs.memory_budget import largest_decoded_batch, memory_budget
from autofit.runs.supervisor import Supervisor
from autofit.storage.leases import LEASE_SECONDS, LeaseFolder
from autofit.storage.run_directory import RunDirectory
from autofit.storage.scratch import scratch_folder
from autofit.storage.system_errors import naming_system_errors
from autofit.storage.user_path import user_path

ENGINES = ("local", "ray")
LEAST_LEASE_SECONDS = 1.0


def extract(  # noqa: PLR0913 - as `run`, for whose trainings it extracts
    data: Any,
    labels: Iterable[Any] | None = None,
    *,
    cache: str | Path | None = None,
    engine: str = "local",
    shard: str | None = None,
    shard_images: int = SHARD_IMAGES,
    lease_seconds: float = LEASE_SECONDS,
    backbone: str | Callable[..., Any] | None = None,
    weights: str | Path | None = "imagenet",
    image_size: int | tuple[int, int] | str | None = None,
    precision: str = "float32",
    validation: float | HeldOut | tuple[Any, Any] = 0.2,
    test: HeldOut | tuple[Any, Any] | None = None,
    path_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    group_column: str | None = None,
    weight_column: str | None = None,
    multi_label: bool = False,
    images_in: str | Path | None = None,
    cache_by: str = "stat",
    memory_limit: str | int | None = None,
    view: ProgressView | None = None,
) -> Extracted:
    """Fill the feature cache: a training on the same data then begins with its head at once.

    Several processes may call this with the same arguments, on any machines that share the folder of the cache. Each
    takes one shard after another until all are done; the shards of a process that dies are taken over by the others.

    Args:
        data: As in `run`.
        labels: As in `run`.
        cache: The folder of the cache. Default: that in `AUTOFIT_CACHE`, else the user's.
        engine: `local`: this process extracts, together with all others that make the same call. `ray`: a Ray cluster
            extracts, the one at `RAY_ADDRESS` or one of this machine, with an actor for each GPU, or for each node if
            there are no GPUs. It needs `pip install 'autofit-keras[ray]'`. All nodes need autofit, and the photos at
            the same path. Nodes that do not see the folder of the cache send the rows to this process.
        shard: `i/n`: only part i, from 1, of n parts, which are cut by content. `auto` takes i and n from a SLURM
            array; `auto/n` takes i also from an indexed job of Kubernetes. Default: all images, shared with the other
            processes.
        shard_images: About how many images a shard has; the same in all processes. A process that dies loses one shard
            at most. There are at most 256 shards, since a training opens each.
        lease_seconds: After this many seconds without a sign of life, a process counts as dead. Give less than two
            minutes only if the folder is not on a network drive.
        backbone: A network of `keras.applications`, by name, or `hub:` and a preset of KerasHub: its name or its
            folder. In Python also the function, such as `keras.applications.ResNet50`, or an object of KerasHub.
            Default: `MobileNetV2`.
        weights: The backbone's initial weights: `imagenet`, `none` (random), or a file. For a preset of KerasHub
            `imagenet` means its own.
        image_size: The size of the images in pixels: `160`, or `160x192` (height x width). In Python also `(160, 192)`.
            Default: the backbone's or the model's own, else 224.
        precision: The numbers that the layers compute with: `float32`, `mixed_bfloat16`, `mixed_float16` or `auto`. In
            mixed precision, activations have 16 bits, which saves up to half of their memory; weights, head and loss
            stay float32, and so does the saved model. The trained weights differ from those of float32. It is fast on a
            GPU with units for 16 bits, and mostly slow on a CPU. `auto` measures float32 and 16 bits where the machine
            has such units, and takes 16 bits if they are clearly faster and features and loss differ by a few percent
            at most. `estimate` and `extract` do not take `auto`.
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
        cache_by: How the caches recognise an image: `content` by all its bytes; `stat` likewise up to 256 KiB, and a
            larger file by path, size, times, inode and samples of its bytes.
        memory_limit: The memory that may be used, such as `3GB` (3 * 10^9 bytes) or `3GiB`. On a CPU it limits the
            resident memory of the worker, on a GPU the device memory. Default: what the machine has.
        view: An object that shows the progress, in Python only. Default: bars in a terminal or notebook, else plain
            lines.

    Returns:
        What was done.

    Raises:
        UserError: an argument cannot be used, or the data cannot be understood.
        StorageError: the cache cannot be written.
        InterruptedRunError: Ctrl-C stopped it.
    """
    options = make_options(
        backbone=named_backbone(backbone),
        weights=weights,
        image_size=image_size,
        precision=precision,
        validation=dataset.stand_in(validation),
        multi_label=multi_label,
        cache_by=cache_by,
        memory_limit=memory_limit,
        feature_cache="on",
    )
    if not freezes_backbone(options):
        raise UserError("the features of a random backbone are of no use: give weights")
    if options.precision == "auto":
        raise UserError("precision 'auto' would be measured by each process anew: give the one of the training")
    engine = choice("engine", engine, ENGINES)
    if engine == "ray" and shard is not None:
        raise UserError("shard is for processes that you start yourself: leave it out with engine 'ray'")
    part, parts = chosen_shard(shard, os.environ)
    lease = float(real_number("lease_seconds", lease_seconds, least=LEAST_LEASE_SECONDS))
    of_shard = whole_number("shard_images", shard_images, least=1)
    columns = {"group_column": group_column, "weight_column": weight_column}
    asked = dataset.asked_of(path_column, label_column, images_in, multi_label=multi_label, **columns)
    given = GivenData(data, labels, validation, test, asked)
    if engine == "ray":
        require_ray()
    if given.is_in_memory:
        raise UserError("extract needs images in files: run caches the features of images in memory by itself")
    shards = ShardJob(part=part, parts=parts, shard_images=of_shard, owner=secrets.token_hex(8), lease_seconds=lease)
    folder = default_folder() if cache is None else user_path(cache, "cache").absolute()
    with naming_system_errors(), showing(view) as shown:
        index = given.found(options, shown, lambda index: index)
        extracted = extracted_by_ray if engine == "ray" else _extracted
        try:
            return extracted(index, options, folder, shards, shown)
        finally:  # a worker that was killed, as Ray does with its own at Ctrl-C, has left its lease
            LeaseFolder(folder / LEASES, lease, owner=shards.owner).release_own()


def _extracted(index: ImageIndex, options: Options, cache: Path, shards: ShardJob, view: ProgressView) -> Extracted:
    began, machine = time.monotonic(), machine_for(options)
    job = CacheJob(
        folder=str(cache),
        limit_bytes=default_limit_bytes(),
        by=options.cache_by,
        fixed_size=DETERMINISTIC_EXTRACTION[machine.device],
        shards=shards,
    )
    with scratch_folder("autofit-extract-") as folder:
        files = RunDirectory(folder / "run")
        files.create()
        _fill(files, index, options, machine, job, view)
        events = (event for attempt in files.attempts() for event in events_of(attempt, is_own=True))
        return _summed(events, str(cache), time.monotonic() - began)


def _summed(events: Iterable[Event], cache: str, seconds: float) -> Extracted:
    """What all workers together have done, by their events, of which there may be millions."""
    rows, shards, unreadable, done = 0, 0, set(), None
    for event in events:
        rows += event.kept_rows or 0
        shards += event.kept_rows is not None
        unreadable |= {event.quarantined.path} if event.quarantined else set()
        done = event.sharded or done
    if done is None:
        raise TrainingFailedError("what the extraction has done cannot be read: give the same call again")
    return Extracted(
        images=done.images,
        extracted=rows,
        shards=shards,
        shards_of_others=done.of_others,
        unreadable=sorted(unreadable),
        cache=cache,
        seconds=seconds,
    )


def _fill(
    files: RunDirectory, index: ImageIndex, options: Options, machine: Hardware, cache: CacheJob, view: ProgressView
) -> None:
    """Start workers, one after another, until one has finished the extraction.

    Raises:
        AutofitError: the extraction failed.
    """
    record = new_run(files, options, index, machine, None, view)
    memory = memory_budget(options, machine, largest_decoded_batch(record.plan, machine), extracts=True)
    supervisor = Supervisor(
        files,
        record,
        memory,
        launcher_for(options, machine),
        view=view,
        import_paths=import_paths(options, None),
        cache=cache,
    )
    error = supervisor.run()
    if isinstance(error, InterruptedRunError):
        raise InterruptedRunError("the extraction was stopped: give the same call again") from None
    if error is not None:
        raise error
