"""The same call again, without a run directory."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autofit import api
from autofit.api import earlier_runs
from autofit.api.code_identity import IN_FULL
from autofit.dataset import ImageIndex
from autofit.errors import InterruptedRunError, StorageError, UserError
from autofit.runs.run_record import RunRecord, listed_images
from autofit.storage.run_directory import RunDirectory
from tests.support.stopped_worker import stopped_worker

if TYPE_CHECKING:
    from tests.api.conftest import Stages
    from tests.support.views import RecordingView


def stopped(data: Any, *more: Any, **given: Any) -> None:
    with pytest.raises(InterruptedRunError):
        api.run(data, *more, **given)


def directories(stages: Stages) -> list[Path]:
    return [run["files"].path for run in stages.runs]


def test_a_stopped_run_goes_on_when_the_cell_runs_again(stages: Stages, photos: Path, view: RecordingView) -> None:
    """Each run of the cell would begin anew, and the hours before it be lost."""
    stages.ends = [InterruptedRunError("asked to stop"), InterruptedRunError("asked to stop"), None]
    for _ in range(2):
        stopped(photos, batch_size=8, view=view)
    result = api.run(photos, batch_size=8, view=view)
    assert directories(stages) == [result.run_dir] * 3
    going_on = [message for message in view.messages if message.startswith("going on with the run in runs/")]
    assert len(going_on) == 2
    assert going_on[0].endswith("(another run_dir begins afresh)")


def test_a_finished_run_is_returned_at_once(
    stages: Stages, photos: Path, view: RecordingView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running all cells again would train the same model for hours."""
    first = api.run(photos, batch_size=8, view=view)
    monkeypatch.setattr("autofit.api.training.announce_training", lambda *_: pytest.fail("it begins"))
    again = api.run(photos, batch_size=8, view=view, max_minutes=3, checkpoint_every=7)
    assert again.run_dir == first.run_dir
    assert view.messages[-1].startswith(f"already trained in runs/{first.run_dir.name}")
    assert len(stages.runs) == 1


@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
def test_a_finished_run_where_nothing_can_be_written_is_returned(
    stages: Stages, photos: Path, view: RecordingView, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    """The same call on a copy on a read-only drive would be an error, though it has nothing to write."""
    first = api.run(photos, batch_size=8, view=view)

    def refused(path: Path) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    is_writable = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != first.run_dir and is_writable(path, mode))
    monkeypatch.setattr("autofit.storage.run_lock.open_lock_file", refused)
    called: dict[str, Any] = {"run_dir": first.run_dir} if named else {}
    assert api.run(photos, batch_size=8, view=view, take_over=True, **called).run_dir == first.run_dir
    assert view.messages[-1].startswith(f"already trained in runs/{first.run_dir.name}")
    with pytest.raises(StorageError, match="the drive is read-only"):
        api.run(photos, batch_size=8, epochs=99, view=view, run_dir=first.run_dir)
    assert len(stages.runs) == 1


def test_a_run_of_an_earlier_version_is_found_by_its_weights_file(
    stages: Stages, photos: Path, view: RecordingView, tmp_path: Path
) -> None:
    """Records had no hash of that file: after an upgrade the same call would train the same model once more."""
    weights = tmp_path / "mine.weights.h5"
    weights.write_bytes(b"weights")
    first = api.run(photos, weights=weights, view=view)
    files = RunDirectory(first.run_dir)
    record = RunRecord.load(files.run)
    assert list(record.code) == ["weights file"]
    record.model_copy(update={"code": {}}).save(files.run)
    assert api.run(photos, weights=weights, view=view).run_dir == first.run_dir
    assert len(stages.runs) == 1


@pytest.mark.usefixtures("stages")
def test_a_run_whose_code_has_hashes_of_other_kinds_is_found(photos: Path, view: RecordingView, tmp_path: Path) -> None:
    """For a while a network given by name had a hash "in full": the same call would train the same model once more."""
    (tmp_path / "net.py").write_text("def build(shape, classes):\n    return None")
    first = api.run(photos, model="net:build", image_size=32, view=view)
    files = RunDirectory(first.run_dir)
    record = RunRecord.load(files.run)
    earlier = {"model": record.code["model"], f"model{IN_FULL}": "0" * 64}
    record.model_copy(update={"code": earlier}).save(files.run)
    assert api.run(photos, model="net:build", image_size=32, view=view).run_dir == first.run_dir


def test_another_request_is_another_run(stages: Stages, photos: Path, view: RecordingView) -> None:
    """The model of other settings or other code would be returned."""
    calls: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"model": lambda _shape, _classes: None},
        {"model": lambda _shape, classes: classes},
        {"callbacks": SimpleNamespace(set_model=print)},
    ]
    for given in calls:
        api.run(photos, batch_size=8, view=view, **given)
    assert len(set(directories(stages))) == len(calls)
    assert not any("another run is begun" in message for message in view.messages)


def test_a_run_in_another_process_is_left_alone(
    stages: Stages, photos: Path, view: RecordingView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes would write one run, or the second call end with an error."""
    monkeypatch.setattr(earlier_runs, "WORKER_LEAVES_SECONDS", 0.2)
    first = api.run(photos, batch_size=8, view=view)
    with (first.run_dir / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = api.run(photos, batch_size=8, view=view)
    assert second.run_dir != first.run_dir
    assert any(message.endswith("; a second run is begun") for message in view.messages)
    assert len(stages.runs) == 2


def test_taking_over_goes_on_with_the_run_of_the_same_call(stages: Stages, photos: Path, view: RecordingView) -> None:
    """A worker that was stopped and lost its parent would cost the run: the call would begin another one."""
    stages.ends = [InterruptedRunError("asked to stop"), None]
    stopped(photos, batch_size=8, view=view)
    [first] = directories(stages)
    with stopped_worker(first) as worker:
        result = api.run(photos, batch_size=8, take_over=True, view=view)
        assert worker.wait(10) == 0
    assert result.run_dir == first
    assert directories(stages) == [first] * 2


def test_arrays_are_recognised(
    stages: Stages, view: RecordingView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images in memory would be trained on anew in each call, and their files pile up."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3)).astype(np.uint8)
    labels = np.arange(30) % 3
    stages.ends = [InterruptedRunError("asked to stop"), None, None]
    stopped(images, labels, batch_size=8, view=view)
    result = api.run(images.copy(), labels, batch_size=8, view=view)
    assert api.run(images, labels, batch_size=8, view=view).run_dir == result.run_dir
    assert directories(stages) == [result.run_dir] * 2
    assert [path.name for path in Path("runs").iterdir()] == [result.run_dir.name]
    assert stages.runs[1]["record"].data.root == str(RunDirectory(result.run_dir).images)
    other = api.run(255 - images, labels, batch_size=8, view=view)
    assert other.run_dir != result.run_dir


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_folder_beside_images_in_memory_is_recognised(
    stages: Stages, photos: Path, view: RecordingView, split: str
) -> None:
    """The place of the written images would be part of the request: each call would begin another run."""
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
    given: dict[str, Any] = {split: (images, ["cat", "dog"] * 3), "batch_size": 8, "view": view}
    stages.ends = [InterruptedRunError("asked to stop"), None, None]
    stopped(photos, **given)
    result = api.run(photos, **given)
    assert api.run(photos, **given).run_dir == result.run_dir
    assert len(directories(stages)) == 2
    assert [path.name for path in Path("runs").iterdir()] == [result.run_dir.name]
    other = api.run(photos, **given | {split: (255 - images, ["cat", "dog"] * 3)})
    assert other.run_dir != result.run_dir


def test_images_in_memory_move_with_their_run(stages: Stages, photos: Path, view: RecordingView) -> None:
    """A run directory that was moved would train without its validation images; a mirror has none of them."""
    images = np.zeros((6, 8, 8, 3), np.uint8)
    stages.ends = [InterruptedRunError("asked to stop")]
    given: dict[str, Any] = {"validation": (images, ["cat", "dog"] * 3), "batch_size": 8, "view": view}
    stopped(photos, run_dir="a", mirror_dir="copy", **given)
    assert any(line.startswith("images in memory are not copied to the mirror") for line in view.messages)
    Path("a").rename("b")
    with pytest.raises(UserError, match=r"their folder .*/a/images is gone: give the same call again"):
        api.resume("copy", view=view)
    shutil.rmtree("copy")
    moved = RunDirectory(Path("b").absolute())
    index = listed_images(moved, RunRecord.load(moved.run).data)  # as `worst()`, `export` and the report read it
    assert index.paths[-1].startswith(f"{moved.path}/images/validation/")
    api.resume("b", view=view)
    record = stages.runs[-1]["record"]
    index = ImageIndex.read_csv(Path("b/samples.csv"), record.data.root, record.data.class_names)
    assert index.paths[-1].startswith(f"{Path.cwd()}/b/images/validation/")
    assert RunRecord.load(Path("b/run.json")).data.store == f"{Path.cwd()}/b/images"


def test_the_same_call_restores_images_in_memory_and_their_run_from_a_mirror(
    stages: Stages, view: RecordingView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirror would hold a run that nothing can go on with."""
    monkeypatch.chdir(tmp_path)
    images, labels = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3)).astype(np.uint8), np.arange(30) % 3
    stages.ends = [InterruptedRunError("asked to stop")]
    stopped(images, labels, run_dir="a", mirror_dir="copy", view=view)
    started = RunRecord.load(Path("copy/run.json")).started
    shutil.rmtree("a")
    api.run(images, labels, run_dir="b", mirror_dir="copy", view=view)
    record = stages.runs[-1]["record"]
    assert (record.started, record.data.root) == (started, f"{tmp_path}/b/images")
    index = ImageIndex.read_csv(Path("b/samples.csv"), record.data.root, record.data.class_names)
    assert all(Path(index.path(number)).is_file() for number in range(30))


def test_not_all_runs_of_years_are_read(
    stages: Stages, photos: Path, view: RecordingView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of thousands of runs on a slow drive would delay each call by minutes."""
    first = api.run(photos, batch_size=8, view=view)
    for number in range(5):
        Path(f"runs/9-{number}").mkdir()
    monkeypatch.setattr(earlier_runs, "MOST_RUNS", 5)
    assert api.run(photos, batch_size=8, view=view).run_dir != first.run_dir
    assert len(stages.runs) == 2


def test_what_is_no_run_is_passed_over(stages: Stages, photos: Path, view: RecordingView) -> None:
    """A damaged run.json, a link or a file in the folder of runs would end every call."""
    first = api.run(photos, batch_size=8, view=view)
    Path("runs/9-damaged").mkdir()
    Path("runs/9-damaged/run.json").write_text("{")
    Path("runs/9-link").symlink_to(first.run_dir)
    Path("runs/9-file").touch()
    assert api.run(photos, batch_size=8, view=view).run_dir == first.run_dir
    assert len(stages.runs) == 1
