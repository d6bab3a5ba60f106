"""Judges a head on photos, which are read in blocks. No TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autofit.worker.features.head_losses import label_losses
from autofit.worker.features.head_rows import Floats, LabelledRows, Numbers
from autofit.worker.features.head_solver import Head


@dataclass(frozen=True, slots=True, eq=False)
class PhotoScores:
    """The loss, hit (0 to 1) and weight of each photo, float64 (photos,) each.

    Loss and hit are averages over the views of a photo. Its weight is the sum of theirs, as in the loss that a head is
    solved with: of photos with one view and with four, each would otherwise not count the same.

    `families` has the number of each photo's family, int64 (photos,); None if nothing is known of such.
    """

    losses: Floats
    hits: Floats
    weights: Floats
    families: Numbers | None = None


def together(parts: Sequence[PhotoScores]) -> PhotoScores:
    """The scores of all parts, one after another."""
    families = [part.families for part in parts if part.families is not None]
    losses, hits, weights = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("losses", "hits", "weights")
    )
    return PhotoScores(losses, hits, weights, np.concatenate(families) if families else None)


def photo_scores(head: Head, rows: LabelledRows) -> PhotoScores:
    """The scores of a head on each photo; rows of weight 0 are left out.

    Raises:
        ValueError: a feature is not finite.
    """
    rows = rows.counting()
    losses, hits = np.empty(len(rows)), np.empty(len(rows))
    for block, logits in head.logits_by_block(rows):
        if not np.isfinite(logits).all():
            raise ValueError("a feature is not a finite number")
        losses[block], hits[block] = _row_scores(logits, rows, block)
    if (np.diff(rows.groups) > 0).all():  # each photo has one row
        return PhotoScores(losses, hits, rows.weights, rows.families)
    _, first, photo_of = np.unique(rows.groups, return_index=True, return_inverse=True)
    views = np.bincount(photo_of)
    losses, hits = (np.bincount(photo_of, values) / views for values in (losses, hits))
    weights = np.bincount(photo_of, rows.weights).astype(np.float64, copy=False)
    return PhotoScores(losses, hits, weights, None if rows.families is None else rows.families[first])


def _row_scores(logits: Floats, rows: LabelledRows, block: slice) -> tuple[Floats, Floats]:
    """The loss and the hit of each row of a block, (k,) each; the means over its labels if it may have several."""
    labels = rows.labels[block]
    if rows.table is not None:
        targets = rows.table.targets[labels]
        losses = label_losses(logits, targets) * rows.table.weights[labels]
        return losses.mean(axis=1), ((logits >= 0) == (targets > 0)).mean(axis=1)
    logits -= logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(labels)), labels]
    hits = (logits.argmax(axis=1) == labels).astype(np.float64)
    return np.log(np.exp(logits, out=logits).sum(axis=1)) - chosen, hits
