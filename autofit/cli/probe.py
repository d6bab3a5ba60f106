"""`autofit probe`: what fits, and what is fastest; of one network, or of several side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autofit.cli.flags import (
    Dropout,
    HiddenUnits,
    Isolation,
    Json,
    MemoryLimit,
    ModelName,
    Optimizer,
    Trainable,
    Weights,
)
from autofit.cli.output import progress, require_writable, say, write_json, write_text
from autofit.errors import TrainingFailedError, UserError

if TYPE_CHECKING:
    from rich.table import Table

    from autofit.probing.records import ProbeReport, SweepReport


def probe(  # noqa: PLR0913 - the options are the interface
    *,
    backbone: Annotated[
        str | None, typer.Option("--backbone", metavar="NAME[,NAME…]", help="Networks of keras.applications.")
    ] = None,
    model: ModelName = None,
    weights: Weights = "imagenet",
    image_size: Annotated[
        str | None, typer.Option("--image-size", metavar="N|HxW[,…]", help="Pixels; the backbone's own.")
    ] = None,
    trainable: Trainable = None,
    hidden_units: HiddenUnits = 0,
    dropout: Dropout = 0.2,
    optimizer: Optimizer = "adam",
    num_classes: Annotated[int, typer.Option("--num-classes", help="Width of the head.")] = 10,
    memory_limit: MemoryLimit = None,
    max_batch: Annotated[int, typer.Option("--max-batch", help="The largest size of interest.")] = 4096,
    profile: Annotated[
        bool, typer.Option("--profile/--no-profile", help="Start from saved profiles, and save what is found.")
    ] = True,
    isolation: Isolation = "process",
    json: Json = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="CropParameters memory and speed.")
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page.")] = None,
) -> None:
    """Find the largest batch that fits, and the fastest."""
    for file in (plot, report, json):
        require_writable(file)
    from autofit import api  # noqa: PLC0415 - `--help` loads none of it
    from autofit.config.options import DEFAULT_BACKBONE  # noqa: PLC0415

    backbones, image_sizes = _listed(backbone), _listed(image_size)
    is_sweep = len(backbones) > 1 or len(image_sizes) > 1
    if is_sweep and model is not None:
        raise UserError("--model is one network: leave it out to compare several, and give one --image-size with it")
    common: Any = {
        "weights": weights,
        "trainable": trainable,
        "hidden_units": hidden_units,
        "dropout": dropout,
        "optimizer": optimizer,
        "num_classes": num_classes,
        "memory_limit": memory_limit,
        "max_batch": max_batch,
        "profile": profile,
        "isolation": isolation,
    }
    if is_sweep:
        with progress() as view:
            swept = api.sweep(backbones or [DEFAULT_BACKBONE], image_sizes, view=view, **common)
        _show_sweep(swept, json, plot, report)
    else:
        with progress() as view:
            found = api.probe(backbone=backbone, model=model, image_size=image_size, view=view, **common)
        _show_probe(found, json, plot, report)


def _listed(text: str | None) -> list[str]:
    """What was given with commas between."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _show_probe(found: ProbeReport, json: str | None, plot: Path | None, page: Path | None) -> None:
    """Show and write one probe.

    Raises:
        DoesNotFitError: it found that nothing fits; after all was written.
    """
    from autofit import api  # noqa: PLC0415
    from autofit.report import page as pages  # noqa: PLC0415
    from autofit.report import plots, probe_text  # noqa: PLC0415

    write_json(found.to_json().rstrip(), json)
    if plot is not None:
        plots.probe_plot(found, plot)
    if page is not None:
        write_text(pages.probe_page(found), page)
    if json != "-":
        _show(probe_text.probe_text(found), probe_text.probe_table(found), partial(probe_text.probe_facts, found))
    if found.largest_feasible_batch == 0:
        raise api.does_not_fit(found)


def _show_sweep(found: SweepReport, json: str | None, plot: Path | None, page: Path | None) -> None:
    """Show and write several probes.

    Raises:
        TrainingFailedError: one of them failed for a reason that is not memory; after all was written.
        DoesNotFitError: of none did a single image fit; likewise.
    """
    from autofit import api  # noqa: PLC0415
    from autofit.report import page as pages  # noqa: PLC0415
    from autofit.report import plots, sweep_text  # noqa: PLC0415

    write_json(found.to_json().rstrip(), json)
    if plot is not None:
        plots.sweep_plot(found, plot)
    if page is not None:
        write_text(pages.sweep_page(found), page)
    if json != "-":
        _show(sweep_text.sweep_text(found), sweep_text.sweep_table(found), partial(sweep_text.sweep_facts, found))
    if found.failures:
        raise TrainingFailedError(f"{len(found.failures)} of the networks failed: {found.failures[0].cause}")
    if not any(probe.largest_feasible_batch for probe in found.probes):
        raise api.does_not_fit(found.probes[0])


def _show(plain: str, table: Table, facts: Callable[[int], list[str]]) -> None:
    """A table with colours in a terminal, plain lines elsewhere."""
    from autofit.report.progress import can_redraw  # noqa: PLC0415

    if not can_redraw(sys.stdout):
        say(plain)
        return
    from rich.console import Console  # noqa: PLC0415

    console = Console()
    console.print(table)
    for line in facts(console.width):
        console.print(line, highlight=False, markup=False)
