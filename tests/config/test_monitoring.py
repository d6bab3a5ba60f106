"""Which way a monitored figure improves."""

from __future__ import annotations

import pytest

from autofit.config.monitoring import higher_is_better, monitor_choice
from autofit.config.options import make_options


@pytest.mark.parametrize(
    ("name", "is_higher"),
    [
        ("val_auc", True),
        ("val_precision_1", True),
        ("sparse_top_k_categorical_accuracy", True),
        ("val_mean_average_precision", True),
        ("val_loss", False),
        ("mean_squared_error", False),
        ("categorical_crossentropy", False),
        ("val_false_positives", False),
        ("val_true_positives", True),
        ("val_map", True),
        ("val_mape", False),
        ("val_msle", False),
        ("val_brier_score", False),
        ("val_one_hot_mean_io_u", True),
        ("val_pearson_correlation", True),
    ],
)
def test_the_best_epoch_is_on_the_right_side(name: str, *, is_higher: bool) -> None:
    """The worst epoch's model would be handed over."""
    assert monitor_choice("monitor", name) == name
    assert higher_is_better(name) is is_higher


def test_several_labels_may_be_compared_by_their_own_figures() -> None:
    """The one that the summary shows would be refused."""
    assert make_options(multi_label=True, monitor="val_mean_average_precision").monitor == "val_mean_average_precision"
