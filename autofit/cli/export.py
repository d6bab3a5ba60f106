"""`autofit export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autofit.cli.flags import Json, Quiet, RunDir
from autofit.cli.output import do_all, progress, require_writable, say, write_json


def export(
    run_dir: RunDir,
    *,
    format: Annotated[  # noqa: A002 - the flag's name
        str, typer.Option("--format", metavar="litert|onnx|savedmodel", help="The runtime that is to open the model.")
    ] = "litert",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="The file, or folder; by default in the run directory."),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="8-bit integers (litert): a quarter of the size, mostly faster.")
    ] = False,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Write the model for LiteRT, ONNX or TensorFlow Serving. Compares its predictions on validation images."""
    require_writable(json)
    from autofit import api  # noqa: PLC0415 - `--help` loads none of it

    with progress(quiet=quiet) as view:
        exported = api.export(run_dir, format, out, int8=int8, view=view)
    do_all(lambda: write_json(exported.to_json(), json), lambda: None if json == "-" else say(exported.summary()))
