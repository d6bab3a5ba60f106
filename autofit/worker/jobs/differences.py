"""How far the results of a network in two precisions are apart. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autofit.protocol.model_jobs import OutputKind

LEAST_PROBABILITY = 1e-7
"""A probability counts as at least so much, and one that stands by itself as at most as much less than 1: float32 does
not tell the others apart from 0 and 1."""


def feature_difference(plain: np.ndarray | None, coarse: np.ndarray | None) -> float | None:
    """The largest distance between the two feature vectors of an image, relative to the first one's length.

    Infinite if a feature is not a number; None if there are no features.
    """
    if plain is None or coarse is None:
        return None
    rows, others = (values.reshape(len(values), -1).astype(np.float64) for values in (plain, coarse))
    lengths = np.linalg.norm(rows, axis=1)
    with np.errstate(all="ignore"):
        shares = np.linalg.norm(others - rows, axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return float(np.nan_to_num(shares, nan=np.inf).max())


def loss_difference(plain: float | None, coarse: float | None) -> float | None:
    """The difference of two losses, relative to the first; infinite if one is not a number."""
    if plain is None or coarse is None:
        return None
    share = abs(coarse - plain) / max(abs(plain), float(np.finfo(np.float32).tiny))
    return share if np.isfinite(share) else float("inf")


def scores_of(outputs: np.ndarray, kind: OutputKind, *, multi_label: bool) -> NDArray[np.float64]:
    """What a network gave before its softmax or sigmoid, float64 `(n, classes)`; of a softmax up to a constant per row.

    Probabilities of a network that is not trained yet are nearly equal, whatever the layers below have computed.

    Args:
        outputs: its outputs `(n, classes)`.
        kind: what they hold.
        multi_label: whether each class has a sigmoid of its own.
    """
    scores = outputs.astype(np.float64)
    has_sigmoids = multi_label or kind == "one probability"
    if has_sigmoids or kind == "probabilities":
        scores = np.log(np.maximum(scores, LEAST_PROBABILITY))
    if has_sigmoids:
        scores -= np.log(np.maximum(1 - outputs.astype(np.float64), LEAST_PROBABILITY))
    elif kind in {"probabilities", "logits"}:
        scores -= scores.mean(axis=1, keepdims=True)
    return scores


def score_difference(plain: NDArray[np.float64] | None, coarse: NDArray[np.float64] | None) -> float | None:
    """The distance between the scores of a batch, relative to the length of the first ones.

    It is that of the batch, and not the largest of an image: with two classes the score of some image is about zero.
    Infinite if a score is not a number; None if there are no scores, or all of the first ones are equal.
    """
    if plain is None or coarse is None:
        return None
    length: Any = np.linalg.norm(plain)
    with np.errstate(all="ignore"):
        share = float(np.linalg.norm(coarse - plain) / length) if length else None
    return share if share is None or np.isfinite(share) else float("inf")
