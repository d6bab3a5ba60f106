"""Runs with a mirror from `autofit.run` down to real processes, with `children/stub_worker.py` for the training."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autofit import api
from autofit.api.result import Result
from autofit.errors import AutofitError, UserError
from autofit.mirror.mirror import Mirror
from autofit.mirror.patience import MirrorPatience
from autofit.process.launch import ProcessLauncher
from autofit.report.markup import Html
from autofit.report.views import ProgressView
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from tests.support.paths import AUTOFIT_PATH, CHILDREN
from tests.support.processes import kill_with_children
from tests.support.run_files import assert_each_epoch_once, committed, updates_of
from tests.support.views import RecordingView
from tests.support.waiting import wait_until

IMAGES, EPOCHS = 24, 2
FAST = MirrorPatience(look=0.02, retry=0.02, lock=0.2)
REQUEST: dict[str, Any] = {"weights": None, "epochs": EPOCHS, "batch_size": 4, "checkpoint_every": 2, "validation": 0}

pytestmark = pytest.mark.forked_workers

Child = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def autofit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", AUTOFIT_PATH)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 photos, which nothing here opens, in a working folder of their own."""
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(IMAGES // 2):
            (tmp_path / "photos" / label / f"{number}.jpg").write_bytes(b"x")
    return tmp_path / "photos"


@pytest.fixture
def run(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`run("complete", run_dir="a", mirror_dir="m")`: in this process, with the stub for a worker."""

    def run(ends: str, view: ProgressView | None = None, copy: Any = None, **given: Any) -> Result:
        broken = {"copy": copy} if copy else {}
        worker = [sys.executable, "-P", str(CHILDREN / "stub_worker.py"), ends]
        monkeypatch.setattr("autofit.api.mirroring.Mirror", functools.partial(Mirror, patience=FAST, **broken))
        monkeypatch.setattr("autofit.api.workers.ProcessLauncher", functools.partial(ProcessLauncher, worker))
        for module in ("run_page", "run_sections"):  # the curves of each run would take longer than the run
            monkeypatch.setattr(f"autofit.report.{module}.drawings_or_reason", lambda _draw: Html(""))
        shown = view or RecordingView()
        if "resume" in given:
            return api.resume(given["resume"], view=shown)
        return api.run(photos, view=shown, audit=True, **{**REQUEST, **given})

    return run


def assert_every_image_once_an_epoch(run_dir: Path) -> None:
    assert_each_epoch_once(run_dir, EPOCHS, range(IMAGES))
    assert len(updates_of(run_dir)) == EPOCHS * IMAGES // 4


def everything_in(folder: Path) -> dict[str, bytes]:
    """What a run has that its mirror has as well; of the checkpoints that is the newest."""
    not_there = {"memory", "stdout.log", "stderr.log", "progress.jsonl", ".lock"}
    older = sorted((folder / "checkpoints").iterdir())[:-1] if (folder / "checkpoints").exists() else []
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in not_there]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.parent not in older}


# A machine that is lost ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(worker: str, *arguments: Path | str) -> Iterator[subprocess.Popen[str]]:
    """A running `mirrored_run.py`; it and its worker do not outlive their test."""
    command = [sys.executable, str(CHILDREN / "mirrored_run.py"), worker, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            kill_with_children(process)


def wait_for(moment: tuple[int, int], mirror: Path, run_dir: Path, process: subprocess.Popen[str]) -> None:
    """Until the mirror has come so far, and knows of the attempt."""
    wait_until(
        lambda: committed(mirror) >= moment and is_known(RunDirectory(run_dir).attempts()[-1], mirror),
        f"the mirror never came to {moment}",
        process=process,
    )


def is_known(attempt: AttemptDirectory, mirror: Path) -> bool:
    """Checkpoints are copied first."""
    return (mirror / "attempts" / attempt.path.name / attempt.job.name).exists()


def lose_machine(run_dir: Path, mirror: Path, photos: Path, updates: int, moment: tuple[int, int]) -> None:
    """Kill everything once the mirror has come so far, where the attempt hangs, and delete the local disk."""
    with started(f"hang@{updates}", photos, run_dir, mirror) as process:
        wait_for(moment, mirror, run_dir, process)
        kill_with_children(process)
    shutil.rmtree(run_dir)


def finish(worker: str, *arguments: Path | str) -> list[str]:
    """Run to the end; returns the lines that were told."""
    with started(worker, *arguments) as process:
        *told, last = process.communicate(timeout=240)[0].splitlines()
    assert json.loads(last)[0] == "completed", last
    return told


@pytest.fixture
def expected(photos: Path, tmp_path: Path) -> str | None:
    """The weights of the run that nothing happened to."""
    finish("complete", photos, tmp_path / "undisturbed", tmp_path / "undisturbed-mirror")
    return Result(tmp_path / "undisturbed").weights_sha256


@pytest.mark.slow
def test_a_run_whose_machine_is_lost_goes_on_from_its_mirror(photos: Path, tmp_path: Path, expected: str) -> None:
    """A disconnected notebook would begin anew, or repeat or miss images, or end with other weights."""
    mirror = tmp_path / "drive" / "mirror"
    lose_machine(tmp_path / "first", mirror, photos, 2, (0, 8))
    lose_machine(tmp_path / "second", mirror, photos, 6, (1, 8))
    lose_machine(tmp_path / "third", mirror, photos, 2, (1, 16))

    told = finish("complete", photos, tmp_path / "last", mirror)

    assert told[0] == f"restoring the run in {mirror}"
    result = Result(tmp_path / "last")
    assert_every_image_once_an_epoch(tmp_path / "last")
    assert result.weights_sha256 == expected is not None
    assert [attempt.verdict.value for attempt in result.attempts] == ["crashed"] * 3 + ["completed"]
    assert all(attempt.batch_size == 4 for attempt in result.attempts)
    assert everything_in(mirror) == everything_in(tmp_path / "last")


@pytest.mark.whole
@pytest.mark.slow
def test_a_mirror_itself_can_be_resumed(photos: Path, tmp_path: Path, expected: str) -> None:
    """Who has nothing but the drive, and no photos named again, could not go on."""
    mirror = tmp_path / "mirror"
    lose_machine(tmp_path / "first", mirror, photos, 2, (0, 8))
    told = finish("complete", "-", mirror, "-")
    assert told == [f"resuming in {mirror} itself, without a mirror"]
    assert_every_image_once_an_epoch(mirror)
    assert Result(mirror).weights_sha256 == expected is not None


@pytest.mark.slow
def test_ctrl_c_leaves_all_that_was_trained_on_the_drive(photos: Path, tmp_path: Path) -> None:
    """The last minute would be missing where a person stops a run and closes the notebook."""
    with started("waits@3", photos, tmp_path / "a", tmp_path / "mirror") as process:
        wait_for((0, 8), tmp_path / "mirror", tmp_path / "a", process)
        process.send_signal(signal.SIGINT)
        kind, words = json.loads(process.communicate(timeout=240)[0].splitlines()[-1])
    assert kind == "InterruptedRunError"
    assert "autofit resume" in words
    assert committed(tmp_path / "mirror") == committed(tmp_path / "a") == (0, 12)
    assert everything_in(tmp_path / "mirror") == everything_in(tmp_path / "a")


# The joints ----------------------------------------------------------------------------------------------------------


def test_a_finished_run_is_returned_from_its_mirror(run: Callable[..., Result], tmp_path: Path) -> None:
    """On a new machine a finished run would be trained once more."""
    first = run("complete", run_dir="a", mirror_dir="drive/m")
    assert everything_in(tmp_path / "drive" / "m") == everything_in(tmp_path / "a")
    view = RecordingView()
    second = run("SIGKILL@0", view, run_dir="b", mirror_dir="drive/m")
    assert second.run_dir == tmp_path / "b"
    assert second.record == first.record
    assert view.messages[0] == f"restoring the run in {tmp_path}/drive/m"


def test_without_a_run_dir_it_is_named_after_the_mirror(run: Callable[..., Result], tmp_path: Path) -> None:
    """The same cell, run again, would not find what is still on the local disk."""
    first = run("complete", mirror_dir="drive/flowers")
    assert first.run_dir == tmp_path / "runs" / "flowers"
    assert run("SIGKILL@0", mirror_dir="drive/flowers").record == first.record


def test_another_request_in_the_mirror_is_refused(run: Callable[..., Result], tmp_path: Path) -> None:
    """The run of another request would be returned, or written over."""
    run("complete", run_dir="a", mirror_dir="m")
    before = everything_in(tmp_path / "m")
    with pytest.raises(UserError) as refused:
        run("complete", run_dir="b", mirror_dir="m", seed=1)
    assert str(refused.value) == (
        f"mirror_dir {tmp_path}/m holds another request (seed 0 there, 1 here): give another mirror_dir"
    )
    (tmp_path / "photos" / "cat" / "new.jpg").touch()
    with pytest.raises(UserError, match=r"mirror_dir .* holds another request \(1 photo added .*cat/new.jpg\)\): give"):
        run("complete", run_dir="b", mirror_dir="m")
    assert everything_in(tmp_path / "m") == before
    assert everything_in(tmp_path / "b") == {}


@pytest.mark.parametrize(("run_dir", "mirror_dir"), [("a", "a"), ("a", "a/m"), ("m/a", "m"), (None, "runs/x")])
def test_a_mirror_that_overlaps_leaves_nothing_behind(
    run: Callable[..., Result], tmp_path: Path, run_dir: str | None, mirror_dir: str
) -> None:
    """A run would be copied into itself; or an empty folder be left for a typing error."""
    with pytest.raises(UserError, match="mirror_dir"):
        run("complete", run_dir=run_dir, mirror_dir=mirror_dir)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_another_mirror_is_no_other_request(run: Callable[..., Result], tmp_path: Path) -> None:
    """A run could not be given a mirror when its user has learned what one is for, or another drive."""
    with pytest.raises(AutofitError):
        run("crashed@3", run_dir="a")
    with pytest.raises(AutofitError):
        run("x,crashed@3", run_dir="a", mirror_dir="m")
    assert committed(tmp_path / "m") == committed(tmp_path / "a") > (0, 8)
    run("complete", resume="a")
    assert everything_in(tmp_path / "m") == everything_in(tmp_path / "a")
    run("complete", run_dir="a", mirror_dir="another")
    assert everything_in(tmp_path / "another") == everything_in(tmp_path / "a")


def test_a_drive_that_is_broken_all_night_costs_nothing_but_the_mirror(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    """A run would end with its drive; or its mirror stay behind for good."""

    def broken(*_: Any) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    view = RecordingView()
    result = run("SIGKILL@3,complete", view, broken, run_dir="a", mirror_dir="m")
    assert result.status == "completed"
    assert_every_image_once_an_epoch(tmp_path / "a")
    assert sum("cannot be written (Input/output error)" in text for text in view.messages) == 1
    assert view.messages[-1].endswith(f"cp -r {tmp_path}/a/. {tmp_path}/m")
    assert everything_in(tmp_path / "m") == {}
    again = RecordingView()
    assert run("SIGKILL@0", again, run_dir="a", mirror_dir="m").record == result.record
    assert everything_in(tmp_path / "m") == everything_in(tmp_path / "a")
    assert not any("behind (" in text for text in again.messages)


def test_a_resumed_run_takes_up_what_its_mirror_has_more(run: Callable[..., Result], tmp_path: Path) -> None:
    """What another machine has trained meanwhile would be trained again."""
    with pytest.raises(AutofitError):
        run("crashed@3", run_dir="a", mirror_dir="m")
    run("complete", run_dir="b", mirror_dir="m")
    view = RecordingView()
    result = run("SIGKILL@0", view, resume="a")
    assert (result.run_dir, result.status) == (tmp_path / "a", "completed")
    assert f"restoring the run in {tmp_path}/m" in view.messages


def test_the_images_are_those_that_were_found_here(run: Callable[..., Result], tmp_path: Path) -> None:
    """An untrusted mirror could name any file of this machine as a photo to train on."""
    with pytest.raises(AutofitError):
        run("crashed@3", run_dir="a", mirror_dir="m")
    good = (tmp_path / "a" / "samples.csv").read_bytes()
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "m" / "samples.csv").write_bytes(good.replace(b"0.jpg", b"../../../etc/passwd"))
    run("complete", run_dir="b", mirror_dir="m")
    assert (tmp_path / "b" / "samples.csv").read_bytes() == good
    assert (tmp_path / "m" / "samples.csv").read_bytes() == good


@pytest.mark.parametrize("content", [None, "file", "run"])
def test_an_untrusted_run_is_mirrored_nowhere(run: Callable[..., Result], tmp_path: Path, content: str | None) -> None:
    """Resuming an untrusted run directory would write to any folder that its `run.json` names (promise 12)."""
    target = tmp_path / "home"
    with pytest.raises(AutofitError):
        run("crashed@3", run_dir="a", mirror_dir=target)
    shutil.rmtree(target)
    if content:
        target.mkdir()
    if content == "file":
        (target / "precious").write_text("data")
    if content == "run":
        run("complete", run_dir="another", mirror_dir=target)
    before = everything_in(target)
    view = RecordingView()
    assert run("complete", view, resume="a").status == "completed"
    assert everything_in(target) == before
    assert target.exists() is (content is not None)
    words = "it holds another run" if content == "run" else "it does not hold this run"
    assert f"the mirror {target} is behind ({words})" in view.messages[-1]


def test_an_unfinished_model_function_is_asked_for_from_a_mirror_too(
    run: Callable[..., Result], photos: Path, tmp_path: Path
) -> None:
    """The worker would be started to find that the function went with the process that gave it."""

    def network(input_shape: tuple[int, int, int], num_classes: int) -> None:
        """Never called here."""

    request = {**REQUEST, "weights": "imagenet", "run_dir": "a", "mirror_dir": "m", "model": network, "image_size": 32}
    with pytest.raises(AutofitError):
        run("crashed@3", **request)
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(UserError, match="was started with a model function: give it again"):
        run("complete", resume="m")
    assert photos.exists()
    assert run("complete", **request).status == "completed"
