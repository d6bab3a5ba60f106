"""The jobs on a saved model: predicting with it for as long as it is asked to, and writing it in another format."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autofit.storage.records import Record

OutputKind = Literal["probabilities", "logits", "binary logits", "one probability", "one logit"]
"""What a model gives: probabilities, or what a softmax or, each by itself, a sigmoid makes them of."""


class PredictJob(Record):
    """Open a saved model and answer requests for predictions (`PredictRequest`), one after another.

    Attributes:
        model_path: of the model.
        image_size: (height, width) in pixels.
        batch_size: how many images are on the device at once, at most.
        threads: that decode images.
        idle_seconds: without a request for so long the worker ends.
        flips: whether mirror images are among several views of an image.
        value_ranges: those of the training.
        outputs: what the model gives.
        module: registers the user's layers when it is imported.
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
    """Write a saved model in another format, and let both predict the images in `paths_file`.

    The probabilities of the saved model go to `before.npy` in the attempt's folder, those of the exported one to
    `after.npy`. With `int8` the images in `calibration_file` set the scales of the integers.
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
