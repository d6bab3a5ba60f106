"""What a user may ask for, validated once, at the door, before anything heavy is imported."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from autofit import backbones
from autofit.errors import UserError
from autofit.records import Record
from autofit.sizes import parse_size

OPTIMIZERS = ("adam", "adamw", "adamax", "nadam", "sgd", "rmsprop", "adagrad", "adadelta", "ftrl", "lion", "lamb", "muon")
MAX_COUNT = 2**31 - 1
DEFAULT_IMAGE_SIZE = 224
"""For a model function, which has no size of its own: what most backbones were trained at."""
GIVEN_FUNCTION = "<function>"
"""What `Options.model` says of a function that was given as an object, not as `module:function`."""


class Options(Record):
    """A request: every option of DESIGN section 4 but the data, the model function's code, the callbacks and the run directory.

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


def make_options(  # noqa: PLR0913 - the one place that takes them all, as a user gives them
    *,
    backbone: str | None = None,
    model: Any = None,
    weights: str | Path | None = "imagenet",
    image_size: Any = None,
    trainable: str | None = None,
    hidden_units: int = 0,
    dropout: float = 0.2,
    epochs: int = 10,
    fine_tune_epochs: int = 0,
    batch_size: int | str | None = "auto",
    micro_batch_size: int | str | None = "auto",
    batch_schedule: str | tuple[int, int] | None = None,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    class_weight: str | None = "none",
    early_stopping: int | None = None,
    validation: float | str | Path = 0.2,
    augment: str | None = "none",
    feature_cache: str | None = "auto",
    precision: str = "float32",
    memory_limit: str | int | None = None,
    seed: int = 0,
    checkpoint_every: str | float = "60s",
    max_minutes: float | None = None,
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
        augment=(augment or "none", "none"),
        feature_cache=("auto" if feature_cache == "off" else feature_cache or "auto", "auto"),
        precision=(precision, "float32"),
        mirror_dir=(mirror_dir, None),
    )
    if model is not None and backbone is not None:
        raise UserError(f"backbone {backbone!r} and model are both given: give one of the two")
    chosen = None if model is not None else backbones.find(backbone or "MobileNetV2")
    checked_weights = _weights(weights) if model is None else "none"
    seconds, steps = _checkpoint_every(checkpoint_every)
    sizes = _batch_schedule(batch_schedule)
    one_size = _auto_or_integer("batch_size", batch_size)
    if sizes is not None and one_size is not None:
        raise UserError(f"batch_size {one_size} and batch_schedule {batch_schedule!r} exclude each other: give one")
    return Options(
        backbone=chosen.name if chosen else None,
        model=_model(model),
        weights=checked_weights,
        image_size=_image_size(image_size, chosen),
        trainable=_trainable(trainable, checked_weights),
        hidden_units=_integer("hidden_units", hidden_units, 0),
        dropout=_number("dropout", dropout, 0.0, below=1.0),
        epochs=_integer("epochs", epochs, 1),
        batch_size=one_size,
        micro_batch_size=_auto_or_integer("micro_batch_size", micro_batch_size),
        batch_schedule=sizes,
        optimizer=_choice("optimizer", optimizer, OPTIMIZERS),
        learning_rate=_number("learning_rate", learning_rate, 0.0, exclusive=True),
        class_weight=_choice("class_weight", class_weight or "none", ("none", "balanced")),
        early_stopping=None if early_stopping is None else _integer("early_stopping", early_stopping, 1),
        validation=_validation(validation),
        memory_limit_bytes=None if memory_limit is None else parse_size(memory_limit),
        seed=_integer("seed", seed, 0),
        checkpoint_seconds=seconds,
        checkpoint_steps=steps,
        max_minutes=None if max_minutes is None else _number("max_minutes", max_minutes, 0.0, exclusive=True),
        isolation=_choice("isolation", isolation, ("process", "inline")),
        audit=bool(audit),
        replay=_replay(replay),
    )


def _refuse_later_options(**given: tuple[Any, Any]) -> None:
    for name, (value, only) in given.items():
        if value != only:
            raise UserError(f"{name}={value!r} does not work in this version: leave it out")


def _integer(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise UserError(f"{name} must be a whole number, not {value!r}")
    number = int(value.__index__())
    if not least <= number <= MAX_COUNT:
        raise UserError(f"{name} must be {least} or more, and at most {MAX_COUNT}, not {number}")
    return number


def _auto_or_integer(name: str, value: Any) -> int | None:
    if value is None or value == "auto":
        return None
    if isinstance(value, str):
        if not value.isascii() or not value.isdigit():
            raise UserError(f"{name} must be 'auto' or a whole number, not {value!r}")
        value = int(value)
    return _integer(name, value, 1)


def _number(name: str, value: Any, least: float, *, below: float = float("inf"), exclusive: bool = False) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"{name} must be a number, not {value!r}") from None
    if not least <= number < below or (exclusive and number == least):
        limit = f" and under {below:g}" if below != float("inf") else ""
        raise UserError(f"{name} must be {'over' if exclusive else 'at least'} {least:g}{limit}, not {value!r}")
    return number


def _choice(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    text = str(value).lower()
    if text in allowed:
        return text
    near = difflib.get_close_matches(text, allowed, n=1)
    hint = f"did you mean {near[0]}?" if near else f"give one of {', '.join(allowed)}"
    raise UserError(f"{name} {value!r} is not known: {hint}")


def _weights(value: str | Path | None) -> str:
    if value is None or str(value).lower() in {"none", "imagenet"}:
        return str(value or "none").lower()
    path = Path(value).expanduser()
    if not path.is_file():
        raise UserError(f"weights file {path} does not exist: give a file, 'imagenet' or 'none'")
    if path.suffix not in {".h5", ".keras"}:
        raise UserError(f"weights file {path} must end in .weights.h5, .h5 or .keras")
    return str(path.resolve())


def _trainable(value: str | None, weights: str) -> Any:
    if value is None:
        return "all" if weights == "none" else "head"
    return _choice("trainable", value, ("head", "all"))


def _image_size(value: Any, backbone: backbones.Backbone | None) -> tuple[int, int]:
    if value is None:
        value = backbone.default_size if backbone else DEFAULT_IMAGE_SIZE
    if isinstance(value, str):
        match = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", value.strip().lower())
        if not match:
            raise UserError(f"image_size {value!r} cannot be read: give a number such as 224, or HEIGHTxWIDTH")
        value = tuple(int(part) for part in match.groups() if part)
    sides = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(sides) not in {1, 2}:
        raise UserError(f"image_size must be one number or (height, width), not {value!r}")
    height, width = (_integer("image_size", side, 1) for side in (sides * 2)[:2])
    if backbone:
        backbone.check_image_size((height, width))
    return height, width


def _batch_schedule(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    parts = str(value).split(":") if isinstance(value, str) else list(value)
    try:
        first, last = (int(part) for part in parts)
    except (TypeError, ValueError):
        raise UserError(f"batch_schedule {value!r} cannot be read: give FIRST:LAST, for example 32:16") from None
    return _integer("batch_schedule", first, 1), _integer("batch_schedule", last, 1)


def _validation(value: Any) -> float | str:
    if isinstance(value, Path):
        return str(value.expanduser().resolve())
    try:
        share = float(value)
    except (TypeError, ValueError):
        return str(Path(str(value)).expanduser().resolve())
    return _number("validation", share, 0.0, below=1.0)


def _checkpoint_every(value: Any) -> tuple[float | None, int | None]:
    """`60s` or `2m` are times, a bare number counts steps."""
    text = str(value).strip().lower()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m)?", text)
    if not match or float(match[1]) <= 0:
        raise UserError(f"checkpoint_every {value!r} cannot be read: give seconds such as 60s, or a number of steps")
    if match[2]:
        return float(match[1]) * (60 if match[2] == "m" else 1), None
    return None, _integer("checkpoint_every", int(float(match[1])), 1)


def _model(value: str | Callable[..., Any] | None) -> str | None:
    if value is None or callable(value):
        return GIVEN_FUNCTION if value is not None else None
    text = str(value)
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", text):
        raise UserError(f"model {text!r} cannot be read: give a function, or module:function")
    top = text.split(":")[0].split(".")[0]
    if importlib.util.find_spec(top) is None and not _in_working_folder(top):
        raise UserError(f"model {text!r}: there is no module {top} here or installed")
    return text


def _in_working_folder(module: str) -> bool:
    return Path(f"{module}.py").is_file() or Path(module, "__init__.py").is_file()


def _replay(value: str | Path | None) -> str | None:
    if value is None:
        return None
    ledger = Path(value).expanduser().resolve() / "audit.jsonl"
    if not ledger.is_file():
        raise UserError(f"replay {value}: there is no {ledger.name}; the run to follow must have been made with audit on")
    return str(ledger.parent)


def check_for_training(options: Options) -> None:
    """What a probe may measure but a training would waste its time on.

    A frozen backbone with random weights and inference BatchNormalization gives constant features.

    Raises:
        UserError: for such a request.
    """
    if options.model is None and options.weights == "none" and options.trainable == "head":
        raise UserError(
            "trainable 'head' with weights 'none' would train on a random backbone and learn nothing: "
            "give weights, or leave trainable out to train everything"
        )
