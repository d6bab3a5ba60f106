"""`autofit profiles`: show the measurements of this machine and others, and exchange them between machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autofit.cli.flags import Json
from autofit.cli.output import note_on_stderr, require_writable, say, write_json
from autofit.storage.user_path import user_path

if TYPE_CHECKING:
    from autofit.profiles.exchange import Found
    from autofit.profiles.store import ProfileStore

app = typer.Typer(
    name="profiles",
    invoke_without_command=True,
    help="Show and exchange measurements, which make probes short.",
)

Machine = Annotated[
    str | None,
    typer.Option("--machine", metavar="DIGITS", help="A machine by its name in the list; by default this one."),
]


@app.callback()
def show_help_without_a_command(context: typer.Context) -> None:
    """Show and exchange measurements, which make probes short."""
    if context.invoked_subcommand is None:
        say(context.get_help())


@app.command("list")
def list_profiles(*, json: Json = None) -> None:
    """List the machines that have a profile."""
    require_writable(json)
    from autofit.profiles.exchange import listing_of  # noqa: PLC0415 - `--help` loads none of it
    from autofit.report.profile_text import profiles_text  # noqa: PLC0415

    store = _store()
    listing = listing_of(store.load(), store.folder)
    write_json(listing.to_json().rstrip(), json)
    if json != "-":
        say(profiles_text(listing))


@app.command()
def show(
    machine: Annotated[
        str | None, typer.Argument(metavar="[MACHINE]", help="A machine by its name in the list; by default this one.")
    ] = None,
    *,
    json: Json = None,
) -> None:
    """Show the profile of a machine."""
    require_writable(json)
    from autofit.report.profile_text import profile_text  # noqa: PLC0415

    profile, origin = _find(machine)
    write_json(profile.to_json().rstrip(), json)
    if json != "-":
        say(profile_text(profile, origin))


@app.command("export")
def export_to(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")], *, machine: Machine = None
) -> None:
    """Write a machine's profile to a file. Another machine or another user can import it."""
    require_writable(file)
    from autofit.printable import printable  # noqa: PLC0415
    from autofit.profiles.exchange import export_profile  # noqa: PLC0415
    from autofit.report.profile_text import measured_words  # noqa: PLC0415

    profile, _ = _find(machine)
    export_profile(profile, user_path(file))
    measured = measured_words(len(profile.entries), len(profile.extractions))
    say(f"{printable(str(file))}: {measured} of the machine {profile.fingerprint}.")


@app.command("import")
def import_from(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `autofit profiles export` wrote.")],
) -> None:
    """Add a file from another machine to your profiles. It is a hint: a probe runs its sizes before it uses them."""
    from autofit.profiles.exchange import import_profile  # noqa: PLC0415
    from autofit.report.profile_text import imported_words  # noqa: PLC0415

    imported = import_profile(_store(), user_path(file))
    say(imported_words(imported.fingerprint, imported.added, imported.others, imported.extractions))


@app.command("path")
def folder_path() -> None:
    """Print the folder of your profiles. AUTOFIT_PROFILES names another folder."""
    from autofit.profiles.store import default_folder  # noqa: PLC0415

    say(str(default_folder()))


def _store() -> ProfileStore:
    from autofit.profiles.store import ProfileStore, default_folder, shipped_folder  # noqa: PLC0415

    return ProfileStore(default_folder(), shipped_folder(), note_on_stderr)


def _find(machine: str | None) -> Found:
    """The profile of a machine by its name, or of this one."""
    from autofit.machine import hardware  # noqa: PLC0415
    from autofit.profiles.exchange import find_profile  # noqa: PLC0415

    wanted = hardware.fingerprint(hardware.detect()) if machine is None else machine
    return find_profile(_store().load(), wanted)
