"""`Options`: the validated request of a user, checked before anything heavy is imported."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from autofit.config import backbones
from autofit.config.given_objects import KerasConfig
from autofit.config.hub_presets import PRESET_WEIGHTS, is_preset
from autofit.config.keras_objects import application_name, own_image_size
from autofit.config.learning_rates import DEFAULT_LEARNING_RATE, default_learning_rate
from autofit.config.option_conflicts import (
    one_backbone,
    optimizer_values,
    refuse_backbone_options_with_a_model,
    refuse_logits,
    refuse_with_devices,
    refuse_with_multi_label,
)
from autofit.config.option_table import BY_NAME, REQUEST, checked
from autofit.config.precisions import Precision
from autofit.config.run_options import Strength
from autofit.config.training_options import DEFAULT_OPTIMIZER, ClassWeight
from autofit.errors import UserError
from autofit.storage.records import Record

DEFAULT_IMAGE_SIZE = 224
"""For a model function, which has no default size: the size at which most backbones were trained."""

DEFAULT_EPOCHS = 10
"""The number of epochs of a training by epochs, where the user gives none."""


class Options(Record):
    """A request: everything that is asked for except the data, the model function's code, callbacks and run directory.

    Sizes are in bytes and pixels, times in seconds. `image_size` is `(height, width)`. The fields with defaults are
    those that an older run.json may lack. `learning_rate` is the first rate of a schedule in `optimizer_config`.
    """

    backbone: str | None
    model: str | None
    weights: str
    image_size: tuple[int, int]
    trainable: Literal["head", "all"]
    hidden_units: int
    dropout: float
    epochs: int | None
    batch_size: int | None
    micro_batch_size: int | None
    batch_schedule: tuple[int, int] | None
    optimizer: str
    learning_rate: float
    class_weight: ClassWeight
    early_stopping: int | None
    validation: float | str
    memory_limit_bytes: int | None
    seed: int
    checkpoint_seconds: float | None
    checkpoint_steps: int | None
    max_minutes: float | None
    isolation: Literal["process", "inline"]
    audit: bool
    replay: str | None
    mirror_dir: str | None = None
    max_bad_images: float = 0.1
    feature_cache: Literal["auto", "on", "off"] = "auto"
    cache_by: Literal["stat", "content"] = "stat"
    augment: Literal["auto"] | Strength = "auto"
    flip: bool = True
    feature_views: int = 4
    pixel_cache: Literal["auto", "off"] = "auto"
    recipe: Literal["auto", "classic"] = "auto"
    fine_tune_epochs: int | Literal["auto"] | None = None
    fine_tune_from: str = "auto"
    deterministic: bool = False
    time_budget_seconds: float | None = Field(None, gt=0)
    multi_label: bool = False
    optimizer_config: KerasConfig | None = None
    recompute: Literal["auto", "off", "on"] = "auto"
    precision: Precision | Literal["auto"] = "float32"
    loss: str | KerasConfig | None = None
    metrics: tuple[str | KerasConfig, ...] = ()
    monitor: str = "auto"
    profile: bool = True
    devices: int | Literal["all"] = 1


def make_options(**given: Any) -> Options:
    """Validate the options that a user gave, by their names in Python; the others have their defaults.

    Raises:
        UserError: one line that names the option, the value, and what to do.
    """
    _refuse_unknown_names(given)
    values = {option.name: given.get(option.name, option.default) for option in REQUEST}
    if application_name(values["model"]):
        values |= {"model": None, "backbone": one_backbone(values)}
    if values["image_size"] is None:
        values["image_size"] = own_image_size(values["model"])
    if values["model"] is not None:
        refuse_backbone_options_with_a_model(values)
    found = {option.name: option.check(option.name, values[option.name]) for option in REQUEST}
    found |= optimizer_values(found)
    refuse_logits(found)
    refuse_with_devices(found["devices"], found["isolation"], found["optimizer"][1])
    refuse_with_multi_label(found)
    if found["batch_schedule"] is not None and found["batch_size"] is not None:
        raise UserError(
            f"batch_size {found['batch_size']} and batch_schedule {values['batch_schedule']!r} exclude each other: "
            "give one"
        )
    rate, fine_tune_epochs = found["learning_rate"] or DEFAULT_LEARNING_RATE, found["fine_tune_epochs"] or 0
    found_too = {"learning_rate": rate, "fine_tune_epochs": fine_tune_epochs}
    options = Options(**_fields(found | _dependent_values(found) | found_too))
    if found["learning_rate"] is None:
        options = options.model_copy(update={"learning_rate": usual_learning_rate(options)})
    if found["fine_tune_epochs"] is None and options.time_budget_seconds is not None and may_fine_tune_unasked(options):
        return options.model_copy(update={"fine_tune_epochs": "auto"})
    return options


def options_of_call(arguments: Mapping[str, Any]) -> Options:
    """Validate the options among the arguments of a public function, which also takes data, callbacks and the like.

    Raises:
        UserError: as `make_options` does.
    """
    return make_options(**{option.name: arguments[option.name] for option in REQUEST if option.name in arguments})


def _refuse_unknown_names(given: Mapping[str, Any]) -> None:
    known = [option.name for option in REQUEST]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"give one of {', '.join(known)}"
            raise UserError(f"option {name!r} is not known: {hint}")


def _dependent_values(found: Mapping[str, Any]) -> dict[str, Any]:
    """The values that depend on other options: the backbone, its weights, what trains, and the image size."""
    if found["model"] is not None:
        size = found["image_size"] or (DEFAULT_IMAGE_SIZE, DEFAULT_IMAGE_SIZE)
        return {
            "backbone": None,
            "weights": "none",
            "trainable": found["trainable"] or ("head" if found["fine_tune_epochs"] else "all"),
            "image_size": size,
        }
    backbone = backbones.find(found["backbone"] or backbones.DEFAULT_BACKBONE)
    weights = _preset_weights(backbone.name, found["weights"]) if is_preset(backbone.name) else found["weights"]
    size = found["image_size"] or (backbone.default_size, backbone.default_size)
    backbone.check_image_size(size)
    trainable = found["trainable"] or ("all" if weights == "none" else "head")
    return {
        "backbone": backbone.name,
        "weights": weights,
        "trainable": trainable,
        "image_size": size,
    }


def _preset_weights(backbone: str, weights: str) -> str:
    """The weights of a preset: its own, or none."""
    if weights not in {"imagenet", "none"}:
        raise UserError(f"weights {weights!r} are for a network of keras.applications: {backbone} has its own, or none")
    return PRESET_WEIGHTS if weights == "imagenet" else weights


def _fields(found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Options` for the checked values."""
    fields: dict[str, Any] = {}
    for option in REQUEST:
        value = found[option.name]
        fields |= zip(option.field_names, value if len(option.field_names) > 1 else [value], strict=False)
    return fields


def changed_options(options: Options, given: Mapping[str, Any]) -> Options:
    """A request with other values of some options, by their names in Python; None leaves a value as it is.

    Raises:
        UserError: a value cannot be used.
    """
    update: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            option, found = BY_NAME[name], checked(name, value)
            update |= zip(option.field_names, found if len(option.field_names) > 1 else [found], strict=False)
    return options.model_copy(update=update)


def check_for_training(options: Options) -> None:
    """Refuse a request that a probe can measure but a training cannot use.

    A frozen backbone with random weights and inference BatchNormalization gives constant features.

    Raises:
        UserError: for such a request.
    """
    if options.model is None and options.weights == "none" and options.trainable == "head":
        raise UserError(
            "trainable 'head' with weights 'none' would train on a random backbone and learn nothing: "
            "give weights, or leave trainable out to train everything"
        )
    if options.fine_tune_epochs and not freezes_backbone(options):
        needs = "leave trainable out" if options.model else "give a backbone with weights, and leave trainable out"
        raise UserError(f"fine_tune_epochs {options.fine_tune_epochs} follow a frozen backbone: {needs}")
    if options.feature_cache == "on" and not freezes_backbone(options):
        raise UserError("feature_cache 'on' needs a frozen backbone: give trainable 'head', or leave it at 'auto'")


def trains_pretrained(options: Options) -> bool:
    """Whether all layers of a pretrained network train."""
    return options.trainable == "all" and options.weights != "none"


def usual_learning_rate(options: Options) -> float:
    """The learning rate that such a request has if the user gives none."""
    if options.model is not None and not freezes_backbone(options):
        return DEFAULT_LEARNING_RATE
    return default_learning_rate(
        options.optimizer,
        trains_pretrained=trains_pretrained(options),
        batch_size=options.batch_size,
        is_classic=options.recipe == "classic",
    )


def has_rate_of_its_own(options: Options) -> bool:
    """Whether the learning rate is another than the default."""
    return options.learning_rate != usual_learning_rate(options)


def has_own_objective(options: Options) -> bool:
    """Whether the user has given a loss, metrics, or an optimizer as an object, which need a training by epochs."""
    return options.optimizer_config is not None or options.loss is not None or bool(options.metrics)


def freezes_backbone(options: Options) -> bool:
    """Whether the backbone, or what is below the head of a user's own network, is frozen while the head trains."""
    return options.trainable == "head"


def has_constant_features(options: Options) -> bool:
    """Whether the backbone's features of an image are the same in every epoch."""
    return freezes_backbone(options) and strength_of(options) == "none"


def strength_of(options: Options) -> Strength:
    """The strength of augmentation in a training; fine-tuning above a cut has another default."""
    return "none" if options.augment == "auto" else options.augment


def epochs_of(options: Options) -> int:
    """The number of epochs, if the head is trained by epochs."""
    return DEFAULT_EPOCHS if options.epochs is None else options.epochs


def begins_with_head(options: Options) -> bool:
    """Whether a training of all layers begins with the head alone: a random head would ruin the pretrained weights.

    It does not if an option asks for what only a training in one stage has, such as an optimizer of the user's.
    """
    return options.model is None and trains_pretrained(options) and allows_solved_head(head_options(options))


def head_options(options: Options) -> Options:
    """The request for the stage of the head, made of a request to train all layers.

    The epochs, batch size, learning rate, early stopping and augmentation of that request apply to the later stage.
    """
    return options.model_copy(
        update={
            "trainable": "head",
            "epochs": None,
            "batch_size": None,
            "learning_rate": usual_learning_rate(options.model_copy(update={"trainable": "head", "batch_size": None})),
            "early_stopping": None,
            "augment": "none",
        }
    )


def allows_solved_head(options: Options) -> bool:
    """Whether the head may be solved to its optimum: its features are constant, and no option asks for epochs."""
    return freezes_backbone(options) and not needing_epochs(options)


def needing_epochs(options: Options) -> tuple[str, ...]:
    """The names of the options for which the head is trained by epochs; empty if it may be solved.

    A learning rate is none of them if it is that of the fine-tuning that the user has asked for.
    """
    is_object, has_config = has_optimizer_object(options), options.optimizer_config is not None
    has_rate = has_rate_of_its_own(options) and not asks_to_fine_tune(options)
    needing = {
        "recipe": options.recipe != "auto",
        "epochs": options.epochs is not None,
        "batch_size": options.batch_size is not None,
        "batch_schedule": options.batch_schedule is not None,
        "hidden_units": options.hidden_units > 0,
        "optimizer": is_object or options.optimizer != DEFAULT_OPTIMIZER,
        "learning_rate": not is_object and (has_config or has_rate),
        "loss": options.loss is not None,
        "metrics": bool(options.metrics),
        "early_stopping": options.early_stopping is not None,
        "augment": strength_of(options) != "none" and options.feature_cache != "on",
        "feature_cache": options.feature_cache == "off",
        "replay": options.replay is not None,
    }
    return tuple(name for name, needs in needing.items() if needs)


def has_optimizer_object(options: Options) -> bool:
    """Whether the optimizer was given as an object; for one by name with a schedule `optimizer_values` has two keys."""
    config = options.optimizer_config
    return config is not None and set(config) != {"class_name", "config"}


def asks_to_fine_tune(options: Options) -> bool:
    """Whether the user has asked for fine-tuning, which is not only what a time budget may do."""
    is_free = options.time_budget_seconds is not None and options.fine_tune_epochs == "auto"
    return bool(options.fine_tune_epochs) and not (is_free and options.fine_tune_from == "auto")


def refusing_fine_tuning(options: Options) -> tuple[str, ...]:
    """The names of the options with which a time budget has no fine-tuning, unless the user asks for it.

    The others in `needing_epochs` are about how the head is trained, or hold for fine-tuning as well.
    """
    return tuple(name for name in needing_epochs(options) if name in {"recipe", "epochs", "replay"})


def may_fine_tune_unasked(options: Options) -> bool:
    """Whether a time budget may decide to fine-tune."""
    return freezes_backbone(options) and not refusing_fine_tuning(options)


def has_rate_of_fine_tuning(options: Options) -> bool:
    """Whether the learning rate that the user has given is that of fine-tuning, if the head is solved."""
    return has_rate_of_its_own(options) and allows_solved_head(options)
