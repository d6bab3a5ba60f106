"""`autofit cache`: list and remove the stored features and pixels of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from autofit.cli.flags import Json
from autofit.cli.output import note_on_stderr, require_writable, say, write_json

if TYPE_CHECKING:
    from autofit.cache.store import CacheStore

app = typer.Typer(
    name="cache", invoke_without_command=True, help="List and remove the stored features and pixels of images."
)


@app.callback()
def show_help_without_a_command(context: typer.Context) -> None:
    """List and remove the stored features and pixels of images."""
    if context.invoked_subcommand is None:
        say(context.get_help())


@app.command("list")
def list_entries(*, json: Json = None) -> None:
    """List the cache entries, the last used first."""
    require_writable(json)
    from autofit.report.cache_text import cache_text  # noqa: PLC0415 - `--help` loads none of it

    store = _store()
    listing = store.listing()
    _say_trouble(store)
    write_json(listing.to_json().rstrip(), json)
    if json != "-":
        say(cache_text(listing))


@app.command()
def clear() -> None:
    """Remove all cache entries that no run is using. The images stay; the next run computes the entries again."""
    from autofit.report.cache_text import cleared_words  # noqa: PLC0415

    store = _store()
    count, size_bytes = store.clear()
    say(cleared_words(count, size_bytes, store.listing().entries))
    _say_trouble(store)


@app.command("path")
def folder_path() -> None:
    """Print the folder of the cache. AUTOFIT_CACHE names another folder, AUTOFIT_CACHE_LIMIT the largest size."""
    from autofit.report.cache_text import otherwise_words  # noqa: PLC0415

    store = _store()
    say(str(store.folder))
    note_on_stderr(otherwise_words(store.limit_bytes))


def _say_trouble(store: CacheStore) -> None:
    if words := store.trouble_words():
        note_on_stderr(words)


def _store() -> CacheStore:
    from autofit.cache.folder import default_folder  # noqa: PLC0415
    from autofit.cache.store import CacheStore, default_limit_bytes  # noqa: PLC0415

    return CacheStore(default_folder(), default_limit_bytes())
