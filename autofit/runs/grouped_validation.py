"""How much the validation images of a run say about its accuracy where some belong together, as those of a patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from autofit.config.multi_label_figures import THRESHOLD
from autofit.config.standard_error import effective_images
from autofit.dataset import ImageIndex
from autofit.errors import UserError
from autofit.runs.multi_label_evaluation import truth_of
from autofit.runs.run_record import RunRecord, listed_images
from autofit.storage.probabilities import read_probabilities
from autofit.storage.run_directory import RunDirectory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class GroupedValidation(NamedTuple):
    """The number of groups of the validation images, and as how many independent images they count; 0 if unknown."""

    groups: int
    effective_images: float


NOT_GROUPED = GroupedValidation(0, 0.0)


def grouped_validation(files: RunDirectory, record: RunRecord) -> GroupedValidation:
    """Count the groups of a run's validation images, by the predictions that it has kept for them.

    Images that could not be read do not count. Without predictions each group counts as one image.
    """
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    if record.call is None or record.call.group_column is None:
        return NOT_GROUPED
    try:
        index = listed_images(files, record.data)
    except UserError:  # the list is damaged
        return NOT_GROUPED
    if not index.groups:  # somebody has changed it
        return NOT_GROUPED
    groups = np.asarray(index.groups[index.train_count :], np.int64)
    rows = read_probabilities(files.validation, index.validation_count, len(index.class_names))
    hits = None if rows is None else _hits(index, rows)
    if rows is not None and hits is not None:
        is_known = ~np.isnan(rows).any(axis=1)
        groups, hits = groups[is_known], hits[is_known]
    if not len(groups):
        return NOT_GROUPED
    return GroupedValidation(len(np.unique(groups)), effective_images(hits, groups))


def _hits(index: ImageIndex, rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each validation image is predicted right, with all its labels; rows are its probabilities."""
    import numpy as np  # noqa: PLC0415

    labels = index.labels[index.train_count :]
    truth = truth_of([index.classes_of(label) for label in labels], rows.shape[1])
    told = rows >= THRESHOLD if index.is_multi_label else rows.argmax(axis=1)[:, None] == np.arange(rows.shape[1])
    hits: NDArray[np.bool_] = (told == truth).all(axis=1)
    return hits
