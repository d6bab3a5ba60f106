"""Finds images that are probably labelled wrong, by a run of the head alone on all images, in a worker process."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from autofit.api.new_run import new_run
from autofit.api.supervision import say_of_lock, supervise, without_directions
from autofit.api.workers import machine_for
from autofit.config.options import Options
from autofit.dataset import ImageIndex
from autofit.dataset.label_doubts import Doubts, read_doubts
from autofit.errors import AutofitError, InterruptedRunError
from autofit.protocol.messages import Progress
from autofit.report.views import ProgressView
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock
from autofit.storage.scratch import scratch_folder

NOT_SOLVED = "the features are not cached, or memory does not suffice to solve a head"


class _OnlyProgress(ProgressView):
    """Shows the progress of the worker, but not the figures of the head, which is thrown away."""

    def __init__(self, view: ProgressView) -> None:
        self._view = view

    def update(self, progress: Progress, *, epochs: int) -> None:
        """Show the progress of the worker."""
        self._view.update(progress, epochs=epochs)

    def message(self, text: str) -> None:
        """Show a line."""
        self._view.message(text)

    def passthrough(self, text: str) -> None:
        """Show what was printed in the worker."""
        self._view.passthrough(text)


def doubted_labels(
    index: ImageIndex, kept: Sequence[int], options: Options, view: ProgressView
) -> tuple[Doubts | None, str]:
    """Images of all splits, the most doubtful label first; None with the reason if doubts could not be computed.

    Args:
        index: the images.
        kept: the numbers of the images to look at, as in `AllImages`.
        options: backbone, weights, image size and limits.
        view: shows the progress.

    Raises:
        InterruptedRunError: Ctrl-C.
    """
    paths, labels = [*index.paths, *index.test_paths], [*index.labels, *index.test_labels]
    groups = [*index.groups, *index.test_groups]
    together = replace(
        index,
        paths=[paths[number] for number in kept],
        labels=array("i", [labels[number] for number in kept]),
        validation_from=len(kept),
        test_paths=[],
        test_labels=array("i"),
        groups=array("i", [groups[number] for number in kept if groups]),
        test_groups=array("i"),
        weights=array("d"),  # a label is as doubtful whatever its image counts
    )
    machine = machine_for(options)
    with scratch_folder("autofit-check-") as folder:
        files = RunDirectory(folder / "run")
        files.create()
        try:
            with RunLock(files).acquire(0.0) as lock:
                say_of_lock(lock, view)
                record = new_run(files, options, together, machine, None, view, doubt_labels=True)
                supervise(files, record, machine, None, lock, _OnlyProgress(view), None)
        except InterruptedRunError:
            raise InterruptedRunError("the check was stopped: give the same call again") from None
        except AutofitError as error:
            return None, without_directions(error)
        found = read_doubts(files.doubts)
    if found is None:
        return None, NOT_SOLVED
    numbers = np.asarray(kept, np.int64)
    return replace(found, images=numbers[found.images], alike=numbers[found.alike]), ""
