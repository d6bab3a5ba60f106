"""A run that has ended: what it says of itself, and what can be done with its model."""

from __future__ import annotations

import html
import io
import json
import math
import os
import re
import sys
import threading
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autofit.api import prediction
from autofit.api.evaluation import evaluate
from autofit.api.prediction import load_images
from autofit.api.report import write_page
from autofit.api.result import Result, shown_path
from autofit.api.training import run
from autofit.config.options import make_options
from autofit.dataset import ImageIndex
from autofit.dataset.arrays import write_images
from autofit.errors import UserError
from autofit.input import patient_call
from autofit.input.decode import decode_image
from autofit.machine.hardware import detect
from autofit.process.launch import Launcher, ProcessLauncher
from autofit.protocol.messages import BadImage, Verdict, writable_name
from autofit.report.views import ProgressView
from autofit.runs import warm_model
from autofit.runs.plan import training_plan
from autofit.runs.prediction import BATCH_SIZE, SavedModel
from autofit.runs.result_record import AttemptRecord, ResultRecord
from autofit.runs.run_record import DataRecord, RunRecord
from autofit.storage.run_directory import RunDirectory
from autofit.worker.inline_launcher import InlineLauncher
from tests.support.datasets import traced
from tests.support.ids import steady
from tests.support.views import RecordingView

ROWS = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [np.nan] * 3, [0.3, 0.6, 0.1]], np.float32)


def finished(folder: Path, classes: Sequence[str] = ("cat", "dog", "owl"), **given: Any) -> Result:
    """A run directory as a run leaves it, opened."""
    options = make_options(image_size="32x48", batch_size=8, **given)
    RunRecord(
        options=options,
        has_callbacks=False,
        data=DataRecord(
            root="/photos",
            class_names=list(classes),
            train_count=80,
            validation_count=20,
            skipped_files=0,
            fingerprint="ab",
        ),
        plan=training_plan(options, 80, None, detect()),
        started=0.0,
    ).save(folder / "run.json")
    attempt = AttemptRecord(
        verdict=Verdict.COMPLETED, cause="", batch_size=8, micro_batch_size=8, epoch=1, step=9, wall_seconds=3.0
    )
    ResultRecord(
        status="completed",
        history={"loss": [0.9, 0.4], "val_loss": [0.8, 0.5]},
        attempts=[attempt],
        oom_events=[],
        quarantined=[BadImage(path="cat/é.jpg", reason="cut short")],
        result_changed=False,
        weights_sha256="cd" * 32,
        seconds_to_first_step=2.0,
        wall_seconds=4.0,
    ).save(folder / "result.json")
    return Result(folder)


@dataclass
class Predictions:
    """Stands for the prediction in a worker: what it was asked for, and the rows that it answers with."""

    rows: Any = field(default_factory=lambda: ROWS)
    calls: list[dict[str, Any]] = field(default_factory=list)
    views: list[tuple[int, bool]] = field(default_factory=list)
    value_ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    progress: list[tuple[int, int]] = field(default_factory=list)
    reads_all: bool = False
    """Whether images whose rows have NaN can be read all the same."""

    def worker(self, model: SavedModel, launcher: Launcher, view: ProgressView) -> AnsweringWorker:
        """Stand for `PredictionWorker`."""
        del view
        return AnsweringWorker(self, model, launcher)


@dataclass
class AnsweringWorker:
    """A worker that answers with the first rows."""

    predictions: Predictions
    model: SavedModel
    launcher: Launcher
    is_alive: bool = True

    def predict(
        self, paths: Sequence[str], view: ProgressView, *, views: int, done: int, total: int
    ) -> tuple[Any, list[BadImage]]:
        """Answer."""
        assert self.is_alive
        del view
        known, model = self.predictions, self.model
        known.calls.append(
            {"model": model.path, "size": model.image_size, "paths": list(paths), "launcher": type(self.launcher)}
        )
        known.views.append((views, model.flips))
        known.progress.append((done, total))
        known.value_ranges = dict(model.value_ranges)
        rows = known.rows[: len(paths)]
        bad = [str(Path(path).absolute()) for path, row in zip(paths, rows, strict=True) if np.isnan(row).any()]
        bad = [] if known.reads_all else bad
        return rows, [BadImage(path=path, reason="cut short") for path in bad]

    def close(self) -> None:
        """End."""
        self.is_alive = False


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Predictions:
    predictions = Predictions()
    monkeypatch.setattr(warm_model, "PredictionWorker", predictions.worker)
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    for name in ("a", "b", "c", "d", "a.jpg"):
        Path(name).touch()
    return predictions


def test_a_result_tells_all_that_its_files_hold(tmp_path: Path) -> None:
    """A figure of the run would be out of reach in Python."""
    result = finished(tmp_path)
    assert result.status == "completed"
    assert result.history == {"loss": [0.9, 0.4], "val_loss": [0.8, 0.5]}
    assert result.epoch_stages == ["training", "training"]
    assert [attempt.verdict for attempt in result.attempts] == [Verdict.COMPLETED]
    assert (result.oom_events, result.result_changed) == ([], False)
    assert [image.path for image in result.quarantined] == ["cat/é.jpg"]
    assert result.weights_sha256 == "cd" * 32
    assert result.labels == ["cat", "dog", "owl"]
    assert result.model_path == tmp_path / "model.keras"
    assert repr(result) == f"<autofit.Result completed, 2 epochs, {tmp_path}>"
    assert json.loads(result.to_json()) == json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))


def test_the_labels_belong_to_the_caller(tmp_path: Path) -> None:
    """A sorted copy that a caller made in place would turn all later predictions round."""
    result = finished(tmp_path)
    result.labels.reverse()
    assert result.labels == ["cat", "dog", "owl"]


def test_the_summary_names_the_model_as_a_person_would_type_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of a hundred characters would be shown for a file that lies under the working folder."""
    (tmp_path / "runs" / "a").mkdir(parents=True)
    result = finished(tmp_path / "runs" / "a")
    monkeypatch.chdir(tmp_path)
    assert "The model is runs/a/model.keras." in result.summary()
    monkeypatch.chdir("/")
    assert shown_path(Path("/elsewhere/x")) == Path("elsewhere/x")
    monkeypatch.chdir(tmp_path / "runs")
    assert shown_path(Path("/elsewhere/x")) == Path("/elsewhere/x")


def test_summary_and_page_say_what_labels_json_says_of_the_output(tmp_path: Path) -> None:
    """The saved model of a user who gave a loss of logits would be said to give probabilities."""
    result = finished(tmp_path)
    (tmp_path / "labels.json").write_text('{"outputs": "logits"}', encoding="utf-8")
    write_page(RunDirectory(tmp_path), result)
    for said in (result.summary(), (tmp_path / "report.html").read_text(encoding="utf-8")):
        assert "gives logits, of which keras.ops.softmax makes probabilities" in " ".join(said.split())


def test_a_path_is_shown_where_the_working_folder_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`summary()` of a run elsewhere would end in an error of pathlib's."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert shown_path(tmp_path / "run") == tmp_path / "run"


def test_a_folder_without_a_finished_run_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    """A user who opens a run that was killed would get a FileNotFoundError of a file they never heard of."""
    folder = tmp_path / "a run"
    folder.mkdir()
    finished(folder)
    (folder / "result.json").unlink()
    with pytest.raises(UserError, match=f"holds no run that has ended: autofit resume '{folder}'"):
        Result(folder)
    (folder / "run.json").unlink()  # there is nothing to be resumed
    with pytest.raises(UserError, match=f"{folder} holds no run: give the run directory of one"):
        Result(folder)


def test_a_damaged_result_is_refused_in_one_line(tmp_path: Path) -> None:
    """A page of validation errors would be shown."""
    finished(tmp_path)
    (tmp_path / "result.json").write_text('{"schema": "autofit/result/99"}', encoding="ascii")
    with pytest.raises(UserError, match="cannot be read ") as refused:
        Result(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_damaged_result_is_made_again_by_resuming(tmp_path: Path) -> None:
    """The user of a run, whose model is whole, would be told to take another run."""
    finished(tmp_path)
    (tmp_path / "result.json").write_text('{"schema": "autofit/result/1", "stat', encoding="ascii")
    with pytest.raises(UserError, match=r"json is damaged \(.*\): autofit resume .* makes it again$") as refused:
        Result(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("paths", ["a.jpg", Path("a.jpg"), ["a.jpg"], iter([Path("a.jpg")])], ids=steady)
def test_one_path_or_several_can_be_predicted(tmp_path: Path, asked: Predictions, paths: Any) -> None:
    """A single path would be read letter by letter."""
    rows = finished(tmp_path).predict(paths)
    assert np.array_equal(rows, ROWS[:1])
    assert asked.calls == [
        {"model": tmp_path / "model.keras", "size": (32, 48), "paths": ["a.jpg"], "launcher": ProcessLauncher}
    ]


def test_many_images_are_predicted_in_parts(
    tmp_path: Path, asked: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers of a million images would be in memory at once; or the parts be wrongly joined or counted."""
    monkeypatch.setattr(prediction, "PART_IMAGES", 3)
    result = finished(tmp_path)
    parts = list(result.predict_in_parts(["a", "b", "c", "d"]))
    assert [part.paths for part in parts] == [["a", "b", "c"], ["d"]]
    assert asked.progress == [(0, 4), (3, 4)]
    whole = result.predict(["a", "b", "c", "d"])
    assert whole.paths == ["a", "b", "c", "d"]
    assert whole.shape == (4, 3)
    assert [image.path for image in whole.unreadable] == ["c"]
    (tmp_path / "model.keras").write_bytes(b"the key of a prediction is of its bytes")
    file = result.predict_to_csv(["a", "b", "c", "d"], tmp_path / "all.csv")
    assert (file.images, file.unreadable, file.by_class) == (4, 1, {"cat": 2, "dog": 1})
    lines = (tmp_path / "all.csv").read_text(encoding="utf-8").splitlines()
    assert [line.partition(",")[0] for line in lines] == ["path", "a", "b", "c", "d"]


def test_the_batch_is_the_one_that_the_machine_was_measured_with(tmp_path: Path) -> None:
    """More images than fit would be tried first, which costs seconds, or few where many fit."""
    finished(tmp_path)
    record = RunRecord.load(tmp_path / "run.json")
    sizes = ((3, 8, 3), (8, 8, BATCH_SIZE), (64, 64, 64), (4096, 4096, prediction.MOST_AT_ONCE))
    for size, batch_size, expected in sizes:
        plan = record.plan.model_copy(update={"micro_batch_size": size, "first_batch_size": batch_size})
        assert prediction.batch_size_of(record.model_copy(update={"plan": plan})) == expected


def test_an_inline_run_predicts_inline(tmp_path: Path, asked: Predictions) -> None:
    """A process would be started where none can be."""
    finished(tmp_path, isolation="inline").predict("a.jpg")
    assert asked.calls[0]["launcher"] is InlineLauncher


def test_an_image_that_cannot_be_read_is_named(
    tmp_path: Path, asked: Predictions, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row of NaN would stand there without a reason."""
    rows = finished(tmp_path).predict(["a", "b", "c", "d"])
    assert np.isnan(rows[2]).all()
    assert rows.labels == ["cat", "dog", None, "dog"]
    assert [(image.path, image.reason) for image in rows.unreadable] == [("c", "cut short")]
    assert "cannot be read and was left out: c (cut short)" in " ".join(capsys.readouterr().err.split())
    assert len(asked.calls) == 1


def test_an_image_without_an_answer_is_named(
    tmp_path: Path, asked: Predictions, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network that divides by an image's contrast gives NaN for a black one, which was left out without a word."""
    asked.reads_all = True
    result = finished(tmp_path)
    assert [image.path for image in result.predict(["a", "b", "c", "d"]).unreadable] == ["c"]
    assert "has no answer and was left out: c (the model gives no finite" in " ".join(capsys.readouterr().err.split())
    figures = result.evaluate(["a", "b", "c", "d"], ["cat", "dog", "owl", "cat"])
    assert (figures.images, [Path(image.path).name for image in figures.unreadable]) == (3, ["c"])
    assert "1 image did not count: the model gives no finite probabilities." in figures.summary()
    in_memory = result.evaluate(np.zeros((4, 8, 8, 3), np.uint8), ["cat", "dog", "owl", "cat"])
    assert [image.path for image in in_memory.unreadable] == ["image 2"]


@pytest.mark.parametrize("name", ["a", os.fsdecode(b"\xff")])
def test_a_file_that_cannot_be_read_has_each_name_that_it_was_given(
    tmp_path: Path, asked: Predictions, name: str
) -> None:
    """A caller that looks up the reason by the name would find none."""
    asked.rows = np.array([[np.nan] * 3] * 2, np.float32)
    Path(name).touch()
    rows = finished(tmp_path).predict([name, f"./{name}"])
    assert [image.path for image in rows.unreadable] == [writable_name(path) for path in rows.paths]


def test_views_are_asked_for_without_mirror_images_where_the_run_has_none(tmp_path: Path, asked: Predictions) -> None:
    """A digit would be mirrored in predictions alone; or `views` have no effect."""
    for name in ("flips", "none"):
        (tmp_path / name).mkdir()
    finished(tmp_path / "flips").predict("a")
    finished(tmp_path / "flips").predict("a", views=4)
    result = finished(tmp_path / "none", flip=False)
    assert result.evaluate("a", ["cat"], views=3).views == 3
    assert evaluate(tmp_path / "none", "a", ["cat"], views=2).accuracy == 1.0
    assert asked.views == [(1, True), (4, True), (3, False), (2, False)]
    with pytest.raises(UserError, match="views must be from 1 to 64, not 0"):
        result.predict("a", views=0)


@pytest.mark.parametrize(
    "labels",
    [["cat", "dog", "owl", "cat"], [0, 1, 2, 0], np.array([0, 1, 2, 0]), np.array(["cat", "dog", "owl", "cat"])],
    ids=["names", "numbers", "array", "array of names"],
)
@pytest.mark.usefixtures("asked")
def test_evaluation_leaves_out_what_cannot_be_read(tmp_path: Path, labels: Any) -> None:
    """One bad file would make the loss NaN, or count as a wrong answer."""
    figures = finished(tmp_path).evaluate(["a", "b", "c", "d"], labels)
    assert figures.accuracy == pytest.approx(2 / 3)
    assert figures.loss == pytest.approx(-(math.log(0.7) + math.log(0.8) + math.log(0.3)) / 3, rel=1e-5)


@pytest.mark.usefixtures("asked")
def test_images_that_the_run_has_trained_on_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The accuracy on them would be taken for that on new ones."""
    result = finished(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("b")
    photos = ImageIndex(
        "/photos", [str(tmp_path / name) for name in "abe"], array("i", [0, 1, 2]), tuple(result.labels), 2
    )
    photos.write_csv(RunDirectory(tmp_path).samples)
    assert result.evaluate(["a", "link", "c", "d"], ["cat", "dog", "owl", "cat"]).own_images == 2


@pytest.mark.usefixtures("asked")
def test_an_image_that_cannot_be_read_is_none_of_the_runs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More images would be the run's own than were judged: two empty files are equal."""
    result = finished(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("c", "own"):
        (tmp_path / name).touch()
    photos = ImageIndex(
        "/photos", [str(tmp_path / name) for name in ("c", "own")], array("i", [0, 1]), tuple(result.labels), 2
    )
    photos.write_csv(RunDirectory(tmp_path).samples)
    assert result.evaluate(["a", "b", "c", "d"], ["cat", "dog", "owl", "cat"]).own_images == 0


@pytest.mark.usefixtures("asked")
def test_copies_of_images_that_the_run_has_trained_on_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was unzipped once more would give an accuracy that is none."""
    result = finished(tmp_path)
    monkeypatch.chdir(tmp_path)
    contents = {"own1": b"one", "own2": b"two", "a": b"two", "b": b"own", "c": b"a third", "d": b"one"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    own = [str(tmp_path / name) for name in ("own1", "own2", "gone")]
    ImageIndex("/photos", own, array("i", [0, 1, 2]), tuple(result.labels), 2).write_csv(RunDirectory(tmp_path).samples)
    given = ["a", "b", "c", "d"]
    assert result.evaluate(given, ["cat", "dog", "owl", "cat"]).own_images == 2
    monkeypatch.setattr("autofit.api.own_images.MOST_LOOKED_AT", 2)
    assert result.evaluate(given, ["cat", "dog", "owl", "cat"]).own_images == 0


@pytest.mark.usefixtures("asked")
def test_images_in_memory_that_the_run_has_trained_on_are_counted(tmp_path: Path) -> None:
    """The arrays that a model was trained on would judge it without a warning."""
    result = finished(tmp_path)
    images = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), np.uint8)
    paths, _ = write_images(images[:2], [0, 1], tmp_path / "images", lambda _: None, lambda _: None)
    index = ImageIndex("/", [str(path) for path in paths], array("i", [0, 1]), tuple(result.labels), 2)
    index.write_csv(RunDirectory(tmp_path).samples)
    assert result.evaluate(images, [0, 1, 2, 0]).own_images == 2


def test_a_probability_of_nought_is_no_infinite_loss(tmp_path: Path, asked: Predictions) -> None:
    """One sure and wrong answer would hide all others; Keras's own loss is bounded likewise."""
    asked.rows = np.array([[1.0, 0.0, 0.0]], np.float32)
    figures = finished(tmp_path).evaluate("a", ["dog"])
    assert figures.accuracy == 0.0
    assert figures.loss == pytest.approx(-math.log(1e-7))


@pytest.mark.parametrize(
    ("classes", "label", "expected"),
    [
        (("1", "2", "3"), 1, "1"),  # a number that was a label in training is that label
        (("1", "2", "3"), "3", "3"),
        (("-1", "0", "1"), -1, "-1"),
        (("cat", "dog", "owl"), 1, "dog"),
    ],
)
def test_a_number_is_the_class_that_training_called_so(
    tmp_path: Path, asked: Predictions, classes: tuple[str, ...], label: int | str, expected: str
) -> None:
    """Labels 1 to 3 would be taken for places 0 to 2, and every accuracy be wrong without a word."""
    result = finished(tmp_path, classes)
    probability = float(ROWS[0][classes.index(expected)])
    assert result.evaluate("a", [label]).loss == pytest.approx(-math.log(probability), rel=1e-5)
    assert len(asked.calls) == 1


@pytest.mark.parametrize(
    ("classes", "label"),
    [
        (("cat", "dog", "owl"), "fox"),
        (("cat", "dog", "owl"), 3),
        (("cat", "dog", "owl"), -1),
        (("cat", "dog", "owl"), 1.5),
        (("cat", "dog", "owl"), "1"),
        (("cat", "None", "owl"), None),
        (("1", "2", "3"), 0),
    ],
)
def test_an_unknown_label_is_refused_before_anything_is_predicted(
    tmp_path: Path, asked: Predictions, classes: tuple[str, ...], label: Any
) -> None:
    """A typing error would count as a wrong answer of the model."""
    with pytest.raises(UserError, match=f"^label {label!r} is not one of this model's classes: {', '.join(classes)}$"):
        finished(tmp_path, classes).evaluate(["a"], [label])
    assert asked.calls == []


def test_as_many_labels_as_paths_are_needed(tmp_path: Path, asked: Predictions) -> None:
    """Labels would be laid against the wrong images."""
    with pytest.raises(UserError, match="there are 2 paths and 1 labels: give one label for each path"):
        finished(tmp_path).evaluate(["a", "b"], ["cat"])
    assert asked.calls == []


def test_an_evaluation_of_nothing_readable_is_refused(tmp_path: Path, asked: Predictions) -> None:
    """The mean of nothing would be NaN, with a warning of NumPy's."""
    asked.rows = np.full((1, 3), np.nan, np.float32)
    with pytest.raises(UserError, match=r"of 1 image none can be judged \(cut short\): give others"):
        finished(tmp_path).evaluate(["a"], ["cat"])


def test_the_model_is_loaded_when_it_is_asked_for_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at a result would load TensorFlow, or each use of its model load the file again."""
    loaded: list[Path] = []

    def load_saved_model(path: Path) -> str:
        loaded.append(path)
        return "a model"

    result = finished(tmp_path)
    result.model_path.touch()
    monkeypatch.setattr("autofit.worker.model.saved_model.load_saved_model", load_saved_model)
    assert loaded == []
    assert (result.model, result.model) == ("a model", "a model")
    assert loaded == [tmp_path / "model.keras"]


def test_a_model_that_is_not_there_yet_is_refused_without_keras(tmp_path: Path) -> None:
    """A user would wait for TensorFlow's import to read a message about a missing zip file.

    And a finished run would be told to have no epoch yet.
    """
    before, finished_run = "keras" in sys.modules, finished(tmp_path)
    with pytest.raises(
        UserError, match=r"the model .*model\.keras is gone: bring it back, or train again in another run_dir"
    ):
        _ = finished_run.model
    finished_run.record.model_copy(update={"status": "interrupted"}).save(tmp_path / "result.json")
    with pytest.raises(UserError, match="has no model yet: finish it first"):
        _ = Result(tmp_path).model
    assert ("keras" in sys.modules) == before


def test_a_prediction_uses_the_range_of_numbers_of_the_training(tmp_path: Path, asked: Predictions) -> None:
    """Images of 12 bits would be black in prediction, or brighter than those that were trained on."""
    finished(tmp_path)
    record = RunRecord.load(tmp_path / "run.json")
    ranges = {"I;16": (0.0, 4095.0)}
    record.model_copy(update={"plan": record.plan.model_copy(update={"value_ranges": ranges})}).save(
        tmp_path / "run.json"
    )
    result_ = Result(tmp_path)
    result_.predict("a.jpg")
    assert asked.value_ranges == ranges
    write_page(RunDirectory(tmp_path), result_)
    page = html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
    for shown in (result_.summary(), page):
        assert "ranges = {'I;16': (0, 4095)}" in shown
        assert "model.input_shape[1:3], ranges)" in shown


def test_the_lines_for_a_network_of_any_size_name_that_of_the_run(tmp_path: Path) -> None:
    """Its `input_shape` is None, and the lines that a user copies would end in an error."""
    result = finished(tmp_path, model="autofit.demo.network:digit_network")
    write_page(RunDirectory(tmp_path), result)
    page = html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
    for shown in (result.summary(), page):
        assert 'load_images("photo.jpg", (32, 48))' in shown
        assert "input_shape" not in shown


def test_an_image_in_memory_that_cannot_be_read_is_called_by_its_place(tmp_path: Path, asked: Predictions) -> None:
    """The gap would have the name of a temporary file."""
    asked.rows = np.array([[0.7, 0.2, 0.1], [np.nan] * 3], np.float32)
    found = finished(tmp_path).predict([Image.new("RGB", (4, 4)), b"no image"])
    assert found.paths == ["image 0", "image 1"]
    assert [image.path for image in found.unreadable] == ["image 1"]
    assert not any(Path(path).exists() for path in asked.calls[0]["paths"])


def test_a_path_that_does_not_exist_is_refused_before_a_worker_starts(tmp_path: Path, asked: Predictions) -> None:
    """A typing error would be a row of NaN among thousands."""
    with pytest.raises(UserError, match=r"^nowhere\.jpg does not exist: check the path"):
        finished(tmp_path).predict(["a", "nowhere.jpg"])
    assert asked.calls == []


@pytest.mark.parametrize("name", ["images_to_predict", "with_known_labels", "own_images"])
def test_a_drive_that_hangs_is_named(
    tmp_path: Path, asked: Predictions, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A prediction would stand still without a word, deaf to Ctrl-C."""
    monkeypatch.setattr(patient_call, "SAY_SECONDS", 0.2)
    find, answers, view = getattr(prediction, name), threading.Event(), RecordingView()
    say = view.message

    def message(text: str) -> None:
        answers.set()
        say(text)

    monkeypatch.setattr(view, "message", message)

    def hanging(*given: Any) -> Any:
        assert answers.wait(60)
        return find(*given)

    monkeypatch.setattr(prediction, name, hanging)
    if name == "images_to_predict":
        finished(tmp_path).predict(["a", "b"], view=view)
    else:
        finished(tmp_path).evaluate(["a", "b"], ["cat", "dog"], view=view)
    assert "does not answer" in view.messages[0]
    assert len(asked.calls) == 1


def test_the_rows_of_an_evaluation_are_in_memory_once() -> None:
    """With ten thousand classes the parts and the whole would be gigabytes each."""
    bad = BadImage(path="b", reason="cut short")

    def answers() -> Iterator[tuple[slice, Any, list[BadImage]]]:
        for start in range(0, 1_000, 100):
            yield slice(start, start + 100), np.full((100, 1_000), start, np.float32), [bad]

    (rows, unreadable), _, peak_bytes = traced(lambda: prediction.whole(answers(), 1_000))
    assert rows[:, 0].tolist() == [start for start in range(0, 1_000, 100) for _ in range(100)]
    assert unreadable == [bad] * 10
    assert peak_bytes < 1.4 * rows.nbytes


def test_preprocessing_is_the_decoding_of_the_training(tmp_path: Path) -> None:
    """Who opens the saved model in another program would get other numbers than `predict`."""
    photo = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (70, 50, 3), np.uint8)).save(photo)
    images = finished(tmp_path).preprocess([photo, Image.open(photo), photo.read_bytes()])
    expected = decode_image(photo, (32, 48))
    assert images.shape == (3, 32, 48, 3)
    assert images.dtype == np.uint8
    assert all(np.array_equal(image, expected) for image in images)
    assert np.array_equal(load_images(photo, (32, 48))[0], expected)
    (tmp_path / "notes.md").write_text("no image")
    with pytest.raises(UserError, match=r"notes\.md cannot be read: not an image of a known format"):
        load_images(tmp_path / "notes.md", 32)
    with pytest.raises(UserError, match=r"image_size must be one number or \(height, width\)"):
        load_images(photo, (32, 48, 3))


@pytest.mark.parametrize("size", ["32x48", " 32X48 ", [32, 48], np.array([32, 48]), (np.int64(32), 48)], ids=repr)
def test_a_size_is_given_as_to_a_training(tmp_path: Path, size: Any) -> None:
    """What `run` takes was refused by `load_images`, or the other way round."""
    photo = tmp_path / "a.png"
    Image.new("RGB", (70, 50)).save(photo)
    assert load_images(photo, size).shape == (1, 32, 48, 3)
    assert make_options(image_size=size).image_size == (32, 48)
    assert load_images(photo, "32").shape == (1, 32, 32, 3)


RANGES = {
    "no mapping": (3, "value_ranges must be a mapping such as {'I;16': (0, 4095)}, not 3"),
    "None": (None, "value_ranges must be a mapping such as {'I;16': (0, 4095)}, not None"),
    "no such kind": ({"L": (0, 255)}, "value_ranges has the kind 'L': give one of 'I;16', 'I', 'F' (modes of Pillow)"),
    "one number": ({"I;16": 3}, "value_ranges['I;16'] must be two numbers that differ, black and white"),
    "equal": ({"F": (5, 5.0)}, "value_ranges['F'] must be two numbers that differ, black and white"),
    "not finite": ({"I": (0, math.nan)}, "value_ranges['I'] must be two numbers that differ, black and white"),
    "text": ({"I": ("black", "white")}, "value_ranges['I'] must be two numbers that differ, black and white"),
}


@pytest.mark.parametrize(("ranges", "problem"), RANGES.values(), ids=RANGES)
def test_ranges_of_values_that_are_none_are_refused_by_name(tmp_path: Path, ranges: Any, problem: str) -> None:
    """Each image would be said to be damaged, or be taken without the range that was meant for it."""
    photo = tmp_path / "a.png"
    Image.fromarray(np.full((4, 4), 1000, np.uint16)).save(photo)
    with pytest.raises(UserError, match=f"^{re.escape(problem)}"):
        load_images(photo, 4, ranges)
    assert load_images(photo, 4, {"I;16": (0, 2000)}).max() == 128


@pytest.mark.parametrize(
    ("data", "labels", "problem"),
    [
        (["a", "b"], 1.5, "the labels are 1.5: give a list with one label for each path"),
        (["a", "b", "c"], "cat", "the labels are the text 'cat': give a list"),
        ({"a", "b"}, ["cat", "dog"], "a set, which has no order"),
        (3, ["cat"], "the paths are 3: give a list"),
    ],
)
@pytest.mark.parametrize("multi_label", [False, True], ids=["one label", "several"])
def test_what_are_no_lists_is_refused(
    tmp_path: Path, asked: Predictions, data: Any, labels: Any, problem: str, *, multi_label: bool
) -> None:
    """It was a TypeError from below; or each letter was a label, and paths of a set were in any order."""
    with pytest.raises(UserError, match=problem):
        finished(tmp_path, multi_label=multi_label).evaluate(data, labels)
    with pytest.raises(UserError, match=problem if data != 3 else "the data is 3"):
        run(data, labels, multi_label=multi_label, run_dir=tmp_path / "other", view=ProgressView(io.StringIO()))
    assert asked.calls == []


def test_preprocessing_uses_the_range_of_numbers_of_the_training(tmp_path: Path) -> None:
    """Images of 12 bits would be brighter than those that were trained on."""
    finished(tmp_path)
    record = RunRecord.load(tmp_path / "run.json")
    plan = record.plan.model_copy(update={"value_ranges": {"I;16": (0.0, 1000.0)}})
    record.model_copy(update={"plan": plan}).save(tmp_path / "run.json")
    Image.fromarray(np.full((8, 8), 1000, np.uint16)).save(tmp_path / "a.png")
    assert (Result(tmp_path).preprocess(tmp_path / "a.png") == 255).all()
