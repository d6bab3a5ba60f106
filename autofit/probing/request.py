"""What is probed, and with what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autofit.machine.hardware import Hardware
from autofit.probing.hint import ProfileHint
from autofit.probing.ladder import FROM_NOTHING, Start
from autofit.probing.records import Workload
from autofit.protocol.job import ModelSource
from autofit.protocol.messages import MemoryBudget
from autofit.protocol.payload import Payload


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What is probed, and with what.

    Attributes:
        source: the network.
        workload: the network in words, for the report.
        memory: the memory limit; the budget of a trial follows from it.
        machine: the machine that runs the probe, for the report.
        limited_by: which limit that is, in a few words.
        max_batch: the largest size of interest.
        folder: where the workers' files are written.
        hint: the hint of a saved profile; None if there is none.
        start: what the rungs of the ladder before this one have shown.
        from_above: whether only `max_batch` is of interest and, if that does not fit, its halves.
        only_line: whether only the line of memory is measured, by a few small sizes, and no limit.
        payload: the objects for the worker, with the model function if the network is given as one.
        import_paths: where a worker may look for a user's own module.
        deterministic: whether the training will use deterministic operations, which need a different amount of memory.
        others_bytes: tells how much of the GPU's memory other processes hold now; on a CPU, how much of the host's they
            have taken since the machine was detected.
        devices: the number of devices of the training; a trial measures one of them.
    """

    source: ModelSource
    workload: Workload
    memory: MemoryBudget
    machine: Hardware
    limited_by: str
    max_batch: int
    folder: Path
    hint: ProfileHint | None = None
    start: Start = FROM_NOTHING
    from_above: bool = False
    only_line: bool = False
    payload: Payload | None = None
    import_paths: Sequence[str] = ()
    deterministic: bool = False
    others_bytes: Callable[[], int] = lambda: 0
    devices: int = 1
