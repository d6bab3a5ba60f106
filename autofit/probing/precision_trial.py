"""Measures a network in float32 and in 16 bits, in a worker of its own; with fewer images if it runs out of memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autofit.config.batch_schedule import image_buffer_bytes
from autofit.errors import InterruptedRunError
from autofit.probing.evidence import FAILURES
from autofit.probing.trial_limits import FIRST_DEADLINE_SECONDS
from autofit.probing.trial_worker import error_of_exit
from autofit.process.launch import Launcher
from autofit.process.monitor import View, monitored
from autofit.protocol.job import ComparisonJob, Job, ModelSource
from autofit.protocol.messages import BUILDING, MemoryBudget
from autofit.protocol.payload import Payload
from autofit.protocol.precision import PrecisionComparison
from autofit.storage.run_directory import AttemptDirectory


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """What is compared, and with what.

    Attributes:
        source: the network, in float32.
        saving: the network on a rung that takes less memory, for a comparison where not even one image fits on that of
            `source`; None if there is no such rung.
        work: the precision, the first batch size, and the settings of the computation.
        memory: the memory limit.
        folder: where the workers' files are written.
        payload: the objects for the worker, with the model function if the network is given as one.
        import_paths: where a worker may look for a user's own module.
        deterministic: whether the training will use deterministic operations, whose speed is different.
    """

    source: ModelSource
    work: ComparisonJob
    memory: MemoryBudget
    folder: Path
    payload: Payload | None = None
    import_paths: Sequence[str] = ()
    deterministic: bool = False
    saving: ModelSource | None = None

    @property
    def tries(self) -> list[tuple[ModelSource, int]]:
        """The networks and sizes to try, one after another, while memory runs out."""
        halves = [self.work.batch_size >> times for times in range(self.work.batch_size.bit_length())]
        last = [(self.saving, 1)] if self.saving is not None else []
        return [*((self.source, size) for size in halves), *last]


def compare_precisions(request: ComparisonRequest, launcher: Launcher, view: View) -> PrecisionComparison | None:
    """The comparison, with half as many images after each out-of-memory, then on another rung; None if nothing fits.

    Raises:
        UserError: the model cannot be built in one of the two.
        TrainingFailedError: the worker ended for a reason that is not memory.
        InterruptedRunError: Ctrl-C.
    """
    for number, (source, size) in enumerate(request.tries, start=1):
        found, may_help = _tried(request, launcher, view, number, source, size)
        if found is not None or not may_help:
            return found
    return None


def _tried(
    request: ComparisonRequest, launcher: Launcher, view: View, number: int, source: ModelSource, size: int
) -> tuple[PrecisionComparison | None, bool]:
    """The comparison with `size` images at once; None if the memory ran out, with whether less memory may help."""
    folder = request.folder / f"{number:04d}"
    folder.mkdir(parents=True)
    memory = request.memory
    if memory.device == "cpu":
        buffer_bytes = image_buffer_bytes(size, source.spec.image_size)
        memory = memory.model_copy(update={"buffer_bytes": buffer_bytes})
    job = Job(
        attempt=number,
        source=source,
        memory=memory,
        import_paths=list(request.import_paths),
        isolated=launcher.isolated,
        deterministic=request.deterministic,
        work=request.work.model_copy(update={"batch_size": size}),
    )
    with monitored(job, AttemptDirectory(folder), launcher, view=view, payload=request.payload) as worker:
        worker.trial_deadline_seconds = FIRST_DEADLINE_SECONDS
        found = next((event.comparison for event in worker.events() if event.comparison), None)
        if worker.is_stopping:
            raise InterruptedRunError("the probe was stopped")
        if found is None and (worker.ended is None or worker.ended.diagnosis.verdict not in FAILURES):
            raise error_of_exit(worker.ended)
    last = worker.ended.last if worker.ended else None
    return found, last is None or last.phase not in BUILDING
