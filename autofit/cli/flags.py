"""The flags that several commands share, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="Write the result as JSON; - is stdout.")]
BackboneName = Annotated[str | None, typer.Option("--backbone", help="Any network of keras.applications.")]
ModelName = Annotated[str | None, typer.Option("--model", metavar="MODULE:FUNCTION", help="Your own network.")]
Weights = Annotated[str, typer.Option("--weights", metavar="imagenet|none|FILE", help="The backbone's first weights.")]
ImageSize = Annotated[str | None, typer.Option("--image-size", metavar="N|HxW", help="Pixels; the backbone's own.")]
Trainable = Annotated[str | None, typer.Option("--trainable", metavar="head|all", help="What trains.")]
HiddenUnits = Annotated[int, typer.Option("--hidden-units", help="Width of a hidden layer in the head; 0: none.")]
Dropout = Annotated[float, typer.Option("--dropout", help="Share of the head's inputs dropped in training.")]
Optimizer = Annotated[str, typer.Option("--optimizer", help="A Keras optimizer by name.")]
MemoryLimit = Annotated[
    str | None, typer.Option("--memory-limit", metavar="SIZE", help="Such as 3GB; else what the machine has.")
]
Isolation = Annotated[str, typer.Option("--isolation", metavar="process|inline", help="Where training runs.")]
RunDir = Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")]
