"""`resume()`: go on with a run from its directory alone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autofit.api.callbacks import refuse_rate_setters
from autofit.api.directories import absolute
from autofit.api.existing_run import (
    announce_import,
    as_called_now,
    go_on,
    require_model,
    require_run,
    require_same_code,
    require_same_options,
)
from autofit.api.mirroring import finished_result, mirror_of, with_images_here
from autofit.api.result import Result
from autofit.api.supervision import say_of_lock, supervise
from autofit.api.workers import ModelFunction, code_of_run, machine_for, payload_of
from autofit.config.option_conflicts import refuse_with_devices
from autofit.config.option_table import AGAIN
from autofit.config.options import Options, changed_options, check_for_training
from autofit.input.patient_call import patiently
from autofit.process.signals import stop_signals
from autofit.report.progress import showing
from autofit.report.views import ProgressView
from autofit.runs.result_record import is_finished
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock
from autofit.storage.system_errors import naming_system_errors

LOCK_PATIENCE_SECONDS = 30.0
"""How long the lock is waited for: a worker whose parent was killed has 20 s to commit, and holds it meanwhile."""


def resume(  # noqa: PLR0913 - the options are the interface
    run_dir: str | Path,
    *,
    model: str | ModelFunction | None = None,
    callbacks: Any = None,
    epochs: int | str | None = None,
    fine_tune_epochs: int | str | None = None,
    devices: str | int | None = None,
    pixel_cache: str | None = None,
    cache_by: str | None = None,
    memory_limit: str | int | None = None,
    profile: bool | None = None,
    checkpoint_every: str | float | None = None,
    max_minutes: float | None = None,
    time_budget: str | float | None = None,
    max_bad_images: float | None = None,
    take_over: bool | None = None,
    isolation: str | None = None,
    view: ProgressView | None = None,
) -> Result:
    """Resume a run that was interrupted, killed or failed, at the exact sample of its last checkpoint.

    The options are as in `run` and hold from now on; those that are not given stay as they were. With more epochs a
    finished run trains on.

    Args:
        run_dir: The run directory, or its mirror. If the run has a mirror that has trained further, the run is restored
            from it; the mirror is updated as before.
        model: The model function again, if the run was started with a function as an object; its name again, if the run
            was started with a name by another user or in another folder.
        callbacks: The callbacks again; without them the run continues without callbacks.
        epochs: The number of passes over the training images, in all.
        fine_tune_epochs: The number of epochs of fine-tuning, until it has begun.
        devices: The GPUs that layers of the backbone are trained on.
        pixel_cache: Whether decoded images are kept on disk.
        cache_by: How the caches recognise an image.
        memory_limit: The memory that may be used.
        profile: Start from earlier measurements on such a machine, and save the new ones.
        checkpoint_every: How often to save.
        max_minutes: Save and stop after this many minutes.
        time_budget: The time until the finished model, of a run that has such a budget and is not finished.
        max_bad_images: The share of the images that may be unreadable.
        take_over: End a worker that still holds the run directory although its parent is gone, and go on.
        isolation: Where to train.
        view: As in `run`.

    Raises:
        AutofitError: as in `run`.
    """
    arguments, called_at = locals(), time.monotonic()
    asked = {option.name: arguments[option.name] for option in AGAIN if arguments[option.name] is not None}
    given = {name: value for name, value in asked.items() if name != "take_over"}
    files = RunDirectory(absolute(run_dir, "run_dir"))
    record = require_run(files)
    _check_changed(changed_options(record.options, asked), asked)
    if is_finished(files) and not record.options.mirror_dir and not given:
        return Result(files.path)
    if take_over:
        RunLock(files).take_over()
    with (
        naming_system_errors(),
        showing(view) as shown,
        stop_signals(),
        RunLock(files).acquire(LOCK_PATIENCE_SECONDS) as lock,
        mirror_of(files, record, shown) as mirror,
    ):
        say_of_lock(lock, shown)
        if mirror and mirror.restore(lambda _: None):
            record = require_run(files)
        options = changed_options(record.options, given)
        require_same_options(record, options, f"run directory {files.path}", "run_dir", is_finished=is_finished(files))
        machine = machine_for(options)
        rerun = as_called_now(files, record, options, machine)
        if is_finished(files) and not rerun.trains_on:
            if rerun.words:
                shown.message(rerun.words)
            return finished_result(files, mirror)
        require_model(files, record, model)
        announce_import(record, shown)
        record = _with_images_here(files, record, shown)
        payload = payload_of(model, callbacks, record.options)
        refuse_rate_setters(payload.callbacks if payload else (), record.plan)
        record = require_same_code(files, record, code_of_run(options, payload), is_request=False)
        record = go_on(files, as_called_now(files, record, options, machine), shown)
        return supervise(files, record, machine, payload, lock, shown, mirror, called_at)


def _check_changed(options: Options, asked: Mapping[str, Any]) -> None:
    """Check that what is asked for goes with the other options of the run.

    Raises:
        UserError: it does not.
    """
    if "fine_tune_epochs" in asked:
        check_for_training(options)
    if {"devices", "isolation"} & set(asked):
        refuse_with_devices(options.devices, options.isolation, options.optimizer_config)


def _with_images_here(files: RunDirectory, record: RunRecord, view: ProgressView) -> RunRecord:
    """As `with_images_here`; a drive of the images that does not answer is named, and Ctrl-C stops the wait for it."""
    return patiently(lambda _: with_images_here(files, record), record.data.root, say=view.message)
