"""`result.json`: how a run ended."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar, Literal

from pydantic import Field

from autofit.protocol.messages import BadImage, OomEvent, StageRecord, Verdict
from autofit.runs.data_findings import DataFindings
from autofit.storage.format_version import NewerFormatError
from autofit.storage.json_bounds import LONG_RECORD, JsonLimits
from autofit.storage.records import Record
from autofit.storage.run_directory import RunDirectory


class AttemptRecord(Record):
    """One attempt of a run: one worker, from start to exit. `epoch` and `step`, from zero, are its last ones.

    `segments` is in how many activations were computed again; 0 if they were kept.
    """

    verdict: Verdict
    cause: str
    batch_size: int = Field(ge=0)
    micro_batch_size: int = Field(ge=0)
    epoch: int = Field(ge=0)
    step: int = Field(ge=0)
    wall_seconds: float
    segments: int = Field(0, ge=0)


class RunTimeSpent(Record):
    """Where the seconds of a run went; together they are its `wall_seconds`, if its processes' clocks are right.

    Attributes:
        starts_seconds: from the launch of each process until its network is built and what was trained before is
            restored: TensorFlow's import, the device, weights.
        first_steps_seconds: the first run of each step with each number of images: tracing, on a GPU the tuning of
            convolutions, and the step itself.
        extraction_seconds: of features, the waiting for images included, without first steps.
        solving_seconds: of a head.
        training_seconds: of epochs, the waiting for images included, without first steps.
        validation_seconds: and what is measured before one, without first steps.
        saving_seconds: of checkpoints and the model.
        out_of_memory_seconds: tries that ran out of memory and were repeated.
        other_seconds: between the attempts, a probe between two stages, the ends of processes, and all else.
    """

    starts_seconds: float = 0.0
    first_steps_seconds: float = 0.0
    extraction_seconds: float = 0.0
    solving_seconds: float = 0.0
    training_seconds: float = 0.0
    validation_seconds: float = 0.0
    saving_seconds: float = 0.0
    out_of_memory_seconds: float = 0.0
    other_seconds: float = 0.0


class ResultRecord(Record):
    """The content of `result.json`.

    `is_bit_equal` says whether the same updates give the same bits each time on that machine: not on a GPU, unless the
    run was `deterministic`; nor where it went on with other versions of TensorFlow, Keras or Python.
    `budget_seconds` is the time budget; with one, `wall_seconds` are those from the call on.
    `test_accuracy` and `test_loss` (nats) are the handed-over model's on the images for the test, of which
    `tested_images` could be read; None without such images. Where an image may have several labels,
    `test_mean_average_precision` stands in place of the accuracy.
    `cut_off_images` counts the JPEGs that were used although their end is missing.
    `validated_images` is how many images the validation read, 0 if unknown. `warnings` are sentences for people.
    `environment` names the machine and the software of the last attempt; empty in results from before there was any.
    `data` is what the run knows of its data without looking for it: sizes of classes, and, where features or pixels are
    cached, equal images. None in results from before there was any, and of a run that is not completed.
    `time_spent` is where the seconds went; None in results from before there was any.
    """

    limits: ClassVar[JsonLimits] = LONG_RECORD

    schema_: Literal["autofit/result/1"] = Field("autofit/result/1", alias="schema")
    status: Literal["completed", "failed", "interrupted"]
    cause: str = ""
    history: dict[str, list[float]]
    attempts: list[AttemptRecord]
    oom_events: list[OomEvent]
    quarantined: list[BadImage]
    cut_off_images: int = Field(0, ge=0)
    result_changed: bool
    is_bit_equal: bool = True
    best_epoch: int | None = Field(None, ge=0)
    stages: list[StageRecord] = Field(default_factory=list)
    weights_sha256: str | None
    seconds_to_first_step: float | None
    wall_seconds: float
    budget_seconds: float | None = None
    validated_images: int = Field(0, ge=0)
    test_accuracy: float | None = None
    test_loss: float | None = None
    test_mean_average_precision: float | None = None
    tested_images: int = Field(0, ge=0)
    warnings: list[str] = Field(default_factory=list)
    environment: dict[str, str] = Field(default_factory=dict)
    time_spent: RunTimeSpent | None = None
    data: DataFindings | None = None


def is_finished(files: RunDirectory) -> bool:
    """Whether a run directory holds a result that says `completed`; a link is not followed."""
    try:
        return ResultRecord.load(files.result, follow_links=False).status == "completed"
    except (OSError, ValueError):
        return False


def require_known_result(files: RunDirectory) -> None:
    """Check that no newer autofit wrote the result: what it finished would be trained on.

    Raises:
        NewerFormatError: one did.
    """
    with suppress(OSError):
        try:
            ResultRecord.load(files.result, follow_links=False)
        except NewerFormatError:
            raise
        except ValueError:  # damaged: it is made again
            return
