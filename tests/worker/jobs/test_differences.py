"""How far the results in two precisions are apart. No TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax

from autofit.protocol.model_jobs import OutputKind
from autofit.worker.jobs.differences import feature_difference, loss_difference, score_difference, scores_of

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.standard_normal((8, 5)).astype(np.float32)
CENTERED = LOGITS - LOGITS.mean(axis=1, keepdims=True)

KINDS: dict[str, tuple[Any, OutputKind, bool, Any]] = {
    "a softmax": (softmax(LOGITS, axis=1), "probabilities", False, CENTERED),
    "logits": (LOGITS + 100, "logits", False, CENTERED),
    "logits of labels": (LOGITS, "binary logits", False, LOGITS),
    "sigmoids of labels": (expit(LOGITS), "probabilities", True, LOGITS),
    "one sigmoid": (expit(LOGITS[:, :1]), "one probability", False, LOGITS[:, :1]),
    "one logit": (LOGITS[:, :1], "one logit", False, LOGITS[:, :1]),
}


@pytest.mark.parametrize(("outputs", "kind", "multi_label", "scores"), KINDS.values(), ids=KINDS)
def test_scores_are_what_was_before_the_softmax(
    outputs: Any, kind: OutputKind, scores: Any, *, multi_label: bool
) -> None:
    """Figures that rounding has changed would look equal, since a softmax of small ones is nearly uniform."""
    np.testing.assert_allclose(scores_of(outputs, kind, multi_label=multi_label), scores, atol=1e-4)


def test_other_layers_show_where_the_loss_hides_them() -> None:
    """A network whose layers compute something else in 16 bits would train in them, for its loss of ln(classes)."""
    rows = 0.01 * RANDOM.standard_normal((32, 10))
    plain, coarse = (softmax(values, axis=1) for values in (rows, rows + 0.003 * RANDOM.standard_normal((32, 10))))
    losses = [float(-np.log(values[:, 0]).mean()) for values in (plain, coarse)]
    assert loss_difference(*losses) == pytest.approx(0.0, abs=0.001)
    found = score_difference(*(scores_of(values, "probabilities", multi_label=False) for values in (plain, coarse)))
    assert found == pytest.approx(0.3, abs=0.05)


def test_an_image_between_two_classes_does_not_decide() -> None:
    """One score of about zero would be off by any share, and 16 bits never be taken for two classes."""
    rows = np.linspace(-1, 1, 9)[:, None]
    assert score_difference(rows, rows + 0.001) == pytest.approx(0.001 / np.sqrt(np.mean(rows**2)))


def test_saturated_probabilities_can_be_compared() -> None:
    """A network that is sure of itself would be infinitely far from itself."""
    sure = scores_of(np.eye(3, dtype=np.float32), "probabilities", multi_label=True)
    assert score_difference(sure, sure) == 0.0


def test_what_is_not_a_number_is_infinitely_far() -> None:
    """An overflow of float16 would count as the same."""
    nan = np.full((2, 3), np.nan)
    assert score_difference(np.ones((2, 3)), nan) == feature_difference(np.ones((2, 3)), nan) == float("inf")
    assert loss_difference(1.0, float("nan")) == float("inf")


def test_scores_that_are_all_zero_tell_nothing() -> None:
    """A head that begins with zeros would pass for a network that computes the same in 16 bits."""
    assert score_difference(np.zeros((2, 3)), np.zeros((2, 3))) is None
    assert score_difference(None, None) is None
