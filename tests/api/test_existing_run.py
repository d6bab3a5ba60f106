"""What a run directory holds already: the same request or another, and what may change."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autofit import api
from autofit.api.existing_run import going_on
from autofit.errors import InterruptedRunError, UserError
from autofit.protocol.messages import StageRecord
from autofit.runs.collect_result import Committed
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import RunDirectory
from tests.support.ids import steady

if TYPE_CHECKING:
    from tests.api.conftest import Interrupted, Stages, Train
    from tests.support.views import RecordingView


def network(input_shape: tuple[int, int, int], num_classes: int) -> None:
    """A model function; it is never called here."""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"audit": True}, "audit False there, True here"),
        ({"time_budget": 60}, "time_budget None there, 60.0 here"),
        ({"backbone": "VGG16"}, "backbone 'MobileNetV2' there, 'VGG16' here"),
        ({"model": network}, "backbone 'MobileNetV2' there, replaced by model= here"),
        ({"seed": 1}, "seed 0 there, 1 here"),
    ],
    ids=steady,
)
def test_another_request_is_refused_by_the_option_that_differs(
    stages: Stages, photos: Path, train: Train, given: dict[str, Any], said: str
) -> None:
    """A result would be returned that is not what was asked for."""
    first = train(photos)
    with pytest.raises(UserError) as refused:
        train(photos, **given)
    expected = f"run directory {first.run_dir} holds another request ({said}): give another run_dir"
    assert str(refused.value) == expected
    assert len(stages.runs) == 1


def other_network(input_shape: tuple[int, int, int], num_classes: int) -> tuple[Any, ...]:
    """Another model function."""
    return input_shape, num_classes


class Callback:
    """A callback with a setting."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def set_model(self, model: Any) -> None:
        """As Keras calls it."""


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"model": network}, {"model": other_network}, "the code of the model"),
        ({"callbacks": [Callback(1)]}, {"callbacks": [Callback(2)]}, "the code of the callbacks"),
        ({"callbacks": [Callback(1)]}, {}, "callbacks there, none here"),
        ({}, {"callbacks": [Callback(1)]}, "no callbacks there, callbacks here"),
    ],
    ids=steady,
)
def test_other_code_is_another_request(
    stages: Stages, photos: Path, train: Train, before: dict[str, Any], now: dict[str, Any], said: str
) -> None:
    """An edited network would return the old model without a word."""
    first = train(photos, **before)
    with pytest.raises(UserError, match=said):
        train(photos, **now)
    assert train(photos, **before).run_dir == first.run_dir
    assert len(stages.runs) == 1


def test_each_resume_of_a_run_without_callbacks_may_have_others(
    stages: Stages, photos: Path, train: Train, view: RecordingView
) -> None:
    """After a resume with a callback that failed none could be put right: its code would have changed."""
    first = train(photos, weights=None, epochs=2)
    for epochs, patience in ((3, 1), (4, 2)):
        api.resume(first.run_dir, epochs=epochs, callbacks=[Callback(patience)], view=view)
    assert len(stages.runs) == 3
    assert train(photos, weights=None, epochs=4).run_dir == first.run_dir
    assert len(stages.runs) == 3


def test_a_weights_file_with_other_content_is_another_request(
    stages: Stages, photos: Path, train: Train, tmp_path: Path
) -> None:
    """A file that was replaced, as by a longer pretraining, would return the model of the one before."""
    weights = tmp_path / "mine.weights.h5"
    weights.write_bytes(b"one")
    first = train(photos, weights=weights)
    weights.write_bytes(b"two")
    with pytest.raises(UserError, match="the weights file has another content than when the run began"):
        train(photos, weights=weights)
    weights.write_bytes(b"one")
    os.utime(weights, (0, 0))
    assert train(photos, weights=weights).run_dir == first.run_dir
    assert len(stages.runs) == 1


def test_code_may_change_before_anything_is_trained(stages: Stages, photos: Path, train: Train) -> None:
    """A mistake in a model function could only be put right in another run directory."""
    stages.ends = [InterruptedRunError("its model function raised")]
    with pytest.raises(InterruptedRunError):
        train(photos, model=network)
    train(photos, model=other_network)
    with pytest.raises(UserError, match="the code of the model"):
        train(photos, model=network)


def test_other_images_are_another_request(stages: Stages, photos: Path, train: Train) -> None:
    """Half of a run would be trained on one set of images, and half on another."""
    stages.ends = [InterruptedRunError("asked to stop")]
    with pytest.raises(InterruptedRunError):
        train(photos)
    (photos / "cat" / "new.jpg").touch()
    with pytest.raises(UserError, match=r"^1 photo added \(such as cat/new.jpg\) since the run in a began: give"):
        train(photos)


def test_truths_in_another_notation_are_the_same_request(stages: Stages, photos: Path, train: Train) -> None:
    """The CSV file that pandas writes of a DataFrame's True and False would hold other classes than the DataFrame."""
    pandas = pytest.importorskip("pandas")
    paths = sorted(map(str, photos.rglob("*.jpg")))
    table = pandas.DataFrame({"path": paths, "label": [number % 2 == 1 for number in range(len(paths))]})
    first = train(table)
    table.to_csv("same.csv", index=False)
    assert train(Path("same.csv")).run_dir == first.run_dir
    assert first.labels == ["0", "1"]
    table["label"] = ~table["label"]
    table.to_csv("other.csv", index=False)
    with pytest.raises(UserError, match="photos in another class or split"):
        train(Path("other.csv"))
    assert len(stages.runs) == 1


def test_images_that_have_moved_are_read_from_where_they_are(stages: Stages, photos: Path, train: Train) -> None:
    """A worker would look for each image at its old place, and leave them all out."""
    stages.ends = [InterruptedRunError("asked to stop")]
    with pytest.raises(InterruptedRunError):
        train(photos)
    moved = photos.rename(photos.with_name("moved"))
    train(moved)
    assert [run["record"].data.root for run in stages.runs] == [str(photos), str(moved)]
    assert RunRecord.load(Path("a/run.json")).data.root == str(moved)


def test_more_bad_images_may_be_allowed_where_a_run_goes_on(
    stages: Stages, photos: Path, train: Train, interrupted: Interrupted, view: RecordingView
) -> None:
    """A run that ended because of them could only be started anew, or its worker would go on with the old share."""
    interrupted(photos)
    train(photos, max_bad_images=0.5)
    interrupted(photos, run_dir="b")
    api.resume("b", max_bad_images=0, view=view)
    interrupted(photos, run_dir="c", max_bad_images=0.3)
    api.resume("c", view=view)
    records = [run["record"] for run in stages.runs]
    assert [record.plan.max_bad_images for record in records] == [0.1, 0.5, 0.1, 0, 0.3, 0.3]
    assert [record.options.max_bad_images for record in records] == [0.1, 0.5, 0.1, 0, 0.3, 0.3]
    assert RunRecord.load(Path("b/run.json")) == records[3]


def test_a_run_from_before_the_share_was_kept_goes_on(
    stages: Stages, photos: Path, interrupted: Interrupted, view: RecordingView
) -> None:
    """After an update of autofit, runs that were begun before it could not be resumed."""
    interrupted(photos)
    content = json.loads(Path("a/run.json").read_text(encoding="utf-8"))
    del content["options"]["max_bad_images"], content["plan"]["max_bad_images"]
    Path("a/run.json").write_text(json.dumps(content), encoding="utf-8")
    api.resume("a", view=view)
    assert stages.runs[1]["record"] == stages.runs[0]["record"]


@pytest.mark.parametrize("run_dir", ["a", None], ids=["named", "found"])
def test_a_budgeted_run_from_before_fine_tuning_followed_a_head_by_epochs_is_the_same_request(
    stages: Stages, photos: Path, train: Train, view: RecordingView, run_dir: str | None
) -> None:
    """After an update of autofit the same call would be refused, or train anew what is finished."""
    first = train(photos, run_dir, time_budget="1m", fine_tune_epochs=0)
    assert train(photos, run_dir, time_budget="1m").run_dir == first.run_dir
    assert len(stages.runs) == 1
    assert RunRecord.load(first.run_dir / "run.json").options.fine_tune_epochs == 0
    with pytest.raises(UserError, match="has fine_tune_epochs 0, not 'auto', and cannot go on so"):  # it is named
        api.resume(first.run_dir, fine_tune_epochs="auto", view=view)


def test_a_share_of_bad_images_that_is_none_ends_no_run(
    stages: Stages, photos: Path, interrupted: Interrupted, view: RecordingView
) -> None:
    """The nonsense would be kept in run.json, and the run be lost."""
    interrupted(photos)
    with pytest.raises(UserError, match="max_bad_images must be a number from 0 to 1, not 2"):
        api.resume("a", max_bad_images=2, view=view)
    assert RunRecord.load(Path("a/run.json")) == stages.runs[0]["record"]


@pytest.mark.parametrize("content", [None, "{", '{"schema": "autofit/run/2"}'], ids=["none", "cut off", "newer"])
def test_resuming_what_is_no_run_is_refused(photos: Path, view: RecordingView, content: str | None) -> None:
    """A page of validation errors would be shown for a mistyped folder."""
    Path("a").mkdir()
    if content is not None:
        Path("a/run.json").write_text(content, encoding="ascii")
    with pytest.raises(UserError, match=r"holds no run|cannot be read|by a newer autofit") as refused:
        api.resume("a", view=view)
    assert "\n" not in str(refused.value)
    assert photos.exists()


def test_a_run_that_goes_on_says_in_which_epoch_of_its_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first epoch of fine-tuning, after a solved head, would be called the second."""
    head = StageRecord(name="head", method="solved", epochs=1)
    state = Committed(epoch=1, stage="fine-tune", stages=[head])
    monkeypatch.setattr("autofit.api.existing_run.committed", lambda _: state)
    assert ", in epoch 1 of fine-tuning (another run_dir" in going_on(RunDirectory(tmp_path))
