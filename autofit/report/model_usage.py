"""How a saved model is used: the lines of Python that open it, what it takes and what it gives. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from autofit.config.multi_label_figures import MEAN_AVERAGE_PRECISION
from autofit.printable import printable
from autofit.protocol.model_jobs import OutputKind
from autofit.report.words import count_of
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord

SHOWN_LABELS = 6
SECOND = "the second class"

Ranges = Mapping[str, tuple[float, float]]


class Reading(NamedTuple):
    """What `load_images` has to know to read images as in the training.

    Attributes:
        ranges: the numbers that are black and white in images of more than 8 bits, by Pillow's mode; without them each
            image would be read by its own.
        image_size: (height, width) in pixels; None where the model says it, as all do but those of users, which may
            take images of any size.
    """

    ranges: Ranges = MappingProxyType({})
    image_size: tuple[int, int] | None = None


AS_THE_MODEL_SAYS = Reading()


def reading_of(run: RunRecord) -> Reading:
    """How images are read for the model of a run."""
    return Reading(run.plan.value_ranges, None if run.options.model is None else run.options.image_size)


def usage_code(
    model_path: Path, other_backend: str = "", width: int | None = None, reading: Reading = AS_THE_MODEL_SAYS
) -> list[str]:
    """The lines of Python that open the model and use it on a photo, with TensorFlow where another backend is set.

    Args:
        model_path: the path of the saved model.
        other_backend: the setting that gives Keras another backend than TensorFlow, if any.
        width: in columns; a call that is longer has its arguments on a line of their own.
        reading: how images are read for it.
    """
    asked = ["import os", f'os.environ["KERAS_BACKEND"] = "tensorflow"  # {other_backend}'] if other_backend else []
    size = "model.input_shape[1:3]" if reading.image_size is None else str(tuple(reading.image_size))
    return [
        *asked,
        "import autofit, keras",
        *_call("model = keras.models.load_model", repr(str(model_path)), width),
        *([f"ranges = {_plain(reading.ranges)}"] if reading.ranges else []),
        *_predicting(width, f'"photo.jpg", {size}{", ranges" if reading.ranges else ""}'),
    ]


def _plain(ranges: Ranges) -> dict[str, tuple[float, float]]:
    """The ranges, with whole numbers as such."""

    def shown(value: float) -> float:
        return int(value) if float(value).is_integer() else value

    return {kind: (shown(black), shown(white)) for kind, (black, white) in ranges.items()}


def _predicting(width: int | None, photo: str) -> list[str]:
    line = f"model.predict(autofit.load_images({photo}))"
    if width is None or len(line) <= width:
        return [line]
    return [*_call("images = autofit.load_images", photo, width), "model.predict(images)"]


def _call(function: str, arguments: str, width: int | None) -> list[str]:
    line = f"{function}({arguments})"
    return [line] if width is None or len(line) <= width else [f"{function}(", f"    {arguments})"]


def usage_words(labels: Sequence[str], result: ResultRecord, outputs: OutputKind = "probabilities") -> str:
    """The model's input and output."""
    shown = ", ".join(printable(label) for label in labels[:SHOWN_LABELS])
    more = f" and {len(labels) - SHOWN_LABELS:,} more (labels.json)" if len(labels) > SHOWN_LABELS else ""
    classes = f" for {count_of(len(labels), 'class', 'classes')}: {shown}{more}" if labels else ""
    return (
        "It takes raw pixels, 0 to 255, of upright RGB images that are stretched to its size as load_images does, "
        f"and gives {_gives(labels, result, outputs)}{classes}."
    )


def _gives(labels: Sequence[str], result: ResultRecord, outputs: OutputKind) -> str:
    second = printable(labels[-1]) if labels else SECOND
    return outputs_words(outputs, second, are_independent=MEAN_AVERAGE_PRECISION in result.history)


def outputs_words(outputs: OutputKind, second: str = SECOND, *, are_independent: bool = False) -> str:
    """What a model gives.

    Args:
        outputs: the kind of its outputs.
        second: the second class, of which a single output is.
        are_independent: whether an image may have several classes.
    """
    kinds: dict[OutputKind, str] = {
        "logits": "logits, of which keras.ops.softmax makes probabilities,",
        "binary logits": "logits, of which keras.ops.sigmoid makes probabilities,",
        "one probability": f"one number, the probability of {second},",
        "one logit": f"one number, of which keras.ops.sigmoid makes the probability of {second},",
    }
    return kinds.get(outputs, "independent probabilities" if are_independent else "probabilities")
