"""The jobs on a saved model: to answer requests for predictions, and to write the model in another format."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autofit.storage.records import Record

OutputKind = Literal["probabilities", "logits", "binary logits", "one probability", "one logit"]
"""What a model's output holds: probabilities, or logits, which a softmax or (`binary logits`, for each class by itself)
a sigmoid turns into probabilities; `one probability` and `one logit` are of a single output for two classes."""


class PredictJob(Record):
    """Open a saved model and answer requests for predictions (`PredictRequest`), one after another.

    Attributes:
        model_path: the path of the model.
        image_size: (height, width) in pixels.
        batch_size: how many images are on the device at once, at most.
        threads: how many threads decode images.
        idle_seconds: the worker ends if no request comes for so long.
        flips: whether some of several views of an image are mirrored.
        value_ranges: as in the `TrainingPlan` of the model.
        outputs: what the model's output holds.
        module: a module to import, which registers the user's layers; None if there is none.
    """

    kind: Literal["predict"] = "predict"
    model_path: str
    image_size: tuple[int, int]
    batch_size: int = Field(ge=1)
    threads: int
    idle_seconds: float = Field(gt=0)
    flips: bool = True
    value_ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    outputs: OutputKind = "probabilities"
    module: str | None = None


ExportFormat = Literal["litert", "onnx", "savedmodel"]


class ExportJob(Record):
    """Write a saved model in another format, and predict the images that `paths_file` lists with both.

    The probabilities of the saved model go to `before.npy` in the attempt's folder, those of the exported one to
    `after.npy`. With `int8` the images that `calibration_file` lists set the scales of the integers.
    """

    kind: Literal["export"] = "export"
    model_path: str
    target: str
    format: ExportFormat
    int8: bool
    paths_file: str
    calibration_file: str
    image_size: tuple[int, int]
    threads: int
    value_ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    outputs: OutputKind = "probabilities"
    module: str | None = None
