"""The saved profiles: one file for each machine in the user's folder, and the profiles that come with autofit.

A profile only saves time. So a damaged, hostile or unreadable file raises no error here, and a disk that cannot be
written causes a warning but does not lose the answer of a probe. A damaged file is not deleted but renamed: first it is
read again under the lock, since another process may just have replaced it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
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
from autofit.storage.user_path import user_path

PACKAGE = Path(__file__).parent.parent
FOLDER_VARIABLE = "AUTOFIT_PROFILES"
LOCK_PATIENCE_SECONDS = 10.0
LONGEST_SAVE_SECONDS = 3600.0
"""Where nothing can be locked, an older temporary file is that of a killed save."""

MAX_SET_ASIDE = 1000
LOCK = ".lock"


def default_folder() -> Path:
    """The user's folder of profiles: the one in `AUTOFIT_PROFILES`, else the default in the user's data folder."""
    given = os.environ.get(FOLDER_VARIABLE, "").strip()
    return user_path(given) if given else platformdirs.user_data_path("autofit") / "profiles"


def shipped_folder() -> Path | None:
    """The profiles that come with autofit: in the package, or in a checkout at its root; None if there are none."""
    if (PACKAGE / "_profiles").is_dir():
        return PACKAGE / "_profiles"
    checkout = PACKAGE.parent
    with contextlib.suppress(OSError):  # it may not be looked at
        if (checkout / "pyproject.toml").is_file() and (checkout / "profiles").is_dir():
            return checkout / "profiles"
    return None


class ProfileStore:
    """Loads and saves the profiles of a user.

    Args:
        folder: the user's own profiles; created at the first save.
        shipped: the profiles that come with autofit, only read; None if there are none.
        warn: called with one line for the user for each profile that is not used or not saved.
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
        """All profiles, the user's own first; a file that is not a profile is set aside or skipped with a warning."""
        own = [(profile, Origin.OWN) for path in self._files(self.folder) if (profile := self._own(path))]
        shipped = self._files(self._shipped) if self._shipped else []
        return own + [(profile, Origin.SHIPPED) for path in shipped if (profile := self._read_shipped(path))]

    def save(self, report: ProbeReport, machine: Hardware, measured_at: float, *, limit_is_given: bool) -> None:
        """Save a finished probe; if that is not possible, warn why.

        Args:
            report: the report of the probe.
            machine: the machine that ran it.
            measured_at: its time, in seconds since 1970.
            limit_is_given: the user gave its limit; else it is the memory that the machine had free.
        """
        if not is_known(report.workload):
            return
        try:
            entry = entry_of(report, measured_at, limit_is_given=limit_is_given)
            empty = machine_profile(machine, [])
            self._update(empty, lambda own: with_measured(own, entry))
        except (OSError, ValueError) as error:
            self._warn(f"this probe is not saved for the next time ({_reason(error)}); its answer stands")

    def save_extraction(
        self, speed: ExtractionSpeed, workload: Workload, machine: Hardware, measured_at: float
    ) -> None:
        """Save the measured speed of an extraction; if that is not possible, warn why.

        Args:
            speed: the measured speed.
            workload: the workload of its training.
            machine: the machine that ran it.
            measured_at: its time, in seconds since 1970.
        """
        if not is_known(workload):
            return
        try:
            extraction = extraction_of(speed, workload, measured_at)
            self._update(machine_profile(machine, []), lambda own: with_extracted(own, extraction))
        except (OSError, ValueError) as error:
            self._warn(f"the speed of this extraction is not saved for the next time ({_reason(error)})")

    def add(self, profile: MachineProfile) -> tuple[int, int]:
        """Add the measurements of an imported profile to the saved profile of the same machine.

        Returns:
            How many of its probes, and how many of its extractions, are new.

        Raises:
            OSError: the folder cannot be written.
        """

        def change(own: MachineProfile) -> MachineProfile:
            return with_imported_extractions(with_imported(own, profile.entries), profile.extractions)

        before, after = self._update(profile, change)
        return len(after.entries) - len(before.entries), len(after.extractions) - len(before.extractions)

    def _update(
        self, like: MachineProfile, change: Callable[[MachineProfile], MachineProfile]
    ) -> tuple[MachineProfile, MachineProfile]:
        """Read, change and write the file of the machine that `like` describes; return it before and after."""
        with self._locked():
            path = self.folder / f"{like.fingerprint}.json"
            before = self._read_or_set_aside(path) or like.model_copy(update={"entries": [], "extractions": []})
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
            return self._read_again_or_set_aside(path, refusal)
        except OSError as error:
            self._skip(path, error)
            return None

    def _read_again_or_set_aside(self, path: Path, refusal: RefusedProfileError) -> MachineProfile | None:
        """Read a refused file again under the lock, so that no process replaces it before it is renamed."""
        try:
            with self._locked():
                return self._read_or_set_aside(path)
        except OSError:  # a read-only folder
            self._skip(path, refusal)
            return None

    def _read_or_set_aside(self, path: Path) -> MachineProfile | None:
        """The profile in a file; None if there is no file, or it was set aside. The lock must be held.

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
        if not isinstance(error, FileNotFoundError):  # another process has just set it aside
            self._warn(f"profile {_shown(path)} is not used ({_reason(error)})")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the folder, so that no other process writes in it.

        Raises:
            OSError: the folder cannot be written, or another process holds the lock for too long.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        file = open_lock_file(self.folder / LOCK)
        try:
            answer = wait_for_lock(file, self._lock_patience_seconds)
            if answer is Lock.BUSY:
                raise BlockingIOError(errno.EWOULDBLOCK, "another process holds the lock")
            # on a file system without locks one of two may lose an entry, never a file
            self._remove_left_over(0.0 if answer is Lock.HELD else LONGEST_SAVE_SECONDS)
            yield
        finally:
            os.close(file)

    def _remove_left_over(self, least_age_seconds: float) -> None:
        """Remove the temporary files of killed saves that are so old; with the lock, no process is writing any."""
        for path in self.folder.glob(".*.json.*"):
            with contextlib.suppress(OSError):
                if not least_age_seconds or time.time() - path.lstat().st_mtime > least_age_seconds:
                    path.unlink()


class NoProfiles(ProfileStore):
    """A store that knows nothing, keeps nothing, and touches no file."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull), None, lambda _: None)

    def load(self) -> list[tuple[MachineProfile, Origin]]:
        """Nothing."""
        return []

    def save(self, report: ProbeReport, machine: Hardware, measured_at: float, *, limit_is_given: bool) -> None:
        """Keep nothing."""

    def save_extraction(
        self, speed: ExtractionSpeed, workload: Workload, machine: Hardware, measured_at: float
    ) -> None:
        """Keep nothing."""

    def add(self, profile: MachineProfile) -> tuple[int, int]:
        """Keep nothing."""
        del profile
        return 0, 0


def _free_name(path: Path, kind: str) -> Path:
    """An unused name in the same folder.

    Raises:
        OSError: all names are used.
    """
    suffixes = [kind, *(f"{kind}-{number}" for number in range(2, MAX_SET_ASIDE))]
    for suffix in suffixes:
        target = path.with_name(f"{path.name}.{suffix}")
        if not os.path.lexists(target):
            return target
    raise FileExistsError(f"{MAX_SET_ASIDE} files of this name are set aside already: delete some")


def _shown(path: Path) -> str:
    return printable(str(path))


def _refused(refusal: RefusedProfileError) -> str:
    """Why a profile is not used, and what happens instead."""
    return f"{refusal}: it is measured again" if isinstance(refusal, OlderProfileError) else str(refusal)


def _reason(error: Exception) -> str:
    """The reason of an error, in one line."""
    if isinstance(error, OlderProfileError):
        return _refused(error)
    if isinstance(error, ValidationError):
        return in_brief(first_problem(error))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return in_brief(str(error))
