"""One file a machine in the user's folder, and beside it the profiles that come with autofit.

A profile only saves time. So nothing in here raises because of a file that is damaged, hostile or cannot be read, and
a disk that cannot be written costs a line of warning, never a probe's answer. What is damaged is set aside, not
deleted: renamed in its folder, under the lock, after a second look, as another process may just have replaced it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs
from pydantic import ValidationError

from autofit.machine.hardware import Hardware
from autofit.printable import printable
from autofit.probing.records import ProbeReport, Workload
from autofit.profiles.match import is_known
from autofit.profiles.merge import to_bytes, with_extracted, with_imported, with_imported_extractions, with_measured
from autofit.profiles.reading import OlderProfileError, RefusedProfileError, in_brief, read_profile
from autofit.profiles.records import MachineProfile, Origin, entry_of, extraction_of, machine_profile
from autofit.protocol.job import ExtractionSpeed
from autofit.storage.locks import Lock, open_lock_file, wait_for_lock
from autofit.storage.records import first_problem
from autofit.storage.safe_files import write_atomically

PACKAGE = Path(__file__).parent.parent
FOLDER_VARIABLE = "AUTOFIT_PROFILES"
LOCK_PATIENCE_SECONDS = 10.0
MOST_SET_ASIDE = 1000
LOCK = ".lock"


def default_folder() -> Path:
    """The user's folder of profiles: what `AUTOFIT_PROFILES` says, else a place among the user's data."""
    given = os.environ.get(FOLDER_VARIABLE, "").strip()
    return Path(given).expanduser() if given else platformdirs.user_data_path("autofit") / "profiles"


def shipped_folder() -> Path | None:
    """The profiles that come with autofit: in the package, or in a checkout at its root; None where there are none."""
    if (PACKAGE / "_profiles").is_dir():
        return PACKAGE / "_profiles"
    checkout = PACKAGE.parent
    in_checkout = (checkout / "pyproject.toml").is_file() and (checkout / "profiles").is_dir()
    return checkout / "profiles" if in_checkout else None


class ProfileStore:
    """The profiles that this user can read.

    Args:
        folder: the user's own; made when something is first saved.
        shipped: those that come with autofit, never written to.
        warn: takes one line for a person, each time something is not as it should be.
        lock_patience_seconds: how long to wait for another process that is saving.
    """

    def __init__(
        self,
        folder: Path,
        shipped: Path | None,
        warn: Callable[[str], None],
        lock_patience_seconds: float = LOCK_PATIENCE_SECONDS,
    ) -> None:
        self.folder = folder
        self._shipped = shipped
        self._warn = warn
        self._lock_patience_seconds = lock_patience_seconds

    def load(self) -> list[tuple[MachineProfile, Origin]]:
        """All profiles, the user's own first; what is no profile is set aside or skipped, with a warning each."""
        own = [(profile, Origin.OWN) for path in self._files(self.folder) if (profile := self._own(path))]
        shipped = self._files(self._shipped) if self._shipped else []
        return own + [(profile, Origin.SHIPPED) for path in shipped if (profile := self._read_shipped(path))]

    def save(self, report: ProbeReport, machine: Hardware, measured_at: float, *, limit_is_given: bool) -> None:
        """Keep a finished probe; where that is not possible, a warning says why.

        Args:
            report: what was found.
            machine: where.
            measured_at: when, in seconds since 1970.
            limit_is_given: its limit was asked for; else it is only what the machine had free.
        """
        if not is_known(report.workload):
            return
        try:
            entry = entry_of(report, measured_at, limit_is_given=limit_is_given)
            empty = machine_profile(machine, [])
            self._update(empty, lambda kept: with_measured(kept, entry))
        except (OSError, ValueError) as error:
            self._warn(f"this probe is not saved for the next time ({_reason(error)}); its answer stands")

    def save_extraction(
        self, speed: ExtractionSpeed, workload: Workload, machine: Hardware, measured_at: float
    ) -> None:
        """Keep what an extraction measured; where that is not possible, a warning says why.

        Args:
            speed: what it found.
            workload: of its training.
            machine: where.
            measured_at: when, in seconds since 1970.
        """
        if not is_known(workload):
            return
        try:
            extraction = extraction_of(speed, workload, measured_at)
            self._update(machine_profile(machine, []), lambda kept: with_extracted(kept, extraction))
        except (OSError, ValueError) as error:
            self._warn(f"the speed of this extraction is not saved for the next time ({_reason(error)})")

    def add(self, profile: MachineProfile) -> tuple[int, int]:
        """Add what a profile from elsewhere says to that of its machine.

        Returns:
            How many of its probes, and how many of its extractions, are new.

        Raises:
            OSError: the folder cannot be written.
        """

        def change(kept: MachineProfile) -> MachineProfile:
            return with_imported_extractions(with_imported(kept, profile.entries), profile.extractions)

        before, after = self._update(profile, change)
        return len(after.entries) - len(before.entries), len(after.extractions) - len(before.extractions)

    def _update(
        self, like: MachineProfile, change: Callable[[MachineProfile], MachineProfile]
    ) -> tuple[MachineProfile, MachineProfile]:
        """Read, change and write the file of the machine that `like` describes; return it before and after."""
        with self._locked():
            path = self.folder / f"{like.fingerprint}.json"
            before = self._good_or_set_aside(path) or like.model_copy(update={"entries": [], "extractions": []})
            after = change(before)
            write_atomically(path, to_bytes(after))
        return before, after

    def _files(self, folder: Path) -> list[Path]:
        try:
            names = sorted(entry.name for entry in os.scandir(folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            self._warn(f"profiles in {printable(str(folder))} are not used ({_reason(error)})")
            return []
        return [folder / name for name in names if name.endswith(".json") and not name.startswith(".")]

    def _own(self, path: Path) -> MachineProfile | None:
        try:
            return read_profile(path)
        except RefusedProfileError as refusal:
            return self._look_again(path, refusal)
        except OSError as error:
            self._skip(path, error)
            return None

    def _look_again(self, path: Path, refusal: RefusedProfileError) -> MachineProfile | None:
        """Under the lock nobody else replaces the file between the look and the renaming."""
        try:
            with self._locked():
                return self._good_or_set_aside(path)
        except OSError:  # a folder that only can be read
            self._skip(path, refusal)
            return None

    def _good_or_set_aside(self, path: Path) -> MachineProfile | None:
        """The profile in a file; None where there is none, or none any more. The lock is held.

        Raises:
            OSError: the file cannot be read or renamed, and so must not be replaced either.
        """
        try:
            return read_profile(path)
        except FileNotFoundError:
            return None
        except RefusedProfileError as refusal:
            target = _free_name(path, refusal.kind)
            path.rename(target)
            self._warn(f"profile {_shown(path)} is not used ({_refused(refusal)}): it is set aside as {_shown(target)}")
            return None

    def _read_shipped(self, path: Path) -> MachineProfile | None:
        try:
            return read_profile(path)
        except (RefusedProfileError, OSError) as error:
            self._skip(path, error)
            return None

    def _skip(self, path: Path, error: Exception) -> None:
        if not isinstance(error, FileNotFoundError):  # which another process has just set aside
            self._warn(f"profile {_shown(path)} is not used ({_reason(error)})")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one who writes in the folder.

        Raises:
            OSError: the folder cannot be written, or another process holds the lock for too long.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        file = open_lock_file(self.folder / LOCK)
        try:
            answer = wait_for_lock(file, self._lock_patience_seconds)
            if answer is Lock.BUSY:
                raise BlockingIOError(errno.EWOULDBLOCK, "another process holds the lock")
            if answer is Lock.HELD:  # on a file system without locks one of two may lose an entry, never a file
                self._remove_left_over()
            yield
        finally:
            os.close(file)

    def _remove_left_over(self) -> None:
        """Remove what killed saves left: whoever holds the lock knows that nobody is writing it."""
        for path in self.folder.glob(".*.json.*"):
            with contextlib.suppress(OSError):
                path.unlink()


def _free_name(path: Path, kind: str) -> Path:
    """A name in the same folder that nothing has.

    Raises:
        OSError: there is none left.
    """
    endings = [kind, *(f"{kind}-{number}" for number in range(2, MOST_SET_ASIDE))]
    for ending in endings:
        target = path.with_name(f"{path.name}.{ending}")
        if not os.path.lexists(target):
            return target
    raise FileExistsError(f"{MOST_SET_ASIDE} files of this name are set aside already: delete some")


def _shown(path: Path) -> str:
    return printable(str(path))


def _refused(refusal: RefusedProfileError) -> str:
    """Why a profile is not used, and what happens instead."""
    return f"{refusal}: it is measured again" if isinstance(refusal, OlderProfileError) else str(refusal)


def _reason(error: Exception) -> str:
    """Why something was not possible, in one line."""
    if isinstance(error, OlderProfileError):
        return _refused(error)
    if isinstance(error, ValidationError):
        return in_brief(first_problem(error))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return in_brief(str(error))
