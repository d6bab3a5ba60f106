"""Which other programs took memory in the middle of a run, and how much is left for the next attempt."""

from __future__ import annotations

from collections.abc import Callable, Collection

import psutil

from autofit.api.device_notes import WORTH_TELLING_BYTES, host_memory_taken, taken_meanwhile
from autofit.machine.cgroups import CGROUP_LIMIT
from autofit.machine.hardware import Hardware
from autofit.machine.host_others import HostProcess, begun_since
from autofit.protocol.messages import FINE_TUNING, StageName
from autofit.runs.squeeze import Squeeze, host_squeeze, squeeze
from autofit.runs.stage_speed import saved_probe
from autofit.storage.run_directory import RunDirectory


def squeeze_reader(
    files: RunDirectory, before: Hardware, look: Callable[[], Hardware], limit_bytes: int
) -> Callable[[StageName], Squeeze | None]:
    """A function that compares the machine with its state now: what others have taken, and what fits the rest.

    That function returns None if others have taken little.

    Args:
        files: the directory of the run, with the reports of its probes.
        before: the machine now.
        look: returns the machine as it is later, while no worker runs.
        limit_bytes: the memory that a worker may take.
    """
    known = psutil.pids()

    def squeezed(stage: StageName) -> Squeeze | None:
        now = look()
        is_gpu = before.device == "gpu"
        words = taken_meanwhile(before, now) if is_gpu else host_memory_taken(before, now, _begun(known, now))
        if not words:
            return None
        of_stage = saved_probe(files.fine_tune_probe) if stage in FINE_TUNING else None
        probe = of_stage or saved_probe(files.probe)
        if is_gpu:
            return squeeze(words, now.device_free_bytes or 0, limit_bytes, probe, now.compute_major)
        return host_squeeze(words, now.host_available_bytes, limit_bytes, probe)

    return squeezed


def _begun(known: Collection[int], now: Hardware) -> list[HostProcess]:
    """The large programs that have started since; if a cgroup limits the memory, only those in that cgroup."""
    return begun_since(known, WORTH_TELLING_BYTES, in_our_group=now.limited_by.startswith(CGROUP_LIMIT))
