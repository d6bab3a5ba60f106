"""Run directories from untrusted sources, and what a run directory discloses to others."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from autofit import api
from autofit.config.options import make_options
from autofit.errors import StorageError, UserError
from autofit.machine.hardware import detect
from autofit.protocol.job import TrainingPlan
from autofit.runs.collect_result import collect_result
from autofit.runs.plan import training_plan
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.records import MAX_RECORD_BYTES
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock
from tests.support.given_run import given_run
from tests.support.shared import made_once

HIDDEN = "hunter2-7fb1c0"
Plant = Callable[[RunDirectory], None]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, made with a secret in the environment and on the command line."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AUTOFIT_TEST_TOKEN", HIDDEN)
        ends = f"device_oom@2,SIGKILL@3,{HIDDEN}-on-the-command-line"
        return made_once(tmp_path_factory, "run-with-a-secret", lambda folder: given_run(folder / "run", ends)) / "run"


@pytest.fixture
def files(given: Path, tmp_path: Path) -> RunDirectory:
    """A copy of it, whose owner did not finish it."""
    shutil.copytree(given, tmp_path / "run")
    files = RunDirectory(tmp_path / "run")
    edit(files.result, status="interrupted")
    return files


@pytest.fixture(autouse=True)
def nothing_is_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be refused must be, before a worker starts."""

    def launch(*_: object) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr("autofit.process.launch.ProcessLauncher.launch", launch)


def edit(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# What goes out --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_file_of_a_run_tells_the_environment_or_the_command_line(given: Path) -> None:
    """Whoever is sent a run directory, or a report, would be sent the tokens of its owner as well."""
    files = [path for path in given.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert names >= {"run.json", "result.json", "report.html", "job.json", "progress.jsonl", "events.jsonl"}
    for path in files:
        data = path.read_bytes()
        assert HIDDEN.encode() not in data, path
        for name in ("PATH", "HOME"):  # the smallest environment has these
            assert f'"{name}"'.encode() not in data, path


# What comes in --------------------------------------------------------------------------------------------------------


def replaced(name: str, make: Callable[[Path], object]) -> Plant:
    """Something else in the place of a file."""

    def plant(files: RunDirectory) -> None:
        path = files.path / name
        path.unlink()
        make(path)

    return plant


def enormous(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_RECORD_BYTES + 1)


def changed(name: str, **changes: Any) -> Plant:
    """Other values in a file."""
    return lambda files: edit(files.path / name, **changes)


def other_plan(**changes: Any) -> Plant:
    """Other values in the plan."""

    def plant(files: RunDirectory) -> None:
        edit(files.run, plan=json.loads(files.run.read_text())["plan"] | changes)

    return plant


HOSTILE_RECORDS: dict[str, Plant] = {
    f"{name}, {what}": replaced(name, make)
    for name in ("run.json", "result.json")
    for what, make in {
        "a pipe": os.mkfifo,
        "a device": lambda path: path.symlink_to("/dev/zero"),
        "a folder": lambda path: path.mkdir(),
        "enormous": enormous,
        "nested": lambda path: path.write_text("[" * 100_000),
        "binary": lambda path: path.write_bytes(bytes(range(256))),
    }.items()
} | {
    "run.json, unknown field": changed("run.json", command="rm"),
    "run.json, another schema": changed("run.json", schema="autofit/run/9"),
    "no epochs": other_plan(epochs=0),
    "no images at once": other_plan(micro_batch_size=0),
    "no batch": other_plan(first_batch_size=-1),
    "a million threads": other_plan(threads=10**6),
}


@pytest.mark.parametrize("plant", HOSTILE_RECORDS.values(), ids=HOSTILE_RECORDS)
def test_a_record_that_is_none_is_refused_in_one_line(plant: Plant, files: RunDirectory) -> None:
    """A report would wait for ever, fill the memory, or end in a traceback; a run would go on with nonsense."""
    plant(files)
    with pytest.raises(UserError) as caught:
        api.write_report(files.path)
    assert "\n" not in str(caught.value)
    assert str(files.path) in str(caught.value)


LINKS = ("audit.jsonl", "checkpoints", "report.html", "history.csv", ".model.part.keras", ".lock", "attempts")


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("act", [api.write_report, api.resume])
def test_a_link_out_of_the_directory_is_refused(
    act: Callable[[Path], object], name: str, files: RunDirectory, tmp_path: Path
) -> None:
    """An untrusted audit log that is a link to a user's file would cut that to the length in the checkpoint."""
    (tmp_path / "ours").mkdir()
    ours = tmp_path / "ours" / name
    ours.write_text("ours")
    link = files.path / name
    shutil.rmtree(link) if link.is_dir() else link.unlink(missing_ok=True)
    link.symlink_to(ours)
    with pytest.raises(UserError, match=f"{name} is a link that leads out of the run directory: put the file itself"):
        act(files.path)
    assert ours.read_text() == "ours"
    assert [path.name for path in ours.parent.iterdir()] == [name]


def test_a_link_that_stays_inside_is_none_of_our_business(files: RunDirectory) -> None:
    """A run whose owner has tidied it up could not be reported."""
    (files.path / "again.html").symlink_to("report.html")
    (files.path / "round").symlink_to("round")
    assert api.write_report(files.path).status == "interrupted"


def test_the_lock_makes_no_file_elsewhere(files: RunDirectory, tmp_path: Path) -> None:
    """A call of `run` in a prepared directory would leave an empty file wherever an attacker wants one."""
    (files.path / ".lock").unlink(missing_ok=True)
    (files.path / ".lock").symlink_to(tmp_path / "made")
    with pytest.raises(StorageError, match="cannot be written"):
        RunLock(files).acquire(0)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.mkdir()])
@pytest.mark.parametrize("name", ["attempt.json", "outcome.json", "progress.jsonl", "events.jsonl", "job.json"])
def test_what_an_attempt_left_is_a_file_or_nothing(
    name: str, make: Callable[[Path], object], files: RunDirectory
) -> None:
    """To resume, all attempts are read: one pipe among their files and it would never begin."""
    attempt = files.attempts()[0]
    attempt.record.unlink(missing_ok=True)
    (attempt.path / name).unlink(missing_ok=True)
    make(attempt.path / name)
    collected = collect_result(files, "interrupted", "", 0.0).attempts
    assert len(collected) == 3
    assert collected[2].verdict.value == "completed"


def test_a_heartbeat_of_any_length_is_read_in_part(files: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat of a hundred gigabytes would be read into the memory of the program that calls autofit."""
    attempt = files.attempts()[2]
    attempt.record.unlink()
    line = attempt.progress.read_bytes().splitlines()[-1] + b"\n"
    attempt.progress.write_bytes(
        line.replace(b'"monotonic_seconds":', b'"monotonic_seconds":-', 1) + b" " * 10**6 + b"\n" + line
    )
    monkeypatch.setattr("autofit.runs.collect_result.LAST_LINES_BYTES", 2000)
    last = json.loads(line)["monotonic_seconds"]
    assert collect_result(files, "completed", "", 0.0).attempts[2].wall_seconds == pytest.approx(2 * last)


FORGED = {
    "epoch": ({"epoch": "soon"}, r"\(epoch: Input should be a valid integer"),
    "position": ({"position": -5}, r"\(position: Input should be greater"),
    "size": ({"micro_batch_size": [1]}, r"\(micro_batch_size: Input should be a valid"),
    "history": ({"history": {"loss": "low"}}, r"\(history.loss: Input should be a valid list"),
}


@pytest.mark.parametrize(("state", "words"), FORGED.values(), ids=FORGED)
def test_a_checkpoint_that_verifies_and_is_none_is_refused(
    state: dict[str, Any], words: str, files: RunDirectory
) -> None:
    """An attacker can make good checksums over any state: the parent would end in a traceback."""
    CheckpointStore(files.checkpoints).save({}, state)
    with pytest.raises(UserError, match=words) as caught:
        api.resume(files.path)
    assert str(caught.value).endswith("remove it, then resume")


def test_an_enormous_state_is_damage(files: RunDirectory) -> None:
    """The parent reads a checkpoint's state, of any size that an untrusted manifest gives."""
    generation = max(files.checkpoints.iterdir())
    with (generation / "state.json").open("wb") as state:
        state.truncate(MAX_RECORD_BYTES + 1)
    digest = sha256(bytes(MAX_RECORD_BYTES + 1)).hexdigest()
    manifest = json.loads((generation / "manifest.json").read_text())
    manifest["files"]["state.json"] = {"bytes": MAX_RECORD_BYTES + 1, "sha256": digest}
    (generation / "manifest.json").write_text(json.dumps(manifest))
    before = min(files.checkpoints.iterdir())
    expected = json.loads((before / "state.json").read_text())
    assert CheckpointStore(files.checkpoints).latest_state() == expected


def test_a_state_that_could_not_be_read_back_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback with a large state would make checkpoints that are all taken for damaged, when they are needed."""
    monkeypatch.setattr("autofit.storage.checkpoints.MAX_RECORD_BYTES", 100)
    store = CheckpointStore(tmp_path)
    store.save({}, {"a": "b" * 50})
    with pytest.raises(ValueError, match="the state has 109 bytes, more than the 100 that are read back"):
        store.save({}, {"a": "b" * 100})
    assert store.latest_state() == {"a": "b" * 50}


def test_no_module_is_imported_because_an_untrusted_run_names_it(
    files: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who unpacks an untrusted run and resumes it would run the `evil.py` that came with it, in it or beside it."""
    options = json.loads(files.run.read_text())["options"]
    edit(files.run, options=options | {"model": "evil:build", "backbone": None}, seal="0" * 64)
    monkeypatch.setattr("autofit.api.resuming.supervise", lambda *_: pytest.fail("a worker would be started"))
    for folder in (files.path, files.path.parent):
        (folder / "evil.py").write_text("raise SystemExit\n")
        monkeypatch.chdir(folder)
        with pytest.raises(UserError, match="would import and run evil:build: if that is code of yours"):
            api.resume(files.path)


def test_a_name_in_run_json_whose_code_will_run_is_told(
    files: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code would be imported without a line about it."""
    options = json.loads(files.run.read_text())["options"]
    edit(files.run, options=options | {"model": "theirs:build", "backbone": None})
    monkeypatch.chdir(files.path.parent)
    monkeypatch.setattr("autofit.api.resuming.supervise", lambda *_: None)
    api.resume(files.path, model="theirs:build")
    assert "this run imports its model: theirs:build" in "".join(capsys.readouterr())


def test_a_plan_of_ours_is_within_the_bounds() -> None:
    """On a machine of more cores than anybody thought of, a run could be started but not resumed."""
    machine = detect().model_copy(update={"cores": 5000})
    ours = training_plan(make_options(weights="none", batch_size=8), 100, None, machine)
    assert TrainingPlan.model_validate_json(ours.model_dump_json()) == ours
