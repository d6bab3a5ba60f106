"""The head solved to its optimum, and folded back to features as they are. No TensorFlow."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from autofit.worker.features import head_rows, head_solver
from autofit.worker.features.head_rows import joined, labelled_rows, standardisation
from autofit.worker.features.head_solver import HeadProblem, solve_head


def _drawn(count: int, width: int, classes: int, seed: int = 0) -> tuple[Any, Any]:
    """Features of unlike means and spreads, and labels that follow from them with some noise."""
    random = np.random.default_rng(seed)
    latent = random.normal(size=(count, width)) @ random.normal(size=(width, width)) / width**0.5
    labels = (latent @ random.normal(size=(width, classes)) + random.normal(size=(count, classes))).argmax(axis=1)
    features = latent * random.uniform(0.1, 5, width) + random.uniform(-3, 30, width)
    return features.astype(np.float32), labels.astype(np.int64)


def _slopes(head: Any, features: Any, labels: Any, l2: float, weights: Any) -> tuple[float, float]:
    """The largest slopes of the objective, by kernel and bias on standardised features, for a unit of weight."""
    features = features.astype(np.float64)
    mean = np.average(features, axis=0, weights=weights)
    variance = np.average((features - mean) ** 2, axis=0, weights=weights)
    deviation = np.sqrt(variance + 0.01 * variance.mean())
    logits = features @ head.kernel + head.bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    errors = (shares - np.eye(head.bias.size)[labels]) * weights[:, None]
    by_kernel = ((features - mean) / deviation).T @ errors + l2 * head.kernel * deviation[:, None]
    return float(np.abs(by_kernel).max() / weights.sum()), float(np.abs(errors.sum(axis=0)).max() / weights.sum())


@pytest.mark.parametrize(
    ("count", "width", "classes", "l2"),
    [(40, 120, 5, 3.0), (400, 20, 3, 0.1), (60, 60, 2, 10.0), (300, 30, 40, 1.0), (25, 200, 4, 1e-2), (80, 1, 2, 1.0)],
)
def test_the_optimum_is_reached(count: int, width: int, classes: int, l2: float) -> None:
    """The head would be as good as its learning rate happened to be, as it was when it was trained by epochs."""
    features, labels = _drawn(count, width, classes)
    head = solve_head(features, labels, classes, l2=l2)
    assert max(_slopes(head, features, labels, l2, np.ones(count))) < 2e-5
    assert head.kernel.dtype == head.bias.dtype == np.float32


@pytest.mark.parametrize(("count", "width"), [(300, 12), (30, 90)])
def test_weights_are_part_of_the_optimum(count: int, width: int) -> None:
    """A rare class that the user weighs up, or a sample weighed down, would count as any other."""
    features, labels = _drawn(count, width, 3)
    own = np.random.default_rng(1).uniform(0, 2, count)
    head = solve_head(features, labels, 3, l2=1.0, class_weights={1: 5.0}, sample_weights=own)
    weights = own * np.where(labels == 1, 5.0, 1.0)
    assert max(_slopes(head, features, labels, 1.0, weights)) < 2e-5


def test_a_weight_of_two_is_a_row_twice() -> None:
    """A weight would mean one thing to the loss and another to the standardisation."""
    features, labels = _drawn(50, 8, 3)
    weights = np.where(np.arange(50) < 20, 2.0, 1.0)
    weights[-5:] = 0.0
    weighed = solve_head(features, labels, 3, l2=1.0, sample_weights=weights)
    repeated = np.repeat(np.arange(50), weights.astype(int))
    twice = solve_head(features[repeated], labels[repeated], 3, l2=1.0)
    np.testing.assert_allclose(weighed.kernel, twice.kernel, atol=3e-4)
    np.testing.assert_allclose(weighed.bias, twice.bias, atol=3e-3)


@pytest.mark.slow
def test_rows_that_do_not_fit_are_read_again_for_each_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache larger than memory could not be solved on, or would give another head."""
    monkeypatch.setattr(head_rows, "BLOCK_VALUES", 64 * 16)
    monkeypatch.setattr(head_solver, "DOUBLE_VALUES", 0)
    features, labels = _drawn(1000, 16, 4)
    mapped = np.memmap(tmp_path / "rows", np.float16, "w+", shape=features.shape)
    mapped[:] = features
    problem = HeadProblem(labelled_rows(mapped, labels), 4, held_bytes=0, threads=2)
    solution = problem.solve(2.0)
    assert solution.converged
    assert max(_slopes(solution.head, mapped, labels, 2.0, np.ones(1000))) < 1e-4
    held = HeadProblem(labelled_rows(mapped, labels), 4).solve(2.0).head
    np.testing.assert_allclose(held.kernel, solution.head.kernel, rtol=2e-3, atol=1e-3)  # these rows are float32


@pytest.mark.slow
def test_the_result_is_the_same_bit_for_bit_whatever_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay, or the same run on a machine with other cores, would end with another model."""
    monkeypatch.setattr(head_rows, "BLOCK_VALUES", 700 * 16)
    features, labels = _drawn(3000, 16, 4)
    heads = []
    for blas, threads in [(1, 1), (2, 1), (2, 3)]:
        with threadpool_limits(blas):
            small = solve_head(features[:200].repeat(20, axis=1), labels[:200], 4, l2=1.0)
        large = HeadProblem(labelled_rows(features, labels), 4, threads=threads).solve(1.0).head
        heads.append([each.tobytes() for each in (small.kernel, small.bias, large.kernel, large.bias)])
    assert heads[0] == heads[1] == heads[2]


def test_a_warm_start_leads_to_the_same_optimum() -> None:
    """The head would depend on the strengths that were tried before."""
    features, labels = _drawn(60, 90, 4)
    problem = HeadProblem(labelled_rows(features, labels), 4)
    cold, strong = problem.solve(1.0), problem.solve(100.0)
    warm = problem.solve(1.0, strong)
    np.testing.assert_allclose(warm.head.kernel, cold.head.kernel, atol=3e-4)


def test_a_search_without_time_ends_where_it_is_and_a_stop_is_heard_at_each_iteration() -> None:
    """A time budget would be over long before a head whose classes can be told apart, or Ctrl-C wait for it."""
    features, labels = _drawn(60, 90, 4)
    problem = HeadProblem(labelled_rows(features, labels), 4)
    asked = itertools.count(1)
    cut = problem.solve(1e-6, goes_on=lambda: next(asked) < 0, least_iterations=5)
    assert next(asked) == 6
    assert not cut.converged
    assert problem.solve(1e-6).converged

    def stop() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        problem.solve(1e-6, goes_on=stop)


@pytest.mark.parametrize("width", [5, 80])
def test_constant_columns_are_left_out(width: int) -> None:
    """A feature that is always 0, as dead channels are, would be divided by its deviation of 0."""
    features, labels = _drawn(40, width, 3)
    features[:, 1], features[:, 3] = 0.0, 1234.5
    head = solve_head(features, labels, 3, l2=1.0)
    assert not head.kernel[[1, 3]].any()
    assert np.isfinite(head.kernel).all()
    assert np.abs(head.kernel[0]).max() > 0


def test_the_scale_and_the_place_of_the_features_do_not_matter() -> None:
    """A backbone with small features would be penalised more, and one with features far from 0 lose their digits."""
    features, labels = _drawn(80, 6, 3)
    moved = features.astype(np.float64) * 1e-3 + [0, 0, 0, 5, 0, -1]
    plain, other = (solve_head(each, labels, 3, l2=1.0) for each in (features, moved))
    mine, yours = (head.logits(labelled_rows(x, labels)) for head, x in ((plain, features), (other, moved)))
    np.testing.assert_allclose(mine, yours, atol=2e-3)


def test_a_channel_that_is_nearly_dead_is_not_amplified() -> None:
    """One that is 0.001 on a single training row would decide about each photo on which it is 1."""
    features, labels = _drawn(80, 6, 3)
    features[:, 2] = 0.0
    features[7, 2] = 1e-3
    rows = labelled_rows(features, labels)
    scale = standardisation(rows).scale
    usual = 1 / np.sqrt(features.astype(np.float64).var(axis=0).mean())
    assert 0 < scale[2] <= 10.01 * usual
    head = solve_head(features, labels, 3, l2=1.0)
    awake = features.copy()
    awake[:, 2] = 1.0
    before, after = (head.logits(labelled_rows(each, labels)).argmax(axis=1) for each in (features, awake))
    assert (before == after).mean() > 0.95


def test_a_class_without_rows_is_never_predicted() -> None:
    """A class that has no training photo, or none with a weight, would send the bias to infinity."""
    features, labels = _drawn(60, 10, 3)
    labels = labels * 2  # classes 1 and 3 have no rows
    head = solve_head(features, labels, 5, l2=0.01, class_weights={4: 0.0})
    rows = labelled_rows(np.concatenate([features, -100 * features, features * 0]), np.tile(labels, 3))
    assert set(head.logits(rows).argmax(axis=1)) <= {0, 2}
    assert np.isfinite(head.bias).all()
    assert max(_slopes(solve_head(features, labels // 2, 3, l2=1.0), features, labels // 2, 1.0, np.ones(60))) < 2e-5


def test_a_single_class_is_always_predicted() -> None:
    """A fold, or a user's folder, with photos of one class would end in a division by zero."""
    features, _ = _drawn(10, 4, 2)
    head = solve_head(features, np.full(10, 1), 3, l2=1.0)
    assert (head.logits(labelled_rows(features, np.full(10, 1))).argmax(axis=1) == 1).all()


def test_rows_of_two_sources_are_one_problem() -> None:
    """The refit on training and validation would solve another problem than that of all rows together."""
    features, labels = _drawn(50, 8, 3)
    whole = HeadProblem(labelled_rows(features, labels), 3).solve(1.0).head
    first = labelled_rows(features[:30], labels[:30], groups=np.arange(30) // 2)
    both = joined(first, labelled_rows(features[30:].astype(np.float64), labels[30:], groups=np.arange(20) // 2))
    np.testing.assert_array_equal(HeadProblem(both, 3).solve(1.0).head.kernel, whole.kernel)
    assert len(np.unique(both.groups)) == 25


def test_what_cannot_be_solved_is_refused() -> None:
    """A head of NaN would be handed over, or an error of SciPy's would say nothing of the cause."""
    features, labels = _drawn(10, 4, 2)
    for l2 in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="l2"):
            solve_head(features, labels, 2, l2=l2)
    with pytest.raises(ValueError, match="not one of the 1 classes"):
        solve_head(features, np.ones(10, np.int64), 1, l2=1.0)
    with pytest.raises(ValueError, match="no row"):
        solve_head(features, labels, 2, l2=1.0, sample_weights=np.zeros(10))
    with pytest.raises(ValueError, match="weight is negative"):
        solve_head(features, labels, 2, l2=1.0, sample_weights=np.full(10, -1.0))
    with pytest.raises(ValueError, match="class weight"):
        solve_head(features, labels, 2, l2=1.0, class_weights={0: np.inf})
    with pytest.raises(ValueError, match="9 labels"):
        solve_head(features, labels[:9], 2, l2=1.0)
    features[3, 2] = np.inf
    with pytest.raises(ValueError, match="not a finite number"):
        solve_head(features, labels, 2, l2=1.0)
