"""Too many images that cannot be read end a run, in one line, and it can go on: real runs, a real small network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.cli import run_command_line
from tests.support.paths import CHILDREN
from tests.support.run_files import result_of, samples_of, updates_of

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]


Ended = tuple[int, str]
"""The exit code of a command, and what it printed on stderr."""
Command = Callable[..., Ended]


@pytest.fixture
def run_autofit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command of autofit to its end, in this process, so that its worker can be forked."""
    monkeypatch.chdir(CHILDREN)  # where the network is

    def run(*arguments: str | Path) -> Ended:
        capsys.readouterr()
        code = run_command_line([*map(str, arguments)])
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def train(run_autofit: Command) -> Command:
    """`train(folder, run_dir, *flags)`: two epochs on these photos, a checkpoint after each step."""

    def train(folder: Path, run_dir: Path, *more: str) -> Ended:
        sizes = ["--image-size", "32", "--epochs", "2", "--batch-size", "8", "--checkpoint-every", "1"]
        named = ["--model", "survivor_network:network", "--audit", "--run-dir", run_dir]
        return run_autofit("train", folder, *sizes, *named, *more)

    return train


def trained(run_dir: Path, epoch: int) -> list[int]:
    """The samples that an epoch trained on, sorted."""
    return sorted(sample for line in updates_of(run_dir, epoch) for sample in line["samples"])


def complaint(ended: Ended) -> str:
    """The one line with which a command failed, as for every error of the user."""
    code, errors = ended
    assert code == 2, errors
    last = errors.splitlines()[-1]
    assert "Traceback" not in errors
    return last.removeprefix("autofit: ")


@pytest.fixture
def folder(photos: Path, tmp_path: Path) -> Path:
    """Photos of this test's own, to be broken: 145 to train on, 36 to validate."""
    shutil.copytree(photos, tmp_path / "photos")
    return tmp_path / "photos"


def test_too_many_end_the_run_which_goes_on_when_more_are_allowed(
    folder: Path, train: Command, run_autofit: Command, tmp_path: Path
) -> None:
    """A folder of arbitrary files would silently be trained on, or the share could never be changed after the start."""
    run_dir = tmp_path / "run"
    broken = {f"{name}/{number:03d}.png" for name in ("blue", "green", "red") for number in range(0, 48, 3)}
    for path in broken:
        (folder / path).write_bytes(b"no image")

    said = complaint(train(folder, run_dir))

    count, _, rest = said.partition(" of 181 images cannot be read (the first: ")
    named = {Path(image["path"]).relative_to(folder).as_posix() for image in result_of(run_dir)["quarantined"]}
    assert len(named) == int(count) >= 19  # the first number that is more than a tenth
    assert named <= broken
    first, _, what_to_do = rest.partition(": not an image of a known format): ")
    assert first in named
    assert what_to_do == "mend them and resume, or allow more with max_bad_images"
    assert result_of(run_dir)["status"] == "failed"
    begun = trained(run_dir, 0)
    assert begun

    assert run_autofit("resume", run_dir, "--max-bad-images", "0.5")[0] == 0

    readable = sorted(index for index, path in samples_of(run_dir, "train").items() if path not in broken)
    assert [trained(run_dir, epoch) for epoch in range(2)] == [readable, readable]
    assert set(begun) < set(readable)
    named = {Path(image["path"]).relative_to(folder).as_posix() for image in result_of(run_dir)["quarantined"]}
    assert named == broken


def test_nothing_to_train_on_is_no_epoch_and_once_mended_a_whole_one(
    folder: Path, train: Command, run_autofit: Command, tmp_path: Path
) -> None:
    """An epoch of nothing would hang, divide by zero, or be the best one with a loss of 0."""
    run_dir = tmp_path / "run"
    whole = {path: path.read_bytes() for path in folder.rglob("*.png")}
    for path in whole:
        path.write_bytes(b"no image")

    said = complaint(train(folder, run_dir, "--max-bad-images", "1"))

    assert said.startswith("no image for training can be read (the first: ")
    assert ".png: " in said
    assert said.endswith("): mend them and resume")
    assert len(result_of(run_dir)["quarantined"]) == 145
    assert result_of(run_dir)["history"] == {}

    for path, data in whole.items():
        path.write_bytes(data)
    assert run_autofit("resume", run_dir)[0] == 0
    assert [trained(run_dir, epoch) for epoch in range(2)] == [list(range(145))] * 2
    assert len(result_of(run_dir)["history"]["loss"]) == 2


@pytest.mark.whole
def test_nothing_to_validate_with_ends_the_run_and_loses_no_step(
    folder: Path, train: Command, run_autofit: Command, tmp_path: Path
) -> None:
    """A validation of nothing has a loss of 0: the first epoch would be the best for ever."""
    run_dir = tmp_path / "run"
    outside = tmp_path / "validation"
    for name in ("blue", "green", "red"):
        (outside / name).mkdir(parents=True)
        (outside / name / "a.png").write_bytes(b"no image")

    said = complaint(train(folder, run_dir, "--validation", str(outside)))

    assert said.startswith("no image for validation can be read (the first: ")
    assert trained(run_dir, 0) == list(range(181))
    assert result_of(run_dir)["history"] == {}

    for name in ("blue", "green", "red"):
        shutil.copy(folder / name / "000.png", outside / name / "a.png")
    assert run_autofit("resume", run_dir)[0] == 0
    assert [trained(run_dir, epoch) for epoch in range(2)] == [list(range(181))] * 2
    assert len(result_of(run_dir)["history"]["val_loss"]) == 2
