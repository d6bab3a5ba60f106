"""`autofit extract`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from autofit.cli.flags import Json, Quiet, takes_options
from autofit.cli.output import do_all, progress, require_writable, say, write_json
from autofit.config.shard_choice import SHARD_IMAGES
from autofit.storage.leases import LEASE_SECONDS


@takes_options("extract")
def extract(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder with one subfolder for each class, or a CSV or JSON file.")
    ],
    *,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", metavar="DIR", help="The folder of the cache.", show_default="AUTOFIT_CACHE, or yours"),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine", metavar="local|ray", help="Who extracts: this process, or the nodes of a Ray cluster."
        ),
    ] = "local",
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N|auto[/N]",
            help="Only part I of N; `auto` takes them from a SLURM array or an indexed job.",
            show_default="all, shared with the other processes",
        ),
    ] = None,
    shard_images: Annotated[
        int, typer.Option("--shard-images", help="About how many images a shard has; the same in all processes.")
    ] = SHARD_IMAGES,
    lease_seconds: Annotated[
        float,
        typer.Option("--lease-seconds", help="A process without a sign of life for this long counts as dead."),
    ] = LEASE_SECONDS,
    quiet: Quiet = False,
    json: Json = None,
    **options: Any,
) -> None:
    """Fill the feature cache; several processes may share the work."""
    require_writable(json)
    from autofit import api  # noqa: PLC0415 - `--help` loads none of it

    of_shards: dict[str, Any] = {"engine": engine, "shard": shard, "shard_images": shard_images}
    of_shards["lease_seconds"] = lease_seconds
    with progress(quiet=quiet) as view:
        done = api.extract(data, view=view, cache=cache, **of_shards, **options)
    do_all(
        lambda: write_json(done.to_json().rstrip(), json),
        lambda: None if json == "-" else say(done.summary()),
    )
