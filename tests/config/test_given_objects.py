"""Objects of Keras given as options: kept as configurations, or refused in one line."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from autofit.config.given_objects import first_rate
from autofit.config.option_table import checked
from autofit.config.options import allows_solved_head, begins_with_head, make_options
from autofit.errors import UserError

COSINE = {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.2, "decay_steps": 9}}


@pytest.mark.parametrize(
    ("config", "rate"),
    [
        ({"initial_learning_rate": 0.2}, 0.2),
        ({"initial_learning_rate": 0.0, "warmup_target": 0.1}, 0.1),
        ({"boundaries": [5], "values": [0.3, 0.1]}, 0.3),
        ({"mine": 1}, 0.001),
    ],
)
def test_a_schedule_says_where_it_begins(config: dict[str, Any], rate: float) -> None:
    """Messages about the learning rate would have no number, or 0."""
    assert first_rate({"class_name": "Some", "config": config}) == rate


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("loss", "cross entropy", "loss 'cross entropy' is not known"),
        ("loss", dict, "loss is the class dict itself: give an object"),
        ("optimizer", list, "optimizer is the class list itself: give an object"),
        ("optimizer", object(), "is not known: give one of"),
        ("learning_rate", lambda epoch: 0.1 / epoch, "learning_rate is a function: give"),
        ("metrics", [3], "metrics must be names or objects of keras.metrics, not 3"),
        ("monitor", "val_magic", "monitor 'val_magic' does not say whether more of it is better: give val_loss"),
        ("class_weight", "equal", "class_weight 'equal' is not known"),
        ("class_weight", {"cats": -1}, "class_weight of 'cats' must be at least 0"),
        ("class_weight", {"cats": 0.0}, "a weight over 0"),
        ("class_weight", {1: 1.0, "1": 2.0}, "must name each class once"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(name: str, value: Any, message: str) -> None:
    """It would fail in the worker, or be ignored."""
    with pytest.raises(UserError, match=message) as refused:
        checked(name, value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("given", [{"loss": "kl_divergence"}, {"metrics": "auc"}])
def test_what_is_about_epochs_trains_the_head_by_epochs(given: dict[str, Any]) -> None:
    """A solved head would leave out the loss and the metrics without a word."""
    assert allows_solved_head(make_options())
    assert not allows_solved_head(make_options(**given))
    assert begins_with_head(make_options(trainable="all"))
    assert not begins_with_head(make_options(trainable="all", **given))


def test_the_function_of_a_backbone_is_its_name() -> None:
    """It would be called with a shape for include_top, and train another network."""

    def ResNet50(**_: Any) -> None:  # noqa: N802 - as in Keras
        """Stand for that of Keras."""

    ResNet50.__module__ = "keras.src.applications.resnet"
    assert make_options(model=ResNet50) == make_options(backbone=ResNet50) == make_options(backbone="ResNet50")
    with pytest.raises(UserError, match="both given"):
        make_options(model=ResNet50, backbone="MobileNet")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "kl_divergence"}, "leave loss out"),
        ({"metrics": "auc"}, "leave metrics out"),
        ({"class_weight": {0: 1.0}}, "leave class_weight out"),
        ({"monitor": "val_accuracy"}, "leave monitor out"),
        ({"monitor": "val_auc"}, "leave monitor out"),
    ],
)
def test_several_labels_an_image_have_their_own_loss(given: dict[str, Any], message: str) -> None:
    """The option would be ignored."""
    with pytest.raises(UserError, match=message):
        make_options(multi_label=True, **given)


def test_an_object_of_another_library_is_no_option() -> None:
    """An optimizer of another framework would be taken for a name."""
    with pytest.raises(UserError, match=r"optimizer .* is not known"):
        checked("optimizer", SimpleNamespace(lr=0.1))
