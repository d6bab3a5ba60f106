"""What going on with a run takes: its model given again, a word on whose code is run, and how to ask for it."""

from __future__ import annotations

from autofit.api.seal import is_sealed_here
from autofit.api.workers import ModelFunction
from autofit.errors import UserError
from autofit.finished_run import from_here
from autofit.options import GIVEN_FUNCTION
from autofit.plan import RunRecord
from autofit.process.watch import View
from autofit.report.text import resume_command
from autofit.run_directory import RunDirectory


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
