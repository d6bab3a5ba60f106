"""What the attempts are started with, and how each end is written down and told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autofit import api
from autofit.api.result import Result
from autofit.api.supervision import without_directions
from autofit.errors import (
    AutofitError,
    DoesNotFitError,
    InterruptedRunError,
    StorageError,
    TrainingFailedError,
    UserError,
)
from autofit.protocol.messages import StageName, StageRecord, Verdict
from autofit.protocol.payload import Payload
from autofit.runs.stages import NO_REFIT
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.records import make_attempt_record

if TYPE_CHECKING:
    from tests.api.conftest import Interrupted, Stages, Train
    from tests.support.views import RecordingView


def test_a_run_takes_from_its_probe_what_the_process_needs(
    stages: Stages, photos: Path, train: Train, view: RecordingView
) -> None:
    """The worker would estimate what was measured, and the size that was verified not fit."""
    api.run(photos, run_dir="a", feature_cache="off", view=view)
    train(photos, run_dir="b", feature_cache="off", pixel_cache="off")
    assert [run["memory"].non_allocator_bytes for run in stages.runs] == [400 * 10**6, None]


def test_a_run_that_keeps_features_is_told_where(
    stages: Stages, photos: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker, in another folder, would look for the cache elsewhere, or not know how an image is known again."""
    monkeypatch.setenv("AUTOFIT_CACHE", "here")
    monkeypatch.setenv("AUTOFIT_CACHE_LIMIT", "3GB")
    train(photos, run_dir="a", cache_by="content", micro_batch_size=4)
    train(photos, run_dir="b", feature_cache="off", pixel_cache="off")
    told, nothing = [run["cache"] for run in stages.runs]
    assert (told.folder, told.limit_bytes) == (str(Path("here").absolute()), 3 * 10**9)
    assert (told.by, told.fixed_size) == ("content", 4)
    assert nothing is None


def test_callbacks_that_are_missing_are_missed(
    stages: Stages, photos: Path, train: Train, interrupted: Interrupted, view: RecordingView
) -> None:
    """The rest of a run would go without its callbacks, and nobody know; or the message come where it is untrue."""
    callback = SimpleNamespace(set_model=print)
    warning = "this run was started with callbacks; continuing without them"
    interrupted(photos, callbacks=[callback])
    stages.ends = [InterruptedRunError("asked to stop")] * 2
    with pytest.raises(InterruptedRunError):
        api.resume("a", view=view)
    assert view.messages.count(warning) == 1
    with pytest.raises(InterruptedRunError):
        train(photos, view=view)
    assert view.messages.count(warning) == 2
    api.resume("a", callbacks=[callback], view=view)
    assert view.messages.count(warning) == 2
    assert stages.runs[3]["payload"] == Payload(None, (callback,))


@pytest.mark.parametrize(
    ("end", "kind", "status", "message"),
    [
        (InterruptedRunError("asked to stop"), InterruptedRunError, "interrupted", "autofit resume 'x y'$"),
        (KeyboardInterrupt(), InterruptedRunError, "interrupted", "^stopped at once: .* autofit resume 'x y'$"),
        (DoesNotFitError("not even one"), DoesNotFitError, "failed", "^not even one$"),
        (
            TrainingFailedError("SIGSEGV"),
            TrainingFailedError,
            "failed",
            r"^SIGSEGV \(logs in x y; there was no checkpoint yet",
        ),
        (StorageError("disk full"), StorageError, "failed", "^disk full "),
        (UserError("model f: no such name"), UserError, "failed", "^model f: no such name$"),
    ],
    ids=["interrupted", "second Ctrl-C", "does not fit", "crashed", "disk", "user"],
)
def test_a_run_that_does_not_end_well_is_written_down_and_raised(
    stages: Stages, photos: Path, train: Train, end: BaseException, kind: type[AutofitError], status: str, message: str
) -> None:
    """A failed run would leave no trace, or its error not say how to go on."""
    stages.ends = [end]
    with pytest.raises(AutofitError, match=message) as raised:
        train(photos, "x y")
    assert type(raised.value) is kind
    result = Result("x y")
    assert result.status == status
    assert result.record.cause == (str(end) or "stopped at once")
    assert (result.run_dir / "report.html").exists()


def test_the_logs_of_the_last_attempt_are_named(stages: Stages, photos: Path, train: Train) -> None:
    """A user would have to search for what the worker said."""
    Path("a/attempts/0001").mkdir(parents=True)
    Path("a/attempts/0002").mkdir()
    stages.ends = [TrainingFailedError("SIGSEGV")]
    with pytest.raises(TrainingFailedError, match=r"logs in a/attempts/0002") as raised:
        train(photos)
    assert without_directions(raised.value) == "SIGSEGV"  # as `autofit check` tells it, whose run is removed


def test_a_full_disk_names_the_checkpoint_that_is_there_and_the_next_command(
    stages: Stages, photos: Path, train: Train
) -> None:
    """A user would not know what the hours before have left, and a checkpoint would be promised where there is none."""
    full = "no checkpoint can be written in a (No space left on device): make room"
    stages.ends = [StorageError(full), StorageError(full)]
    with pytest.raises(StorageError) as first:
        train(photos)
    assert str(first.value) == f"{full} (logs in a; there was no checkpoint yet; then go on with: autofit resume a)"
    for number in (6, 7):
        Path("a/checkpoints", f"{number:08d}").mkdir(parents=True)
    with pytest.raises(StorageError) as second:
        train(photos)
    assert str(second.value).endswith("(logs in a; the checkpoint 00000007 is kept; then go on with: autofit resume a)")


@pytest.mark.parametrize(
    ("limit", "more"), [(None, "where there is more memory"), ("3GB", "and a higher memory_limit")], ids=str
)
def test_a_run_that_no_longer_fits_says_how_it_goes_on(
    stages: Stages, photos: Path, train: Train, limit: str | None, more: str
) -> None:
    """A user whose card another program fills after a day of training would begin anew, with smaller images."""
    stages.ends = [DoesNotFitError("not even one")]
    Path("a/checkpoints/00000007").mkdir(parents=True)
    with pytest.raises(DoesNotFitError) as raised:
        train(photos, memory_limit=limit)
    kept = "the last checkpoint is kept: go on with autofit resume a"
    assert str(raised.value) == f"not even one; {kept} {more}"
    assert without_directions(raised.value) == "not even one"


def test_the_time_of_a_resumed_run_is_that_of_all_its_attempts(
    stages: Stages, photos: Path, interrupted: Interrupted
) -> None:
    """A run that was resumed in its last minute would seem to have taken a minute."""
    interrupted(photos)
    for number, seconds in (("0001", 100.0), ("0002", 50.0)):
        Path("a/attempts", number).mkdir(parents=True)
        make_attempt_record(Verdict.CRASHED, seconds).save(Path("a/attempts", number, "attempt.json"))
    result = api.resume("a")
    assert len(stages.runs) == 2
    assert 150 < result.record.wall_seconds < 175


@pytest.mark.parametrize("ends_worse", [True, False])
def test_a_fine_tuning_that_is_not_repeated_on_all_images_says_why(
    stages: Stages, photos: Path, train: Train, *, ends_worse: bool
) -> None:
    """A user would not know why this model has seen fewer images than that of another run."""
    head = StageRecord(name="head", method="solved", epochs=1)
    names: tuple[StageName, ...] = ("fine-tune",) if ends_worse else ("fine-tune", "refit")
    tuned = [StageRecord(name=name, method="epochs", epochs=2, ends_worse=ends_worse) for name in names]
    state: dict[str, Any] = {
        "epoch": 3,
        "stage": names[-1],
        "best_epoch": 1,
        "history": {"loss": [0.5] * 3, "val_loss": [0.5] * 3},
    }
    state["stages"] = [record.model_dump() for record in (head, *tuned)]
    Path("a").mkdir()
    CheckpointStore(Path("a/checkpoints")).save({}, state)
    result = train(photos, batch_size="auto", fine_tune_epochs=2)
    assert (NO_REFIT in result.record.warnings) == ends_worse
    assert not any("left out" in warning for warning in result.record.warnings)
    assert len(stages.runs) == 1


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes no result any more."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("autofit.runs.result_record.ResultRecord.save", full)


@pytest.mark.usefixtures("full_disk")
def test_a_disk_that_is_full_at_the_end_is_said_in_one_line(stages: Stages, photos: Path, train: Train) -> None:
    """An OSError would look like a defect of autofit; or nobody would know that the training itself is finished."""
    with pytest.raises(StorageError, match=r"^the training is finished, but .*No space left on device") as raised:
        train(photos)
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith("then write its result with autofit resume a")
    assert len(stages.runs) == 1


def test_a_run_that_fails_names_the_model_that_it_has_handed_over(stages: Stages, photos: Path, train: Train) -> None:
    """After hours of its head nobody would look for a model in a run whose fine-tuning has failed."""
    stages.ends = [TrainingFailedError("KeyError: 'f1'")] * 2
    with pytest.raises(TrainingFailedError, match=r"there was no checkpoint yet\)$"):
        train(photos)
    Path("a/model.keras").touch()
    with pytest.raises(TrainingFailedError, match=r"no checkpoint yet and the last model saved is a/model\.keras\)$"):
        train(photos)


@pytest.mark.usefixtures("full_disk")
def test_a_failed_run_whose_result_cannot_be_written_raises_its_own_reason(
    stages: Stages, photos: Path, train: Train, view: RecordingView
) -> None:
    """A run that failed would blame the disk, and its user would not learn what ended the training."""
    stages.ends = [TrainingFailedError("SIGSEGV")]
    with pytest.raises(TrainingFailedError, match=r"^SIGSEGV \(logs in a"):
        train(photos, view=view)
    (said,) = [message for message in view.messages if "result.json" in message]
    assert "No space left on device" in said


def test_logs_that_cannot_be_listed_do_not_hide_why_a_run_failed(
    stages: Stages, photos: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search for the last log would raise the disk's error instead of the run's."""

    def broken(*_: Any, **__: Any) -> Any:
        monkeypatch.setattr(RunDirectory, "attempts", unreadable)
        raise OSError(5, "Input/output error")

    def unreadable(_: RunDirectory) -> Any:
        raise OSError(5, "Input/output error")

    stages.ends = [TrainingFailedError("SIGSEGV")]
    monkeypatch.setattr("autofit.runs.result_record.ResultRecord.save", broken)
    with pytest.raises(TrainingFailedError, match=r"^SIGSEGV \(logs in a;"):
        train(photos)


def test_a_stopped_cell_is_told_in_python_how_to_go_on(
    photos: Path, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook would name a command of the shell, or not say where the model of the hours before it is."""
    monkeypatch.setattr("autofit.api.existing_run.is_notebook", lambda: True)
    then = "go on with: the same call again, or autofit.resume('a')"
    assert interrupted(photos) == f"asked to stop: there was no checkpoint yet; {then}"
    Path("a/checkpoints/00000001").mkdir(parents=True)
    assert interrupted(photos) == f"asked to stop: the last checkpoint is kept; {then}"
    Path("a/model.keras").touch()
    assert "is kept and the last model saved is a/model.keras; go on" in interrupted(photos)
    Path("a/labels.json").write_text('{"epoch": 3}', encoding="utf-8")
    CheckpointStore(Path("a/checkpoints")).save({"model": {"w": np.zeros(1)}}, {"best_epoch": 3})
    assert "is kept and the best model so far is a/model.keras; go on" in interrupted(photos)
    given = interrupted(photos, run_dir="b", model=lambda _shape, _classes: None)
    assert given.endswith("the same call again, or autofit.resume('b', model=...)")
