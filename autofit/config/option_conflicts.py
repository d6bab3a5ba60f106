"""Options that exclude each other, and the values that two of them decide together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autofit.config.given_objects import KerasConfig, first_rate
from autofit.config.multi_label_figures import F1, MEAN_AVERAGE_PRECISION
from autofit.config.option_table import BY_NAME
from autofit.errors import UserError


def one_backbone(values: Mapping[str, Any]) -> Any:
    """The backbone whose function was given as `model`."""
    if values["backbone"] is not None:
        raise UserError(f"backbone {values['backbone']!r} and model are both given: give one of the two")
    return values["model"]


def optimizer_values(found: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `optimizer` and `learning_rate`, either of which may hold a schedule: it goes with the optimizer.

    The learning rate becomes a number: that of a schedule is the rate with which it begins.
    """
    (name, config), rate = found["optimizer"], found["learning_rate"]
    if config is not None:
        if rate is not None:
            raise UserError("optimizer is an object, with a learning rate of its own: leave learning_rate out")
        rate = config["config"].get("learning_rate")
    elif isinstance(rate, dict):
        config = {"class_name": name, "config": {"learning_rate": rate}}
    return {"optimizer": (name, config), "learning_rate": first_rate(rate) if isinstance(rate, dict) else rate}


def refuse_logits(found: Mapping[str, Any]) -> None:
    """Refuse a loss of logits for a backbone, whose head outputs probabilities."""
    config = found["loss"].get("config") if isinstance(found["loss"], dict) else None
    if found["model"] is None and isinstance(config, dict) and config.get("from_logits"):
        raise UserError("loss has from_logits=True, but the head ends with a softmax: leave from_logits out")


def refuse_with_devices(devices: int | str, isolation: str, optimizer_config: KerasConfig | None) -> None:
    """Refuse what does not go with several devices.

    In the user's process TensorFlow may have chosen its devices already, and gradients are accumulated on one only.
    """
    if devices == 1:
        return
    if isolation == "inline":
        raise UserError(f"devices {devices!r} with isolation 'inline': leave one of the two out")
    if optimizer_config is not None and optimizer_config["config"].get("gradient_accumulation_steps"):
        raise UserError(
            f"devices {devices!r}: an optimizer with gradient_accumulation_steps works on one device only: "
            "give a larger batch_size instead"
        )


def refuse_with_multi_label(found: Mapping[str, Any]) -> None:
    """Refuse options that set the loss, metrics or class weights of a multi-label training, which has its own."""
    given = {
        "loss": found["loss"] is not None,
        "metrics": bool(found["metrics"]),
        "class_weight": isinstance(found["class_weight"], dict),
        "monitor": found["monitor"].removeprefix("val_") not in {"auto", "loss", MEAN_AVERAGE_PRECISION, F1},
    }
    for name in (name for name, is_given in given.items() if found["multi_label"] and is_given):
        raise UserError(f"multi_label has its own loss, metrics and weights: leave {name} out")


def refuse_backbone_options_with_a_model(values: Mapping[str, Any]) -> None:
    """Refuse options about a backbone or its head where a model function is given: they would have no effect."""
    if values["backbone"] is not None:
        raise UserError(f"backbone {values['backbone']!r} and model are both given: give one of the two")
    weights = values["weights"]
    if weights is not None and str(weights).lower() not in {"none", "imagenet"}:
        raise UserError(f"weights {str(weights)!r} belong to a backbone: load them in the model function")
    for name in ("hidden_units", "dropout"):
        if values[name] != BY_NAME[name].default:
            raise UserError(f"{name}={values[name]!r} is about a backbone's head: set it in the model function")
