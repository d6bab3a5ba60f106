"""`run()`, `resume()` and `probe()`: the one place where the rooms are joined.

The way of the data: options -> images and machine -> probe -> plan -> supervisor -> workers -> checkpoints -> result ->
report. No step reads back up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any, Literal

from autofit import dataset, hardware, plan
from autofit.collect import collect_result
from autofit.dataset import ImageIndex
from autofit.errors import AutofitError, DoesNotFitError, InterruptedRunError, TrainingFailedError, UserError
from autofit.finished_run import Result, from_here
from autofit.hardware import Hardware
from autofit.measure import Measurer
from autofit.mirror.mirror import Mirror, refuse_overlap
from autofit.options import GIVEN_FUNCTION, Options, check_for_training, difference, make_options, share, whole_number
from autofit.plan import RunRecord
from autofit.probing.records import ProbeReport, SweepFailure, SweepReport
from autofit.probing.sweep import sweep_order
from autofit.process.inline import WHAT_INLINE_CANNOT, InlineLauncher, refuse_memory_limit
from autofit.process.launch import Launcher, Payload, ProcessLauncher, import_paths_for
from autofit.process.watch import View
from autofit.profiles.store import ProfileStore, default_folder, shipped_folder
from autofit.report.page import run_page
from autofit.report.probe_text import workload_words
from autofit.report.progress import ProgressView, progress_view
from autofit.report.text import resume_command
from autofit.run_directory import RunDirectory, RunLock, writing_in
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
        augment: not in this version.
        feature_cache: not in this version.
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
    with ExitStack() as open_things:
        shown = view or open_things.enter_context(progress_view())
        index = dataset.scan(data, labels, validation=options.validation, seed=options.seed, on_progress=shown.scanning)
        _require_utf8(run_dir, index.root, *index.class_names)
        files = _directory_for(run_dir, options)
        return _run(files, options, index, _payload(model, callbacks), shown)


def resume(
    run_dir: str | Path,
    *,
    model: ModelFunction | None = None,
    callbacks: Sequence[Any] = (),
    max_bad_images: float | None = None,
    view: ProgressView | None = None,
) -> Result:
    """Go on with a run that was interrupted, killed or failed, at the exact sample where its last checkpoint stands.

    Args:
        run_dir: its run directory, or the mirror of one. Where it was given a mirror that is further, the run is taken
            up from there; and it is kept up as before.
        model: the model function again, where the run was started with one that was given as an object.
        callbacks: the callbacks again; without them the run goes on without callbacks.
        max_bad_images: as in `run`, from now on; as it was by default.
        view: as in `run`.

    Raises:
        AutofitError: as in `run`.
    """
    allowed = None if max_bad_images is None else share("max_bad_images", max_bad_images)
    files = RunDirectory(_absolute(run_dir))
    record = _read_run(files)
    if _is_finished(files) and not record.options.mirror_dir:
        return Result(files.path)
    with ExitStack() as open_things:
        shown = view or open_things.enter_context(progress_view())
        lock = open_things.enter_context(RunLock(files).acquire(LOCK_PATIENCE_SECONDS))
        mirror = open_things.enter_context(_mirror_again(files, record, shown))
        if mirror and mirror.take_up(lambda _: None):
            record = _read_run(files)
        if _is_finished(files):
            return _finished(files, mirror)
        _check_model_again(files, record, model)
        _tell_of_import(files, record, shown)
        if allowed is not None:
            record = _kept(files, record, _allowing(record, allowed))
        return _supervise(files, record, _machine(record.options), _payload(model, callbacks), lock, shown, mirror)


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
    profile: bool = True,
    isolation: str = "process",
    view: ProgressView | None = None,
) -> ProbeReport:
    """Find the largest batch that this machine can train, and the fastest, without any images.

    Args: as in `run`; `num_classes` is the width of the head, `max_batch` the largest size of interest. With `profile`
        it starts from what was measured on such a machine before, and saves what it finds; the largest size that it
        answers was run now in any case, the recommended one may have been timed then.

    Raises:
        UserError: something given cannot be used.
        TrainingFailedError: a trial failed for a reason that is not memory.
        InterruptedRunError: stopped by Ctrl-C.
    """
    classes, most = whole_number("num_classes", num_classes, 1), whole_number("max_batch", max_batch, 1)
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
        measurer = _measurer(options, _machine(options), _payload(model, ()), shown, profile=profile)
        return measurer.measure(options, classes, most)


def sweep(  # noqa: PLR0913 - the options are the interface
    backbones: Sequence[str],
    image_sizes: Sequence[int | tuple[int, int] | str | None] = (),
    *,
    weights: str | Path | None = "imagenet",
    trainable: str | None = None,
    hidden_units: int = 0,
    dropout: float = 0.2,
    optimizer: str = "adam",
    num_classes: int = 10,
    memory_limit: str | int | None = None,
    max_batch: int = plan.MOST_PROBED_BATCH,
    profile: bool = True,
    isolation: str = "process",
    view: ProgressView | None = None,
) -> SweepReport:
    """Probe several backbones at several image sizes, one after another, the fastest first in the report.

    Args: as in `probe`. Without `image_sizes` each backbone is probed at its own. All is checked before the first
        trial; a network that fails for a reason that is not memory is told of in the report, and does not end it.

    Raises:
        UserError: something given cannot be used.
        InterruptedRunError: stopped by Ctrl-C.
    """
    classes, most = whole_number("num_classes", num_classes, 1), whole_number("max_batch", max_batch, 1)
    requests = [
        make_options(
            backbone=backbone,
            weights=weights,
            image_size=image_size,
            trainable=trainable,
            hidden_units=hidden_units,
            dropout=dropout,
            optimizer=optimizer,
            memory_limit=memory_limit,
            isolation=isolation,
        )
        for backbone in backbones
        for image_size in (image_sizes or [None])
    ]
    with ExitStack() as open_things:
        shown = view or open_things.enter_context(progress_view())
        return _sweep(requests, classes, most, shown, profile=profile)


def _sweep(requests: Sequence[Options], num_classes: int, max_batch: int, view: View, *, profile: bool) -> SweepReport:
    began = time.monotonic()
    probes: list[ProbeReport] = []
    failures: list[SweepFailure] = []
    for number, options in enumerate(requests, 1):
        workload = plan.workload(options, num_classes)
        view.message(f"{number} of {len(requests)}: {workload_words(workload)}")
        measurer = _measurer(options, _machine(options), None, view, profile=profile)
        try:
            probes.append(measurer.measure(options, num_classes, max_batch))
        except (TrainingFailedError, UserError) as error:  # what could be checked beforehand has been
            failures.append(SweepFailure(workload=workload, cause=str(error)))
            view.message(str(error))
    return SweepReport(probes=sweep_order(probes), failures=failures, wall_seconds=time.monotonic() - began)


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


def _require_utf8(*names: str | Path | None) -> None:
    """Records are UTF-8; the names of single images go into `samples.csv`, which is not so strict.

    Raises:
        UserError: a name on the disk is bytes of another encoding.
    """
    for name in names:
        try:
            str(name or "").encode()
        except UnicodeEncodeError:
            raise UserError(f"{str(name)!a} is a name that is not UTF-8: rename it") from None


def _directory_for(run_dir: str | Path | None, options: Options) -> RunDirectory:
    """The run directory that was asked for, or a new one, made.

    Raises:
        UserError: it cannot be made there, or overlaps with its mirror.
    """
    mirror = Path(options.mirror_dir) if options.mirror_dir else None
    files = RunDirectory(_absolute(run_dir or (_beside(mirror) if mirror else _new_default(options))))
    if mirror:
        refuse_overlap(files.path, mirror)
    files.create()
    return files


def _beside(mirror: Path) -> Path:
    """The same folder for each run with this mirror, so that the same call goes on with what is there."""
    return Path("runs") / mirror.name


def _new_default(options: Options) -> Path:
    """A folder of its own for each run, also for those that start in the same second."""
    stem = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{options.backbone or 'model'}"
    path, number = stem, 1
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
            path = stem.with_name(f"{stem.name}-{number}")
        except OSError:  # it cannot be made: said where it is made sure of
            return path
        else:
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


def _run(
    files: RunDirectory, options: Options, index: ImageIndex, payload: Payload | None, view: ProgressView
) -> Result:
    """Start the run, or go on with it where its directory or its mirror holds it already."""
    with RunLock(files).acquire(LOCK_PATIENCE_SECONDS) as lock, _mirror(files, options.mirror_dir, view) as mirror:
        if mirror:
            _take_up(mirror, files, options, index)
        record = _same_request(files, options, index)
        if record is not None and _is_finished(files):
            return _finished(files, mirror)
        machine = _machine(options)
        _announce(options, index, view)
        if record is None:
            record = _new_run(files, options, index, machine, payload, view)
        return _supervise(files, record, machine, payload, lock, view, mirror)


# The mirror ----------------------------------------------------------------------------------------------------------


def _mirror(
    files: RunDirectory, folder: str | None, view: View, *, must_hold_it: bool = False
) -> AbstractContextManager[Mirror | None]:
    return Mirror(files, Path(folder), view.message, must_hold_it=must_hold_it) if folder else nullcontext()


def _mirror_again(files: RunDirectory, record: RunRecord, view: View) -> AbstractContextManager[Mirror | None]:
    """The mirror that a run was started with, unless it is the mirror itself that is resumed, or they were moved.

    Only where it holds this run: nobody here has named it, and `run.json` may be a stranger's.
    """
    folder = record.options.mirror_dir
    try:
        if folder:
            refuse_overlap(files.path, Path(folder))
    except UserError:
        view.message(f"going on in {files.path} itself, without a mirror")
        folder = None
    return _mirror(files, folder, view, must_hold_it=True)


def _take_up(mirror: Mirror, files: RunDirectory, options: Options, index: ImageIndex) -> None:
    """Go on from the mirror, where that is further than the run directory, with the images as they were found here."""
    if mirror.take_up(lambda record: _require_same(record, options, index, "mirror_dir", mirror.folder)):
        with writing_in(files.path):
            index.write_csv(files.samples)


def _finished(files: RunDirectory, mirror: Mirror | None) -> Result:
    """A run that is finished; what its mirror still lacks is copied on the way out."""
    if mirror:
        mirror.start()
    return Result(files.path)


# run.json ------------------------------------------------------------------------------------------------------------


def _read_run(files: RunDirectory) -> RunRecord:
    """The run in a directory that may be a stranger's.

    Raises:
        UserError: it holds none, or leads out of itself.
    """
    try:
        record = RunRecord.load(files.run)
    except FileNotFoundError:
        raise UserError(f"{files.path} holds no run: give the run directory of one") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{files.run} cannot be read ({error}): give the run directory of another run") from None
    files.refuse_links_out()
    return record


def _same_request(files: RunDirectory, options: Options, index: ImageIndex) -> RunRecord | None:
    """The run that a directory holds already; None where it holds none.

    Images that have moved since are read from where they are now, and what may change is as it was given now.

    Raises:
        UserError: it holds another request.
    """
    if not files.run.exists():
        return None
    record = _read_run(files)
    _require_same(record, options, index, "run_dir", files.path)
    here = record.model_copy(update={"options": options, "data": record.data.model_copy(update={"root": index.root})})
    return _kept(files, record, _allowing(here, options.max_bad_images))


def _allowing(record: RunRecord, max_bad_images: float) -> RunRecord:
    """The same run, which may have more images that cannot be read, or fewer."""
    now = {"max_bad_images": max_bad_images}
    update = {"options": record.options.model_copy(update=now), "plan": record.plan.model_copy(update=now)}
    return record.model_copy(update=update)


def _kept(files: RunDirectory, before: RunRecord, now: RunRecord) -> RunRecord:
    """Write `run.json` anew where it has changed."""
    if now != before:
        with writing_in(files.path):
            now.save(files.run)
    return now


def _require_same(record: RunRecord, options: Options, index: ImageIndex, option: str, folder: Path) -> None:
    """Refuse a folder, given for this option, that holds another request.

    Raises:
        UserError: it does.
    """
    what = difference(record.options, options)
    if what is None and record.data.fingerprint != index.fingerprint():
        what = "other images"
    if what is not None:
        where = option if option == "mirror_dir" else "run directory"
        raise UserError(f"{where} {folder} holds another request ({what}): give another {option}")


def _check_model_again(files: RunDirectory, record: RunRecord, model: Any) -> None:
    """A model function given as an object is gone with the process that gave it.

    Raises:
        UserError: it was not given again, or is given for a run that had none.
    """
    had_one = record.options.model == GIVEN_FUNCTION
    if had_one and not callable(model):
        raise UserError(
            f"{files.path} was started with a model function: give it again, {_how_to_resume(files, record)}"
        )
    if model is not None and not had_one:
        network = record.options.model or record.options.backbone
        raise UserError(f"{files.path} was started with {network}, not with a model function: leave model out")


def _tell_of_import(files: RunDirectory, record: RunRecord, view: View) -> None:
    """Say whose code is about to run: `run.json` names the module, which is looked for in the working folder as well.

    Raises:
        UserError: that is the run directory itself, which may be a stranger's.
    """
    reference = record.options.model
    if reference is None or reference == GIVEN_FUNCTION:
        return
    if Path.cwd().resolve().is_relative_to(files.path.resolve()):
        raise UserError(
            f"the model {reference} would be imported out of the run directory {files.path}: "
            "resume from the folder of your own module"
        )
    view.message(f"this run imports its model: {reference}")


def _is_finished(files: RunDirectory) -> bool:
    try:
        return Result(files.path).status == "completed"
    except UserError:
        return False


def _new_run(
    files: RunDirectory, options: Options, index: ImageIndex, machine: Hardware, payload: Payload | None, view: View
) -> RunRecord:
    report = None
    if plan.needs_probe(options):
        most = plan.largest_useful_batch(options, index.train_count)
        report = _probe_first(files, options, len(index.class_names), most, machine, payload, view)
    record = RunRecord(
        options=options,
        has_callbacks=bool(payload and payload.callbacks),
        data=plan.data_record(index),
        plan=plan.training_plan(options, index.train_count, report, machine),
        started=time.time(),
    )
    with writing_in(files.path):
        index.write_csv(files.samples)
        record.save(files.run)
    return record


# The two stages ------------------------------------------------------------------------------------------------------


def _machine(options: Options) -> Hardware:
    return hardware.detect(inline=options.isolation == "inline")


def _launcher(options: Options, machine: Hardware) -> Launcher:
    if options.isolation == "process":
        return ProcessLauncher()
    refuse_memory_limit(device=machine.device, limit_is_given=options.memory_limit_bytes is not None)
    return InlineLauncher()


def _import_paths(options: Options, payload: Payload | None) -> list[str]:
    return import_paths_for(function_given=options.model is not None or payload is not None, working_folder=Path.cwd())


def _probe_first(
    files: RunDirectory,
    options: Options,
    num_classes: int,
    max_batch: int,
    machine: Hardware,
    payload: Payload | None,
    view: View,
) -> ProbeReport:
    """The probe of a run, kept in its directory."""
    try:
        report = _measurer(options, machine, payload, view).measure(options, num_classes, max_batch)
    except InterruptedRunError as error:
        again = f"nothing is trained yet; run the same again with run_dir {from_here(files.path)}"
        raise InterruptedRunError(f"{error}: {again}") from error
    with writing_in(files.path):
        report.save(files.probe)
    if report.largest_feasible_batch == 0:
        raise does_not_fit(report)
    largest = report.largest_feasible_batch
    fits = f"up to {largest} images at once fit" if largest < max_batch else f"{largest} images at once fit with ease"
    view.message(f"probe: {fits}, {report.recommended_batch} are as fast as any ({report.wall_seconds:.0f} s)")
    return report


def _measurer(
    options: Options, machine: Hardware, payload: Payload | None, view: View, *, profile: bool = True
) -> Measurer:
    return Measurer(
        machine=machine,
        launcher=_launcher(options, machine),
        view=view,
        store=ProfileStore(default_folder(), shipped_folder(), view.message) if profile else None,
        payload=Payload(payload.model) if payload and payload.model else None,
        import_paths=_import_paths(options, payload),
    )


def _supervise(
    files: RunDirectory,
    record: RunRecord,
    machine: Hardware,
    payload: Payload | None,
    lock: RunLock,
    view: View,
    mirror: Mirror | None = None,
) -> Result:
    """Attempt until the run has ended, write down how, and return the run or raise the reason."""
    if record.has_callbacks and not (payload and payload.callbacks):
        view.message("this run was started with callbacks; going on without them")
    began, earlier = time.monotonic(), collect_result(files, "failed", "", 0.0).attempts
    memory = plan.memory_budget(record.options, machine, record.plan.schedule.largest)
    supervisor = Supervisor(
        files,
        record,
        memory.model_copy(update={"rest_bytes": _probed_rest_bytes(files)}),
        _launcher(record.options, machine),
        view=view,
        payload=payload,
        lock_fd=lock.fileno(),
        import_paths=_import_paths(record.options, payload),
        sleep=mirror.sleep if mirror else time.sleep,
    )
    if mirror:
        mirror.start()
    error = _attempts(supervisor, mirror)
    wall_seconds = time.monotonic() - began + sum(attempt.wall_seconds for attempt in earlier)
    with writing_in(files.path):
        collect_result(files, _status(error), str(error or ""), wall_seconds).save(files.result)
    result = Result(files.path)
    _write_report(files, result)
    if error is not None:
        raise _with_directions(error, files, record)
    return result


def _probed_rest_bytes(files: RunDirectory) -> int | None:
    """What the run's probe measured outside the allocator; None where there is none, and a worker has to estimate."""
    try:
        return ProbeReport.load(files.probe).rest_bytes or None
    except (OSError, ValueError):  # the sizes were given, or the file is damaged: it only makes the estimate better
        return None


def _attempts(supervisor: Supervisor, mirror: Mirror | None) -> AutofitError | None:
    """Run to the end; also the second Ctrl-C, which stops at once, is an end to be written down."""
    try:
        return supervisor.run()
    except KeyboardInterrupt:
        if mirror:
            mirror.leave_at_once()
        return InterruptedRunError("stopped at once")


def _status(error: AutofitError | None) -> Literal["completed", "failed", "interrupted"]:
    if error is None:
        return "completed"
    return "interrupted" if isinstance(error, InterruptedRunError) else "failed"


def _with_directions(error: AutofitError, files: RunDirectory, record: RunRecord) -> AutofitError:
    """The same error, with where to look or how to go on."""
    if isinstance(error, InterruptedRunError):
        return InterruptedRunError(f"{error}: the last checkpoint is kept; go on with: {_how_to_resume(files, record)}")
    if isinstance(error, TrainingFailedError):
        attempts = files.attempts()
        log = attempts[-1].path if attempts else files.path
        return type(error)(f"{error} (logs in {from_here(log)}; the last checkpoint is kept)")
    return error


def _how_to_resume(files: RunDirectory, record: RunRecord) -> str:
    here = from_here(files.path)
    if record.options.model == GIVEN_FUNCTION:
        return f"autofit.resume({str(here)!r}, model=...)"
    return resume_command(here)


def _write_report(files: RunDirectory, result: Result) -> None:
    page = run_page(result.record, labels=result.labels, model_path=files.model)
    with writing_in(files.path):
        files.report.write_text(page, encoding="utf-8")
