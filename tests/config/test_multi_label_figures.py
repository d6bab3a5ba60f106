"""Mean average precision and F1, by their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from autofit.config.multi_label_figures import average_precision, figures_of_groups, multi_label_figures


def test_the_average_precision_is_that_of_its_definition() -> None:
    """A ranking would look better or worse than it is."""
    has = np.array([True, False, True, False, True])
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), has) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert average_precision(np.zeros(5), has) == pytest.approx(3 / 5)  # equal scores say nothing
    assert average_precision(np.array([0.5, 0.5, 0.9, 0.1, 0.1]), has) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_labels_that_say_nothing_are_left_out_of_the_mean() -> None:
    """A label without an image would lower it, and one on all images raise it."""
    truth = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1]])
    scores = np.array([[0.9, 0.1, 0.9], [0.2, 0.6, 0.9], [0.4, 0.1, 0.9]])
    figures = multi_label_figures(scores, truth, 0.5)
    assert figures.mean_average_precision == 1.0
    assert figures.f1 == pytest.approx(2 * 4 / (2 * 4 + 1 + 1))
    assert multi_label_figures(scores, np.zeros_like(truth), 0.5) == (0.0, 0.0)


def test_a_drawn_ranking_is_at_the_share_of_the_label() -> None:
    """What is no better than chance would look like a model."""
    random = np.random.default_rng(0)
    truth = (random.random((20_000, 2)) < 0.3).astype(int)
    assert multi_label_figures(random.random((20_000, 2)), truth, 0.5).mean_average_precision == pytest.approx(
        0.3, abs=0.02
    )


def test_labels_may_come_some_at_a_time() -> None:
    """Where millions of rows are judged some labels at a time, the figures would be others."""
    random = np.random.default_rng(0)
    scores, truth = random.normal(size=(60, 7)), random.integers(0, 2, (60, 7))
    groups = [(scores[:, some], truth[:, some]) for some in (slice(0, 3), slice(3, 6), slice(6, 7))]
    assert figures_of_groups(groups, 0.0) == multi_label_figures(scores, truth, 0.0)
