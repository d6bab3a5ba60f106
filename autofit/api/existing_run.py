"""What a run directory holds already, perhaps a stranger's: whether it is what is asked for, and what may change."""

from __future__ import annotations

from pathlib import Path

from autofit.api.result import Result, from_here
from autofit.api.seal import is_sealed_here
from autofit.api.workers import ModelFunction
from autofit.config.option_checks import GIVEN_FUNCTION
from autofit.config.options import Options, difference
from autofit.dataset import ImageIndex
from autofit.errors import UserError
from autofit.process.monitor import View
from autofit.report.text import resume_command
from autofit.runs.plan import RunRecord
from autofit.storage.run_directory import RunDirectory, writing_in


def read_run(files: RunDirectory) -> RunRecord:
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


def is_finished(files: RunDirectory) -> bool:
    """Whether the run there has come to its end, with a result."""
    try:
        return Result(files.path).status == "completed"
    except UserError:
        return False


def same_request(files: RunDirectory, options: Options, index: ImageIndex) -> RunRecord | None:
    """The run that a directory holds already; None where it holds none.

    Images that have moved since are read from where they are now, and what may change is as it was given now.

    Raises:
        UserError: it holds another request.
    """
    if not files.run.exists():
        return None
    record = read_run(files)
    require_same(record, options, index, "run_dir", files.path)
    here = record.model_copy(update={"options": options, "data": record.data.model_copy(update={"root": index.root})})
    return kept(files, record, allowing(here, options.max_bad_images))


def require_same(record: RunRecord, options: Options, index: ImageIndex, option: str, folder: Path) -> None:
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


def allowing(record: RunRecord, max_bad_images: float) -> RunRecord:
    """The same run, which may have more images that cannot be read, or fewer."""
    now = {"max_bad_images": max_bad_images}
    update = {"options": record.options.model_copy(update=now), "plan": record.plan.model_copy(update=now)}
    return record.model_copy(update=update)


def kept(files: RunDirectory, before: RunRecord, now: RunRecord) -> RunRecord:
    """Write `run.json` anew where it has changed."""
    if now != before:
        with writing_in(files.path):
            now.save(files.run)
    return now


def check_model_again(files: RunDirectory, record: RunRecord, model: str | ModelFunction | None) -> None:
    """See to it that the model is the run's, and that nobody's code runs because a stranger's `run.json` names it.

    A function given as an object is gone with the process that gave it. A module is imported without a word where the
    run was started here; else whoever resumes has to name it.

    Raises:
        UserError: it was not given again, or another than the run's.
    """
    reference = record.options.model
    if reference == GIVEN_FUNCTION:
        if not callable(model):
            how = how_to_resume(files, record)
            raise UserError(f"{files.path} was started with a model function: give it again, {how}")
    elif model is not None and model != reference:
        network = reference or record.options.backbone
        raise UserError(f"{files.path} was started with {network}, not with another model: leave model out")
    elif reference is not None and model is None and not is_sealed_here(record.seal, reference):
        raise UserError(
            f"{files.path} was not started by you in this folder, and would import and run {reference}: "
            f"if that is code of yours, give it again, autofit resume DIR --model {reference}"
        )


def tell_of_import(record: RunRecord, view: View) -> None:
    """Say whose code is about to run."""
    if record.options.model not in {None, GIVEN_FUNCTION}:
        view.message(f"this run imports its model: {record.options.model}")


def how_to_resume(files: RunDirectory, record: RunRecord) -> str:
    """What to type, or to call where the model function has to be given again."""
    here = from_here(files.path)
    if record.options.model == GIVEN_FUNCTION:
        return f"autofit.resume({str(here)!r}, model=...)"
    return resume_command(here)
