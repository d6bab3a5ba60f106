"""The mirror's part in a run: whether there is one, the run taken up from it, and what it still lacks in the end."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from autofit.api.existing_run import require_same
from autofit.api.result import Result
from autofit.config.options import Options
from autofit.dataset import ImageIndex
from autofit.errors import UserError
from autofit.mirror.mirror import Mirror, refuse_overlap
from autofit.process.monitor import View
from autofit.runs.plan import RunRecord
from autofit.storage.run_directory import RunDirectory, writing_in


def mirror_for(
    files: RunDirectory, folder: str | None, view: View, *, must_hold_it: bool = False
) -> AbstractContextManager[Mirror | None]:
    """The mirror in this folder, claimed on entering; None where no folder was given."""
    return Mirror(files, Path(folder), view.message, must_hold_it=must_hold_it) if folder else nullcontext()


def mirror_again(files: RunDirectory, record: RunRecord, view: View) -> AbstractContextManager[Mirror | None]:
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
    return mirror_for(files, folder, view, must_hold_it=True)


def take_up(mirror: Mirror, files: RunDirectory, options: Options, index: ImageIndex) -> None:
    """Go on from the mirror, where that is further than the run directory, with the images as they were found here."""
    if mirror.take_up(lambda record: require_same(record, options, index, "mirror_dir", mirror.folder)):
        with writing_in(files.path):
            index.write_csv(files.samples)


def finished(files: RunDirectory, mirror: Mirror | None) -> Result:
    """A run that is finished; what its mirror still lacks is copied on the way out."""
    if mirror:
        mirror.start()
    return Result(files.path)
