"""How a run uses its mirror: which folder that is, restoring the run from it, and the last copy at the end."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from autofit.api.existing_run import require_same
from autofit.api.result import Result, shown_path
from autofit.config.options import Options
from autofit.dataset import ImageIndex
from autofit.errors import UserError
from autofit.mirror.mirror import Mirror
from autofit.mirror.overlap import refuse_overlap
from autofit.printable import printable
from autofit.process.monitor import View
from autofit.runs.run_record import DataRecord, RunRecord, listed_images
from autofit.storage.run_directory import RunDirectory, writing_in
from autofit.storage.system_errors import explained


def mirror_for(
    files: RunDirectory, folder: str | None, view: View, *, must_hold_it: bool = False
) -> AbstractContextManager[Mirror | None]:
    """The mirror in this folder, which entering the context locks; None if no folder was given."""
    return Mirror(files, Path(folder), view.message, must_hold_it=must_hold_it) if folder else nullcontext()


def mirror_of(files: RunDirectory, record: RunRecord, view: View) -> AbstractContextManager[Mirror | None]:
    """The mirror that a run was started with; None if the mirror itself is resumed, or overlaps after a move.

    It is used only if it holds this run: `run.json`, which names it, may come from an untrusted source.
    """
    folder = record.options.mirror_dir
    try:
        if folder:
            refuse_overlap(files.path, Path(folder))
    except UserError:
        view.message(f"resuming in {files.path} itself, without a mirror")
        folder = None
    return mirror_for(files, folder, view, must_hold_it=True)


def restore_from(mirror: Mirror, files: RunDirectory, options: Options, index: ImageIndex) -> None:
    """Restore the run from its mirror if that has trained further, and list the images at the paths of this call."""
    if mirror.restore(lambda record: require_same(record, options, index, mirror.folder)):
        write_list(files, index)


def write_list(files: RunDirectory, index: ImageIndex) -> None:
    """Write the list of the images again: the same images in another place."""
    with writing_in(files.path):
        index.write_csv(files.samples)


def with_images_here(files: RunDirectory, record: RunRecord) -> RunRecord:
    """The run with the present paths of images that were given in memory: they move with its directory.

    Raises:
        UserError: these images are gone, since a mirror does not copy them; or the folder of the other images is gone.
    """
    data = record.data
    if not data.store:
        _require_images(files, data)
    if not data.store or Path(data.store).is_dir():
        return record
    if not files.images.is_dir():
        raise UserError(
            f"the images of this run were given in memory, and their folder {printable(data.store)} is gone: give the "
            "same call again, autofit.run(...) with the same images"
        )
    index = listed_images(files, data)
    write_list(files, index)
    places = {"root": index.root, "store": index.store}
    return record.model_copy(update={"data": data.model_copy(update=places)})


LOOKED_FOR = 50
"""How many images are looked for where the folder of a list is gone: the paths in the list may be absolute."""


def _require_images(files: RunDirectory, data: DataRecord) -> None:
    """Check that the images are still where the run found them.

    Raises:
        UserError: their folder is gone, or cannot be read.
    """
    where = f"the images of this run were found in {printable(data.root)}, which"
    then = f"or name their new place, autofit.run(FOLDER, run_dir={str(shown_path(files.path))!r}, ...) as before"
    try:
        Path(data.root).stat()
    except (FileNotFoundError, NotADirectoryError):
        images = listed_images(files, data)
        if not any(map(os.path.lexists, map(images.path, range(min(LOOKED_FOR, len(images.paths)))))):
            raise UserError(f"{where} is gone: mount it or bring it back, and resume again; {then}") from None
    except OSError as error:
        raise UserError(f"{explained(error, f'{where} cannot be read')}; {then}") from None


def finished_result(files: RunDirectory, mirror: Mirror | None) -> Result:
    """The result of a finished run. The mirror's thread copies what the mirror lacks before the mirror is closed."""
    if mirror:
        mirror.start()
    return Result(files.path)
