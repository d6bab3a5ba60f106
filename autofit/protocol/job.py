"""`job.json`: what a worker has to do; `outcome.json`: how it ended; and `events.jsonl`: what happened meanwhile."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from autofit.config.backbones import ModelSpec
from autofit.config.batch_schedule import BatchSchedule
from autofit.config.cuts import WHOLE
from autofit.config.fine_tuning import FineTuning
from autofit.config.given_objects import KerasConfig
from autofit.config.learning_rates import RateFall
from autofit.config.precisions import Precision
from autofit.config.run_options import MOST_VIEWS, Strength
from autofit.config.rungs import Rung
from autofit.config.training_options import ClassWeight
from autofit.protocol.cache_job import CacheJob, ShardAnswer, ShardsDone
from autofit.protocol.messages import BadImage, EpochEnd, MemoryBudget, OomEvent, StageName, Trial, Verdict
from autofit.protocol.model_jobs import ExportJob, PredictJob
from autofit.protocol.precision import PrecisionChoice, PrecisionComparison
from autofit.storage.records import Record


class ModelSource(Record):
    """Where the network comes from: autofit's own builder, an importable function, or one sent along with the job.

    autofit builds `spec`; `reference` names a function to import, as `module:name`; `sent` says that the function comes
    in the payload. `optimizer_config`, `loss` and `metrics` are the user's, as names or Keras configurations. With
    `fine_tuning`, the optimizer is the one of these settings, and `learning_rate` the peak of its schedule. With
    `multi_label` an image may have any number of classes. `weights_sha256` is of the weights file, empty without one.
    `later_cut` is the cut that a later stage was given: that the network has it is checked before the head is trained.
    `rate_falls` are those of the plan, in the stage that they are for.
    """

    spec: ModelSpec
    reference: str | None = None
    sent: bool = False
    num_classes: int
    optimizer: str
    learning_rate: float
    fine_tuning: FineTuning | None = None
    multi_label: bool = False
    optimizer_config: KerasConfig | None = None
    loss: str | KerasConfig | None = None
    metrics: tuple[str | KerasConfig, ...] = ()
    weights_sha256: str = ""
    later_cut: str | None = None
    rate_falls: tuple[RateFall, ...] = ()


MOST_FALLS = 1000
"""More often nobody trains a run for more epochs: the bound for a `run.json` from an untrusted source."""

MOST_THREADS = 1024
"""More than any machine has cores: the bound for a `run.json` from an untrusted source."""


MINUTES_OVER = "max_minutes is reached"
"""Why a run is interrupted when its `max_minutes` are over."""

Kernels = Literal["eigen", "onednn"]
"""Which of TensorFlow's implementations computes on a CPU. oneDNN is faster, but ends the process if its scratch memory
cannot be allocated (docs/decisions/0023)."""

Tuning = Literal["quick", "tuned"]
"""How a GPU's convolutions get their algorithm: `quick`, the first that cuDNN suggests; `tuned`, the fastest of those
that it suggests, each of which runs in the first step with each new shape (docs/decisions/0028)."""

Devices = int | Literal["all"]
"""The number of the machine's devices on which layers of the backbone train."""


Comparison = Literal["accuracy", "quality", "quality and loss"]
"""By what the models of a fine-tuning are compared: see `FineTunePlan`."""


class FineTunePlan(Record):
    """The stage after the head: the layers above a cut train as well.

    Attributes:
        epochs: the number of epochs; the most, with `by_budget`.
        batch_size: images in an update.
        micro_batch_size: images on the device at once.
        learning_rate: the peak of the head's learning rate; lower layers have a smaller one.
        cut: where the layers that train begin: `auto`, `input`, a layer's name, or a share of the layers.
        augment: how strongly the training images are augmented.
        flip: whether augmentation mirrors them.
        views: how many augmented views of each training image the cache holds, if the layers below the cut are
            constant.
        kernels: which implementations compute on a CPU.
        by_budget: whether the stage is planned only when the head is done, by what is left of the time budget.
        refit: whether a fine-tuning that was better than the head is repeated on all images.
        rung: of the ladder; None until one is chosen, while that of the request applies.
        precision_choice: how `precision="auto"` was decided for this stage; None if the run's decision applies.
        early_stopping: after so many epochs in a row without a better one the stage ends; None for all epochs.
        pixel_cache: whether decoded images are kept for its epochs.
        calibrates: whether the confidence of its best model is calibrated on the validation images.
        compares: by what its models are compared with each other and the one before. `quality` is the accuracy with the
            class weights of the loss, and with several labels the mean average precision; a refit then takes place only
            if the last epoch is not clearly worse than the model before. With `quality and loss` an epoch is better
            only if its calibrated loss is not above that of the model before. Plans of earlier versions have others.
        caches: whether the activations at a cut are cached; None in plans of earlier versions, which cached them where
            the stage of the head cached something.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    micro_batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    cut: str
    augment: Strength = "none"
    flip: bool = True
    views: int = Field(1, ge=1, le=MOST_VIEWS)
    kernels: Kernels = "eigen"
    by_budget: bool = False
    refit: bool = False
    rung: Rung | None = None
    precision_choice: PrecisionChoice | None = None
    early_stopping: int | None = None
    pixel_cache: bool = False
    calibrates: bool = False
    compares: Comparison = "accuracy"
    caches: bool | None = None

    @property
    def needs_cache(self) -> bool:
        """Whether the stage keeps activations or decoded images, whatever the stage of the head keeps."""
        return self.caches is not None and (self.pixel_cache or (self.caches and self.cut != WHOLE))


class ViewsPlan(Record):
    """The stage that solves the head once more, on augmented views.

    Attributes:
        count: the number of views of each training image.
        augment: how strongly they are augmented.
        flip: whether augmentation mirrors them.
        by_budget: whether it is decided only when the head is done, by the time budget, if the stage takes place.
    """

    count: int = Field(ge=1, le=MOST_VIEWS)
    augment: Strength
    flip: bool = True
    by_budget: bool = False


class TrainingPlan(Record):
    """The sizes and settings that a run was started with: the same wherever it is resumed.

    `micro_batch_is_cut` says that the machine, and not the user, made the micro-batch smaller than the batch in a
    training where that may change the result. `recalibration_images` is the number of training images from which the
    averages of BatchNormalization are computed before each validation, if it trains; 0 keeps its moving averages.
    `ends_with_ledger` says that the replayed run may have ended before its last epoch, by a time budget: a stage then
    ends where that run's audit log does. `value_ranges` are the numbers that mean black and white in images of more
    than 8 bits (`autofit/input/numeric_images.py`), determined once for the whole run. With `doubt_labels` the worker
    looks for wrong labels. `rung` is the rung of the ladder; None until one is chosen, while that of the request
    applies. With `xla` TensorFlow compiles its graphs with XLA on a GPU, which only a user asks for.
    `precision_choice` is how `precision="auto"` was decided; None if the request names the precision. Layers of the
    backbone train on `devices`. In the updates of `rate_falls` the learning rate of a training by epochs falls to zero;
    it is constant in the others, and in all without any. `epochs_by_budget` says whether a time budget decides the
    number of epochs, once the first one has shown how long one takes: until then it is "open". `calibrates` and
    `compares` are those of `FineTunePlan`, in the plan of its stage. `head_from_zeros` is that of `ModelSpec`, for a
    head without fine-tuning; plans of earlier versions have random heads.
    """

    epochs: int = Field(ge=1)
    first_batch_size: int = Field(ge=1)
    last_batch_size: int = Field(ge=1)
    micro_batch_size: int = Field(ge=1)
    seed: int
    class_weight: ClassWeight
    early_stopping: int | None
    checkpoint_seconds: float | None
    checkpoint_steps: int | None
    audit: bool
    replay: str | None
    threads: int = Field(ge=1, le=MOST_THREADS)
    value_ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    max_bad_images: float = 0.1
    feature_cache: bool = False
    feature_views: int = Field(1, ge=1, le=MOST_VIEWS)
    augment: Strength = "none"
    flip: bool = True
    pixel_cache: bool = False
    kernels: Kernels = "eigen"
    head: Literal["epochs", "solve"] = "epochs"
    refit_head: bool = False
    views: ViewsPlan | None = None
    fine_tune: FineTunePlan | None = None
    deterministic: bool = False
    tuning: Tuning = "tuned"
    xla: bool = False
    micro_batch_is_cut: bool = False
    recalibration_images: int = Field(0, ge=0)
    ends_with_ledger: bool = False
    doubt_labels: bool = False
    monitor: str = "auto"
    rung: Rung | None = None
    precision_choice: PrecisionChoice | None = None
    devices: Devices = 1
    rate_falls: Annotated[tuple[RateFall, ...], Field(max_length=MOST_FALLS)] = ()
    epochs_by_budget: Literal["no", "open", "decided"] = "no"
    calibrates: bool = False
    compares: Comparison = "accuracy"
    head_from_zeros: bool = False

    @property
    def schedule(self) -> BatchSchedule:
        """The batch sizes over the epochs."""
        return BatchSchedule(self.first_batch_size, self.last_batch_size, self.epochs)


class StageTime(Record):
    """A stage's share of a time budget; times are readings of `time.monotonic()`, as in `TrainJob`.

    Attributes:
        end_at: when the run should end: an epoch that would not be done by then is not begun.
        last_at: when it has to end: an epoch that has begun is cut short.
        epoch_seconds: the estimated time of an epoch; 0 if there is no estimate.
        finish_seconds: the estimated time from the end of the last epoch to the end of the run.
    """

    end_at: float
    last_at: float
    epoch_seconds: float = Field(0.0, ge=0)
    finish_seconds: float = Field(ge=0)


class TrainJob(Record):
    """Train a stage from the newest checkpoint, or from the start, to its last epoch.

    `plan` is the plan of this stage, which comes `after` another. Epochs are numbered on from one stage to the next.

    `launched_at` and the time limit `stop_at` are readings of `time.monotonic()`, which the processes of one machine
    share on Linux (CLOCK_MONOTONIC, https://man7.org/linux/man-pages/man2/clock_gettime.2.html) and on macOS. The wall
    clock may be set during a run, which would end it at once or never. The time of a suspended machine does not count.
    """

    kind: Literal["train"] = "train"
    run_dir: str
    data_root: str
    class_names: list[str]
    plan: TrainingPlan
    stage: StageName = "training"
    after: StageName | None = None
    micro_batch_size: int
    launched_at: float
    stop_at: float | None = None
    time: StageTime | None = None
    cache: CacheJob | None = None


class TrialsJob(Record):
    """Run the trials that the parent requests over the control pipe: the share of one of the training's `devices`."""

    kind: Literal["trials"] = "trials"
    devices: int = Field(1, ge=1)


class ComparisonJob(Record):
    """Measure the network in float32 and in `precision`, with `batch_size` images at once; settings as in the plan."""

    kind: Literal["comparison"] = "comparison"
    precision: Precision
    batch_size: int = Field(ge=1)
    kernels: Kernels = "eigen"
    tuning: Tuning = "tuned"
    xla: bool = False


class Job(Record):
    """The content of `job.json`. `deterministic` is as in the options."""

    schema_: Literal["autofit/job/1"] = Field("autofit/job/1", alias="schema")
    attempt: int
    source: ModelSource | None
    memory: MemoryBudget
    import_paths: list[str] = Field(default_factory=list)
    isolated: bool
    deterministic: bool = False
    work: TrainJob | TrialsJob | ComparisonJob | PredictJob | ExportJob = Field(discriminator="kind")


class Outcome(Record):
    """The content of `outcome.json`: the worker's own verdict, which counts more than its exit code.

    `epoch` and `step` count from zero.
    """

    schema_: Literal["autofit/outcome/1"] = Field("autofit/outcome/1", alias="schema")
    verdict: Verdict
    cause: str = ""
    traceback: str = ""
    epoch: int = 0
    step: int = 0
    micro_batch_size: int = 0
    weights_sha256: str | None = None


class ExtractionSpeed(Record):
    """The measurement of an extraction: the fastest micro-batch size, its speed, and the allocator's peak with it.

    `peak_bytes` is 0 if the allocator keeps no statistics.
    """

    micro_batch_size: int
    images_per_second: float
    peak_bytes: int


class ExtractionTime(Record):
    """A pass of an extraction: how many images went through the network, and in how many seconds, with decoding.

    `steady_per_second` is the images a second in those blocks in which nothing was traced; 0 if there were none.
    """

    images: int
    seconds: float
    steady_per_second: float = 0.0


class Event(Record):
    """One line of `events.jsonl`: the field that is set says what happened; a `message` may come with it.

    `oom` is one from which the worker recovered. `cut_off` counts the JPEGs that the attempt has used although their
    end is missing. `kept_rows` is how many rows of features have just been written to the cache. `answered` is the
    number of the request for predictions that is done, counted from one. `most_segments` is as in `Trial`.
    """

    oom: OomEvent | None = None
    epoch_end: EpochEnd | None = None
    quarantined: BadImage | None = None
    cut_off: int | None = Field(None, ge=0)
    trial: Trial | None = None
    comparison: PrecisionComparison | None = None
    message: str | None = None
    result_changed: bool = False
    baseline_rss_bytes: int | None = None
    non_allocator_bytes: int | None = None
    allocator_bytes: int | None = None
    most_segments: int | None = Field(None, ge=1)
    seconds_to_first_step: float | None = None
    kept_rows: int | None = None
    extraction: ExtractionSpeed | None = None
    extracted: ExtractionTime | None = None
    answered: int | None = None
    sharded: ShardsDone | None = None
    shard: ShardAnswer | None = None
