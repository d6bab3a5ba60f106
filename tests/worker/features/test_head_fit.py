"""The final head, and how good it is on training photos that were left out. No TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autofit.worker.features import head_fit
from autofit.worker.features.head_fit import LEAST_LEFT_OUT, fit_head, left_out_accuracy
from autofit.worker.features.head_rows import LabelledRows, joined, labelled_rows
from autofit.worker.features.head_solver import HeadProblem
from autofit.worker.features.photo_scores import photo_scores


def _photos(count: int, seed: int) -> LabelledRows:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centres = np.random.default_rng(0).normal(size=(3, 40))
    return labelled_rows(centres[labels] + 3.0 * random.normal(size=(count, 40)), labels)


def test_photos_of_another_kind_are_known_by_training_photos_that_were_left_out() -> None:
    """A user's validation from another camera would look like a poor model, as there was no other figure beside it."""
    train, own = _photos(300, 1), _photos(400, 2)
    other = labelled_rows(-own.parts[0][np.arange(400)], own.labels)
    for validation in (own, other):
        fit = fit_head(train, validation, 3, refit=False)
        assert fit.how_chosen == "validation"
        assert fit.cross_validated_accuracy is not None
        accuracy = float(photo_scores(fit.trained, validation).hits.mean())
        assert (accuracy < fit.cross_validated_accuracy - 0.15) == (validation is other)


def test_the_head_is_the_same_and_its_training_accuracy_is_not_taken_for_that_of_others() -> None:
    """Its own photos are nearly all right: every validation would seem to be of another kind."""
    train, own = _photos(300, 1), _photos(400, 2)
    apart, pooled = fit_head(train, own, 3, refit=False), fit_head(train, own, 3)
    np.testing.assert_array_equal(apart.trained.kernel, pooled.trained.kernel)
    assert pooled.cross_validated_accuracy is None  # split off by chance: it costs no time there
    assert apart.cross_validated_accuracy is not None
    assert apart.cross_validated_accuracy < float(photo_scores(apart.trained, train).hits.mean()) - 0.1
    assert fit_head(train, own, 3, refit=False, class_weights={0: 2.0}).cross_validated_accuracy is None


def test_an_accuracy_with_weights_of_validation_photos_is_not_shown() -> None:
    """A share of weights would be told as one of images."""
    train, own = _photos(90, 1), _photos(60, 2)
    views = replace(joined(train, train), groups=np.tile(np.arange(90), 2)).weighted(np.full(180, 0.5))
    for rows in (train, views):
        assert fit_head(rows, own, 3).cross_validated_accuracy is not None
        for weights in (np.zeros(60), np.full(60, 3.0), 1.0 + np.arange(60) % 2):
            assert fit_head(rows, own.weighted(np.asarray(weights, np.float64)), 3).cross_validated_accuracy is None


def test_what_is_left_out_is_bounded_and_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million rows would be solved once more for a warning; or four photos decide about it."""
    assert left_out_accuracy(_photos(5 * LEAST_LEFT_OUT - 5, 1), 3, 10.0) is None
    assert left_out_accuracy(_photos(5 * LEAST_LEFT_OUT, 1), 3, 10.0) is not None
    solved: list[int] = []

    class Counted(HeadProblem):
        def __init__(self, rows: LabelledRows, *args: Any, **more: Any) -> None:
            solved.append(len(rows))
            super().__init__(rows, *args, **more)

    monkeypatch.setattr(head_fit, "HeadProblem", Counted)
    assert left_out_accuracy(_photos(8000, 1), 3, 10.0) is not None
    assert len(solved) == 1
    assert solved[0] <= 4000
    assert left_out_accuracy(_photos(300, 1), 3, 1e-6, goes_on=lambda: False) is None  # there was no time
