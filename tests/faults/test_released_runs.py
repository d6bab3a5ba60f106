"""Runs that earlier releases began, and files that a later one wrote: read, resumed, or refused with what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel

from autofit import api
from autofit.api.existing_run import require_run
from autofit.errors import AutofitError, UserError
from autofit.protocol.job import Job
from autofit.runs.collect_result import collect_result
from autofit.runs.run_record import RunRecord
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.paths import FIXTURES

RUNS = FIXTURES / "runs"
NAMES = sorted(path.name for path in RUNS.iterdir() if path.is_dir() and not path.name.startswith("__"))
OLDEST, NEWEST = NAMES[0], NAMES[-1]
PROMISE = 21


def copied(name: str, folder: Path) -> RunDirectory:
    """A copy of a run, whose images are where this machine has them."""
    shutil.copytree(RUNS / name, folder / "run")
    files = RunDirectory(folder / "run")
    run = json.loads(files.run.read_text())
    run["data"]["root"] = str(folder / "photos")
    files.run.write_text(json.dumps(run))
    random = np.random.default_rng(0)
    for channel, kind in enumerate(("blue", "red")):
        (folder / "photos" / kind).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 160, (32, 32, 3))
            pixels[..., 2 - 2 * channel] += 95
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / kind / f"{number:02d}.png")
    return files


def in_schema(path: Path, schema: str) -> None:
    """Let a file say that it is of another format, and have a field that this autofit does not know."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"schema": schema, **{k: v for k, v in content.items() if k != "schema"}, "later": 1}))


def fields_that_lack(model: type[BaseModel], content: dict[str, Any], where: str = "") -> list[str]:
    """The fields of a record, and of the records in it, that the content of a file has not."""
    lacking: list[str] = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key not in content:
            lacking.append(f"{where}{key}")
        elif isinstance(content[key], dict):
            kinds = (field.annotation, *get_args(field.annotation))
            records = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
            found = [fields_that_lack(kind, content[key], f"{where}{key}.") for kind in records]
            best: list[str] = min(found, key=len) if found else []  # of several kinds it is the one that fits
            lacking += best
    return lacking


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_an_earlier_release_is_read(tmp_path: Path, name: str) -> None:
    """After an update, nothing of a run that took days could be seen or used any more."""
    files = copied(name, tmp_path)
    assert require_run(files).options.epochs == 40
    result = collect_result(files, "interrupted", "", 0.0)
    assert len(result.history["loss"]) >= 2
    assert len(result.attempts) == 1
    checkpoint = CheckpointStore(files.checkpoints).latest(10**6)
    assert checkpoint is not None
    assert {"model", "optimizer"} <= checkpoint.groups.keys()
    result.save(files.result)
    api.write_report(files.path)
    assert files.report.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_an_earlier_release_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Callable[..., None], name: str, *, whole: bool
) -> None:
    """After an update, a run would begin again, or claim to be bit-equal to one that never stopped."""
    if name != OLDEST and not whole:
        pytest.skip("make test-faults resumes the others too")
    files = copied(name, tmp_path)
    before = collect_result(files, "interrupted", "", 0.0).history["loss"]
    recorded = require_run(files).software
    monkeypatch.syspath_prepend(str(RUNS))
    count(promise=PROMISE)
    result = api.resume(files.path, model="tiny_network:tiny_network")
    assert result.record.status == "completed"
    assert result.record.history["loss"][: len(before)] == before
    assert len(result.record.history["loss"]) == 40
    if name.endswith("-rungs"):
        state = CheckpointStore(files.checkpoints).latest_state()
        assert state is not None
        assert state["loss_scale"] == {"value": 2.0**15, "finite_steps": 40 * 3}
        assert [attempt.segments for attempt in result.record.attempts] == [8, 8]
    versions = require_run(files).software
    assert recorded or len(versions) > 1
    assert not (result.record.is_bit_equal and len(versions) > 1)


@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_a_run_of_a_later_release_says_to_update(tmp_path: Path, count: Callable[..., None], name: str) -> None:
    """The user would hear of an invalid file, and an older autofit would train on what a newer one has finished."""
    count(promise=PROMISE)
    files = copied(NEWEST, tmp_path)
    collect_result(files, "completed", "", 0.0).save(files.result)
    schema = f"autofit/{name.removesuffix('.json')}/2"
    in_schema(files.path / name, schema)
    with pytest.raises(UserError) as caught:
        api.resume(files.path)
    said = str(caught.value)
    assert f"{name} was written by a newer autofit, as {schema}" in said
    assert said.endswith("pip install --upgrade autofit-keras")
    assert "\n" not in said


def test_a_checkpoint_of_a_later_release_is_kept(tmp_path: Path, count: Callable[..., None]) -> None:
    """It would be set aside as damaged, and the training would begin from nothing."""
    count(promise=PROMISE)
    files = copied(NEWEST, tmp_path)
    [generation] = files.checkpoints.iterdir()
    in_schema(generation / "manifest.json", "autofit/checkpoint/2")
    store = CheckpointStore(files.checkpoints)
    for read in (store.latest, store.latest_state, store.manifests):
        with pytest.raises(AutofitError, match="by a newer autofit, as autofit/checkpoint/2"):
            read()
    assert [path.name for path in files.checkpoints.iterdir()] == [generation.name]


def test_a_field_of_a_later_release_says_to_update(tmp_path: Path, count: Callable[..., None]) -> None:
    """A release that adds a field would leave the user of an older one with an invalid file and no advice."""
    count(promise=PROMISE)
    files = copied(NEWEST, tmp_path)
    content = json.loads(files.run.read_text())
    content["options"]["later"] = 1
    files.run.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"options\.later: unknown; if a newer autofit wrote it, update it"):
        require_run(files)


def test_the_newest_run_has_all_fields() -> None:
    """What a release added to a run's file would have no run that shows that the next release reads it."""
    run, job = (json.loads((RUNS / NEWEST / name).read_text()) for name in ("run.json", "attempts/0001/job.json"))
    assert fields_that_lack(RunRecord, run) == []
    assert fields_that_lack(Job, job) == []
