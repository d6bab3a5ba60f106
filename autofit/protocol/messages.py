"""What crosses the boundary between the parent and its worker, each message a frozen record.

The parent writes `job.json`; the worker appends `progress.jsonl` and ends with `outcome.json`. While it lives, the
parent sends it lines over the control pipe (`Request`); the end of that pipe means that the parent is gone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from autofit.storage.records import Record


class Verdict(StrEnum):
    """How a trial or an attempt ended."""

    FITS = "fits"
    COMPLETED = "completed"
    DEVICE_OOM = "device_oom"
    HOST_OOM = "host_oom"
    TIMEOUT = "timeout"
    HUNG = "hung"
    CRASHED = "crashed"
    YIELDED = "yielded"
    STORAGE = "storage"
    USER_ERROR = "user_error"
    INTERRUPTED = "interrupted"


OUT_OF_MEMORY = frozenset({Verdict.DEVICE_OOM, Verdict.HOST_OOM})


class Phase(StrEnum):
    """What a worker is doing; announced before it begins, each with a deadline of its own."""

    START = "start"
    WEIGHTS = "weights"
    BUILD = "build"
    TRACE = "trace"
    PROBE = "probe"
    EXTRACT = "extract"
    SOLVE = "solve"
    TRAIN = "train"
    VALIDATE = "validate"
    SAVE = "save"
    PREDICT = "predict"


StageName = Literal["training", "head", "views", "fine-tune", "refit"]
"""The stages of a training: a single one, or the head and then perhaps others. `views` solves the head once more, on
augmented views; a refit is the fine-tuning once more, on training and validation images together."""

LATER_STAGES: Final[frozenset[StageName]] = frozenset({"views", "fine-tune", "refit"})
"""The stages that may be left out or end early: there is a model already."""

FINE_TUNING: Final[frozenset[StageName]] = frozenset({"fine-tune", "refit"})
"""The stages in which layers of a pretrained backbone train."""


Seconds = Annotated[float, Field(ge=0, le=1e10)]
"""A span of time; a clock that has run for centuries is none: the record may come from a stranger."""


class Progress(Record):
    """One line of `progress.jsonl`, at most four a second. Epochs and steps count from zero.

    `step` and `steps` count batches, or in the pass that extracts features, before the first epoch, images. `time` is
    the wall clock, in seconds since 1970, for people; spans are measured by `monotonic_seconds`, as in `TrainJob`.
    `phase_seconds` and `first_steps_seconds` are where the time went until then: in each phase, and apart from them in
    the first run of each step with each number of images, which traces and, on a GPU, tunes.
    """

    time: float
    monotonic_seconds: float = 0.0
    phase: Phase
    stage: StageName = "training"
    counts: Literal["batches", "images"] = "batches"
    epoch: int = Field(0, ge=0)
    step: int = Field(0, ge=0)
    steps: int = Field(0, ge=0)
    images_per_second: float = 0.0
    micro_batch_size: int = Field(0, ge=0)
    device_bytes: int = 0
    host_bytes: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)
    phase_seconds: dict[Phase, Seconds] = Field(default_factory=dict)
    first_steps_seconds: Seconds = 0.0


class MemorySample(Record):
    """Bytes in use just now: by tensors in the allocator, and resident in the worker and its children.

    `oom_kills` is the kernel's count of OOM kills in the worker's cgroup until now; None where nothing counts.
    """

    device_bytes: int = 0
    host_bytes: int = 0
    oom_kills: int | None = None


class OomEvent(Record):
    """One out-of-memory error from which a run recovered. Epochs and steps count from zero."""

    attempt: int
    epoch: int = Field(ge=0)
    step: int = Field(ge=0)
    phase: Phase
    micro_batch_size_before: int = Field(ge=0)
    micro_batch_size_after: int = Field(ge=0)
    seconds_lost: float


def describe_oom(event: OomEvent) -> str:
    """The message about an out-of-memory error: what happened, and with how many images at once the run goes on."""
    before, after = event.micro_batch_size_before, event.micro_batch_size_after
    return f"out of memory with {before} images at once: continuing with {after}"


def writable_name(name: str) -> str:
    """A file name as text that can be written as UTF-8: other bytes are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


class BadImage(Record):
    """An image that could not be decoded, and why."""

    path: Annotated[str, BeforeValidator(writable_name)]
    reason: str


class StageRecord(Record):
    """One finished stage of a training, and how far its result can be trusted.

    Attributes:
        name: what trained.
        method: `solved`: to the optimum of a convex problem, on cached features; `epochs`: by gradient descent.
        epochs: of the training; a solved head has one. Each is a row of the history, but for those of a refit.
        seconds: of a solved head, how long it took, without the extraction.
        l2: of a solved head, the strength of its penalty.
        chosen_by: of a solved head, what its strength was chosen by, in a few words.
        refitted: whether the model was fitted once more, on training and validation images together; the figures are
            those from before.
        cross_validated_accuracy: of a solved head whose strength was chosen by cross-validation: the accuracy there.
        cut_short: of what a time budget, or of a refit a callback, has ended, what was done, as "6 of 9 epochs"; empty
            if nothing was left out.
    """

    name: StageName
    method: Literal["solved", "epochs"]
    epochs: int = Field(ge=0)
    seconds: float | None = None
    l2: float | None = None
    chosen_by: str = ""
    refitted: bool = False
    cross_validated_accuracy: float | None = None
    cut_short: str = ""


class EpochEnd(Record):
    """One finished epoch, counted from zero, and its metrics as `model.fit` would log them.

    `solved` is given if the epoch is all of its stage, as where the head is solved. `is_best` says whether its model is
    the best so far, by what the run monitors; None in records from before that was told.
    """

    epoch: int
    metrics: dict[str, float]
    stage: StageName = "training"
    solved: StageRecord | None = None
    is_best: bool | None = None


LEAST_ALLOCATOR_BYTES = 32 * 2**20
"""With less for tensors not even a small network's weights fit."""


class MemoryBudget(Record):
    """What a worker may use.

    On a CPU `limit_bytes` bounds the resident size of the worker and its children, and the allocator gets what
    `non_allocator_bytes` and `buffer_bytes` leave. `buffer_bytes` is for image buffers; `non_allocator_bytes` is all
    else outside the allocator, where it was measured (a training measures it together with the images loaded then). On
    a GPU `limit_bytes` bounds device memory. `is_given` is false where the limit is only what the machine has; then
    `threads_bytes` may be taken in addition, for threads of the loader that wait for a file.
    """

    device: Literal["cpu", "gpu"]
    limit_bytes: int
    is_given: bool
    non_allocator_bytes: int | None = None
    buffer_bytes: int = 256 * 2**20
    threads_bytes: int = 0

    @property
    def tensors_bytes(self) -> int:
        """The bytes left for tensors, as far as the budget says."""
        if self.device == "gpu":
            return self.limit_bytes
        return self.limit_bytes - (self.non_allocator_bytes or 0) - self.buffer_bytes


class Trial(Record):
    """One measured size.

    Attributes:
        batch_size: images on the device at once.
        verdict: how it ended.
        peak_bytes: the allocator's peak; on a GPU the steady one, without the first steps of the size.
        first_step_peak_bytes: on a GPU, the peak of the first steps, in which cuDNN tries algorithms with workspaces of
            some gigabytes and takes smaller ones where there is no room. 0 on a CPU.
        arena_resident_bytes: on a CPU, how much of the allocator's arena was in use after the first step: the peak, and
            what fragmentation adds to it. 0 where it is not known, as on a GPU.
        allocator_bytes: on a CPU, the size of the allocator's arena. 0 on a GPU.
        spread_bytes: how far the peaks of its steps lay apart; on a GPU of the steady ones.
        non_allocator_bytes: on a CPU, resident memory outside the allocator, with the image buffers. 0 on a GPU.
        host_bytes: the process's resident size at the end, and its children's.
        step_seconds: median time of a training step.
        images_per_second: what that makes.
        seconds: the whole trial in its worker; 0 where the worker did not live to say so.
        first_steps_seconds: the first step of each kind, if it fits: tracing, tuning, and the step itself.
        steady_steps_seconds: all further training steps together.
        most_segments: into so many segments the network can be cut, 1 if not at all; 0 if that is not known.
        other_processes_bytes: on a GPU, the memory that other processes were seen to hold at its end.
        worker_stays: it ran out of memory on a GPU, and the allocator is whole again: the worker takes another size.
        fresh: it was its worker's first, so nothing before it can have helped or hindered. Inline all workers are in
            one process, and it is no more than that.
        saved: it was not run now: it comes from a saved profile.
        cause: why it did not fit.
    """

    batch_size: int = Field(ge=1)
    verdict: Verdict
    peak_bytes: int = Field(default=0, ge=0)
    first_step_peak_bytes: int = Field(default=0, ge=0)
    arena_resident_bytes: int = Field(default=0, ge=0)
    allocator_bytes: int = Field(default=0, ge=0)
    spread_bytes: int = Field(default=0, ge=0)
    non_allocator_bytes: int = Field(default=0, ge=0)
    host_bytes: int = Field(default=0, ge=0)
    step_seconds: float = Field(default=0.0, ge=0)
    images_per_second: float = Field(default=0.0, ge=0)
    seconds: float = Field(default=0.0, ge=0)
    first_steps_seconds: float = Field(default=0.0, ge=0)
    steady_steps_seconds: float = Field(default=0.0, ge=0)
    most_segments: int = Field(default=0, ge=0)
    other_processes_bytes: int = Field(default=0, ge=0)
    worker_stays: bool = False
    fresh: bool = False
    saved: bool = False
    cause: str = ""

    @property
    def memory_bytes(self) -> int:
        """What this size takes of the memory limit: device memory, on a CPU resident memory; 0 if unknown.

        On a CPU the resident arena counts, not the peak: a nearly full allocator hands out more than is touched.
        """
        return (self.arena_resident_bytes or self.peak_bytes) + self.non_allocator_bytes if self.peak_bytes else 0


class PredictRequest(Record):
    """Predict the images that `paths_file` lists; their probabilities `(n, classes)` go to `rows_file`, a `.npy`.

    The worker removes `paths_file` when it has read it. The probabilities are means over `views` of each image. For the
    progress, `done` images of `total` were predicted before.
    """

    paths_file: str
    rows_file: str
    views: int = Field(1, ge=1)
    done: int = Field(0, ge=0)
    total: int = Field(ge=1)


class Request(Record):
    """One line from the parent to its worker: run a trial, predict, extract a `shard`, or `commit` and go on.

    With `leave` it commits and stops. `steps` is the least number of whole steps in the trial, and `partial_batch` says
    whether it begins with a shorter batch, as the last of an epoch is. The first trial's `memory` is the process's
    budget, which can be set only once.
    """

    trial: int | None = None
    steps: int = 2
    partial_batch: bool = True
    memory: MemoryBudget | None = None
    predict: PredictRequest | None = None
    shard: int | None = None
    commit: bool = False
    leave: Literal["interrupted", "yielded"] | None = None
