"""The run that a run directory already holds: whether it is of the same request, and how to resume it.

The directory may come from an untrusted source.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from autofit.api.changed_photos import photo_changes
from autofit.api.code_identity import differing, what_of
from autofit.api.new_run import fresh_plan
from autofit.api.result import shown_path
from autofit.api.signature import is_signed_here
from autofit.api.workers import ModelFunction
from autofit.config.option_checks import GIVEN_FUNCTION
from autofit.config.options import Options
from autofit.config.request_difference import difference, shown_value
from autofit.dataset import ImageIndex
from autofit.dataset.labels import other_notations
from autofit.errors import UserError
from autofit.machine.hardware import Hardware
from autofit.process.monitor import View
from autofit.report.progress import is_notebook
from autofit.report.run_text import best_line, resume_command
from autofit.report.stage_words import reached_words
from autofit.runs.collect_result import committed
from autofit.runs.history import finished_epochs
from autofit.runs.rerun import (
    AnotherTrainingError,
    Rerun,
    has_other_epochs,
    with_conditions,
    with_epochs,
    with_fine_tuning_as_planned,
)
from autofit.runs.result_record import ResultRecord, is_finished, require_known_result
from autofit.runs.run_record import WEIGHTS_FILE, RunRecord, listed_images, read_run
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.format_version import NewerFormatError
from autofit.storage.run_directory import RunDirectory, writing_in
from autofit.storage.system_errors import said_of


class AnotherRunError(UserError):
    """A directory holds a run of another request.

    Attributes:
        why: the message without its advice.
    """

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"{why}: {remedy}")
        self.why = why


# The same request -----------------------------------------------------------------------------------------------------


def require_run(files: RunDirectory) -> RunRecord:
    """The run in a directory.

    Raises:
        UserError: the directory holds no run, one of a newer autofit, or a link leads out of it.
    """
    record = run_in(files)
    if record is None:
        raise UserError(f"{files.path} holds no run: give the run directory of one")
    return record


def run_in(files: RunDirectory) -> RunRecord | None:
    """The run in a directory; None if there is none.

    Raises:
        UserError: it cannot be read, is one of a newer autofit, or a link leads out of the directory.
    """
    try:
        record = read_run(files)
        require_known_result(files)
    except NewerFormatError as error:
        raise UserError(f"{files.path}: {error}") from None
    except (OSError, ValueError) as error:
        raise UserError(
            said_of(error, f"{files.run} cannot be read", "give the run directory of another run")
        ) from None
    if record is not None:
        files.refuse_links_out()
    return record


def find_same_run(
    files: RunDirectory, options: Options, index: ImageIndex, code: Mapping[str, str], machine: Hardware
) -> Rerun | None:
    """The run of this request in a directory, as this call wants it to go on; None if there is no run.

    It gets the conditions and epochs of this call, and the folder of the images, which may have moved. Nothing is
    written, except that other code of the user is recorded before the first checkpoint.

    Raises:
        UserError: the directory holds another request.
    """
    record = run_in(files)
    if record is None:
        return None
    finished = is_finished(files)
    where = f"run directory {files.path}"
    require_same_options(record, options, where, "run_dir", is_finished=finished)
    is_begun = finished or CheckpointStore(files.checkpoints).latest_state() is not None
    changes = photo_changes(files, record, _in_its_notation(index, record.data.class_names))
    if changes.is_other or (changes and is_begun):
        raise AnotherRunError(
            f"{changes.words} since the run in {shown_path(files.path)} began", "give another run_dir to train on them"
        )
    record = require_same_code(files, record, code, is_request=True)
    places = {"root": index.root, "store": index.store}
    here = record.model_copy(update={"data": record.data.model_copy(update=places)})
    return as_called_now(files, here, with_fine_tuning_as_planned(record.options, options), machine)


def is_only_read(files: RunDirectory, rerun: Rerun) -> bool:
    """Whether a run is finished and lies where nothing can be written, as on a read-only drive: it needs no lock.

    With more epochs it would train on, and has to be written.
    """
    return is_finished(files) and not rerun.trains_on and not os.access(files.path, os.W_OK)


def _in_its_notation(index: ImageIndex, class_names: Sequence[str]) -> ImageIndex:
    """The images, whose classes are called as the run calls them where both are truths: True is 1."""
    known = other_notations(index.class_names, class_names)
    meant = tuple(known.get(name, name) for name in index.class_names)
    return replace(index, class_names=meant) if meant == tuple(class_names) else index


def remove_refused_images(files: RunDirectory, index: ImageIndex) -> None:
    """Remove the images that a refused call had in memory and has written to the directory of another run.

    Images that the run lists stay; if its list cannot be read, all stay.
    """
    if not index.store:
        return
    with suppress(UserError, OSError):
        there = listed_images(files, require_run(files).data)
        kept = {path[len(there.store) :] for path in _paths_in_store(there)}
        written = [path for path in _paths_in_store(index) if path[len(index.store) :] not in kept]
        for path in written:
            Path(path).unlink(missing_ok=True)
        for folder in [*sorted({os.path.dirname(path) for path in written}), str(files.images)]:  # noqa: PTH120
            with suppress(OSError):  # it holds images of the run
                Path(folder).rmdir()


def _paths_in_store(index: ImageIndex) -> list[str]:
    """The absolute paths of the images that were given in memory."""
    paths = [index.path(number) for number in range(len(index.paths))]
    paths += [index.test_path(number) for number in range(len(index.test_paths))]
    return [path for path in paths if index.store and path.startswith(f"{index.store}/")]


def as_called_now(files: RunDirectory, record: RunRecord, options: Options, machine: Hardware) -> Rerun:
    """The run with the conditions and the epochs of this call.

    Raises:
        UserError: the run cannot go on with that number of epochs.
    """
    now = with_conditions(record, options)
    if not has_other_epochs(record.options, options):
        return Rerun(now)
    data, has_callbacks = record.data, record.has_callbacks
    fresh = fresh_plan(options, data.train_count, len(data.class_names), None, machine, has_callbacks=has_callbacks)
    state = committed(CheckpointStore(files.checkpoints))
    try:
        return with_epochs(now, options, fresh, state, is_finished=is_finished(files))
    except AnotherTrainingError as error:
        name = "epochs" if record.options.epochs != options.epochs else "fine_tune_epochs"
        was, wanted = (shown_value(name, getattr(these, name)) for these in (record.options, options))
        raise AnotherRunError(
            f"the run in {shown_path(files.path)} has {name} {was}, not {wanted}, and cannot go on so ({error})",
            f"leave {name} at {was}, or give another run_dir",
        ) from None


def go_on(files: RunDirectory, rerun: Rerun, view: View) -> RunRecord:
    """Record how the run goes on from now; a finished run that trains on is no longer marked as finished, nor tested.

    What other epochs mean is shown.
    """
    before = require_run(files)
    if rerun.words:
        view.message(rerun.words)
    if rerun.trains_on:
        result = ResultRecord.load(files.result)
        update = {"status": "interrupted", "cause": "more epochs were asked for"}
        with writing_in(files.path):
            result.without_test().model_copy(update=update).save(files.result)
            files.test.unlink(missing_ok=True)
    return save_if_changed(files, before, rerun.record)


def require_same_options(record: RunRecord, options: Options, where: str, option: str, *, is_finished: bool) -> None:
    """Check that the folder at `where`, which was given for `option`, holds a run of this request.

    Raises:
        AnotherRunError: it holds a run of another request.
    """
    what = difference(record.options, options, is_finished=is_finished)
    if what is not None:
        raise AnotherRunError(f"{where} holds another request ({what})", f"give another {option}")


def require_same(record: RunRecord, options: Options, index: ImageIndex, folder: Path) -> None:
    """Check that a mirror holds a run of this request and these images.

    Raises:
        AnotherRunError: it holds another run.
    """
    where = f"mirror_dir {folder}"
    require_same_options(record, options, where, "mirror_dir", is_finished=False)
    if record.data.fingerprint != index.fingerprint():
        what = photo_changes(RunDirectory(folder), record, index).words
        raise AnotherRunError(f"{where} holds another request ({what})", "give another mirror_dir")


def require_same_code(
    files: RunDirectory, record: RunRecord, code: Mapping[str, str], *, is_request: bool
) -> RunRecord:
    """Check that the model function and the callbacks are those that the run has trained with.

    Before the first checkpoint other code is accepted: nothing is lost, and a mistake in the code may be the reason why
    there is no checkpoint.

    Args:
        files: the run's directory.
        record: the run.
        code: the hashes of the code that is given now.
        is_request: whether this is a call of `run`, where missing callbacks mean another request; `resume` may leave
            them out.

    Returns:
        The run, with the hashes of its code as of now.

    Raises:
        UserError: the code differs.
    """
    if not (is_request or record.has_callbacks):  # the request has none, so that each resume may have others
        code = {key: sha256 for key, sha256 in code.items() if what_of(key) != "callbacks"}
    what = _difference_in_code(record, code, is_request=is_request)
    is_begun = is_finished(files) or CheckpointStore(files.checkpoints).latest_state() is not None
    if what and is_begun:
        raise AnotherRunError(f"run directory {files.path} holds another request ({what})", "give another run_dir")
    known = {} if is_request else record.code
    return save_if_changed(files, record, record.model_copy(update={"code": {**known, **code}}))


def _difference_in_code(record: RunRecord, code: Mapping[str, str], *, is_request: bool) -> str:
    """What differs between a run's code of the user's and that which is given now; empty if nothing does."""
    if is_request and record.has_callbacks != ("callbacks" in code):
        return "callbacks there, none here" if record.has_callbacks else "no callbacks there, callbacks here"
    changed = differing(record.code, code)
    if changed == [WEIGHTS_FILE]:
        return "the weights file has another content than when the run began"
    return f"the code of the {changed[0]}, or a value that it uses, has changed" if changed else ""


# What may change ------------------------------------------------------------------------------------------------------


def already_trained(result: ResultRecord, files: RunDirectory, words: str) -> str:
    """The message for a call whose run is finished already."""
    best = next(iter(best_line(result)), "").removesuffix(".")
    parts = [part for part in (words, best) if part]
    return f"already trained in {shown_path(files.path)}: {'; '.join(parts)} (another run_dir trains afresh)"


def going_on(files: RunDirectory) -> str:
    """The message for a call that goes on with an unfinished run."""
    state = committed(CheckpointStore(files.checkpoints))
    where = ""
    if state:
        where = f", {reached_words(state.stage, state.stages, state.epoch, finished_epochs(state.history))}"
    return f"going on with the run in {shown_path(files.path)}{where} (another run_dir begins afresh)"


def save_if_changed(files: RunDirectory, before: RunRecord, now: RunRecord) -> RunRecord:
    """Write `run.json` again if it has changed; returns the run as it is now."""
    if now != before:
        with writing_in(files.path):
            now.save(files.run)
    return now


# The user's model -----------------------------------------------------------------------------------------------------


def require_model(files: RunDirectory, record: RunRecord, model: str | ModelFunction | None) -> None:
    """Check that the given model is the run's, and that no code runs only because a `run.json` names it.

    A function that was given as an object has to be given again, since it was not saved. A module is imported without
    being given again only if this user started the run in this folder.

    Raises:
        UserError: the model was not given again, or is not the run's.
    """
    reference = record.options.model
    if reference == GIVEN_FUNCTION:
        if not callable(model):
            how = how_to_resume(files, record)
            raise UserError(f"{files.path} was started with a model function: give it again, {how}")
    elif model is not None and model != reference:
        network = reference or record.options.backbone
        raise UserError(f"{files.path} was started with {network}, not with another model: leave model out")
    elif reference is not None and model is None and not is_signed_here(record.seal, reference):
        raise UserError(
            f"{files.path} was not started by you in this folder, and would import and run {reference}: "
            f"if that is code of yours, give it again, autofit resume DIR --model {reference}"
        )


def announce_import(record: RunRecord, view: View) -> None:
    """Show which module the run is about to import."""
    if record.options.model not in {None, GIVEN_FUNCTION}:
        view.message(f"this run imports its model: {record.options.model}")


def how_to_resume(files: RunDirectory, record: RunRecord) -> str:
    """The command that resumes the run; in a notebook, or if a function has to be given again, the Python call."""
    here = shown_path(files.path)
    again = "the same call again, or " if is_notebook() else ""
    if record.options.model == GIVEN_FUNCTION:
        return f"{again}autofit.resume({str(here)!r}, model=...)"
    if again:
        return f"{again}autofit.resume({str(here)!r})"
    return resume_command(here)
