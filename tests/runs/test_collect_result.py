"""What a run says of itself, also where its supervisor was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit.config.backbones import ModelSpec
from autofit.dataset.duplicates import note_equal_images
from autofit.protocol.job import Event, Job, ModelSource, Outcome, TrainJob
from autofit.protocol.messages import BadImage, MemoryBudget, OomEvent, Phase, Progress, Verdict
from autofit.runs.collect_result import collect_result
from autofit.runs.result_record import AttemptRecord, ResultRecord
from autofit.runs.run_record import DataRecord
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from tests.support.records import make_plan


@pytest.fixture
def files(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def job(attempt: int, **changes: Any) -> Job:
    plan = make_plan(epochs=3, first_batch_size=32, last_batch_size=16, checkpoint_seconds=60.0, checkpoint_steps=None)
    work = TrainJob(run_dir="/run", data_root="/", class_names=["a"], plan=plan, micro_batch_size=8, launched_at=0.0)
    memory = MemoryBudget(device="cpu", limit_bytes=1, is_given=False)
    return Job(**{"attempt": attempt, "source": None, "memory": memory, "isolated": True, "work": work} | changes)


def new_attempt(files: RunDirectory, *events: Event) -> AttemptDirectory:
    number, attempt = files.new_attempt()
    job(number).save(attempt.job)
    attempt.events.write_text("".join(event.model_dump_json() + "\n" for event in events))
    return attempt


ON_GPU = MemoryBudget(device="gpu", limit_bytes=1, is_given=False)
RECORD = AttemptRecord(
    verdict=Verdict.HOST_OOM, cause="SIGKILL", batch_size=32, micro_batch_size=4, epoch=1, step=2, wall_seconds=3.5
)


def oom(attempt: int) -> OomEvent:
    return OomEvent(
        attempt=attempt,
        epoch=0,
        step=1,
        phase=Phase.TRAIN,
        micro_batch_size_before=8,
        micro_batch_size_after=4,
        seconds_lost=10.0,
    )


def test_a_run_that_has_not_begun_has_an_empty_result(files: RunDirectory) -> None:
    """A run that fails before its first attempt would end in a traceback, not in its error."""
    result = collect_result(files, "failed", "why", 1.0)
    assert (result.status, result.cause, result.wall_seconds) == ("failed", "why", 1.0)
    assert (result.attempts, result.history, result.weights_sha256, result.seconds_to_first_step) == (
        [],
        {},
        None,
        None,
    )


def test_attempts_are_told_by_their_supervisor_or_by_what_they_left(files: RunDirectory) -> None:
    """An attempt that was killed together with its parent would be missing, or be said to have ended well."""
    RECORD.save(new_attempt(files).record)
    killed = new_attempt(files)
    beats = [
        Progress(time=0.0, monotonic_seconds=100.0, phase=Phase.BUILD),
        Progress(time=0.0, monotonic_seconds=107.5, phase=Phase.TRAIN, epoch=1, step=4),
    ]
    last = beats[-1].model_copy(update={"micro_batch_size": 2})
    killed.progress.write_text("".join(beat.model_dump_json() + "\n" for beat in (*beats[:-1], last)) + '{"time": 9')
    new_attempt(files).job.unlink()
    Outcome(verdict=Verdict.INTERRUPTED, cause="asked to stop").save(new_attempt(files).outcome)
    damaged = new_attempt(files)
    damaged.record.write_text('{"verdict": "compl')

    told = [tuple(one.model_dump(mode="json").values()) for one in collect_result(files, "failed", "", 0.0).attempts]
    assert told == [
        ("host_oom", "SIGKILL", 32, 4, 1, 2, 3.5, 0, ""),
        ("crashed", "the supervising process ended as well", 24, 2, 1, 4, 7.5, 0, "training"),
        ("crashed", "it ended before its first heartbeat", 0, 0, 0, 0, 0.0, 0, ""),
        ("interrupted", "asked to stop", 32, 0, 0, 0, 0.0, 0, "training"),
        ("crashed", "it ended before its first heartbeat", 32, 0, 0, 0, 0.0, 0, "training"),
    ]


@pytest.mark.parametrize(("monotonic", "seconds"), [((5.0, 8.0), 3.0), ((8.0, 5.0), 0.0)], ids=["true", "damaged"])
def test_a_clock_that_was_set_back_makes_no_negative_time(
    files: RunDirectory, monotonic: tuple[float, float], seconds: float
) -> None:
    """The wall time of a run is a sum over its attempts: a clock that is set would add to it, or take from it."""
    beats = [
        Progress(time=time, monotonic_seconds=at, phase=Phase.TRAIN)
        for time, at in zip((100.0, 10.0), monotonic, strict=True)
    ]
    new_attempt(files).progress.write_text("".join(beat.model_dump_json() + "\n" for beat in beats))
    assert collect_result(files, "failed", "", 0.0).attempts[0].wall_seconds == seconds


def test_the_events_of_all_attempts_are_joined(files: RunDirectory) -> None:
    """What happened before the last restart would be forgotten, or what is found again in each attempt told twice."""
    bad, worse = BadImage(path="a.jpg", reason="cut off"), BadImage(path="b.jpg", reason="empty")
    new_attempt(files, Event(oom=oom(1)), Event(quarantined=bad), Event(seconds_to_first_step=5.0))
    new_attempt(files, Event(quarantined=worse), Event(quarantined=bad), Event(message="not of interest"))
    last = new_attempt(files, Event(oom=oom(3)), Event(seconds_to_first_step=2.0), Event(quarantined=bad))
    with last.events.open("a") as torn:
        torn.write('{"oom": {"atte')
    result = collect_result(files, "interrupted", "", 0.0)
    assert result.oom_events == [oom(1), oom(3)]
    assert result.quarantined == [bad, worse]
    assert result.seconds_to_first_step == 5.0
    assert not result.result_changed


def test_a_change_of_the_result_is_told(files: RunDirectory) -> None:
    """A network trained with smaller micro-batches than planned would pass for the one that was planned."""
    new_attempt(files, Event(result_changed=True))
    new_attempt(files)
    assert collect_result(files, "completed", "", 0.0).result_changed


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([], True),
        ([{}], True),
        ([{"memory": ON_GPU}], False),
        ([{"memory": ON_GPU, "deterministic": True}], True),
        ([{"memory": ON_GPU}, {}], False),  # begun on a GPU, ended on a CPU
    ],
    ids=str,
)
def test_a_result_says_whether_its_bits_can_be_repeated(
    files: RunDirectory, jobs: list[dict[str, Any]], *, expected: bool
) -> None:
    """A run on a GPU would claim to be repeatable bit for bit, or a deterministic one not to be."""
    for changes in jobs:
        number, attempt = files.new_attempt()
        job(number, **changes).save(attempt.job)
    assert collect_result(files, "completed", "", 1.0).is_bit_equal is expected


def test_the_last_checkpoint_has_the_history(files: RunDirectory) -> None:
    """The history of the epochs before a restart would be missing; its change of the result too."""
    state = {"history": {"loss": [0.5, 0.25]}, "result_changed": True}
    CheckpointStore(files.checkpoints).save({"model": {"w": np.zeros(1)}}, state)
    result = collect_result(files, "failed", "", 0.0)
    assert result.history == {"loss": [0.5, 0.25]}
    assert result.result_changed


@pytest.mark.parametrize(
    ("labels", "status", "saved", "is_best"),
    [
        ('{"epoch": 4}', "interrupted", 4, True),
        ('{"epoch": 0}', "failed", 0, False),  # the head's
        ("{}", "failed", None, False),
        ('{"epoch": true}', "failed", None, False),
        ('{"epoch": -1}', "failed", None, False),
        ('{"epoch": 4', "failed", None, False),
        ("[]", "failed", None, False),
        (None, "failed", None, False),
        ("{}", "completed", None, True),  # of an earlier version
    ],
    ids=str,
)
def test_a_result_tells_which_model_is_saved(
    files: RunDirectory, labels: str | None, status: Any, saved: int | None, *, is_best: bool
) -> None:
    """The head's model would be taken for that of the best epoch of fine-tuning, and for calibrated."""
    state = {"best_epoch": 4, "calibration": {"temperature": 1.8, "loss": 0.5}}
    CheckpointStore(files.checkpoints).save({"model": {"w": np.zeros(1)}}, state)
    if labels is not None:
        files.labels.write_text(labels, encoding="utf-8")
    result = collect_result(files, status, "", 0.0)
    assert (result.saved_epoch, result.has_saved_best) == (saved, is_best)
    assert result.epoch_of_model == (4 if saved is None else saved)
    assert (result.calibration is not None) == is_best


def test_a_result_warns_of_what_its_validation_does_not_show(files: RunDirectory) -> None:
    """`result.json` would hold no warning, or those of an epoch that is not the best."""
    history = {"loss": [0.5], "accuracy": [0.9], "val_loss": [0.5], "val_accuracy": [0.9]}
    state = {"history": history, "best_predicted": [700, 490, 0]}
    CheckpointStore(files.checkpoints).save({"model": {"w": np.zeros(1)}}, state)
    data = DataRecord(
        root="/photos",
        class_names=["cats", "dogs", "owls"],
        train_count=9,
        validation_count=1200,
        skipped_files=0,
        fingerprint="",
        validation_counts=[700, 300, 200],
    )
    result = collect_result(files, "completed", "", 0.0, data)
    assert result.warnings == ["Never predicted in validation: owls."]
    assert result.validated_images == 1190
    note_equal_images(files.equal_images, np.array([[place, 1] for place in [*range(10), 3, 3]], np.uint64))
    (leak, _) = collect_result(files, "completed", "", 0.0, data).warnings
    assert leak.startswith("At least 2 of 1,190 validation images are among the training images too")
    assert collect_result(files, "completed", "", 0.0).warnings == []


def test_images_with_several_labels_are_counted_once(files: RunDirectory) -> None:
    """`result.json` would give the number of labels that were told as that of the validation images."""
    history = {"loss": [0.5], "mean_average_precision": [0.9], "val_loss": [0.5], "val_mean_average_precision": [0.9]}
    state = {"history": history, "best_predicted": [70, 49]}
    CheckpointStore(files.checkpoints).save({"model": {"w": np.zeros(1)}}, state)
    data = DataRecord(
        root="/photos",
        class_names=["cats", "dogs"],
        train_count=9,
        validation_count=80,
        skipped_files=0,
        fingerprint="",
        validation_counts=[60, 50],
    )
    assert collect_result(files, "completed", "", 0.0, data).validated_images == 80


def test_only_a_completed_run_has_final_weights(files: RunDirectory) -> None:
    """The fingerprint of weights that are not the last would be compared with those of another run's end."""
    new_attempt(files)
    Outcome(verdict=Verdict.COMPLETED, weights_sha256="ab" * 32).save(new_attempt(files).outcome)
    assert collect_result(files, "completed", "", 0.0).weights_sha256 == "ab" * 32
    assert collect_result(files, "interrupted", "", 0.0).weights_sha256 is None
    files.attempts()[-1].outcome.write_text("{")
    assert collect_result(files, "completed", "", 0.0).weights_sha256 is None


def test_a_job_comes_back_as_it_was_sent(tmp_path: Path) -> None:
    """A worker that reads another job than was written trains another network."""
    spec = ModelSpec(
        backbone="ResNet50",
        weights="none",
        image_size=(32, 48),
        trainable="all",
        hidden_units=0,
        dropout=0.2,
        seed=0,
    )
    source = ModelSource(spec=spec, num_classes=2, optimizer="adam", learning_rate=0.1)
    sent = job(3).model_copy(update={"source": source})
    sent.save(tmp_path / "job.json")
    assert Job.load(tmp_path / "job.json") == sent


def test_images_that_lack_their_end_are_counted_once(files: RunDirectory) -> None:
    """Two attempts that have decoded the same images would count them twice."""
    new_attempt(files, Event(message="7 JPEGs lack their end", cut_off=7))
    new_attempt(files, Event(message="2 JPEGs lack their end", cut_off=2))
    assert collect_result(files, "completed", "", 1.0).cut_off_images == 7


@pytest.mark.parametrize("name", ["best_epoch", "validated_images", "tested_images", "cut_off_images"])
def test_a_count_below_zero_is_no_result(files: RunDirectory, name: str) -> None:
    """A forged result would be shown as the last epoch's, or end its page in a traceback."""
    collect_result(files, "completed", "", 1.0).save(files.result)
    files.result.write_text(json.dumps(json.loads(files.result.read_text()) | {name: -1}))
    with pytest.raises(ValueError, match=name):
        ResultRecord.load(files.result)
