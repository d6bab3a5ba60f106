"""What a run directory holds already, perhaps a stranger's: whether it is what is asked for, and what may change."""

from __future__ import annotations

from pathlib import Path

from autofit.dataset import ImageIndex
from autofit.errors import UserError
from autofit.finished_run import Result
from autofit.options import Options, difference
from autofit.plan import RunRecord
from autofit.run_directory import RunDirectory, writing_in


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
