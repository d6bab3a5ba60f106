"""`autofit estimate`: what fits another machine."""

from __future__ import annotations

from functools import partial
from typing import Any

from autofit.cli.flags import Json, Quiet, takes_options
from autofit.cli.output import do_all, progress, require_writable, show_table, write_json
from autofit.errors import TrainingFailedError


@takes_options("estimate", lists=True)
def estimate(*, quiet: Quiet = False, json: Json = None, **options: Any) -> None:
    """Estimate the largest batch on other machines. These may be GPUs to be rented."""
    require_writable(json)
    from autofit import api  # noqa: PLC0415 - `--help` loads none of it
    from autofit.report import estimate_text  # noqa: PLC0415

    with progress(quiet=quiet) as view:
        found = api.estimate(view=view, **options)
    text, table = estimate_text.estimate_text(found), estimate_text.estimate_table(found)
    facts = partial(estimate_text.estimate_facts, found)
    do_all(
        lambda: write_json(found.to_json().rstrip(), json),
        lambda: None if json == "-" else show_table(text, table, facts),
    )
    if found.failures:
        raise TrainingFailedError(f"{len(found.failures)} of the networks failed: {found.failures[0].cause}")
