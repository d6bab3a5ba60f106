"""The joints: what goes from the door to the supervisor and back, with the two stages themselves replaced."""

from __future__ import annotations

import inspect
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autofit import api
from autofit.errors import (
    AutofitError,
    DoesNotFitError,
    InterruptedRunError,
    StorageError,
    TrainingFailedError,
    UserError,
)
from autofit.finished_run import Result
from autofit.options import make_options
from autofit.plan import RunRecord
from autofit.probing.loop import ProbeRequest
from autofit.probing.records import ProbeReport
from autofit.process.inline import InlineLauncher
from autofit.process.launch import Launcher, Payload, ProcessLauncher
from autofit.process.messages import MemoryBudget
from autofit.report.progress import ProgressView
from autofit.run_directory import RunDirectory, RunLock


class Messages(ProgressView):
    """A view that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.told: list[str] = []

    def message(self, text: str) -> None:
        """Keep it."""
        self.told.append(text)


@dataclass
class Stages:
    """Stands for the two stages: what they were started with, and how they end."""

    ends: list[AutofitError | BaseException | None] = field(default_factory=list)
    largest: int = 64
    probe_ends: list[BaseException] = field(default_factory=list)
    probes: list[tuple[ProbeRequest, Launcher]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)

    def prober(self, request: ProbeRequest, launcher: Launcher, view: Any) -> Any:
        """In place of `Prober`."""
        del view
        self.probes.append((request, launcher))
        return _Stage(lambda: self._probed(request))

    def supervisor(
        self, files: RunDirectory, record: RunRecord, memory: MemoryBudget, launcher: Launcher, **rest: Any
    ) -> Any:
        """In place of `Supervisor`."""
        self.runs.append({"files": files, "record": record, "memory": memory, "launcher": launcher, **rest})
        return _Stage(self._ended)

    def _probed(self, request: ProbeRequest) -> ProbeReport:
        if self.probe_ends:
            raise self.probe_ends.pop(0)
        return ProbeReport(
            workload=request.workload,
            hardware={},
            rest_bytes=400 * 10**6,
            memory_limit_bytes=request.memory.limit_bytes,
            limited_by=request.limited_by,
            largest_feasible_batch=self.largest,
            recommended_batch=min(self.largest, 16),
            memory_model=None,
            trials=[],
            wall_seconds=1.0,
        )

    def _ended(self) -> AutofitError | None:
        end = self.ends.pop(0) if self.ends else None
        if isinstance(end, KeyboardInterrupt):
            raise end
        assert end is None or isinstance(end, AutofitError)
        return end


class _Stage:
    def __init__(self, run: Callable[[], Any]) -> None:
        self.run = run


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    replaced = Stages()
    monkeypatch.setattr("autofit.measure.Prober", replaced.prober)
    monkeypatch.setattr(api, "Supervisor", replaced.supervisor)
    return replaced


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 2 x 100 photos, which nothing here opens, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(100):
            (tmp_path / "photos" / label / f"{number}.jpg").touch()
    return tmp_path / "photos"


def network(input_shape: tuple[int, int, int], num_classes: int) -> None:
    """A model function; it is never called here."""


def train(photos: Path, run_dir: str | Path = "a", **given: Any) -> Result:
    """A run with a batch size, and so without a probe."""
    return api.run(photos, run_dir=run_dir, **{"batch_size": 8, "view": Messages(), **given})


# The way of the data --------------------------------------------------------------------------------------------------


def test_a_request_becomes_a_probe_a_plan_and_a_run(stages: Stages, photos: Path) -> None:
    """What was asked for, found and measured would not reach the place where it is used."""
    view = Messages()
    result = api.run(
        photos, backbone="ResNet50", image_size="32x48", memory_limit="3GB", epochs=3, run_dir="a", view=view
    )
    [(request, launcher)] = stages.probes
    assert (request.workload.backbone, request.workload.image_size) == ("ResNet50", (32, 48))
    assert (request.workload.num_classes, request.max_batch) == (2, 8)
    assert (request.memory.limit_bytes, request.limited_by) == (3 * 10**9, "--memory-limit")
    assert isinstance(launcher, ProcessLauncher)
    [run] = stages.runs
    assert run["record"].options == make_options(backbone="ResNet50", image_size="32x48", memory_limit="3GB", epochs=3)
    assert run["record"].data.class_names == ["cat", "dog"]
    assert (run["record"].data.train_count, run["record"].data.validation_count) == (160, 40)
    assert (run["record"].plan.first_batch_size, run["record"].plan.micro_batch_size) == (8, 8)
    assert (run["memory"].limit_bytes, run["memory"].is_given) == (3 * 10**9, True)
    assert run["view"] is view
    assert run["lock_fd"] > 2
    assert (result.status, result.labels) == ("completed", ["cat", "dog"])
    assert view.told[0] == "160 images of 2 classes to train on, 40 to validate"
    assert view.told[1].startswith("probe: 64 images at once fit with ease, 16 are as fast as any")


def test_a_run_leaves_its_files(stages: Stages, photos: Path) -> None:
    """What the design says of a run directory would not be true."""
    result = api.run(photos, run_dir="a", view=Messages())
    files = {path.name for path in result.run_dir.iterdir()}
    assert files >= {"run.json", "probe.json", "samples.csv", "result.json", "report.html"}
    assert json.loads((result.run_dir / "result.json").read_text(encoding="utf-8"))["schema"] == "autofit/result/1"
    assert "<html" in (result.run_dir / "report.html").read_text(encoding="utf-8")
    assert len((result.run_dir / "samples.csv").read_text(encoding="utf-8").splitlines()) == 201
    assert len(stages.runs) == 1


@pytest.mark.parametrize("given", [{"batch_size": 8}, {"batch_size": "auto", "batch_schedule": "8:16"}], ids=str)
def test_a_size_that_was_given_needs_no_probe(stages: Stages, photos: Path, given: dict[str, Any]) -> None:
    """A minute would go by for an answer that is not used."""
    train(photos, **given)
    assert stages.probes == []
    assert stages.runs[0]["record"].plan.first_batch_size == 8


def test_a_probe_keeps_no_callbacks_and_the_run_does(stages: Stages, photos: Path) -> None:
    """A user's callback would be sent to trials that it must not see, or be lost on the way to the training."""
    api.run(photos, model=network, callbacks=["a callback"], run_dir="a", view=Messages())
    assert stages.probes[0][0].payload == Payload(network)
    assert stages.runs[0]["payload"] == Payload(network, ("a callback",))
    assert stages.runs[0]["record"].has_callbacks
    assert (stages.probes[0][0].source.sent, stages.probes[0][0].source.reference) == (True, None)


def test_without_a_function_no_folder_of_the_users_is_imported_from(stages: Stages, photos: Path) -> None:
    """A `numpy.py` beside the photos would run in the worker."""
    train(photos)
    train(photos, "b", model="json:loads", image_size=32)
    assert stages.runs[0]["import_paths"] == []
    assert stages.runs[1]["import_paths"][0] == str(Path.cwd())


def test_lists_and_labels_are_data_too(stages: Stages, photos: Path) -> None:
    """The second form of data would not get through."""
    paths = sorted(photos.rglob("*.jpg"))
    train(photos, "a")
    result = api.run(paths, [path.parent.name for path in paths], batch_size=8, run_dir="b", view=Messages())
    assert result.labels == ["cat", "dog"]
    assert len(stages.runs) == 2


def test_what_is_unusual_is_said(stages: Stages, photos: Path) -> None:
    """A user would not learn why the whole network trains, or what `inline` cannot do."""
    (photos / "notes.txt").touch()
    (photos / "cat" / "notes.txt").touch()
    view = Messages()
    train(photos, weights=None, isolation="inline", view=view)
    assert re.search(r"40 to validate; \d other files skipped", view.told[0])
    assert view.told[1].startswith("weights 'none': training the whole network")
    assert view.told[2].startswith("isolation='inline'")
    assert isinstance(stages.runs[0]["launcher"], InlineLauncher)


def test_a_limit_that_inline_cannot_keep_is_refused(
    stages: Stages, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow, loaded already, would go over the limit without a word."""
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", object())
    with pytest.raises(UserError, match="memory_limit cannot be kept with isolation='inline'"):
        train(photos, isolation="inline", memory_limit="3GB")
    assert stages.runs == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "epochs must be"),
        ({"weights": None, "trainable": "head"}, "would train on a random backbone"),
        ({"fine_tune_epochs": 3}, "does not work in this version"),
        ({"validation": "nowhere"}, "nowhere does not exist"),
        ({"labels": ["cat"]}, "labels belong to a list of paths"),
    ],
    ids=str,
)
def test_a_request_that_cannot_be_met_leaves_nothing_behind(
    stages: Stages, photos: Path, given: dict[str, Any], message: str
) -> None:
    """An empty run directory would be left for each typing error."""
    with pytest.raises(UserError, match=message):
        train(photos, **given)
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["photos"]
    assert stages.runs == []


def test_a_class_whose_name_is_no_utf8_is_refused(stages: Stages, photos: Path) -> None:
    """The run would be probed, and then fail when its request is written down."""
    (photos / "cat").rename(photos / "c\udcfft")
    with pytest.raises(UserError, match=r"'c.udcfft' is a name that is not UTF-8: rename it"):
        train(photos)
    with pytest.raises(UserError, match="is a name that is not UTF-8"):
        train(photos, "\udcff")
    assert stages.runs == []


def test_run_forwards_each_option_to_the_door() -> None:
    """An option would be accepted and never looked at, or have another default than its documentation."""
    door, call = inspect.signature(make_options).parameters, inspect.signature(api.run).parameters
    assert set(call) - set(door) == {"data", "labels", "run_dir", "callbacks", "view"}
    assert {name: call[name].default for name in door} == {name: door[name].default for name in door}
    documented = inspect.getdoc(api.run) or ""
    assert [name for name in call if f"\n    {name}: " not in documented] == []


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
def test_each_option_reaches_the_supervisor(stages: Stages, photos: Path, name: str) -> None:
    """One of thirty names would be swallowed on the way."""
    value = {"batch_schedule": "8:16", "model": "json:loads"}.get(name, UNUSUAL.get(name))
    given: dict[str, Any] = {"batch_size": "auto" if name == "batch_schedule" else 8, name: value}
    train(photos, **given)
    assert stages.runs[0]["record"].options == make_options(**given) != make_options(batch_size=8)


# The run directory ----------------------------------------------------------------------------------------------------


def test_a_run_without_a_name_gets_one_of_its_own(stages: Stages, photos: Path) -> None:
    """Two runs that start in the same second would write into one folder."""
    results = [api.run(photos, batch_size=8, view=Messages()) for _ in range(3)]
    results.append(api.run(photos, batch_size=8, model=network, view=Messages()))
    names = [str(result.run_dir.relative_to(Path.cwd())) for result in results]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"runs/\d{8}-\d{6}-MobileNetV2(-\d)?", name) for name in names[:3])
    assert re.fullmatch(r"runs/\d{8}-\d{6}-model", names[3])
    assert len(stages.runs) == 4


def test_two_runs_in_one_second_are_numbered(stages: Stages, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second would be taken for the first, and refused or resumed."""
    monkeypatch.setattr("time.strftime", lambda _: "20260801-120000")
    names = [api.run(photos, batch_size=8, seed=seed, view=Messages()).run_dir.name for seed in range(3)]
    assert names == [f"20260801-120000-MobileNetV2{end}" for end in ("", "-2", "-3")]
    assert len(stages.runs) == 3


def test_a_relative_run_directory_is_where_the_call_was_made(
    stages: Stages, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker, in another folder, would look for it elsewhere."""
    home = photos.parent / "home"
    monkeypatch.setenv("HOME", str(home))
    assert train(photos, "x/a").run_dir == photos.parent / "x" / "a"
    assert train(photos, "~/a").run_dir == home / "a"
    assert all(run["files"].path.is_absolute() for run in stages.runs)


@pytest.mark.usefixtures("stages")
def test_a_run_directory_that_cannot_be_made_is_refused(photos: Path) -> None:
    """A FileExistsError would be shown for a file that stands where the folder should."""
    Path("a").touch()
    Path("runs").touch()
    with pytest.raises(UserError, match=r"run directory .*a cannot be made"):
        train(photos, "a")
    with pytest.raises(UserError, match=r"run directory .*runs/.* cannot be made"):
        api.run(photos, batch_size=8, view=Messages())


def test_the_same_request_goes_on_where_it_was_interrupted(stages: Stages, photos: Path) -> None:
    """A user who runs their script again would lose what was trained, or be probed again."""
    stages.ends = [InterruptedRunError("asked to stop")]
    with pytest.raises(InterruptedRunError):
        train(photos, batch_size="auto")
    first = RunRecord.load(Path("a/run.json"))
    result = train(photos, batch_size="auto")
    assert result.status == "completed"
    assert stages.runs[1]["record"] == first
    assert len(stages.probes) == 1


def test_the_same_request_again_is_answered_from_what_is_there(stages: Stages, photos: Path) -> None:
    """A finished run would be trained again, over its own result."""
    first = train(photos)
    again = train(photos)
    assert again.record == first.record
    assert len(stages.runs) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 12}, "epochs 10 there, 12 here"),
        ({"memory_limit": "4GB"}, "memory_limit None there, 4000000000 here"),
        ({"backbone": "VGG16"}, "backbone 'MobileNetV2' there, 'VGG16' here"),
        ({"model": network}, "backbone 'MobileNetV2' there, None here"),
        ({"seed": 1}, "seed 0 there, 1 here"),
    ],
    ids=str,
)
def test_another_request_is_refused_by_the_option_that_differs(
    stages: Stages, photos: Path, given: dict[str, Any], said: str
) -> None:
    """A result would be returned that is not what was asked for."""
    first = train(photos)
    with pytest.raises(UserError) as refused:
        train(photos, **given)
    expected = f"run directory {first.run_dir} holds another request ({said}): give another run_dir"
    assert str(refused.value) == expected
    assert len(stages.runs) == 1


def test_other_images_are_another_request(stages: Stages, photos: Path) -> None:
    """Half of a run would be trained on one set of images, and half on another."""
    stages.ends = [InterruptedRunError("asked to stop")]
    with pytest.raises(InterruptedRunError):
        train(photos)
    (photos / "cat" / "new.jpg").touch()
    with pytest.raises(UserError, match=r"holds another request \(other images\)"):
        train(photos)


def test_images_that_have_moved_are_read_from_where_they_are(stages: Stages, photos: Path) -> None:
    """A worker would look for each image at its old place, and leave them all out."""
    stages.ends = [InterruptedRunError("asked to stop")]
    with pytest.raises(InterruptedRunError):
        train(photos)
    moved = photos.rename(photos.with_name("moved"))
    train(moved)
    assert [run["record"].data.root for run in stages.runs] == [str(photos), str(moved)]
    assert RunRecord.load(Path("a/run.json")).data.root == str(moved)


def test_a_probe_that_was_interrupted_can_be_begun_again(stages: Stages, photos: Path) -> None:
    """A run directory without a run would be refused, or taken for one."""
    stages.probe_ends = [InterruptedRunError("the probe was stopped")]
    with pytest.raises(InterruptedRunError, match=r"nothing is trained yet; run the same again with run_dir a$"):
        api.run(photos, run_dir="a", view=Messages())
    assert not Path("a/run.json").exists()
    with pytest.raises(UserError, match="holds no run"):
        api.resume("a", view=Messages())
    assert api.run(photos, run_dir="a", view=Messages()).status == "completed"
    assert len(stages.probes) == 2


def test_a_probe_that_found_nothing_ends_the_run(stages: Stages, photos: Path) -> None:
    """A training would be started that cannot hold one image."""
    stages.largest = 0
    with pytest.raises(DoesNotFitError, match=r"not even one image at a time fits \(limited by --memory-limit\)"):
        api.run(photos, run_dir="a", memory_limit="1GB", view=Messages())
    assert stages.runs == []
    assert Path("a/probe.json").exists()


def test_a_second_writer_is_refused(stages: Stages, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes would write into one run."""
    monkeypatch.setattr(api, "LOCK_PATIENCE_SECONDS", 0.0)
    Path("a").mkdir()
    with RunLock(RunDirectory(Path("a"))).acquire(0.0), pytest.raises(UserError, match="in use by another process"):
        train(photos)
    assert stages.runs == []


# The end --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "kind", "status", "message"),
    [
        (InterruptedRunError("asked to stop"), InterruptedRunError, "interrupted", "autofit resume 'x y'$"),
        (KeyboardInterrupt(), InterruptedRunError, "interrupted", "^stopped at once: .* autofit resume 'x y'$"),
        (DoesNotFitError("not even one"), DoesNotFitError, "failed", "^not even one$"),
        (TrainingFailedError("SIGSEGV"), TrainingFailedError, "failed", r"^SIGSEGV \(logs in x y; the last checkpoint"),
        (StorageError("disk full"), StorageError, "failed", "^disk full "),
        (UserError("model f: no such name"), UserError, "failed", "^model f: no such name$"),
    ],
    ids=["interrupted", "second Ctrl-C", "does not fit", "crashed", "disk", "user"],
)
def test_a_run_that_does_not_end_well_is_written_down_and_raised(
    stages: Stages, photos: Path, end: BaseException, kind: type[AutofitError], status: str, message: str
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


def test_a_run_that_failed_is_tried_again_and_not_returned(stages: Stages, photos: Path) -> None:
    """The old failure would be returned as the answer."""
    stages.ends = [TrainingFailedError("SIGSEGV")]
    with pytest.raises(TrainingFailedError):
        train(photos)
    assert train(photos).status == "completed"


def test_the_logs_of_the_last_attempt_are_named(stages: Stages, photos: Path) -> None:
    """A user would have to search for what the worker said."""
    Path("a/attempts/0001").mkdir(parents=True)
    Path("a/attempts/0002").mkdir()
    stages.ends = [TrainingFailedError("SIGSEGV")]
    with pytest.raises(TrainingFailedError, match=r"logs in a/attempts/0002"):
        train(photos)


def test_a_disk_that_is_full_at_the_end_is_said_in_one_line(
    stages: Stages, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OSError would pass for a defect of autofit."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("autofit.result.ResultRecord.save", full)
    with pytest.raises(StorageError, match="No space left on device"):
        train(photos)
    assert len(stages.runs) == 1


# resume, probe and report ---------------------------------------------------------------------------------------------


def interrupted(stages: Stages, photos: Path, **given: Any) -> str:
    """A run directory with an interrupted run, and what its error said."""
    stages.ends = [InterruptedRunError("asked to stop")]
    with pytest.raises(InterruptedRunError) as raised:
        train(photos, **given)
    return str(raised.value)


def test_more_bad_images_may_be_allowed_where_a_run_goes_on(stages: Stages, photos: Path) -> None:
    """A run that ended because of them could only be started anew, or its worker would go on with the old share."""
    interrupted(stages, photos)
    train(photos, max_bad_images=0.5)
    interrupted(stages, photos, run_dir="b")
    api.resume("b", max_bad_images=0, view=Messages())
    interrupted(stages, photos, run_dir="c", max_bad_images=0.3)
    api.resume("c", view=Messages())
    records = [run["record"] for run in stages.runs]
    assert [record.plan.max_bad_images for record in records] == [0.1, 0.5, 0.1, 0, 0.3, 0.3]
    assert [record.options.max_bad_images for record in records] == [0.1, 0.5, 0.1, 0, 0.3, 0.3]
    assert RunRecord.load(Path("b/run.json")) == records[3]


def test_a_run_from_before_the_share_was_kept_goes_on(stages: Stages, photos: Path) -> None:
    """After an update of autofit, runs that were begun before it could not be resumed."""
    interrupted(stages, photos)
    content = json.loads(Path("a/run.json").read_text(encoding="utf-8"))
    del content["options"]["max_bad_images"], content["plan"]["max_bad_images"]
    Path("a/run.json").write_text(json.dumps(content), encoding="utf-8")
    api.resume("a", view=Messages())
    assert stages.runs[1]["record"] == stages.runs[0]["record"]


def test_a_share_of_bad_images_that_is_none_ends_no_run(stages: Stages, photos: Path) -> None:
    """The nonsense would be kept in run.json, and the run be lost."""
    interrupted(stages, photos)
    with pytest.raises(UserError, match="max_bad_images must be a number from 0 to 1, not 2"):
        api.resume("a", max_bad_images=2, view=Messages())
    assert RunRecord.load(Path("a/run.json")) == stages.runs[0]["record"]


def test_resume_goes_on_with_the_same_request(stages: Stages, photos: Path) -> None:
    """What is resumed would not be what was started."""
    said = interrupted(stages, photos, epochs=7)
    assert said.endswith("go on with: autofit resume a")
    result = api.resume("a", view=Messages())
    assert (result.status, result.run_dir) == ("completed", Path.cwd() / "a")
    assert stages.runs[1]["record"] == stages.runs[0]["record"]
    assert stages.runs[1]["payload"] is None


def test_resuming_what_is_finished_is_answered_at_once(stages: Stages, photos: Path) -> None:
    """A finished run would be trained again, or ask for a model that it does not need."""
    train(photos, model=network)
    assert api.resume("a", view=Messages()).status == "completed"
    assert len(stages.runs) == 1


@pytest.mark.parametrize("content", [None, "{", '{"schema": "autofit/run/2"}'], ids=["none", "cut off", "newer"])
def test_resuming_what_is_no_run_is_refused(photos: Path, content: str | None) -> None:
    """A page of validation errors would be shown for a mistyped folder."""
    Path("a").mkdir()
    if content is not None:
        Path("a/run.json").write_text(content, encoding="ascii")
    with pytest.raises(UserError, match=r"holds no run|cannot be read") as refused:
        api.resume("a", view=Messages())
    assert "\n" not in str(refused.value)
    assert photos.exists()


@pytest.mark.parametrize("model", [None, "json:loads"], ids=["nothing", "a name"])
def test_a_model_function_is_asked_for_again(stages: Stages, photos: Path, model: Any) -> None:
    """The worker would be started to find that the function went with the process that gave it."""
    said = interrupted(stages, photos, model=network)
    assert said.endswith("go on with: autofit.resume('a', model=...)")
    with pytest.raises(UserError, match=r"give it again, autofit\.resume\('a', model=\.\.\.\)"):
        api.resume("a", model=model, view=Messages())
    assert len(stages.runs) == 1
    api.resume("a", model=network, view=Messages())
    assert stages.runs[1]["payload"] == Payload(network)


@pytest.mark.parametrize("given", [{}, {"model": "json:loads"}], ids=str)
def test_a_model_function_for_a_run_that_had_none_is_refused(
    stages: Stages, photos: Path, given: dict[str, Any]
) -> None:
    """It would be ignored, and its user believe that it was trained."""
    interrupted(stages, photos, **given)
    with pytest.raises(UserError, match=r"was started with (MobileNetV2|json:loads), not with a model function"):
        api.resume("a", model=network, view=Messages())


def test_callbacks_that_are_missing_are_missed(stages: Stages, photos: Path) -> None:
    """The rest of a run would go without its callbacks, and nobody know; or the message come where it is untrue."""
    warning = "this run was started with callbacks; going on without them"
    interrupted(stages, photos, callbacks=["a callback"])
    stages.ends = [InterruptedRunError("asked to stop")] * 2
    views = [Messages() for _ in range(3)]
    with pytest.raises(InterruptedRunError):
        api.resume("a", view=views[0])
    with pytest.raises(InterruptedRunError):
        train(photos, view=views[1])
    api.resume("a", callbacks=["a callback"], view=views[2])
    assert [warning in view.told for view in views] == [True, True, False]
    assert stages.runs[3]["payload"] == Payload(None, ("a callback",))


def test_a_probe_alone_needs_no_images(stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user could not ask what fits before there is any data, or a probe would leave files behind."""
    monkeypatch.chdir(tmp_path)
    report = api.probe(backbone="VGG16", weights=None, trainable="head", num_classes=5, max_batch=100, view=Messages())
    [(request, _)] = stages.probes
    assert (request.workload.backbone, request.workload.num_classes, request.max_batch) == ("VGG16", 5, 100)
    assert (request.workload.weights, request.workload.trainable) == ("none", "head")
    assert report.largest_feasible_batch == 64
    assert not request.folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_run_takes_from_its_probe_what_the_process_needs(stages: Stages, photos: Path) -> None:
    """The worker would estimate what was measured, and the size that was verified not fit."""
    api.run(photos, run_dir="a", view=Messages())
    train(photos, run_dir="b")
    assert [run["memory"].rest_bytes for run in stages.runs] == [400 * 10**6, None]


def test_a_sweep_probes_each_network_at_each_size_and_goes_on_after_a_failure(
    stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One network that crashes would cost the night's comparison of twenty."""
    monkeypatch.chdir(tmp_path)
    stages.probe_ends = [TrainingFailedError("SIGSEGV")]
    view = Messages()
    swept = api.sweep(["VGG16", "MobileNetV2"], [96, "64x128"], weights=None, trainable="head", view=view)
    asked = [(request.workload.backbone, request.workload.image_size) for request, _ in stages.probes]
    assert asked == [(name, size) for name in ("VGG16", "MobileNetV2") for size in ((96, 96), (64, 128))]
    assert [failure.cause for failure in swept.failures] == ["SIGSEGV"]
    assert len(swept.probes) == 3
    assert "1 of 4: VGG16 at 96 x 96, head trainable, random weights" in view.told


def test_a_sweep_is_checked_before_its_first_trial(stages: Stages) -> None:
    """A typing error in the last name would be told of after an hour."""
    with pytest.raises(UserError, match="MobileNetV9"):
        api.sweep(["VGG16", "MobileNetV9"], view=Messages())
    assert stages.probes == []


@pytest.mark.parametrize("given", [{"max_batch": 0}, {"max_batch": "many"}, {"num_classes": 0}, {"num_classes": 2.5}])
def test_a_probe_of_no_size_is_refused(stages: Stages, given: dict[str, Any]) -> None:
    """The search would be asked for a batch of no images."""
    with pytest.raises(UserError, match=f"{next(iter(given))} must be"):
        api.probe(view=Messages(), **given)
    assert stages.probes == []


def test_a_report_is_written_anew(stages: Stages, photos: Path) -> None:
    """A page that was deleted, or that an older version wrote, could not be had again."""
    page = train(photos).run_dir / "report.html"
    page.unlink()
    assert api.report("a").status == "completed"
    assert page.exists()
    assert len(stages.runs) == 1
    interrupted(stages, photos, run_dir="b")
    Path("b/result.json").unlink()
    with pytest.raises(UserError, match="holds no run that has ended"):
        api.report("b")


def test_a_view_is_made_where_none_is_given(stages: Stages, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook would show nothing, or a bar stay on the screen for ever."""
    closed: list[bool] = []

    class Own(Messages):
        def close(self) -> None:
            closed.append(True)

    own = Own()
    monkeypatch.setattr(api, "progress_view", lambda: own)
    stages.ends = [TrainingFailedError("SIGSEGV")]
    with pytest.raises(TrainingFailedError):
        train(photos, view=None)
    assert own.told
    assert closed == [True]
