"""A new run: the messages at its start, its probe if it needs one, its plan, and `run.json`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from autofit.api.device_notes import require_devices
from autofit.api.measure import Measurer
from autofit.api.option_notes import option_notes, rate_note
from autofit.api.precision import precision_choice
from autofit.api.probes import does_not_fit
from autofit.api.result import shown_path
from autofit.api.signature import sign_model
from autofit.api.workers import measurer_for
from autofit.config.half_precision import slow_words
from autofit.config.option_checks import GIVEN_FUNCTION
from autofit.config.options import Options, freezes_backbone
from autofit.dataset import ImageIndex
from autofit.dataset.class_weights import weights_by_class
from autofit.dataset.findings import classes_text
from autofit.dataset.found import kinds_text
from autofit.dataset.spread import evenly_spread
from autofit.errors import InterruptedRunError, UserError
from autofit.input.find_ranges import find_ranges, ranges_text, sample_text
from autofit.input.image_sizes import sizes_line
from autofit.input.numeric_images import of_any_width
from autofit.machine.hardware import Hardware
from autofit.probing.records import ProbeReport
from autofit.process.monitor import View
from autofit.protocol.job import TrainingPlan
from autofit.protocol.payload import Payload
from autofit.protocol.precision import PrecisionChoice
from autofit.protocol.tf_choices import kernels_asked, tuning_asked, xla_asked
from autofit.report.probe_text import found_words
from autofit.report.width import columns
from autofit.runs import plan
from autofit.runs.environment import software_of
from autofit.runs.model_source import precision_of, rung_of
from autofit.runs.run_record import DataCall, RunRecord, data_record, settled
from autofit.runs.stages import stages_of
from autofit.runs.what_would_help import trains_in
from autofit.storage.run_directory import RunDirectory, writing_in
from autofit.storage.system_errors import said_of
from autofit.worker.inline_launcher import WHAT_INLINE_CANNOT

BY_CLASS = "to train on by class: "

NOT_FOLLOWED = (
    "seed",
    "class_weight",
    "replay",
    "audit",
    "threads",
    "checkpoint_seconds",
    "checkpoint_steps",
    "max_bad_images",
    "devices",
)
"""The options that a replay of a run in stages may set itself; everything else is as in the run that it follows."""


def require_known_metrics(options: Options, index: ImageIndex) -> None:
    """Check the options about classes and validation, now that the classes and the validation images are known.

    Raises:
        UserError: a weight is for no class, or the monitored metric needs validation images and there are none.
    """
    if isinstance(options.class_weight, dict):
        weights_by_class(options.class_weight, index.class_names)
    if options.monitor.startswith("val_") and not index.validation_count:
        raise UserError(f"monitor {options.monitor!r} needs validation images: give validation, or monitor 'loss'")


def announce_training(options: Options, index: ImageIndex, view: View) -> None:
    """Show on which images the run trains, and what is unusual about it."""
    skipped = f"; {index.skipped_files:,} other files skipped" if index.skipped_files else ""
    kinds = f" ({kinds_text(index.skipped_kinds)})" if index.skipped_kinds else ""
    tested = f", {index.test_count:,} to test" if index.test_count else ""
    view.message(
        f"{index.train_count:,} images of {len(index.class_names):,} classes to train on, "
        f"{index.validation_count:,} to validate{tested}{skipped}{kinds}"
    )
    room = columns() - len(BY_CLASS)
    view.message(f"{BY_CLASS}{classes_text(index.class_names, index.class_counts(), room)}")
    if sizes := sizes_line(index, options.image_size):
        view.message(sizes)
    for note in index.notes:
        view.message(note)
    if options.model is None and options.weights == "none":
        view.message("weights 'none': training the whole network, because a random backbone kept frozen learns nothing")
    if rate := rate_note(options):
        view.message(rate)
    if options.isolation == "inline":
        view.message(WHAT_INLINE_CANNOT)
        if options.deterministic:
            view.message("deterministic: TensorFlow stays so in this process until it ends")


class Called(NamedTuple):
    """When the user called, by `time.monotonic()`, the arguments about data, and the hashes of the user's code."""

    at: float
    data: DataCall
    code: Mapping[str, str] = MappingProxyType({})


def new_run(
    files: RunDirectory,
    options: Options,
    index: ImageIndex,
    machine: Hardware,
    payload: Payload | None,
    view: View,
    called: Called | None = None,
    *,
    doubt_labels: bool = False,
) -> RunRecord:
    """Probe if a size is not given, make the plan, and write the list of images, the request and the plan.

    A time budget counts from when the user `called`. With `doubt_labels` the worker also doubts each label.

    Raises:
        UserError: the model or the memory limit cannot be used.
        DoesNotFitError: not even one image at a time fits.
        TrainingFailedError: a trial failed for a reason that is not memory.
        InterruptedRunError: the probe was stopped.
    """
    require_devices(options, machine)
    if slow := slow_words(options.precision, machine):
        view.message(slow)
    choice = _precision(options, index, machine, payload, view)
    report = None
    if plan.needs_probe(options) and not plan.has_time_to_probe(options):
        view.message("no probe in so short a time budget: a step that runs out of memory is repeated with fewer images")
    elif plan.needs_probe(options):
        report = _probe_first(files, options, index, measurer_for(options, machine, payload, view), choice)
    has_callbacks = bool(payload and payload.callbacks)
    counts = index.train_count, len(index.class_names)
    planned = fresh_plan(options, *counts, report, machine, has_callbacks=has_callbacks)
    for note in option_notes(options, planned, has_callbacks=has_callbacks):
        view.message(note)
    if index.keeps_validation:
        planned = plan.without_refit(planned)
    found = find_ranges(len(index.paths), index.path, options.seed, view.message)
    if found.ranges:
        view.message(ranges_text(found.ranges))
    if (odd := sample_text(found)) and not doubt_labels:  # else the check says so
        view.message(odd)
    update = {"value_ranges": of_any_width(found.ranges), "doubt_labels": doubt_labels, "precision_choice": choice}
    if not index.validation_count:  # by which a head on views is chosen
        update["views"] = None
    planned = planned.model_copy(update=update)
    record = RunRecord(
        options=options,
        has_callbacks=has_callbacks,
        data=data_record(index),
        plan=_following(options, planned),
        started=time.time(),
        seconds_before=0.0 if called is None else time.monotonic() - called.at,
        seal=sign_model(options.model) if options.model not in {None, GIVEN_FUNCTION} else "",
        code=dict(called.code) if called else {},
        call=called.data if called else None,
        software=[software_of(machine)],
    )
    with writing_in(files.path):
        index.write_csv(files.samples)
        record.save(files.run)
    return record


def fresh_plan(
    options: Options,
    train_count: int,
    num_classes: int,
    report: ProbeReport | None,
    machine: Hardware,
    *,
    has_callbacks: bool,
) -> TrainingPlan:
    """The plan of a new run, with the kernels, the tuning and the compiler that the user's environment asks for."""
    planned = plan.staged_plan(
        options,
        train_count,
        num_classes,
        report,
        machine,
        kernels_asked(os.environ),
        tuning_asked(os.environ),
        has_callbacks=has_callbacks,
    )
    return planned.model_copy(update={"xla": machine.device == "gpu" and xla_asked(os.environ)})


def followed_run(options: Options) -> RunRecord | None:
    """The run that is replayed; None if `replay` is not given.

    Raises:
        UserError: its `run.json` cannot be read.
    """
    if options.replay is None:
        return None
    try:
        return RunRecord.load(RunDirectory(Path(options.replay)).run)
    except (OSError, ValueError) as error:
        what = f"replay {options.replay!r}: its run.json cannot be read"
        raise UserError(said_of(error, what, "follow another run")) from None


def in_order(index: ImageIndex, options: Options) -> ImageIndex:
    """The images in the order of the run: stratified if the run, or the one that it replays, has a time budget.

    Raises:
        UserError: the run that is replayed cannot be read.
    """
    followed = followed_run(options)
    of = followed.options if followed else options
    return index if of.time_budget_seconds is None else evenly_spread(index, options.seed)


def _following(options: Options, planned: TrainingPlan) -> TrainingPlan:
    """Use the kernels and the feature cache of the run that is replayed: otherwise the results would differ in bits.

    The replay of a deterministic run is deterministic.
    """
    of_followed = followed_run(options)
    if of_followed is None:
        return planned
    followed = of_followed.plan
    if stages_of(followed) != ("training",):
        planned = followed.model_copy(update={name: getattr(planned, name) for name in NOT_FOLLOWED})
        if options.pixel_cache == "off":
            tuned = planned.fine_tune and planned.fine_tune.model_copy(update={"pixel_cache": False})
            planned = planned.model_copy(update={"pixel_cache": False, "fine_tune": tuned})
    elif options.feature_cache == "auto":
        keeps = followed.feature_cache and freezes_backbone(options)
        planned = planned.model_copy(update={"feature_cache": keeps, "feature_views": followed.feature_views})
    follows = {
        "kernels": followed.kernels,
        "tuning": followed.tuning,
        "xla": followed.xla,
        "rung": followed.rung or rung_of(of_followed.options),
        "precision_choice": _followed_precision(options, of_followed),
        "deterministic": options.deterministic or followed.deterministic,
        "rate_falls": followed.rate_falls,
        "head_from_zeros": followed.head_from_zeros,
        "epochs": followed.epochs if followed.epochs_by_budget == "decided" else planned.epochs,
        "ends_with_ledger": of_followed.options.time_budget_seconds is not None,
    }
    return planned.model_copy(update=follows)


def _precision(
    options: Options, index: ImageIndex, machine: Hardware, payload: Payload | None, view: View
) -> PrecisionChoice | None:
    """The precision that `"auto"` chooses; None if the precision was given, or is that of the run that is replayed."""
    if options.precision != "auto" or options.replay is not None:
        return None
    return precision_choice(options, len(index.class_names), measurer_for(options, machine, payload, view))


def _followed_precision(options: Options, followed: RunRecord) -> PrecisionChoice | None:
    """The precision of the run that is replayed, if the replay does not give one; None if it does."""
    if options.precision != "auto":
        return None
    precision = precision_of(followed.settled_options)
    return PrecisionChoice(precision=precision, why="as the run that is replayed")


def _probe_first(
    files: RunDirectory, options: Options, index: ImageIndex, measurer: Measurer, choice: PrecisionChoice | None
) -> ProbeReport:
    """Probe for a run, in the chosen precision, and save the report in its directory."""
    most = plan.largest_useful_batch(options, index.train_count, measurer.machine)
    try:
        report = measurer.measure(settled(options, choice), len(index.class_names), most, wanted=most)
    except InterruptedRunError as error:
        again = f"nothing is trained yet; run the same again with run_dir {shown_path(files.path)}"
        raise InterruptedRunError(f"{error}: {again}") from error
    report = report.model_copy(update={"precision_choice": choice})
    with writing_in(files.path):
        report.save(files.probe)
    if report.largest_feasible_batch == 0:
        raise does_not_fit(report, trains_in(options, "training"))
    measurer.view.message(found_words(report, most))
    return report
