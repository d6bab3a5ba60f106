"""The report of a probe, which is the record in `probe.json`, and the report of a sweep."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autofit.config.rungs import Rung
from autofit.protocol.messages import Trial
from autofit.protocol.precision import PrecisionChoice
from autofit.storage.records import Record


class Workload(Record):
    """The probed network and its training: everything that decides how much memory one image takes.

    `cut` is for a stage of fine-tuning, which trains on activations, without the layers below the cut. It is as the
    user gave it: `auto`, a layer's name or a share; empty for a network that is trained on images. `segments` is the
    number of segments whose activations are computed again in the backward pass; 0 if activations are kept.
    """

    backbone: str
    image_size: tuple[int, int]
    num_classes: int
    trainable: Literal["head", "all"]
    weights: str
    hidden_units: int
    dropout: float
    optimizer: str
    precision: str = "float32"
    cut: str = ""
    segments: int = 0


class MemoryModelRecord(Record):
    """The memory that a batch takes, as a line: `base_bytes + bytes_per_image * batch`.

    On a CPU that is resident memory: tensors, image buffers and the rest of the process, each measured. On a GPU it is
    device memory. `max_relative_error` is the largest relative error over the measured sizes. `fragmentation` is the
    factor by which gaps in the allocator increase the memory of the tensors, such as 1.08 for 8 %; the line includes
    it.
    """

    base_bytes: float
    bytes_per_image: float
    max_relative_error: float
    fragmentation: float = 1.0


class TimeSpent(Record):
    """Where the seconds of a probe went; together they are its `wall_seconds`.

    Attributes:
        process_starts_seconds: the wait for processes to start: TensorFlow's import, the device, the network.
        first_steps_seconds: the first step of each kind at each size: tracing, tuning of kernels, and the step itself.
        steady_steps_seconds: the training steps after the first ones.
        other_seconds: the rest: validation, checkpoints, steps that ran out of memory, the ends of processes.
    """

    process_starts_seconds: float
    first_steps_seconds: float
    steady_steps_seconds: float
    other_seconds: float


class RungRecord(Record):
    """What fits on one rung of the ladder.

    Attributes:
        rung: the rung.
        largest_feasible_batch: the largest batch that fits; 0 if not even one image does.
        recommended_batch: as in the report of its probe.
        fastest_batch: the smallest batch that is as fast as the best, whether or not it leaves a GPU's headroom free; 0
            if unknown.
        images_per_second: the speed at the recommended batch; 0 if it was not timed.
        bytes_per_image: the memory for one more image; 0 if it was not measured.
        non_allocator_bytes: as in the report of its probe.
        most_segments: the largest number of segments that saves memory; 1 if none does, 0 if unknown.
        price: the share of the speed that is lost against the first rung, at the same size; None if no size was timed
            on both.
        trials: the trials that ran; those of a saved profile, with `saved`.
        saved: whether it is known from a saved profile and was not probed now.
        wall_seconds: the time that its probe took now.
    """

    rung: Rung
    largest_feasible_batch: int
    recommended_batch: int
    fastest_batch: int = 0
    images_per_second: float
    bytes_per_image: float = 0.0
    non_allocator_bytes: int = 0
    most_segments: int = 0
    price: float | None = None
    trials: list[Trial] = Field(default_factory=list)
    saved: bool = False
    wall_seconds: float = 0.0


class ProbeReport(Record):
    """The content of `probe.json`. `largest_feasible_batch` is 0 if not even one image fits.

    Attributes:
        memory_limit_bytes: the limit of `Trial.memory_bytes`: on a CPU of resident memory, on a GPU of device memory.
        allocator_limit_bytes: on a CPU, the part for tensors in the process that verified the answer; 0 if none did.
        limited_by: which limit `memory_limit_bytes` is, in a few words.
        other_gpu_processes: the other processes that held memory of the GPU, as `name (pid 7, 1.2 GB)`.
        max_batch: the largest size of interest.
        non_allocator_bytes: on a CPU, the budget for memory outside the allocator and the image buffers of the process
            that verified the answer: the most that was measured before, plus its difference from the least; 0 if
            nothing was measured. A training has the same budget.
        baseline_rss_bytes: the resident size of a worker after it had imported TensorFlow and before it did anything
            else; 0 if it was not measured.
        recommended_batch: the smallest batch within 5 % of the best images/s; on a GPU within 3 %, of the sizes that
            leave `headroom_bytes` free.
        headroom_bytes: on a CPU, the memory that the search left free below the limit at the answer, computed from the
            error of its predictions and the spread of repeated steps. On a GPU, what a training should leave free: a
            share of the limit, and what other processes were seen to take.
        memory_model: the line of memory; None if nothing was measured, and on a GPU if it misses a size by over 30 %.
        trials: the trials in the order in which they ran; those of a saved profile first.
        source: whether the answer was measured from nothing or predicted by a saved profile, and then verified.
        rungs: the rungs of the ladder that were tried, in order, if more than one was. All other fields are about the
            chosen rung, which the workload names.
        precision_choice: how `precision="auto"` was decided; None if the precision was given.
    """

    schema_: Literal["autofit/probe/3"] = Field("autofit/probe/3", alias="schema")
    workload: Workload
    hardware: dict[str, str | int | float | None]
    memory_limit_bytes: int
    allocator_limit_bytes: int = 0
    limited_by: str
    other_gpu_processes: list[str] = Field(default_factory=list)
    max_batch: int = 0
    largest_feasible_batch: int
    recommended_batch: int
    non_allocator_bytes: int = 0
    baseline_rss_bytes: int = 0
    memory_model: MemoryModelRecord | None
    headroom_bytes: float = 0.0
    trials: list[Trial]
    source: Literal["measured", "profile"] = "measured"
    time_spent: TimeSpent | None = None
    wall_seconds: float
    rungs: list[RungRecord] = Field(default_factory=list)
    precision_choice: PrecisionChoice | None = None

    @property
    def all_seconds(self) -> float:
        """The time of the probe on all rungs together."""
        return sum(record.wall_seconds for record in self.rungs) if self.rungs else self.wall_seconds


class SweepFailure(Record):
    """A workload of a sweep that could not be probed, because of an error other than memory; `cause` describes it."""

    workload: Workload
    cause: str


class SweepReport(Record):
    """Several probes on one machine, the fastest first; those that fit no image are last."""

    schema_: Literal["autofit/sweep/3"] = Field("autofit/sweep/3", alias="schema")
    probes: list[ProbeReport]
    failures: list[SweepFailure] = Field(default_factory=list)
    wall_seconds: float
