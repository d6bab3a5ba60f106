"""What a user may ask for, validated once, at the door, before anything heavy is imported."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from autofit.config import backbones
from autofit.config.batch_schedule import BatchSchedule
from autofit.config.byte_size import parse_size
from autofit.config.validators import (
    absolute_path,
    auto_or_whole_number,
    choice,
    flag,
    is_file,
    is_installed,
    real_number,
    share,
    whole_number,
)
from autofit.errors import UserError
from autofit.storage.records import Record

DEFAULT_OPTIMIZER, DEFAULT_LEARNING_RATE = "adam", 1e-3
OPTIMIZERS = ("adam", "adamw", "adamax", "nadam", "sgd", "rmsprop", "adagrad", "adadelta", "adafactor", "ftrl", "lion")
"""What Keras 3.13 and all later ones have."""

DEFAULT_BACKBONE = "MobileNetV2"
DEFAULT_DROPOUT = 0.2
DEFAULT_VIEWS, MOST_VIEWS = 4, 64
"""Of a training image, where features of augmented ones are kept."""
MAX_SEED = 2**32 - 1
"""NumPy's legacy generator, which `keras.utils.set_random_seed` seeds as well, takes no larger one."""

MAX_SIDE_PIXELS = 65_535
"""The largest side that a JPEG can have (ITU-T T.81, B.2.2)."""

DEFAULT_IMAGE_SIZE = 224
"""For a model function, which has no size of its own: what most backbones were trained at."""
GIVEN_FUNCTION = "<function>"
"""What `Options.model` says of a function that was given as an object, not as `module:function`."""


class Options(Record):
    """A request: everything that is asked for but the data, the model function's code, callbacks and the run directory.

    Sizes are in bytes and pixels, times in seconds. `image_size` is `(height, width)`.
    """

    backbone: str | None
    model: str | None
    weights: str
    image_size: tuple[int, int]
    trainable: Literal["head", "all"]
    hidden_units: int
    dropout: float
    epochs: int
    batch_size: int | None
    micro_batch_size: int | None
    batch_schedule: tuple[int, int] | None
    optimizer: str
    learning_rate: float
    class_weight: Literal["none", "balanced"]
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
    augment: Literal["none", "light"] = "none"
    feature_views: int = DEFAULT_VIEWS
    pixel_cache: Literal["auto", "off"] = "auto"


def make_options(  # noqa: PLR0913 - the one place that takes them all, as a user gives them
    *,
    backbone: str | None = None,
    model: Any = None,
    weights: str | Path | None = "imagenet",
    image_size: Any = None,
    trainable: str | None = None,
    hidden_units: int = 0,
    dropout: float = DEFAULT_DROPOUT,
    epochs: int = 10,
    fine_tune_epochs: int = 0,
    batch_size: int | str | None = "auto",
    micro_batch_size: int | str | None = "auto",
    batch_schedule: str | tuple[int, int] | None = None,
    optimizer: str = DEFAULT_OPTIMIZER,
    learning_rate: float = DEFAULT_LEARNING_RATE,
    class_weight: str | None = "none",
    early_stopping: int | None = None,
    validation: float | str | Path = 0.2,
    augment: str | None = "none",
    feature_cache: str | None = "auto",
    feature_views: int = DEFAULT_VIEWS,
    pixel_cache: str | None = "auto",
    cache_by: str = "stat",
    precision: str = "float32",
    memory_limit: str | int | None = None,
    seed: int = 0,
    checkpoint_every: str | float = "60s",
    max_minutes: float | None = None,
    max_bad_images: float = 0.1,
    mirror_dir: str | Path | None = None,
    isolation: str = "process",
    audit: bool = False,
    replay: str | Path | None = None,
) -> Options:
    """Validate what a user gave.

    Raises:
        UserError: one line that names the option, the value, and what to do.
    """
    _refuse_later_options(
        fine_tune_epochs=(fine_tune_epochs, 0),
        precision=(precision, "float32"),
    )
    if model is not None:
        _refuse_beside_a_model(backbone, weights, trainable, hidden_units, dropout)
    chosen = _backbone(backbone) if model is None else None
    checked_weights = _weights(weights) if model is None else "none"
    seconds, steps = _checkpoint_every(checkpoint_every)
    sizes = _batch_schedule(batch_schedule)
    one_size = auto_or_whole_number("batch_size", batch_size)
    if sizes is not None and one_size is not None:
        raise UserError(f"batch_size {one_size} and batch_schedule {batch_schedule!r} exclude each other: give one")
    return Options(
        backbone=chosen.name if chosen else None,
        model=_model(model),
        weights=checked_weights,
        image_size=_image_size(image_size, chosen),
        trainable=_trainable(trainable, checked_weights),
        hidden_units=whole_number("hidden_units", hidden_units, 0),
        dropout=real_number("dropout", dropout, 0.0, below=1.0),
        epochs=whole_number("epochs", epochs, 1),
        batch_size=one_size,
        micro_batch_size=auto_or_whole_number("micro_batch_size", micro_batch_size),
        batch_schedule=sizes,
        optimizer=choice("optimizer", optimizer, OPTIMIZERS),
        learning_rate=real_number("learning_rate", learning_rate, 0.0, exclusive=True),
        class_weight=choice("class_weight", class_weight or "none", ("none", "balanced")),
        early_stopping=None if early_stopping is None else whole_number("early_stopping", early_stopping, 1),
        validation=_validation(validation),
        memory_limit_bytes=None if memory_limit is None else _memory_limit(memory_limit),
        seed=whole_number("seed", seed, 0, MAX_SEED),
        checkpoint_seconds=seconds,
        checkpoint_steps=steps,
        max_minutes=None if max_minutes is None else real_number("max_minutes", max_minutes, 0.0, exclusive=True),
        isolation=choice("isolation", isolation, ("process", "inline")),
        audit=flag("audit", audit),
        replay=_replay(replay),
        mirror_dir=None if mirror_dir is None else str(absolute_path("mirror_dir", mirror_dir)),
        max_bad_images=share("max_bad_images", max_bad_images),
        feature_cache=choice("feature_cache", feature_cache or "off", ("auto", "on", "off")),
        cache_by=choice("cache_by", cache_by, ("stat", "content")),
        augment=choice("augment", augment or "none", ("none", "light")),
        feature_views=whole_number("feature_views", feature_views, 1, MOST_VIEWS),
        pixel_cache=choice("pixel_cache", pixel_cache or "off", ("auto", "off")),
    )


def _refuse_later_options(**given: tuple[Any, Any]) -> None:
    for name, (value, only) in given.items():
        if value != only:
            raise UserError(f"{name}={value!r} does not work in this version: leave it out")


def _refuse_beside_a_model(backbone: Any, weights: Any, trainable: Any, hidden_units: Any, dropout: Any) -> None:
    """What is about a backbone and the head on it would go unheard beside a model function."""
    if backbone is not None:
        raise UserError(f"backbone {backbone!r} and model are both given: give one of the two")
    if weights is not None and str(weights).lower() not in {"none", "imagenet"}:
        raise UserError(f"weights {str(weights)!r} belong to a backbone: load them in the model function")
    heard: list[tuple[str, Any, tuple[Any, ...]]] = [
        ("trainable", trainable, (None, "all")),
        ("hidden_units", hidden_units, (0,)),
        ("dropout", dropout, (DEFAULT_DROPOUT,)),
    ]
    for name, value, only in heard:
        if value not in only:
            raise UserError(f"{name}={value!r} is about a backbone's head: set it in the model function")


def _backbone(value: Any) -> backbones.Backbone:
    if value is None:
        return backbones.find(DEFAULT_BACKBONE)
    if not isinstance(value, str):
        raise UserError(f"backbone must be a name such as {DEFAULT_BACKBONE!r}, not {value!r}")
    return backbones.find(value)


def _weights(value: Any) -> str:
    if value is None or str(value).lower() in {"none", "imagenet"}:
        return str(value or "none").lower()
    path = absolute_path("weights", value)
    if not is_file(path):
        raise UserError(f"weights {str(value)!r}: there is no such file; give a file, 'imagenet' or 'none'")
    if path.suffix not in {".h5", ".keras"}:
        raise UserError(f"weights {str(value)!r} are in no file that Keras reads: give a .weights.h5, .h5 or .keras")
    return str(path)


def _trainable(value: Any, weights: str) -> Any:
    if value is None:
        return "all" if weights == "none" else "head"
    return choice("trainable", value, ("head", "all"))


def _image_size(value: Any, backbone: backbones.Backbone | None) -> tuple[int, int]:
    if value is None:
        value = backbone.default_size if backbone else DEFAULT_IMAGE_SIZE
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", value.strip().lower())
        if not match:
            raise UserError(f"image_size {value!r} cannot be read: give a number such as 224, or HEIGHTxWIDTH")
        value = tuple(int(part) for part in match.groups() if part)
    sides = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(sides) not in {1, 2}:
        raise UserError(f"image_size must be one number or (height, width), not {value!r}")
    height, width = (whole_number("image_size", side, 1, MAX_SIDE_PIXELS) for side in (sides * 2)[:2])
    if backbone:
        backbone.check_image_size((height, width))
    return height, width


def _batch_schedule(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    text = ":".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
    try:
        schedule = BatchSchedule.parse(text, 1)
    except UserError:
        raise UserError(
            f"batch_schedule {value!r} is not two sizes of at least 1: give A:B, for example 32:16"
        ) from None
    return schedule.first, schedule.last


def _validation(value: Any) -> float | str:
    try:
        share = float(value)
    except (TypeError, ValueError, OverflowError):
        if not isinstance(value, (str, os.PathLike)):
            raise UserError(
                f"validation must be a share of the images such as 0.2, or a folder, not {value!r}"
            ) from None
        return str(absolute_path("validation", value))
    return real_number("validation", value if isinstance(value, bool) else share, 0.0, below=1.0)


def _memory_limit(value: Any) -> int:
    try:
        return parse_size(value)
    except UserError as error:
        raise UserError(f"memory_limit: {error}") from None


def _checkpoint_every(value: Any) -> tuple[float | None, int | None]:
    """`60s` or `2m` are times, a bare number counts steps."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s|m)?", str(value).strip().lower())
    number = float(match[1]) if match else 0.0
    if match and match[2] and number > 0:
        return number * (60 if match[2] == "m" else 1), None
    if number < 1 or not number.is_integer():
        raise UserError(f"checkpoint_every {value!r} cannot be read: give a time such as 60s, or a number of steps")
    return None, whole_number("checkpoint_every", int(number), 1)


def _model(value: str | Callable[..., Any] | None) -> str | None:
    """The name of a function; whether its module is there is seen without importing it."""
    if value is None or callable(value):
        return GIVEN_FUNCTION if value is not None else None
    match = re.fullmatch(r"([A-Za-z_]\w*)(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", str(value))
    if not match:
        raise UserError(f"model {value!r} cannot be read: give a function, or module:function")
    if match[1] == "__main__":
        raise UserError(f"model {value!r} is gone in another process: give the function itself")
    if not Path(f"{match[1]}.py").is_file() and not Path(match[1]).is_dir() and not is_installed(match[1]):
        raise UserError(f"model {value!r}: there is no module {match[1]!r} here or installed; check its name")
    return str(value)


def _replay(value: Any) -> str | None:
    if value is None:
        return None
    ledger = absolute_path("replay", value) / "audit.jsonl"
    if not is_file(ledger):
        raise UserError(f"replay {str(value)!r}: there is no {ledger.name} in it; give a run that was made with audit")
    return str(ledger.parent)


GIVEN_AS = {
    "memory_limit_bytes": "memory_limit",
    "checkpoint_seconds": "checkpoint_every",
    "checkpoint_steps": "checkpoint_every",
}
"""The names that users know, where a field has another."""

NOT_OF_THE_REQUEST = {"mirror_dir", "max_bad_images", "cache_by", "pixel_cache"}
"""What may change from one session to the next: where a copy is kept, when to give up, what is kept of the images and
how they are known again do not change what is trained."""


def difference(there: Options, here: Options) -> str | None:
    """The first option in which two requests differ, with both values; None where they are the same."""
    for name in [name for name in Options.model_fields if name not in NOT_OF_THE_REQUEST]:
        if (was := getattr(there, name)) != (is_now := getattr(here, name)):
            return f"{GIVEN_AS.get(name, name)} {was!r} there, {is_now!r} here"
    return None


def check_for_training(options: Options) -> None:
    """What a probe may measure but a training would waste its time on, and what only a training can be asked for.

    A frozen backbone with random weights and inference BatchNormalization gives constant features.

    Raises:
        UserError: for such a request.
    """
    if options.model is None and options.weights == "none" and options.trainable == "head":
        raise UserError(
            "trainable 'head' with weights 'none' would train on a random backbone and learn nothing: "
            "give weights, or leave trainable out to train everything"
        )
    if options.feature_cache == "on" and not freezes_backbone(options):
        raise UserError("feature_cache 'on' needs a frozen backbone: give trainable 'head', or leave it at 'auto'")


def freezes_backbone(options: Options) -> bool:
    """Whether the backbone is a constant function of its input."""
    return options.model is None and options.trainable == "head"


def has_constant_features(options: Options) -> bool:
    """Whether what the backbone makes of an image is the same in every epoch."""
    return freezes_backbone(options) and options.augment == "none"
