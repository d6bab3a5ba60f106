"""The small sizes that an estimate ran on this machine, saved, so that the next one of the same network is at once.

A saved line only saves time: what cannot be read is measured again, and what cannot be written is left.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from autofit.machine.hardware import Hardware, fingerprint
from autofit.probing.estimate import MeasuredLine
from autofit.probing.records import Workload
from autofit.profiles.match import is_known

FOLDER = "estimates"
"""In the folder of the profiles."""


class LineStore:
    """The measured lines of a user; one file for each network on each machine."""

    def __init__(self, profiles: Path) -> None:
        self._folder = profiles / FOLDER

    def load(self, workload: Workload, machine: Hardware) -> MeasuredLine | None:
        """What was measured of this network on such a machine with these versions; None if nothing was."""
        try:
            found = MeasuredLine.load(self._path(workload, machine), follow_links=False)
        except (OSError, ValueError):
            return None
        return found if found.workload == workload else None

    def save(self, measured: MeasuredLine, machine: Hardware) -> None:
        """Keep what was measured, unless it is a user's own function, whose name says nothing about its code."""
        if not is_known(measured.workload):
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            measured.save(self._path(measured.workload, machine))

    def _path(self, workload: Workload, machine: Hardware) -> Path:
        network = hashlib.sha256(workload.model_dump_json().encode()).hexdigest()[:16]
        return self._folder / f"{fingerprint(machine)}-{network}.json"
