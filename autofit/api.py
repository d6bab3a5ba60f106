"""`run()`, `resume()` and `probe()`: the one place where the rooms are joined.

The way of the data: options -> images and machine -> probe -> plan -> supervisor -> workers -> checkpoints -> result ->
report. No step reads back up.
"""

from __future__ import annotations

import inspect
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from autofit import dataset, hardware, plan
from autofit.collect import collect_result
from autofit.dataset import ImageIndex
from autofit.errors import AutofitError, DoesNotFitError, InterruptedRunError, TrainingFailedError, UserError
from autofit.finished_run import Result
from autofit.hardware import Hardware
from autofit.options import GIVEN_FUNCTION, Options, check_for_training, make_options
from autofit.plan import RunRecord
from autofit.probe.loop import Prober, ProbeRequest
from autofit.probe.records import ProbeReport
from autofit.process.inline import WHAT_INLINE_CANNOT, InlineLauncher, refuse_memory_limit
from autofit.process.launch import Launcher, Payload, ProcessLauncher, import_paths_for
from autofit.process.watch import View
from autofit.report.page import run_page
from autofit.report.progress import ProgressView, progress_view
from autofit.run_directory import RunDirectory, RunLock
from autofit.supervisor import Supervisor

LOCK_PATIENCE_SECONDS = 10.0
ModelFunction = Callable[[tuple[int, int, int], int], Any]


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
    precision: str = "float32",
    memory_limit: str | int | None = None,
    seed: int = 0,
    checkpoint_every: str | float = "60s",
    max_minutes: float | None = None,
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
        augment: not in this version.
        feature_cache: not in this version.
        precision: `"float32"`.
        memory_limit: such as `"3GB"`. On a CPU: resident memory of the worker; on a GPU: device memory.
        seed: for the split, the order, the initial weights and dropout.
        checkpoint_every: `"60s"`, or a number of steps.
        max_minutes: commit and stop after so long; the run can be resumed.
        run_dir: where everything is kept; `runs/<time>-<backbone>` by default. One that holds the same request, unfinished,
            is resumed; finished, its result is returned at once.
        mirror_dir: not in this version.
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
    given = dict(locals())
    options = make_options(**{name: given[name] for name in inspect.signature(make_options).parameters})
    check_for_training(options)
    payload = _payload(model, callbacks)
    with ExitStack() as open_things:
        shown = view or open_things.enter_context(progress_view())
        index = dataset.scan(
            data, labels, validation=options.validation, seed=options.seed, on_progress=shown.scanning
        )
        files = RunDirectory(_absolute(run_dir or _default_run_dir(options)))
        files.create()
        lock = open_things.enter_context(RunLock(files).acquire(LOCK_PATIENCE_SECONDS))
        record = _same_request(files, options, index)
        if record is not None and _is_finished(files):
            return Result(files.path)
        machine = hardware.detect()
        _announce(options, index, shown)
        if record is None:
            record = _new_run(files, options, index, machine, payload, shown)
        return _supervise(files, record, machine, payload, lock, shown)


def resume(
    run_dir: str | Path,
    *,
    model: ModelFunction | None = None,
    callbacks: Sequence[Any] = (),
    view: ProgressView | None = None,
) -> Result:
    """Go on with a run that was interrupted, killed or failed, at the exact sample where its last checkpoint stands.

    Args:
        run_dir: its run directory.
        model: the model function again, where the run was started with one that was given as an object.
        callbacks: the callbacks again; without them the run goes on without callbacks.
        view: as in `run`.

    Raises:
        AutofitError: as in `run`.
    """
    files = RunDirectory(_absolute(run_dir))
    record = _read_run(files)
    if record.options.model == GIVEN_FUNCTION and model is None:
        raise UserError(f"{files.path} was started with a model function: give it again, autofit.resume(..., model=...)")
    if _is_finished(files):
        return Result(files.path)
    with ExitStack() as open_things:
        shown = view or open_things.enter_context(progress_view())
        lock = open_things.enter_context(RunLock(files).acquire(LOCK_PATIENCE_SECONDS))
        if record.has_callbacks and not callbacks:
            shown.message("this run was started with callbacks; going on without them")
        return _supervise(files, record, hardware.detect(), _payload(model, callbacks), lock, shown)


def probe(  # noqa: PLR0913 - the options are the interface
    *,
    backbone: str | None = None,
    model: str | ModelFunction | None = None,
    weights: str | Path | None = "imagenet",
    image_size: int | tuple[int, int] | str | None = None,
    trainable: str | None = None,
    hidden_units: int = 0,
    dropout: float = 0.2,
    optimizer: str = "adam",
    num_classes: int = 10,
    memory_limit: str | int | None = None,
    max_batch: int = plan.MOST_PROBED_BATCH,
    isolation: str = "process",
    view: ProgressView | None = None,
) -> ProbeReport:
    """Find the largest batch that this machine can train, and the fastest, without any images.

    Args: as in `run`; `num_classes` is the width of the head, `max_batch` the largest size of interest.

    Raises:
        UserError: something given cannot be used.
        TrainingFailedError: a trial failed for a reason that is not memory.
        InterruptedRunError: stopped by Ctrl-C.
    """
    if max_batch < 1 or num_classes < 1:
        raise UserError(f"max_batch {max_batch} and num_classes {num_classes} must be 1 or more")
    options = make_options(
        backbone=backbone,
        model=model,
        weights=weights,
        image_size=image_size,
        trainable=trainable,
        hidden_units=hidden_units,
        dropout=dropout,
        optimizer=optimizer,
        memory_limit=memory_limit,
        isolation=isolation,
    )
    with ExitStack() as open_things:
        shown = view or open_things.enter_context(progress_view())
        return _probe(options, num_classes, max_batch, hardware.detect(), _payload(model, ()), shown)


def does_not_fit(report: ProbeReport) -> DoesNotFitError:
    """What a probe that found nothing means, and what would help."""
    return DoesNotFitError(
        f"not even one image at a time fits (limited by {report.limited_by}): "
        "take a smaller image size, a smaller backbone or more memory"
    )


def report(run_dir: str | Path) -> Result:
    """Write a run's `report.html` anew and return the run."""
    files = RunDirectory(_absolute(run_dir))
    _read_run(files)
    result = Result(files.path)
    _write_report(files, result)
    return result


def _absolute(path: str | Path) -> Path:
    """A worker starts in another folder than ours."""
    return Path(path).expanduser().absolute()


def _default_run_dir(options: Options) -> Path:
    name = options.backbone or "model"
    stem = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    path, number = stem, 2
    while path.exists():
        path, number = stem.with_name(f"{stem.name}-{number}"), number + 1
    return path


def _payload(model: Any, callbacks: Sequence[Any]) -> Payload | None:
    function = model if callable(model) else None
    return Payload(function, tuple(callbacks)) if function or callbacks else None


def _announce(options: Options, index: ImageIndex, view: View) -> None:
    skipped = f"; {index.skipped_files} other files skipped" if index.skipped_files else ""
    view.message(
        f"{index.train_count} images of {len(index.class_names)} classes to train on, "
        f"{index.validation_count} to validate{skipped}"
    )
    if options.model is None and options.weights == "none":
        view.message("weights 'none': training the whole network, because a random backbone kept frozen learns nothing")
    if options.isolation == "inline":
        view.message(WHAT_INLINE_CANNOT)


# run.json ------------------------------------------------------------------------------------------------------------


def _read_run(files: RunDirectory) -> RunRecord:
    try:
        return RunRecord.load(files.run)
    except FileNotFoundError:
        raise UserError(f"{files.path} holds no run: give the run directory of one") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{files.run} cannot be read: {error}") from None


def _same_request(files: RunDirectory, options: Options, index: ImageIndex) -> RunRecord | None:
    """The run that a directory holds already; None where it holds none.

    Raises:
        UserError: it holds another request.
    """
    if not files.run.exists():
        return None
    record = _read_run(files)
    there, here = record.options.model_dump(), options.model_dump()
    differing = [name for name in here if there[name] != here[name]]
    if not differing and record.data.fingerprint == index.fingerprint():
        return record
    what = f"{differing[0]} {there[differing[0]]!r} there, {here[differing[0]]!r} here" if differing else "other images"
    raise UserError(f"run directory {files.path} holds another request ({what}): give another run_dir")


def _is_finished(files: RunDirectory) -> bool:
    try:
        return Result(files.path).status == "completed"
    except UserError:
        return False


def _new_run(  # noqa: PLR0913 - what a plan is made of
    files: RunDirectory, options: Options, index: ImageIndex, machine: Hardware, payload: Payload | None, view: View
) -> RunRecord:
    report = None
    if plan.needs_probe(options):
        most = plan.largest_useful_batch(options, index.train_count)
        report = _probe(options, len(index.class_names), most, machine, payload, view)
        report.save(files.probe)
        if report.largest_feasible_batch == 0:
            raise does_not_fit(report)
        view.message(
            f"probe: up to {report.largest_feasible_batch} images at once fit, "
            f"{report.recommended_batch} are as fast as any ({report.wall_seconds:.0f} s)"
        )
    index.write_csv(files.samples)
    record = RunRecord(
        options=options,
        has_callbacks=bool(payload and payload.callbacks),
        data=plan.data_record(index),
        plan=plan.training_plan(options, index.train_count, report, machine),
        started=time.time(),
    )
    record.save(files.run)
    return record


# The two stages ------------------------------------------------------------------------------------------------------


def _launcher(options: Options, machine: Hardware) -> Launcher:
    if options.isolation == "process":
        return ProcessLauncher()
    refuse_memory_limit(device=machine.device, limit_is_given=options.memory_limit_bytes is not None)
    return InlineLauncher()


def _import_paths(options: Options, payload: Payload | None) -> list[str]:
    return import_paths_for(options.model is not None or payload is not None, Path.cwd())


def _probe(  # noqa: PLR0913 - what a probe is made of
    options: Options, num_classes: int, max_batch: int, machine: Hardware, payload: Payload | None, view: View
) -> ProbeReport:
    with tempfile.TemporaryDirectory(prefix="autofit-probe-") as folder:
        request = ProbeRequest(
            source=plan.model_source(options, num_classes),
            workload=plan.workload(options, num_classes),
            memory=plan.memory_budget(options, machine, 1),
            machine=machine,
            limited_by=plan.limited_by(options, machine),
            max_batch=max_batch,
            folder=Path(folder),
            payload=Payload(payload.model) if payload and payload.model else None,
            import_paths=_import_paths(options, payload),
        )
        return Prober(request, _launcher(options, machine), view).run()


def _supervise(  # noqa: PLR0913 - what an attempt is made of
    files: RunDirectory,
    record: RunRecord,
    machine: Hardware,
    payload: Payload | None,
    lock: RunLock,
    view: View,
) -> Result:
    began, earlier = time.monotonic(), collect_result(files, "failed", "", 0.0).attempts
    largest = max(record.plan.first_batch_size, record.plan.last_batch_size)
    supervisor = Supervisor(
        files,
        record,
        plan.memory_budget(record.options, machine, largest),
        _launcher(record.options, machine),
        view=view,
        payload=payload,
        lock_fd=lock.fileno(),
        import_paths=_import_paths(record.options, payload),
    )
    error = supervisor.run()
    wall_seconds = time.monotonic() - began + sum(attempt.wall_seconds for attempt in earlier)
    interrupted = isinstance(error, InterruptedRunError)
    status = "completed" if error is None else "interrupted" if interrupted else "failed"
    collect_result(files, status, str(error or ""), wall_seconds).save(files.result)
    result = Result(files.path)
    _write_report(files, result)
    if error is not None:
        raise _with_directions(error, files)
    return result


def _with_directions(error: AutofitError, files: RunDirectory) -> AutofitError:
    """The same error, with where to look or how to go on."""
    if isinstance(error, InterruptedRunError):
        return InterruptedRunError(f"{error}: everything trained is saved; go on with: autofit resume {os.path.relpath(files.path)}")
    if isinstance(error, TrainingFailedError):
        attempts = files.attempts()
        log = attempts[-1].path if attempts else files.path
        return type(error)(f"{error} (logs in {os.path.relpath(log)}; the last checkpoint is kept)")
    return error


def _write_report(files: RunDirectory, result: Result) -> None:
    probe_report = ProbeReport.load(files.probe) if files.probe.exists() else None
    del probe_report
    files.report.write_text(
        run_page(result.record, labels=result.labels, model_path=files.model), encoding="utf-8"
    )
