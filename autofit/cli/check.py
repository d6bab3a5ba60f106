"""`autofit check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from autofit.cli.flags import Json, Quiet, takes_options
from autofit.cli.output import do_all, progress, require_writable, say, write_json

FOUND = 1
"""The exit code with `--strict` where something was found."""


@takes_options("check")
def check(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder with one subfolder for each class, or a CSV or JSON file.")
    ],
    *,
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Look for images that are likely to be labelled wrong.")
    ] = True,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if anything was found that should be put right.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE.html", help="Write a page with pictures of what was found.")
    ] = None,
    quiet: Quiet = False,
    json: Json = None,
    **options: Any,
) -> None:
    """Look at the data: duplicates, wrong labels, unreadable images."""
    for file in (html, json):
        require_writable(file)
    from autofit import api  # noqa: PLC0415 - `--help` loads none of it

    with progress(quiet=quiet) as view:
        found = api.check(data, view=view, find_wrong_labels=labels, **options)
    do_all(
        lambda: write_json(found.to_json(), json),
        lambda: None if html is None else found.save(html),
        lambda: None if json == "-" else say(found.summary()),
    )
    if strict and found.has_problems:
        raise typer.Exit(FOUND)
