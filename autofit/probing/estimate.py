"""What fits a machine that is not there, estimated from small sizes that ran on this one. Pure.

Small sizes of the real network run on this machine's CPU, with the allocator that a GPU has, and say what its tensors
take: a line. On a CPU the rest of the process is in it. On a GPU three things are added, none of which a CPU shows, so
that the answer is two sizes: the one to count on, and the most that is conceivable.

- what TensorFlow leaves to the system: by generation, in its source (`autofit/machine/cards.py`);
- the CUDA context: an assumption (`CONTEXT_BYTES`);
- cuDNN's workspaces: elastic, so none in the best case; else what the search for GPUs was simulated with (0029).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from autofit.machine.cards import Card, left_to_system_bytes
from autofit.machine.memory_policy import HANDLES_SHARE
from autofit.probing.evidence import Evidence
from autofit.probing.memory_model import UNBOUNDED_BATCH, MemoryModel
from autofit.probing.records import SweepFailure, Workload
from autofit.probing.search import headroom_of
from autofit.protocol.messages import Trial, Verdict
from autofit.storage.records import Record

CONTEXT_BYTES = (300 * 10**6, 700 * 10**6)
"""What a CUDA context with its modules takes of a card, at least and at most: assumed, not measured."""

WORKSPACE_SHARE, LEAST_WORKSPACE_BYTES = 0.05, 300 * 10**6
"""What steady steps may keep for cuDNN's workspaces: a share of what the images take, and at least the smallest
workspace that was seen on a card: an H100. The largest was 4 GB, in first steps, which do without where there is no
room."""


@dataclass(frozen=True, slots=True)
class Target:
    """A machine to estimate for: `cpu`, or a GPU; without a card, one of which only the memory is known."""

    name: str
    memory_bytes: int
    card: Card | None = None

    @property
    def is_cpu(self) -> bool:
        """Whether the memory is that of a process on a CPU."""
        return self.name == "cpu"


class MeasuredLine(Record):
    """The small sizes that ran on this machine's CPU, under `limit_bytes`."""

    schema_: Literal["autofit/measured-line/1"] = Field("autofit/measured-line/1", alias="schema")
    workload: Workload
    limit_bytes: int
    trials: list[Trial]
    wall_seconds: float


class Estimate(Record):
    """What fits one machine, as far as can be said without it.

    Attributes:
        workload: the network and its training.
        device: `cpu`, `gpu`, or a card's name.
        memory_bytes: the memory of that device; on a CPU the limit on the process.
        largest_batch: the largest batch to count on; 0 if not even one image is sure to fit.
        largest_batch_at_most: the largest that is conceivable.
        base_bytes: what is taken whatever the batch; on a CPU with the process, on a GPU tensors only.
        bytes_per_image: what one more image takes.
        max_relative_error: by how much the line misses a size that ran, at most.
        other_bytes: on a GPU what no tensor can have, the least and the most: what is left to the system, the CUDA
            context, and cuDNN's workspaces. On a CPU 0, and the headroom that the probe would leave.
    """

    workload: Workload
    device: str
    memory_bytes: int
    largest_batch: int
    largest_batch_at_most: int
    base_bytes: float
    bytes_per_image: float
    max_relative_error: float
    other_bytes: tuple[int, int]

    def memory_of(self, batch: int) -> tuple[int, int]:
        """The bytes that a batch takes of the device, the least and the most."""
        images = self.base_bytes + self.bytes_per_image * batch
        return round(images + self.other_bytes[0]), round(images + self.other_bytes[1])


class EstimateReport(Record):
    """What `autofit estimate` writes: all networks on all devices. No figure of it was seen on such a device."""

    schema_: Literal["autofit/estimate/1"] = Field("autofit/estimate/1", alias="schema")
    is_estimate: Literal[True] = True
    estimates: list[Estimate]
    failures: list[SweepFailure] = Field(default_factory=list)
    measured: list[MeasuredLine] = Field(default_factory=list)
    wall_seconds: float


def sizes_that_ran(trials: Sequence[Trial]) -> int:
    """How many sizes ran, so that there is something to estimate from; a line needs two."""
    return len({trial.batch_size for trial in trials if trial.verdict is Verdict.FITS and trial.peak_bytes > 0})


def estimated(measured: MeasuredLine, target: Target) -> Estimate:
    """What fits a machine, from the sizes that ran here.

    Raises:
        ValueError: no size ran.
    """
    return _on_cpu(measured, target) if target.is_cpu else _on_gpu(measured, target)


def _on_cpu(measured: MeasuredLine, target: Target) -> Estimate:
    """As the probe predicts its first candidate: the limit of the process, less the headroom for so far a jump."""
    evidence = _evidence(measured, measured.trials)
    line = _under_limit(_line(evidence), measured.limit_bytes, target.memory_bytes)
    at_most = line.largest_batch(target.memory_bytes)
    headroom_bytes = headroom_of(evidence, target.memory_bytes, at_most)
    largest = line.largest_batch(target.memory_bytes - headroom_bytes)
    return _estimate(measured, target, line, (largest, at_most), (0, round(headroom_bytes)))


def _on_gpu(measured: MeasuredLine, target: Target) -> Estimate:
    """Tensors alone; the gaps that they leave in a CPU's arena count for the size to count on."""
    evidence = _evidence(measured, [t.model_copy(update={"non_allocator_bytes": 0}) for t in measured.trials])
    line, gaps = _line(evidence), evidence.fragmentation
    system = left_to_system_bytes(target.memory_bytes, target.card.compute_major if target.card else None)
    least_other, most_other = (left + context for left, context in zip(system, CONTEXT_BYTES, strict=True))
    images_bytes = max(0.0, target.memory_bytes - most_other - line.base_bytes)
    workspace = max(LEAST_WORKSPACE_BYTES, WORKSPACE_SHARE * images_bytes)
    for_tensors = target.memory_bytes - most_other - workspace
    headroom_bytes = headroom_of(evidence, for_tensors, line.largest_batch(for_tensors))
    largest = line.largest_batch(for_tensors - headroom_bytes)
    without_gaps = MemoryModel(line.base_bytes / gaps, line.bytes_per_image / gaps, line.max_relative_error)
    at_most = without_gaps.largest_batch(target.memory_bytes - least_other)
    return _estimate(measured, target, line, (largest, at_most), (least_other, round(most_other + workspace)))


def _under_limit(line: MemoryModel, measured_bytes: int, limit_bytes: int) -> MemoryModel:
    """The line of a process under another limit: a part of its limit the allocator takes beside tensors."""
    return replace(line, base_bytes=line.base_bytes + (limit_bytes - measured_bytes) / HANDLES_SHARE)


def _evidence(measured: MeasuredLine, trials: Sequence[Trial]) -> Evidence:
    return Evidence(measured.limit_bytes, UNBOUNDED_BATCH, (), tuple(trials))


def _line(evidence: Evidence) -> MemoryModel:
    model = evidence.model
    if model is None:
        raise ValueError("an estimate needs at least one size that ran here")
    return model


def _estimate(
    measured: MeasuredLine, target: Target, line: MemoryModel, sizes: tuple[int, int], other: tuple[int, int]
) -> Estimate:
    return Estimate(
        workload=measured.workload,
        device=target.name,
        memory_bytes=target.memory_bytes,
        largest_batch=sizes[0],
        largest_batch_at_most=max(sizes),
        base_bytes=line.base_bytes,
        bytes_per_image=line.bytes_per_image,
        max_relative_error=line.max_relative_error,
        other_bytes=other,
    )
