"""The run that a run directory holds already: whether it is the one that is asked for, and how to resume it.

The directory may come from an untrusted source.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autofit.api.result import shown_path
from autofit.api.signature import is_signed_here
from autofit.api.workers import ModelFunction
from autofit.config.option_checks import GIVEN_FUNCTION
from autofit.config.options import Options, difference
from autofit.dataset import ImageIndex
from autofit.errors import UserError
from autofit.process.monitor import View
from autofit.report.run_text import resume_command
from autofit.runs.result_record import is_finished
from autofit.runs.run_record import RunRecord, read_run
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory, writing_in

# The same request -----------------------------------------------------------------------------------------------------


def require_run(files: RunDirectory) -> RunRecord:
    """The run in a directory.

    Raises:
        UserError: the directory holds no run, or a link leads out of it.
    """
    try:
        record = read_run(files)
    except (OSError, ValueError) as error:
        raise UserError(f"{files.run} cannot be read ({error}): give the run directory of another run") from None
    if record is None:
        raise UserError(f"{files.path} holds no run: give the run directory of one")
    files.refuse_links_out()
    return record


def find_same_run(files: RunDirectory, options: Options, index: ImageIndex) -> RunRecord | None:
    """The run of this request in a directory, updated by what may change between two calls; None if there is no run.

    The options and the folder of the images are those of this call: the images may have moved.

    Raises:
        UserError: the directory holds another request.
    """
    if not files.run.exists():
        return None
    record = require_run(files)
    require_same(record, options, index, "run_dir", files.path)
    here = record.model_copy(update={"options": options, "data": record.data.model_copy(update={"root": index.root})})
    return save_if_changed(files, record, with_max_bad_images(here, options.max_bad_images))


def require_same(record: RunRecord, options: Options, index: ImageIndex, option: str, folder: Path) -> None:
    """Check that a folder, which was given for this option, holds this request.

    Raises:
        UserError: it holds another one.
    """
    what = difference(record.options, options)
    if what is None and record.data.fingerprint != index.fingerprint():
        what = "other images"
    if what is not None:
        where = option if option == "mirror_dir" else "run directory"
        raise UserError(f"{where} {folder} holds another request ({what}): give another {option}")


def require_same_code(
    files: RunDirectory, record: RunRecord, code: Mapping[str, str], *, is_request: bool
) -> RunRecord:
    """Check that the model function and the callbacks are those that the run has trained with.

    Before the first checkpoint, nothing is lost with other code: a mistake in it may be why there is none.

    Args:
        files: of the run.
        record: the run.
        code: the hashes of the code that is given now.
        is_request: what is missing is not wanted; a run may be resumed without its callbacks.

    Returns:
        The run, with the code that it has now.

    Raises:
        UserError: they are others.
    """
    differing = {what for what, now in code.items() if record.code.get(what, now) != now}
    if is_request and record.has_callbacks != ("callbacks" in code):
        differing.add("callbacks")
    is_begun = is_finished(files) or CheckpointStore(files.checkpoints).latest_state() is not None
    if differing and is_begun:
        what = f"the code of the {min(differing)}, or a value that it uses, has changed"
        raise UserError(f"run directory {files.path} holds another request ({what}): give another run_dir")
    known = {} if is_request else record.code
    return save_if_changed(files, record, record.model_copy(update={"code": {**known, **code}}))


# What may change ------------------------------------------------------------------------------------------------------


def with_max_bad_images(record: RunRecord, max_bad_images: float) -> RunRecord:
    """The same run with another limit on the share of images that cannot be read."""
    now = {"max_bad_images": max_bad_images}
    update = {"options": record.options.model_copy(update=now), "plan": record.plan.model_copy(update=now)}
    return record.model_copy(update=update)


def save_if_changed(files: RunDirectory, before: RunRecord, now: RunRecord) -> RunRecord:
    """Write `run.json` again if it has changed; returns the run as it is now."""
    if now != before:
        with writing_in(files.path):
            now.save(files.run)
    return now


# The user's model -----------------------------------------------------------------------------------------------------


def require_model(files: RunDirectory, record: RunRecord, model: str | ModelFunction | None) -> None:
    """Check that the given model is the run's, and that no code runs only because a `run.json` names it.

    A function that was given as an object is gone with the process that gave it. A module is imported without asking if
    this user started the run in this folder; otherwise the caller has to name it.

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
    """The command that resumes the run, or the Python call if the model function has to be given again."""
    here = shown_path(files.path)
    if record.options.model == GIVEN_FUNCTION:
        return f"autofit.resume({str(here)!r}, model=...)"
    return resume_command(here)
