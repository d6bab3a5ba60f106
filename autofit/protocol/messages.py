"""The messages between the parent and its worker, each a frozen record.

The parent writes `job.json`; the worker appends to `progress.jsonl` and `events.jsonl`, and ends with `outcome.json`.
Meanwhile the parent sends it lines over the control pipe (`Request`); the end of that pipe means that the parent is
gone.
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

OVER_THE_LIMIT: Final = "the process grew over memory_limit outside the allocator"
"""Why a worker yields that has more memory resident than the given limit."""


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


BUILDING: Final = frozenset({Phase.START, Phase.WEIGHTS, Phase.BUILD})
"""The phases in which a worker's network is not yet built."""

MOST_WHILE_BUILDING = 2
"""The most attempts, or trials, in a row that run out of memory in them: the first may be due to other programs."""

StageName = Literal["training", "head", "views", "fine-tune", "refit"]
"""The stages of a training: `training` alone, or `head` and perhaps others after it. `views` solves the head again, on
augmented views; `refit` repeats the fine-tuning, on training and validation images together."""

LATER_STAGES: Final[frozenset[StageName]] = frozenset({"views", "fine-tune", "refit"})
"""The stages that may be left out or end early, since there is a model before them."""

FINE_TUNING: Final[frozenset[StageName]] = frozenset({"fine-tune", "refit"})
"""The stages in which layers of a pretrained backbone train."""


Seconds = Annotated[float, Field(ge=0, le=1e10)]
"""A span of time. The bound, 300 years, is for records from untrusted sources."""


class Progress(Record):
    """One line of `progress.jsonl`, at most four a second. Epochs and steps count from zero.

    Epochs are counted on over the stages; `first_epoch` is the one with which the stage begins.
    `step` and `steps` count batches or, where features are extracted before the first epoch, images; `counts` says
    which. `time` is the wall clock, in seconds since 1970, for people; `monotonic_seconds`, as in `TrainJob`, is for
    measuring spans. `phase_seconds` is the time so far in each phase, without `first_steps_seconds`: the time of the
    first call of each compiled step with each batch size, which traces and, on a GPU, tunes.
    """

    time: float
    monotonic_seconds: float = 0.0
    phase: Phase
    stage: StageName = "training"
    counts: Literal["batches", "images"] = "batches"
    epoch: int = Field(0, ge=0)
    first_epoch: int = Field(0, ge=0)
    step: int = Field(0, ge=0)
    steps: int = Field(0, ge=0)
    images_per_second: float = 0.0
    micro_batch_size: int = Field(0, ge=0)
    device_bytes: int = 0
    host_bytes: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)
    phase_seconds: dict[Phase, Seconds] = Field(default_factory=dict)
    first_steps_seconds: Seconds = 0.0

    @property
    def epoch_step(self) -> int:
        """The step of its epoch: none while an extraction before it counts images."""
        return self.step if self.counts == "batches" else 0


class MemorySample(Record):
    """Bytes in use now: by tensors in the allocator, and resident in the worker and its children.

    `oom_kills` is the kernel's count of OOM kills in the worker's cgroup so far; None if the system does not count.
    `left_share` is the least share that is left of the machine's memory and of each cgroup's limit; None if unknown.
    """

    device_bytes: int = 0
    host_bytes: int = 0
    oom_kills: int | None = None
    left_share: float | None = None


class OomEvent(Record):
    """One out-of-memory error from which a run recovered. Epochs and steps count from zero."""

    attempt: int
    epoch: int = Field(ge=0)
    step: int = Field(ge=0)
    phase: Phase
    micro_batch_size_before: int = Field(ge=0)
    micro_batch_size_after: int = Field(ge=0)
    seconds_lost: float


def at_once(images: int) -> str:
    """A micro-batch in words: `1 image at once`, `8 images at once`."""
    return f"{images} image{'s' if images != 1 else ''} at once"


def describe_oom(event: OomEvent) -> str:
    """The message about an out-of-memory error: at how many images at once, and with how many the run goes on."""
    before, after = event.micro_batch_size_before, event.micro_batch_size_after
    return f"out of memory with {at_once(before)}: continuing with {after}"


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
        name: the stage's name.
        method: `solved`: to the optimum of a convex problem, on cached features; `epochs`: by gradient descent.
        epochs: how many epochs were trained; one for a solved head. Each is a row of the history, except in a refit.
        seconds: how long solving the head took, without the extraction; None for epochs.
        l2: the strength of a solved head's penalty; None for epochs.
        chosen_by: by what that strength was chosen, in few words; in a fine-tuning the best model, if not by accuracy.
        refitted: whether the model was fitted once more, to all images; the figures are those from before.
        cross_validated_accuracy: the accuracy on training images that were left out; None if none were.
        cut_short: how much was done if a budget, divergence or a callback ended it, as "6 of 9 epochs"; else empty.
        diverged: how a stage of fine-tuning has diverged, for which it was ended; empty if it has not.
        ends_worse: whether the last epoch of a fine-tuning was clearly worse, in validation, than the model before.
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
    diverged: str = ""
    ends_worse: bool = False


class Calibration(Record):
    """How the confidence of a model was corrected on validation images (docs/decisions/0072).

    Attributes:
        temperature: what the logits are divided by: over 1, since fine-tuning makes a model too confident.
        loss: the mean cross-entropy of the validation images at that temperature, in nats.
    """

    temperature: float = Field(ge=1)
    loss: float


class EpochEnd(Record):
    """One finished epoch, counted from zero, and its metrics as `model.fit` would log them.

    Epochs are counted on over the stages; `first_epoch` is the one with which the stage begins.
    `solved` is given where the head is solved: this one epoch is then all of its stage. `is_best` says whether its
    model is the best so far, by the metric that the run monitors; None in records of versions that did not record it.
    """

    epoch: int
    metrics: dict[str, float]
    stage: StageName = "training"
    first_epoch: int = Field(0, ge=0)
    solved: StageRecord | None = None
    is_best: bool | None = None


LEAST_ALLOCATOR_BYTES = 32 * 2**20
"""With less memory for tensors, not even the weights of a small network fit."""


class MemoryBudget(Record):
    """What a worker may use.

    Attributes:
        device: what computes.
        limit_bytes: on a CPU, the bound on the resident size of the worker and its children, of which the allocator
            gets what `non_allocator_bytes` and `buffer_bytes` leave; on a GPU, the bound on device memory.
        is_given: whether the user gave the limit; False if it is what the machine has.
        non_allocator_bytes: on a CPU, all other memory outside the allocator, as it was measured (in a training
            together with the images that were loaded then); None if it was not measured.
        buffer_bytes: the memory for image buffers.
        threads_bytes: what threads of the loader that wait for a file may take beyond a limit that is not given.
    """

    device: Literal["cpu", "gpu"]
    limit_bytes: int
    is_given: bool
    non_allocator_bytes: int | None = None
    buffer_bytes: int = 256 * 2**20
    threads_bytes: int = 0

    @property
    def tensors_bytes(self) -> int:
        """The bytes left for tensors; what was not measured is counted as nothing."""
        if self.device == "gpu":
            return self.limit_bytes
        return self.limit_bytes - (self.non_allocator_bytes or 0) - self.buffer_bytes


class Trial(Record):
    """One measured size.

    Attributes:
        batch_size: images on the device at once.
        verdict: how it ended.
        peak_bytes: the allocator's peak; on a GPU only of the steps after the first ones of this size.
        first_step_peak_bytes: on a GPU, the peak of the first steps, in which cuDNN tries algorithms with workspaces of
            some gigabytes, and smaller ones if there is no room. 0 on a CPU.
        arena_resident_bytes: on a CPU, how much of the allocator's arena was resident after the first step: the peak,
            and what fragmentation adds to it. 0 if unknown, as on a GPU.
        allocator_bytes: on a CPU, the size of the allocator's arena. 0 on a GPU.
        spread_bytes: the largest minus the smallest peak of its steps; on a GPU of the steps in `peak_bytes`.
        non_allocator_bytes: on a CPU, resident memory outside the allocator, with the image buffers. 0 on a GPU.
        host_bytes: the resident size of the process and its children at the end.
        step_seconds: the median time of a training step.
        images_per_second: `batch_size / step_seconds`; 0 if it was not timed.
        seconds: the time of the whole trial in its worker; 0 if the worker did not live to report it.
        first_steps_seconds: the time of the first step of each kind, if the size fits: tracing, tuning, and the step.
        steady_steps_seconds: the time of all further training steps together.
        most_segments: the largest number of segments that saves memory; 1 if none does, 0 if unknown.
        other_processes_bytes: on a GPU, the memory that other processes were seen to hold at the end of the trial. On a
            CPU, if the host's memory ran out, what they had taken of it since the probe began; 0 if little.
        worker_stays: whether, after an out-of-memory on a GPU, the allocator is usable again, so that the same worker
            takes the next size.
        fresh: whether it was the first trial of its worker, so that no earlier trial has influenced it. Inline workers
            share a process, which earlier ones may still have influenced.
        saved: whether it comes from a saved profile and was not run now.
        was_building: whether it ended before its worker had built the network, which takes no less for a smaller size.
        is_limited: whether its cause names a limit of the process, and how to lift it.
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
    was_building: bool = False
    is_limited: bool = False
    cause: str = ""

    @property
    def memory_bytes(self) -> int:
        """The memory that this size takes: device memory, on a CPU resident memory; 0 if unknown.

        On a CPU the resident part of the arena counts, and not the peak: some of what a nearly full allocator hands
        out is never touched.
        """
        return (self.arena_resident_bytes or self.peak_bytes) + self.non_allocator_bytes if self.peak_bytes else 0


class PredictRequest(Record):
    """Predict the images that `paths_file` lists; their probabilities `(n, classes)` go to `rows_file`, a `.npy`.

    The worker removes `paths_file` when it has read it. The probabilities are means over `views` of each image. `done`
    and `total` are for the display of progress: `done` images of `total` were predicted by earlier requests.
    """

    paths_file: str
    rows_file: str
    views: int = Field(1, ge=1)
    done: int = Field(0, ge=0)
    total: int = Field(ge=1)


class Request(Record):
    """One line from the parent to its worker, with one of the fields that ask for something.

    Attributes:
        trial: run a trial with this batch size.
        steps: the least number of whole steps of the trial.
        partial_batch: whether the trial begins with a shorter batch, as the last batch of an epoch may be.
        memory: the budget of the process, given with its first trial, since it can be set only once.
        predict: predict images.
        shard: extract the shard of this number.
        commit: save a checkpoint and go on.
        leave: save a checkpoint and stop, with this verdict.
    """

    trial: int | None = None
    steps: int = 2
    partial_batch: bool = True
    memory: MemoryBudget | None = None
    predict: PredictRequest | None = None
    shard: int | None = None
    commit: bool = False
    leave: Literal["interrupted", "yielded"] | None = None
