"""Saves the measurements of small batches for estimates, so that the next estimate of the same network needs none.

They only save time: a file that cannot be read is measured again, and a failure to write is ignored.
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
"""The subfolder of the profiles' folder."""


class LineStore:
    """The measured lines of a user; one file for each network on each machine."""

    def __init__(self, profiles: Path) -> None:
        self._folder = profiles / FOLDER

    def load(self, workload: Workload, machine: Hardware) -> MeasuredLine | None:
        """The measurement of this network on such a machine with these versions; None if there is none."""
        found = MeasuredLine.load_or_none(self._path(workload, machine), follow_links=False)
        return found if found is not None and found.workload == workload else None

    def save(self, measured: MeasuredLine, machine: Hardware) -> None:
        """Save a measurement, unless the network is a user's own function, whose name says nothing about its code."""
        if not is_known(measured.workload):
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            measured.save(self._path(measured.workload, machine))

    def _path(self, workload: Workload, machine: Hardware) -> Path:
        network = hashlib.sha256(workload.model_dump_json().encode()).hexdigest()[:16]
        return self._folder / f"{fingerprint(machine)}-{network}.json"
