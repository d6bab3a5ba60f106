"""Estimates what fits another machine, from small sizes that ran on this one. Pure.

Small batches of the real network run on this machine's CPU, with the same allocator as on a GPU. They give the memory
of the network's tensors as a line over the batch size. For a CPU, that line includes the rest of the process. For a
GPU, three amounts are added that a CPU cannot show. Each is known only within bounds, so the answer is two sizes: one
that can be relied on, and the largest that is conceivable.

- The memory that TensorFlow leaves to the system: from its source, by GPU generation (`autofit/machine/cards.py`).
- The CUDA context: an assumption (`CONTEXT_BYTES`).
- cuDNN's workspaces: none at best, since cuDNN does without if there is no room; else as much as in the simulations of
  the search for GPUs (docs/decisions/0029).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from autofit.machine.cards import CONTEXT_BYTES, Card, left_to_system_bytes
from autofit.machine.memory_policy import HANDLES_SHARE
from autofit.probing.evidence import Evidence, hide_images
from autofit.probing.memory_model import UNBOUNDED_BATCH, MemoryModel, fit
from autofit.probing.records import SweepFailure, Workload
from autofit.probing.search import headroom_of
from autofit.protocol.messages import Trial
from autofit.storage.records import Record

CPU_HEADROOM = 0.05
"""The least headroom on a CPU, as a share of the images' bytes. It is twice that of the probe, whose answer is 95 to
100 % of what fits: with the same headroom ten of twelve estimates were above the answer, most of them by 1 to 8 %."""

WORKSPACE_SHARE, LEAST_WORKSPACE_BYTES = 0.05, 300 * 10**6
"""What steady steps may keep for cuDNN's workspaces: a share of what the images take, but at least the smallest
workspace that was seen on a card, an H100. The largest was 4 GB, in first steps; if there is no room for that, cuDNN
takes less."""


@dataclass(frozen=True, slots=True)
class Target:
    """A machine to estimate for: `cpu`, or a GPU. Without a card, only the GPU's memory is known."""

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
    """What is estimated to fit one machine.

    Attributes:
        workload: the network and its training.
        device: `cpu`, `gpu`, or a card's name.
        memory_bytes: the memory of that device; on a CPU the limit on the process.
        largest_batch: the largest batch that can be relied on; 0 if not even one image is sure to fit.
        largest_batch_at_most: the largest batch that is conceivable; `UNBOUNDED_BATCH` if the sizes that ran tell
            nothing of an image's memory.
        base_bytes: the memory that does not depend on the batch: of tensors, and on a CPU of the rest of the process.
        bytes_per_image: the memory for one more image.
        max_relative_error: the largest relative error of the line over the sizes that ran.
        other_bytes: on a GPU, the least and the most memory that tensors cannot have: what is left to the system, the
            CUDA context, and cuDNN's workspaces. On a CPU, 0 and the headroom that the probe would leave.
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


class EstimateReport(Record):
    """What `autofit estimate` writes: all networks on all devices. No figure was measured on such a device."""

    schema_: Literal["autofit/estimate/1"] = Field("autofit/estimate/1", alias="schema")
    is_estimate: Literal[True] = True
    estimates: list[Estimate]
    failures: list[SweepFailure] = Field(default_factory=list)
    measured: list[MeasuredLine] = Field(default_factory=list)
    wall_seconds: float


def sizes_that_ran(trials: Sequence[Trial]) -> int:
    """How many different sizes ran and fitted, below each that did not; a line needs two."""
    fitting = Evidence(0, UNBOUNDED_BATCH, (), tuple(trials)).fitting
    return len({trial.batch_size for trial in fitting if trial.peak_bytes > 0})


def estimated(measured: MeasuredLine, target: Target) -> Estimate:
    """Estimate what fits a machine, from the sizes that ran here.

    Raises:
        ValueError: no size ran.
    """
    return _on_cpu(measured, target) if target.is_cpu else _on_gpu(measured, target)


def _on_cpu(measured: MeasuredLine, target: Target) -> Estimate:
    """Estimate for a CPU: what the line says of the limit, less a headroom, as the probe predicts a candidate."""
    evidence = _evidence(measured, measured.trials)
    line = _under_limit(_line(evidence), measured.limit_bytes, target.memory_bytes)
    at_most = line.largest_batch(target.memory_bytes)
    headroom_bytes = _headroom_bytes(evidence, line, target.memory_bytes, at_most, CPU_HEADROOM)
    largest = _sure_to_fit(evidence, line, target.memory_bytes, CPU_HEADROOM)
    return _estimate(measured, target, line, (largest, at_most), (0, round(headroom_bytes)))


def _on_gpu(measured: MeasuredLine, target: Target) -> Estimate:
    """Estimate for a GPU by the memory of tensors; the gaps seen in a CPU's arena count only for the smaller size."""
    evidence = _evidence(measured, [t.model_copy(update={"non_allocator_bytes": 0}) for t in measured.trials])
    line, gaps = _line(evidence), evidence.fragmentation
    system = left_to_system_bytes(target.memory_bytes, target.card.compute_major if target.card else None)
    least_other, most_other = (left + context for left, context in zip(system, CONTEXT_BYTES, strict=True))
    images_bytes = max(0.0, target.memory_bytes - most_other - line.base_bytes)
    workspace = max(LEAST_WORKSPACE_BYTES, WORKSPACE_SHARE * images_bytes)
    largest = _sure_to_fit(evidence, line, target.memory_bytes - most_other - workspace)
    without_gaps = MemoryModel(line.base_bytes / gaps, line.bytes_per_image / gaps, line.max_relative_error)
    at_most = without_gaps.largest_batch(target.memory_bytes - least_other)
    return _estimate(measured, target, line, (largest, at_most), (least_other, round(most_other + workspace)))


def _sure_to_fit(evidence: Evidence, line: MemoryModel, limit_bytes: float, least_share: float = 0.0) -> int:
    """The largest batch to count on: the predicted one less its headroom, and no less than a size that ran and fits.

    The headroom is a share of the limit, which grows with the spread of the measurements and with each doubling beyond
    the sizes that ran. On a large card it may exceed the whole limit.
    """
    at_most = line.largest_batch(limit_bytes)
    predicted = line.largest_batch(limit_bytes - _headroom_bytes(evidence, line, limit_bytes, at_most, least_share))
    ran = [(size, line.predict(size)) for size, _ in evidence.points]
    sure = [
        size for size, takes in ran if takes + _headroom_bytes(evidence, line, takes, size, least_share) <= limit_bytes
    ]
    return max([predicted, *sure])


def _headroom_bytes(evidence: Evidence, line: MemoryModel, limit_bytes: float, size: int, least_share: float) -> float:
    """The probe's headroom below a limit, or `least_share` of the images' bytes if that is more."""
    images_bytes = max(limit_bytes - line.base_bytes, 0.0)
    return max(headroom_of(evidence, limit_bytes, size), least_share * images_bytes)


def _under_limit(line: MemoryModel, measured_bytes: int, limit_bytes: int) -> MemoryModel:
    """The line for another limit: outside its arena, the allocator takes memory in proportion to its limit."""
    return replace(line, base_bytes=line.base_bytes + (limit_bytes - measured_bytes) / HANDLES_SHARE)


def _evidence(measured: MeasuredLine, trials: Sequence[Trial]) -> Evidence:
    return Evidence(measured.limit_bytes, UNBOUNDED_BATCH, (), tuple(trials))


def _line(evidence: Evidence) -> MemoryModel:
    """The line through the sizes that ran.

    Where peaks hardly rise, all bytes of the largest size count as those of its images: the most that they can take.
    """
    model = evidence.model
    if model is None:
        raise ValueError("an estimate needs at least one size that ran here")
    if not hide_images(evidence.fitting):
        return model
    most = fit(evidence.points[-1:])
    return replace(most, max_relative_error=max(abs(most.predict(size) / took - 1) for size, took in evidence.points))


def _estimate(
    measured: MeasuredLine, target: Target, line: MemoryModel, sizes: tuple[int, int], other: tuple[int, int]
) -> Estimate:
    return Estimate(
        workload=measured.workload,
        device=target.name,
        memory_bytes=target.memory_bytes,
        largest_batch=sizes[0],
        largest_batch_at_most=UNBOUNDED_BATCH if hide_images(measured.trials) else max(sizes),
        base_bytes=line.base_bytes,
        bytes_per_image=line.bytes_per_image,
        max_relative_error=line.max_relative_error,
        other_bytes=other,
    )
