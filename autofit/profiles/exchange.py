"""Lists, finds, exports and imports profiles: the exchange between machines, through a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autofit.errors import StorageError, UserError
from autofit.printable import printable
from autofit.profiles.merge import to_bytes
from autofit.profiles.reading import NewerProfileError, OlderProfileError, RefusedProfileError, read_profile
from autofit.profiles.records import MachineProfile, Origin, ProfileList, ProfileSummary
from autofit.profiles.store import ProfileStore
from autofit.storage.safe_files import write_for_user
from autofit.storage.system_errors import explained, said_of

Found = tuple[MachineProfile, Origin]


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import: how many probes (`added`) and extractions are new.

    `others` counts probes and extractions that were known already, or are of networks that this autofit does not know.
    """

    fingerprint: str
    added: int
    others: int
    extractions: int = 0


def listing_of(profiles: Sequence[Found], folder: Path) -> ProfileList:
    """The list of the profiles, one line each. `folder` is where the user's own profiles are."""
    lines = [
        ProfileSummary(
            fingerprint=profile.fingerprint,
            device_name=profile.hardware.device_name,
            entries=len(profile.entries),
            extractions=len(profile.extractions),
            newest=max(_times(profile), default=None),
            origin=origin,
        )
        for profile, origin in profiles
    ]
    return ProfileList(folder=str(folder), profiles=lines)


def _times(profile: MachineProfile) -> Iterator[float]:
    yield from (entry.measured_at for entry in profile.entries)
    yield from (extraction.measured_at for extraction in profile.extractions)


def find_profile(profiles: Sequence[Found], machine: str) -> Found:
    """The profile of a machine, by all or the first digits of its fingerprint; the user's own before a shipped one.

    Raises:
        UserError: there is no such profile, or several machines have these first digits.
    """
    found = [pair for pair in profiles if pair[0].fingerprint.startswith(machine.lower())]
    if not machine or not found:
        raise UserError(
            f"there is no profile of the machine {machine!r}: autofit profiles list shows the known machines, and "
            "autofit probe measures this one"
        )
    if len({profile.fingerprint for profile, _ in found}) > 1:
        raise UserError(f"{machine!r} is the beginning of several machines' fingerprints: give more of its digits")
    return min(found, key=lambda pair: pair[1] is not Origin.OWN)


def export_profile(profile: MachineProfile, file: Path) -> None:
    """Write a profile to a file that `import_profile` reads on another machine.

    Raises:
        StorageError: the file cannot be written; what was there is unchanged.
    """
    try:
        write_for_user(file, to_bytes(profile))
    except OSError as error:
        raise StorageError(explained(error, f"{printable(str(file))} cannot be written")) from error


def import_profile(store: ProfileStore, file: Path) -> Imported:
    """Add the measurements in a file from another machine to the store, whatever name that file has.

    Raises:
        UserError: the file cannot be read, or is not a profile.
        StorageError: the store cannot be written.
    """
    profile = _read(file)
    try:
        added, extractions = store.add(profile)
    except OSError as error:
        raise StorageError(
            f"{explained(error, f'profiles in {store.folder} cannot be written')}; or set AUTOFIT_PROFILES to "
            "another folder"
        ) from error
    others = len(profile.entries) - added + len(profile.extractions) - extractions
    return Imported(profile.fingerprint, added, others, extractions)


def _read(file: Path) -> MachineProfile:
    shown = printable(str(file))
    try:
        return read_profile(file.resolve())  # a link that the user names means its target
    except NewerProfileError as error:
        raise UserError(f"{shown} is {error}: update autofit") from None
    except OlderProfileError as error:
        raise UserError(f"{shown} is {error}: measure and export it there with this autofit") from None
    except RefusedProfileError as error:
        raise UserError(f"{shown} is no profile ({error}): give a file that autofit profiles export wrote") from None
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError before Python 3.13
        otherwise = "give a file that autofit profiles export wrote"
        raise UserError(said_of(error, f"{shown} cannot be read", otherwise)) from None
