"""`autofit probe`: find the batch sizes that fit and the fastest one, for one network or for several."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autofit.cli.flags import Json, Quiet, takes_options
from autofit.cli.output import do_all, progress, require_writable, show_table, write_json, write_text
from autofit.config.validators import several
from autofit.errors import TrainingFailedError, UserError
from autofit.storage.user_path import user_path

if TYPE_CHECKING:
    from autofit.probing.records import ProbeReport, SweepReport


@takes_options("probe", lists=True)
def probe(
    *,
    quiet: Quiet = False,
    json: Json = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Plot memory and speed against the batch size.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page with the results.")
    ] = None,
    **options: Any,
) -> None:
    """Find the largest batch size that fits, and the fastest. Takes one network or several."""
    for file in (plot, report, json):
        require_writable(file)
    from autofit import api  # noqa: PLC0415 - `--help` loads none of it
    from autofit.config.backbones import DEFAULT_BACKBONE  # noqa: PLC0415

    backbones, image_sizes = several(options["backbone"]), several(options["image_size"])
    if len(backbones) <= 1 and len(image_sizes) <= 1:
        with progress(quiet=quiet) as view:
            found = api.probe(view=view, **options)
        _show_probe(found, json, plot, report)
        return
    if options["model"] is not None:
        raise UserError("--model is one network: leave it out to compare several, and give one --image-size with it")
    common = {name: value for name, value in options.items() if name not in {"backbone", "model", "image_size"}}
    with progress(quiet=quiet) as view:
        swept = api.sweep(backbones or [DEFAULT_BACKBONE], image_sizes, view=view, **common)
    _show_sweep(swept, json, plot, report)


def _show_probe(found: ProbeReport, json: str | None, plot: Path | None, page: Path | None) -> None:
    """Show and write one probe.

    Raises:
        DoesNotFitError: no batch size fits; raised after everything was written.
    """
    from autofit import api  # noqa: PLC0415
    from autofit.report import page as pages  # noqa: PLC0415
    from autofit.report import plots, probe_text  # noqa: PLC0415

    text, table = probe_text.probe_text(found), probe_text.probe_table(found)
    do_all(
        lambda: write_json(found.to_json().rstrip(), json),
        lambda: None if plot is None else plots.probe_plot(found, user_path(plot)),
        lambda: None if page is None else write_text(pages.probe_page(found), page),
        lambda: None if json == "-" else show_table(text, table, partial(probe_text.probe_facts, found)),
    )
    if found.largest_feasible_batch == 0:
        raise api.does_not_fit(found)


def _show_sweep(found: SweepReport, json: str | None, plot: Path | None, page: Path | None) -> None:
    """Show and write several probes.

    Raises:
        TrainingFailedError: a probe failed for a reason that is not memory; raised after everything was written.
        DoesNotFitError: not even one image fits with any network; raised after everything was written.
    """
    from autofit import api  # noqa: PLC0415
    from autofit.report import page as pages  # noqa: PLC0415
    from autofit.report import plots, sweep_text  # noqa: PLC0415

    text, table = sweep_text.sweep_text(found), sweep_text.sweep_table(found)
    do_all(
        lambda: write_json(found.to_json().rstrip(), json),
        lambda: None if plot is None else plots.sweep_plot(found, user_path(plot)),
        lambda: None if page is None else write_text(pages.sweep_page(found), page),
        lambda: None if json == "-" else show_table(text, table, partial(sweep_text.sweep_facts, found)),
    )
    if found.failures:
        raise TrainingFailedError(f"{len(found.failures)} of the networks failed: {found.failures[0].cause}")
    if not any(probe.largest_feasible_batch for probe in found.probes):
        raise api.does_not_fit(found.probes[0])
