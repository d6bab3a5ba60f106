"""From the door to the supervisor and back, with the two stages themselves replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autofit import api
from autofit.config.options import make_options
from autofit.errors import InterruptedRunError, TrainingFailedError, UserError
from autofit.process.launch import ProcessLauncher
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock

if TYPE_CHECKING:
    from tests.api.conftest import Interrupted, Network, Stages, Train
    from tests.support.views import RecordingView


def test_a_request_becomes_a_probe_a_plan_and_a_run(stages: Stages, photos: Path, view: RecordingView) -> None:
    """What was asked for, found and measured would not reach the place where it is used."""
    result = api.run(
        photos,
        backbone="ResNet50",
        image_size="32x48",
        memory_limit="3GB",
        epochs=3,
        feature_cache="off",
        run_dir="a",
        view=view,
    )
    [(request, launcher)] = stages.probes
    assert (request.workload.backbone, request.workload.image_size) == ("ResNet50", (32, 48))
    assert (request.workload.num_classes, request.max_batch) == (2, 8)
    assert (request.memory.limit_bytes, request.limited_by) == (3 * 10**9, "--memory-limit")
    assert isinstance(launcher, ProcessLauncher)
    [run] = stages.runs
    assert run["record"].options == make_options(
        backbone="ResNet50", image_size="32x48", memory_limit="3GB", epochs=3, feature_cache="off"
    )
    assert run["record"].data.class_names == ["cat", "dog"]
    assert (run["record"].data.train_count, run["record"].data.validation_count) == (160, 40)
    assert (run["record"].plan.first_batch_size, run["record"].plan.micro_batch_size) == (8, 8)
    assert (run["memory"].limit_bytes, run["memory"].is_given) == (3 * 10**9, True)
    assert run["view"].message == view.message
    assert run["lock_fd"] > 2
    assert (result.status, result.labels) == ("completed", ["cat", "dog"])
    assert view.messages[0] == "160 images of 2 classes to train on, 40 to validate"
    assert view.messages[2].startswith("probe: 64 images at once fit easily, 16 are as fast as any")


def test_a_run_leaves_its_files(stages: Stages, photos: Path, view: RecordingView) -> None:
    """What the design says of a run directory would not be true."""
    result = api.run(photos, run_dir="a", feature_cache="off", view=view)
    files = {path.name for path in result.run_dir.iterdir()}
    assert files >= {"run.json", "probe.json", "samples.csv", "result.json", "report.html"}
    assert json.loads((result.run_dir / "result.json").read_text(encoding="utf-8"))["schema"] == "autofit/result/1"
    assert "<html" in (result.run_dir / "report.html").read_text(encoding="utf-8")
    assert len((result.run_dir / "samples.csv").read_text(encoding="utf-8").splitlines()) == 201
    assert len(stages.runs) == 1


def test_lists_and_labels_are_data_too(stages: Stages, photos: Path, train: Train, view: RecordingView) -> None:
    """The second form of data would not get through."""
    paths = sorted(photos.rglob("*.jpg"))
    train(photos, "a")
    result = api.run(paths, [path.parent.name for path in paths], batch_size=8, run_dir="b", view=view)
    assert result.labels == ["cat", "dog"]
    assert len(stages.runs) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "epochs must be"),
        ({"weights": None, "trainable": "head"}, "would train on a random backbone"),
        ({"fine_tune_epochs": 3, "weights": None}, "fine_tune_epochs 3 follow a frozen backbone"),
        ({"validation": "nowhere"}, "nowhere does not exist"),
        ({"labels": ["cat"]}, "labels belong to a list of paths"),
    ],
    ids=str,
)
def test_a_request_that_cannot_be_met_leaves_nothing_behind(
    stages: Stages, photos: Path, train: Train, given: dict[str, Any], message: str
) -> None:
    """An empty run directory would be left for each typing error."""
    with pytest.raises(UserError, match=message):
        train(photos, **given)
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["photos"]
    assert stages.runs == []


UNUSUAL = {
    "backbone": "VGG16",
    "weights": "none",
    "image_size": 64,
    "trainable": "all",
    "hidden_units": 3,
    "dropout": 0.1,
    "epochs": 4,
    "batch_size": 5,
    "micro_batch_size": 2,
    "optimizer": "sgd",
    "learning_rate": 0.5,
    "class_weight": "balanced",
    "early_stopping": 6,
    "validation": 0.3,
    "memory_limit": "9GB",
    "seed": 7,
    "checkpoint_every": 8,
    "max_minutes": 9.0,
    "max_bad_images": 0.5,
    "isolation": "inline",
    "audit": True,
    "mirror_dir": "drive/b",
}


@pytest.mark.parametrize("name", [*UNUSUAL, "batch_schedule", "model"])
def test_each_option_reaches_the_supervisor(stages: Stages, photos: Path, train: Train, name: str) -> None:
    """One of thirty names would be swallowed on the way."""
    value = {"batch_schedule": "8:16", "model": "json:loads"}.get(name, UNUSUAL.get(name))
    given: dict[str, Any] = {"batch_size": "auto" if name == "batch_schedule" else 8, name: value}
    train(photos, **given)
    assert stages.runs[0]["record"].options == make_options(**given) != make_options(batch_size=8)


def test_the_same_request_goes_on_where_it_was_interrupted(stages: Stages, photos: Path, train: Train) -> None:
    """A user who runs their script again would lose what was trained, or be probed again."""
    stages.ends = [InterruptedRunError("asked to stop")]
    with pytest.raises(InterruptedRunError):
        train(photos, batch_size="auto", feature_cache="off")
    first = RunRecord.load(Path("a/run.json"))
    result = train(photos, batch_size="auto", feature_cache="off")
    assert result.status == "completed"
    assert stages.runs[1]["record"] == first
    assert len(stages.probes) == 1


def test_the_same_request_again_is_answered_from_what_is_there(stages: Stages, photos: Path, train: Train) -> None:
    """A finished run would be trained again, over its own result."""
    first = train(photos)
    again = train(photos)
    assert again.record == first.record
    assert len(stages.runs) == 1


def test_a_run_that_failed_is_tried_again_and_not_returned(stages: Stages, photos: Path, train: Train) -> None:
    """The old failure would be returned as the answer."""
    stages.ends = [TrainingFailedError("SIGSEGV")]
    with pytest.raises(TrainingFailedError):
        train(photos)
    assert train(photos).status == "completed"


def test_a_second_writer_is_refused(
    stages: Stages, photos: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes would write into one run."""
    monkeypatch.setattr("autofit.api.training.LOCK_PATIENCE_SECONDS", 0.0)
    Path("a").mkdir()
    with RunLock(RunDirectory(Path("a"))).acquire(0.0), pytest.raises(UserError, match="in use by another process"):
        train(photos)
    assert stages.runs == []


def test_resume_goes_on_with_the_same_request(
    stages: Stages, photos: Path, interrupted: Interrupted, view: RecordingView
) -> None:
    """What is resumed would not be what was started."""
    said = interrupted(photos, epochs=7)
    assert said.endswith("go on with: autofit resume a")
    result = api.resume("a", view=view)
    assert (result.status, result.run_dir) == ("completed", Path.cwd() / "a")
    assert stages.runs[1]["record"] == stages.runs[0]["record"]
    assert stages.runs[1]["payload"] is None


def test_resuming_what_is_finished_is_answered_at_once(
    stages: Stages, photos: Path, train: Train, view: RecordingView, network: Network
) -> None:
    """A finished run would be trained again, or ask for a model that it does not need."""
    train(photos, model=network)
    assert api.resume("a", view=view).status == "completed"
    assert len(stages.runs) == 1
