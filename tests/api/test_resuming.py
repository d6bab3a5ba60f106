"""Resuming a run."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autofit import api
from autofit.errors import InterruptedRunError, UserError
from autofit.input import patient_call
from autofit.protocol.messages import Verdict
from autofit.protocol.payload import Payload
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.records import make_attempt_record

if TYPE_CHECKING:
    from tests.api.conftest import Interrupted, Network, Stages, Train
    from tests.support.views import RecordingView


@pytest.mark.parametrize("model", [None, "json:loads"], ids=["nothing", "a name"])
def test_a_model_function_is_asked_for_again(
    stages: Stages, photos: Path, interrupted: Interrupted, view: RecordingView, network: Network, model: Any
) -> None:
    """The worker would be started to find that the function went with the process that gave it."""
    said = interrupted(photos, model=network)
    assert said.endswith("go on with: autofit.resume('a', model=...)")
    with pytest.raises(UserError, match=r"give it again, autofit\.resume\('a', model=\.\.\.\)"):
        api.resume("a", model=model, view=view)
    assert len(stages.runs) == 1
    api.resume("a", model=network, view=view)
    assert stages.runs[1]["payload"] == Payload(network)


@pytest.mark.parametrize("given", [{}, {"model": "json:loads"}], ids=str)
def test_a_model_function_for_a_run_that_had_none_is_refused(
    photos: Path, interrupted: Interrupted, view: RecordingView, network: Network, given: dict[str, Any]
) -> None:
    """It would be ignored, and its user believe that it was trained."""
    interrupted(photos, **given)
    with pytest.raises(UserError, match=r"was started with (MobileNetV2|json:loads), not with another model"):
        api.resume("a", model=network, view=view)


class LearningRateScheduler:
    """As Keras's."""

    __module__ = "keras.src.callbacks.learning_rate_scheduler"

    def set_model(self, model: Any) -> None:
        """Do nothing."""


class Own(LearningRateScheduler):
    """A user's, made of Keras's."""

    __module__ = "user"


@pytest.mark.parametrize("kind", [LearningRateScheduler, Own])
def test_a_callback_of_keras_that_sets_a_rate_that_falls_is_refused_before_anything_starts(
    stages: Stages, photos: Path, interrupted: Interrupted, view: RecordingView, kind: type
) -> None:
    """The run would go on, and end in Keras's words about an optimizer that the user has not made."""
    interrupted(photos, weights=None, epochs=3)
    assert RunRecord.load(Path("a/run.json")).plan.rate_falls
    with pytest.raises(UserError, match=r"^callbacks: LearningRateScheduler sets the learning rate, .* leave it out"):
        api.resume("a", callbacks=[kind()], view=view)
    assert len(stages.runs) == 1
    api.resume("a", callbacks=[SimpleNamespace(set_model=print)], view=view)
    assert len(stages.runs) == 2


def test_what_does_not_go_with_the_run_is_refused(stages: Stages, photos: Path, interrupted: Interrupted) -> None:
    """It would be written into the request and have no effect."""
    interrupted(photos, trainable="all", batch_size=8)
    with pytest.raises(UserError, match=r"^fine_tune_epochs 30 follow a frozen backbone"):
        api.resume("a", fine_tune_epochs=30)
    with pytest.raises(UserError, match=r"^devices 2 with isolation 'inline'"):
        api.resume("a", devices=2, isolation="inline")
    assert len(stages.runs) == 1
    assert RunRecord.load(Path("a/run.json")).options.fine_tune_epochs == 0


def test_a_finished_run_that_trains_on_is_no_longer_tested(
    stages: Stages, photos: Path, train: Train, view: RecordingView
) -> None:
    """If it is stopped then, the test figures of the model before would be shown as those of the present one."""
    train(photos, weights=None, batch_size=8, epochs=3)
    files, steps = RunDirectory(Path("a").absolute()), -(-RunRecord.load(Path("a/run.json")).data.train_count // 8)
    CheckpointStore(files.checkpoints).save({"model": {"w": np.zeros(1)}}, {"epoch": 3, "step": 3 * steps})
    result = ResultRecord.load(files.result)
    result.model_copy(update={"test_accuracy": 0.9, "test_loss": 0.3, "tested_images": 50}).save(files.result)
    files.test.touch()
    stages.ends = [InterruptedRunError("asked to stop")] * 2
    with pytest.raises(InterruptedRunError):
        api.resume("a", epochs=6, view=view)
    result = ResultRecord.load(files.result)
    assert (result.test_accuracy, result.test_loss, result.tested_images) == (None, None, 0)
    assert not files.test.exists()
    assert any(message.startswith("the learning rate, which had fallen to zero, is 0.001") for message in view.messages)


def test_a_run_of_ones_own_goes_on_without_a_word(stages: Stages, photos: Path, interrupted: Interrupted) -> None:
    """Whoever resumes their own run would have to look up what it was started with."""
    interrupted(photos, model="json:loads")
    api.resume("a")
    assert len(stages.runs) == 2


@pytest.mark.parametrize("change", ["folder", "key", "reference"])
def test_a_run_from_elsewhere_is_told_whose_code_to_run(
    stages: Stages, photos: Path, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: str
) -> None:
    """Resuming a run from an untrusted source would import the module that lies beside it."""
    interrupted(photos, model="json:loads")
    run_dir = Path("a").absolute()
    if change == "folder":
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
    if change == "key":
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another user"))
    if change == "reference":
        text = (run_dir / "run.json").read_text(encoding="utf-8")
        (run_dir / "run.json").write_text(text.replace("json:loads", "evil:build"), encoding="utf-8")
    name = "evil:build" if change == "reference" else "json:loads"
    with pytest.raises(UserError, match=rf"would import and run {name}: if that is code of yours, give it again"):
        api.resume(run_dir)
    with pytest.raises(UserError, match="not with another model"):
        api.resume(run_dir, model="pickle:loads")
    assert len(stages.runs) == 1
    api.resume(run_dir, model=name)
    assert len(stages.runs) == 2


def test_where_no_key_can_be_kept_the_model_is_asked_for(
    stages: Stages, photos: Path, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A home that cannot be written would end in a traceback, or an empty seal be as good as any."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    interrupted(photos, model="json:loads")
    with pytest.raises(UserError, match="give it again"):
        api.resume("a")
    api.resume("a", model="json:loads")
    assert len(stages.runs) == 2


def test_a_resumed_run_has_what_is_left_of_its_time_budget(
    stages: Stages, photos: Path, interrupted: Interrupted
) -> None:
    """Each resume would have the whole budget again, or the time of a killed session not count."""
    interrupted(photos, time_budget="5m")
    whole = stages.runs[0]["budget"]
    assert whole.seconds == 300.0
    files = RunDirectory(Path("a").absolute())
    record = RunRecord.load(files.run)
    assert 0 < record.seconds_before < 60
    record.model_copy(update={"seconds_before": 30.0}).save(files.run)
    for seconds in (50.0, 70.0):
        make_attempt_record(Verdict.INTERRUPTED, seconds).save(files.new_attempt()[1].record)
    before = time.monotonic()
    api.resume("a")
    assert before + 150.0 <= stages.runs[1]["budget"].end_at <= time.monotonic() + 150.0


def test_the_probe_of_a_stage_and_a_budget_that_is_over_count_for_a_resumed_run(
    stages: Stages, photos: Path, interrupted: Interrupted
) -> None:
    """A resumed run would have its probe's seconds again; or epochs that were named be left out for a budget."""
    interrupted(photos, time_budget="5m")
    files = RunDirectory(Path("a"))
    record = RunRecord.load(files.run)
    record.model_copy(update={"seconds_before": 20.0, "seconds_between": 30.0}).save(files.run)
    Path("a/attempts/0001").mkdir(parents=True)
    make_attempt_record(Verdict.CRASHED, 100.0).save(Path("a/attempts/0001/attempt.json"))
    before = time.monotonic()
    result = api.resume("a")
    assert before + 150.0 <= stages.runs[1]["budget"].end_at <= time.monotonic() + 150.0
    assert result.record.wall_seconds == pytest.approx(150.0, abs=25.0)
    over = RunRecord.load(files.run).model_copy(update={"budget_is_over": True})
    over.save(files.run)
    files.result.unlink()
    assert api.resume("a").record.budget_seconds is None
    assert stages.runs[2]["budget"] is None


def test_the_time_that_a_budget_counts_begins_with_the_call(
    stages: Stages, photos: Path, train: Train, view: RecordingView
) -> None:
    """The images are looked for, and perhaps probed, in time that would not count; or no line tell of the budget."""
    before = time.monotonic()
    train(photos, time_budget=60, view=view)
    assert before + 60.0 <= stages.runs[0]["budget"].end_at <= stages.runs[0]["record"].seconds_before + before + 61.0
    assert any(message.startswith("time budget 60 s: ") for message in view.messages)


def test_a_run_whose_photos_are_gone_says_where_they_were(
    stages: Stages, photos: Path, interrupted: Interrupted, view: RecordingView
) -> None:
    """A worker would start, and call each photo unreadable."""
    interrupted(photos)
    photos.rename(photos.with_name("elsewhere"))
    with pytest.raises(UserError, match=r"were found in .*/photos, which is gone: mount it .* run_dir='a'"):
        api.resume("a", view=view)
    assert len(stages.runs) == 1
    api.run(photos.with_name("elsewhere"), run_dir="a", batch_size=8, view=view)
    assert stages.runs[1]["record"].data.root.endswith("/elsewhere")


def test_a_run_whose_photos_may_not_be_looked_at_says_so(
    photos: Path, interrupted: Interrupted, view: RecordingView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drive that was mounted anew would make each photo an unreadable one."""
    interrupted(photos)
    stat = Path.stat

    def stale(path: Path, **given: Any) -> Any:
        if path == photos:
            raise OSError(errno.ESTALE, "Stale file handle")
        return stat(path, **given)

    monkeypatch.setattr(Path, "stat", stale)
    with pytest.raises(UserError, match=r"/photos, which cannot be read \(Stale file handle\): the network drive"):
        api.resume("a", view=view)


def test_a_drive_that_hangs_is_named(
    stages: Stages, photos: Path, interrupted: Interrupted, view: RecordingView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resume would stand still before its first line, deaf to Ctrl-C, and nobody know for what it waits."""
    interrupted(photos)
    monkeypatch.setattr(patient_call, "SAY_SECONDS", 0.2)
    stat = Path.stat

    def hanging(path: Path, **given: Any) -> Any:
        deadline = time.monotonic() + 60
        while path == photos and not any("does not answer" in line for line in view.messages):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return stat(path, **given)

    monkeypatch.setattr(Path, "stat", hanging)
    api.resume("a", view=view)
    assert len(stages.runs) == 2
