"""`result.json`: how a run ended."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar, Literal

from pydantic import Field

from autofit.protocol.messages import BadImage, Calibration, OomEvent, StageName, StageRecord, Verdict
from autofit.runs.data_findings import DataFindings
from autofit.storage.format_version import NewerFormatError
from autofit.storage.json_bounds import LONG_RECORD, JsonLimits
from autofit.storage.records import Record
from autofit.storage.run_directory import RunDirectory


class AttemptRecord(Record):
    """One attempt of a run: one worker, from start to exit.

    `epoch` and `step`, from zero, are the last that it reported; 0 if it ended before. `segments` is the number of
    segments whose activations were computed again; 0 if they were kept. `stage` is the one that it worked at; empty in
    records of earlier versions.
    """

    verdict: Verdict
    cause: str
    batch_size: int = Field(ge=0)
    micro_batch_size: int = Field(ge=0)
    epoch: int = Field(ge=0)
    step: int = Field(ge=0)
    wall_seconds: float
    segments: int = Field(0, ge=0)
    stage: StageName | Literal[""] = ""


class RunTimeSpent(Record):
    """Where the seconds of a run went; together they are its `wall_seconds`, if its processes' clocks are right.

    Attributes:
        starts_seconds: from the launch of each process until its network is built and the last checkpoint is restored:
            TensorFlow's import, the device, weights.
        first_steps_seconds: the first call of each compiled step with each batch size: tracing, on a GPU the tuning of
            convolutions, and the step itself.
        extraction_seconds: the extraction of features, with waiting for images, without first steps.
        solving_seconds: solving a head.
        training_seconds: the epochs, with waiting for images, without first steps.
        validation_seconds: validations, and the measurements before them, without first steps.
        saving_seconds: saving checkpoints and the model.
        out_of_memory_seconds: work that ran out of memory and was repeated.
        other_seconds: the rest: the time between attempts, a probe between two stages, the ends of processes, the test.
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


FIGURES_OF_TEST = ("test_accuracy", "test_standard_error", "test_loss", "test_mean_average_precision", "tested_images")


class ResultRecord(Record):
    """The content of `result.json`.

    `is_bit_equal` says whether the same updates give the same bits each time on that machine. They do not on a GPU,
    unless the run was `deterministic`, nor if the run went on with other versions of TensorFlow, Keras or Python.
    `budget_seconds` is the time budget; with one, `wall_seconds` counts from the call on. It includes the test.
    `test_accuracy` and `test_loss` (nats) are those of the final model on the test images, of which `tested_images`
    could be read; None without test images. If images may have several labels, `test_mean_average_precision` is given
    in place of the accuracy. `validation_standard_error` and `test_standard_error` are those of the accuracies; with a
    `group_column` on images of other groups. They are None where no accuracy was measured.
    `cut_off_images` counts the JPEGs that were used although their end is missing.
    `validated_images` is how many images the validation could read, 0 if unknown. `warnings` are sentences for users.
    `environment` names the machine and the software of the last attempt. `monitor` is the figure by which epochs were
    compared.
    `data` is what the run knows of its data anyway: sizes of classes and, if features or pixels are cached, equal
    images. None if the run has not completed.
    `time_spent` is where the seconds went. `saved_epoch` is the epoch, from zero, of the saved model; None if there is
    none, or that is not known. `calibration` is that of the saved model; None if it is not calibrated.
    Results of earlier versions lack some of these fields; they are then empty or None.
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
    saved_epoch: int | None = Field(None, ge=0)
    calibration: Calibration | None = None
    weights_sha256: str | None
    seconds_to_first_step: float | None
    wall_seconds: float
    budget_seconds: float | None = None
    validated_images: int = Field(0, ge=0)
    validation_standard_error: float | None = None
    test_accuracy: float | None = None
    test_standard_error: float | None = None
    test_loss: float | None = None
    test_mean_average_precision: float | None = None
    tested_images: int = Field(0, ge=0)
    warnings: list[str] = Field(default_factory=list)
    environment: dict[str, str] = Field(default_factory=dict)
    monitor: str = "auto"
    time_spent: RunTimeSpent | None = None
    data: DataFindings | None = None

    @property
    def has_saved_best(self) -> bool:
        """Whether the saved model is known to be that of the best epoch; if a run ended early, it may be older."""
        return self.status == "completed" or (self.saved_epoch is not None and self.saved_epoch == self.best_epoch)

    def without_test(self) -> ResultRecord:
        """The same result without figures on test images, which are those of a model that trains on."""
        return self.model_copy(update={name: type(self).model_fields[name].default for name in FIGURES_OF_TEST})

    @property
    def epoch_of_model(self) -> int | None:
        """The epoch of the saved model: the best one, unless another is known to be saved."""
        return self.best_epoch if self.saved_epoch is None else self.saved_epoch


def is_finished(files: RunDirectory) -> bool:
    """Whether a run directory holds a result with the status `completed`; links are not followed."""
    try:
        return ResultRecord.load(files.result, follow_links=False).status == "completed"
    except (OSError, ValueError):
        return False


def require_known_result(files: RunDirectory) -> None:
    """Check that the result was not written by a newer autofit: its finished run would be taken for unfinished.

    Raises:
        NewerFormatError: it was.
    """
    with suppress(OSError):
        try:
            ResultRecord.load(files.result, follow_links=False)
        except NewerFormatError:
            raise
        except ValueError:  # the result is damaged: it is made again
            return
