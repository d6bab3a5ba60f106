"""The head of several labels: one logistic regression for each, solved to its optimum. No TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autofit.worker.features.head_fit import fit_head
from autofit.worker.features.head_rows import LabelledRows, LabelTable, labelled_rows, standardisation
from autofit.worker.features.head_solver import HeadProblem
from autofit.worker.features.photo_scores import photo_scores

CLASSES = 3


def drawn(count: int, width: int, seed: int = 0, *, weighted: bool = False) -> tuple[Any, LabelledRows]:
    """Features, and rows with labels that follow from them with some noise."""
    random = np.random.default_rng(seed)
    features = (random.normal(size=(count, width)) * random.uniform(0.1, 5, width) + 3).astype(np.float32)
    logits = features @ np.random.default_rng(99).normal(size=(width, CLASSES)) / width**0.5
    has = (logits - np.median(logits, axis=0) - [0.5, 0, -1] + random.normal(size=(count, CLASSES)) > 0).astype(int)
    targets = np.array([[number >> bit & 1 for bit in range(CLASSES)] for number in range(2**CLASSES)], np.float64)
    weights = random.uniform(0.2, 3, targets.shape) if weighted else np.ones_like(targets)
    rows = labelled_rows(features, has @ (2 ** np.arange(CLASSES)))
    return has, replace(rows, table=LabelTable(targets, weights))


@pytest.mark.parametrize(("count", "width"), [(300, 12), (40, 120)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_optimum_of_each_label_is_reached(count: int, width: int, *, weighted: bool) -> None:
    """A label would be told by a head that is not the best of its strength, or ignore the weights of its sides."""
    has, rows = drawn(count, width, weighted=weighted)
    assert rows.table is not None
    head = HeadProblem(rows, CLASSES).solve(3.0).head
    own = standardisation(rows)
    features = rows.read(slice(0, count))
    errors = 1 / (1 + np.exp(-(features @ head.kernel + head.bias))) - has
    errors *= rows.table.weights[rows.labels]
    standardised = (features - own.mean) * own.scale
    by_kernel = standardised.T @ errors + 3.0 * head.kernel / own.scale[:, None]
    assert np.abs(by_kernel).max() / count < 2e-5
    assert np.abs(errors.sum(axis=0)).max() / count < 2e-5


def test_labels_do_not_depend_on_each_other() -> None:
    """One label's weights would be drawn to another's, as with a softmax."""
    has, rows = drawn(200, 10)
    head = HeadProblem(rows, CLASSES).solve(1.0).head
    for number in range(CLASSES):
        alone = replace(
            labelled_rows(rows.read(slice(0, 200)), has[:, number]),
            table=LabelTable(np.array([[0.0], [1.0]]), np.ones((2, 1))),
        )
        single = HeadProblem(alone, 1).solve(1.0).head
        np.testing.assert_allclose(single.kernel[:, 0], head.kernel[:, number], rtol=2e-2, atol=1e-4)


def test_labels_on_all_rows_or_none_have_a_constant_probability() -> None:
    """Their biases would run away, and the search would not end."""
    features = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    table = LabelTable(np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 1.0]]), np.ones((2, 3)))
    rows = replace(labelled_rows(features, (features[:, 0] > 0).astype(int)), table=table)
    solution = HeadProblem(rows, 3).solve(1.0)
    assert solution.converged
    logits = solution.head.logits(rows)
    assert (logits[:, 0] > 16).all()
    assert (logits[:, 1] < -16).all()
    assert ((logits[:, 2] > 0) == (features[:, 0] > 0)).mean() > 0.9
    constant = replace(rows, labels=np.zeros(30, np.int64))
    assert (HeadProblem(constant, 3).solve(1.0).head.logits(constant) > 16).tolist() == [[True, False, False]] * 30


def test_the_strength_is_chosen_and_the_head_refitted() -> None:
    """It would be solved on the training images alone, with a strength that suits one label an image."""
    _, train = drawn(400, 30)
    _, validation = drawn(250, 30, seed=1)
    fit = fit_head(train, validation, CLASSES)
    assert (fit.how_chosen, fit.refitted, fit.converged) == ("validation", True, True)
    assert fit.cross_validated_accuracy is None
    losses = {point.l2: point.loss for point in fit.path}
    assert losses[fit.l2] <= 1.05 * min(losses.values())
    scores = photo_scores(fit.trained, validation.unweighted())
    assert scores.losses.mean() < 0.55 < np.log(2)
    small = fit_head(train, validation.of(np.arange(50)), CLASSES)
    assert small.how_chosen == "cross-validation"
