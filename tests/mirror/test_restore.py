"""Restore a run from its mirror: the further of the two, completely, and nothing else from an untrusted mirror."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from autofit.errors import StorageError, UserError
from autofit.mirror.content import MirrorContent
from autofit.mirror.copying import Beat, UnreadableError, copy_file
from autofit.mirror.mirror import Mirror
from autofit.mirror.patience import MirrorPatience
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import RunDirectory
from tests.support.run_files import contents

LOCK = frozenset({".lock"})

Resumable = Callable[[Path], int | None]
PATIENCE = MirrorPatience(answer=5.0, lock=0.0)


def no_beat() -> None:
    """Nobody waits."""


def any_request(_: RunRecord) -> None:
    """Whatever the mirror holds is what was asked for."""


class Restore:
    """Takes up a mirror into a run directory, and keeps what is told."""

    def __init__(self, mirror: RunDirectory) -> None:
        self.mirror = mirror
        self.told: list[str] = []

    def __call__(self, path: Path, check: Callable[[RunRecord], None] = any_request, copy: Any = copy_file) -> bool:
        """Whether it was restored."""
        path.mkdir(exist_ok=True)
        with Mirror(RunDirectory(path), self.mirror.path, self.told.append, patience=PATIENCE, copy=copy) as mirror:
            return mirror.restore(check)


@pytest.fixture
def restore(mirror: RunDirectory) -> Restore:
    return Restore(mirror)


@pytest.fixture
def mirrored(training: Any, mirror: RunDirectory) -> Any:
    """A run with two generations, which are in its mirror."""
    for _ in range(2):
        training.commit()
        MirrorContent(training.files, mirror, no_beat).bring_up_to_date()
    return training


def test_a_run_whose_machine_is_gone_is_restored(
    mirrored: Any, mirror: RunDirectory, restore: Restore, resumable: Resumable, tmp_path: Path
) -> None:
    """The run would begin anew, with hours of it on the drive."""
    shutil.rmtree(mirrored.files.path)
    assert restore(tmp_path / "new")
    assert restore.told == [f"restoring the run in {mirror.path}"]
    assert resumable(tmp_path / "new") == 6
    assert contents(tmp_path / "new", LOCK) == contents(mirror.path, LOCK)
    assert not restore(tmp_path / "new")


def test_an_empty_mirror_holds_nothing_to_take_up(mirror: RunDirectory, restore: Restore, tmp_path: Path) -> None:
    """The first run with a mirror would be refused, or leave something that stands for a run."""
    shutil.rmtree(mirror.path)
    assert not restore(tmp_path / "new")
    assert contents(tmp_path / "new", LOCK) == {}


def test_every_file_of_the_mirror_comes_back(
    mirrored: Any, mirror: RunDirectory, restore: Restore, tmp_path: Path
) -> None:
    """Which images are equal (`equal-images.json`) was in the mirror and did not come back: the page lost it."""
    files = mirrored.files
    for path in (
        *(files.probe, files.fine_tune_probe, *files.feature_records(), files.equal_images, files.history),
        *(files.validation, files.test),
    ):
        path.write_text(path.name)
    mirrored.finish()
    MirrorContent(files, mirror, no_beat).bring_up_to_date(everything=True)
    kept = {name for name, _ in contents(mirror.path, LOCK).items()}
    assert {path.name for path in files.path.iterdir() if path.is_file()} - LOCK <= kept
    shutil.rmtree(files.path)
    assert restore(tmp_path / "new")
    assert contents(tmp_path / "new", LOCK) == contents(mirror.path, LOCK)


def test_the_run_directory_is_preferred_where_it_is_as_far(
    mirrored: Any, restore: Restore, resumable: Resumable
) -> None:
    """What was trained since the mirror fell behind would be lost; or be copied over a slow drive for nothing."""
    assert not restore(mirrored.files.path)
    mirrored.commit()
    assert not restore(mirrored.files.path)
    assert resumable(mirrored.files.path) == 9
    assert restore.told == []


def test_a_mirror_that_is_farther_is_taken(
    mirrored: Any, mirror: RunDirectory, restore: Restore, resumable: Resumable, tmp_path: Path
) -> None:
    """What another machine has trained meanwhile would be trained again, and then written over."""
    stale = tmp_path / "stale"
    shutil.copytree(mirrored.files.path, stale)
    log = stale / "attempts" / "0001" / "stderr.log"
    log.write_text("what only this machine has")
    mirrored.commit()
    mirrored.begin_attempt()
    mirrored.commit()
    MirrorContent(mirrored.files, mirror, no_beat).bring_up_to_date()
    assert restore(stale)
    assert resumable(stale) == 12
    assert log.read_text() == "what only this machine has"
    assert {name: data for name, data in contents(stale, LOCK).items() if name != "attempts/0001/stderr.log"} == (
        contents(mirror.path, LOCK)
    )


def test_a_finished_mirror_is_farther_than_any_other(
    mirrored: Any, mirror: RunDirectory, restore: Restore, tmp_path: Path
) -> None:
    """A run that another machine has finished would be trained to its end once more."""
    stale = tmp_path / "stale"
    shutil.copytree(mirrored.files.path, stale)
    mirrored.finish()
    MirrorContent(mirrored.files, mirror, no_beat).bring_up_to_date(everything=True)
    assert restore(stale)
    assert (stale / "model.keras").read_bytes() == b"model" * 1000
    assert (stale / "result.json").exists()


def test_a_run_that_was_trained_on_is_farther_than_the_end_that_the_mirror_has(
    mirrored: Any, mirror: RunDirectory, restore: Restore, resumable: Resumable, tmp_path: Path
) -> None:
    """What was trained with more epochs while the drive was away would be lost to the shorter run there."""
    mirrored.finish()
    MirrorContent(mirrored.files, mirror, no_beat).bring_up_to_date(everything=True)
    ended = tmp_path / "ended"
    shutil.copytree(mirrored.files.path, ended)
    finished = ResultRecord.load(mirrored.files.result)
    finished.model_copy(update={"status": "interrupted"}).save(mirrored.files.result)
    mirrored.commit()
    assert not restore(mirrored.files.path)
    assert resumable(mirrored.files.path) == 9

    MirrorContent(mirrored.files, mirror, no_beat).bring_up_to_date()  # and where another machine has trained on
    assert restore(ended)
    assert resumable(ended) == 9


def test_a_finished_run_without_checkpoints_is_left_as_it_is(mirrored: Any, restore: Restore) -> None:
    """Who has removed them for their size would find a part of the run in its place."""
    mirrored.finish()
    shutil.rmtree(mirrored.files.checkpoints)
    assert not restore(mirrored.files.path)


def test_another_request_is_refused_before_anything_is_copied(mirrored: Any, restore: Restore, tmp_path: Path) -> None:
    """A run would go on that is not the one that was asked for."""
    seen: list[RunRecord] = []

    def another(record: RunRecord) -> None:
        seen.append(record)
        raise UserError("another request")

    with pytest.raises(UserError, match="another request"):
        restore(tmp_path / "new", another)
    assert seen == [mirrored.record]
    assert contents(tmp_path / "new", LOCK) == {}


def test_two_runs_of_one_request_are_kept_apart(mirrored: Any, another: Any, restore: Restore) -> None:
    """Two runs that were begun apart would be mixed up, or one write over the other's mirror."""
    another.commit()
    with pytest.raises(UserError, match=r"mirror_dir .* holds another run of this request than .*another: give anoth"):
        restore(another.files.path)
    assert mirrored.updates > another.updates


# What is damaged -----------------------------------------------------------------------------------------------------


def test_a_damaged_newest_generation_falls_back(
    mirrored: Any,
    mirror: RunDirectory,
    restore: Restore,
    resumable: Resumable,
    damage: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    """Weights that the drive has garbled would be trained on; or the one before not be found (promise 5)."""
    damage(mirror.checkpoints / "00000002")
    assert restore(tmp_path / "new")
    assert restore.told[1] == f"checkpoint 00000002 in {mirror.path} is damaged and was left out"
    assert resumable(tmp_path / "new") == 3
    assert mirrored.updates == 6


def test_a_mirror_that_only_looks_farther_is_left_alone(
    mirrored: Any,
    mirror: RunDirectory,
    restore: Restore,
    resumable: Resumable,
    damage: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    """The good checkpoint here would give way to an older one from there."""
    here = tmp_path / "here"
    mirrored.commit()
    shutil.copytree(mirrored.files.path, here)
    mirrored.commit()
    MirrorContent(mirrored.files, mirror, no_beat).bring_up_to_date()
    damage(mirror.checkpoints / "00000004")
    before = contents(here, LOCK)
    assert not restore(here)
    assert resumable(here) == 9
    assert contents(here, LOCK) == before


@pytest.mark.parametrize("cut", [1, 40])
def test_a_ledger_that_is_shorter_than_a_checkpoint_falls_back(
    mirrored: Any, mirror: RunDirectory, restore: Restore, resumable: Resumable, tmp_path: Path, cut: int
) -> None:
    """The worker would refuse the checkpoint, and the run could not go on at all."""
    with mirror.audit.open("r+b") as audit_log:
        audit_log.truncate(mirrored.files.audit.stat().st_size - cut)
    assert restore(tmp_path / "new")
    assert resumable(tmp_path / "new") == 3


def test_a_ledger_of_another_story_falls_back(
    mirrored: Any, mirror: RunDirectory, restore: Restore, resumable: Resumable, tmp_path: Path
) -> None:
    """A line cut in two would be left in the audit_log, and every epoch after it be no permutation to any reader."""
    data = mirror.audit.read_bytes()
    mirror.audit.write_bytes(data[: len(data) // 2] + b"x" + data[len(data) // 2 :])
    assert restore(tmp_path / "new")
    assert resumable(tmp_path / "new") == 3
    assert mirrored.updates == 6


def test_without_a_good_generation_it_begins_anew(
    mirrored: Any, mirror: RunDirectory, restore: Restore, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    """A run could not be started at all, with nothing in the mirror to be lost."""
    for generation in mirror.checkpoints.iterdir():
        damage(generation)
    assert restore(tmp_path / "new")
    assert len(restore.told) == 3
    assert list((tmp_path / "new" / "checkpoints").iterdir()) == []
    assert RunRecord.load(tmp_path / "new" / "run.json") == mirrored.record


def test_generations_that_cannot_be_read_just_now_are_no_reason_to_begin_anew(
    mirrored: Any, restore: Restore, resumable: Resumable, tmp_path: Path
) -> None:
    """An hour without the network would cost all that was trained: begun anew, the run writes over its mirror."""

    def failing(source: IO[bytes], target: Path, size_bytes: int, beat: Beat) -> str:
        if target.suffix == ".safetensors":
            raise UnreadableError(errno.EIO, os.strerror(errno.EIO))
        return copy_file(source, target, size_bytes, beat)

    with pytest.raises(StorageError, match=r"cannot be restored to .*new \(Input/output error\): the drive fails"):
        restore(tmp_path / "new", copy=failing)
    assert not (tmp_path / "new" / "run.json").exists()
    assert restore(tmp_path / "new")
    assert resumable(tmp_path / "new") == 6
    assert mirrored.updates == 6


@pytest.mark.parametrize("content", [b"", b'{"schema": "autofit/run/1", "op', b"[1]"], ids=["empty", "cut", "other"])
def test_a_damaged_request_is_refused_where_it_is_needed(
    mirrored: Any, mirror: RunDirectory, restore: Restore, tmp_path: Path, content: bytes
) -> None:
    """A new run would begin, and be mirrored over what may still be mended; or an intact run here be stopped by it."""
    mirror.run.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be used \(run.json is not a valid RunRecord: .*leave mirror_dir"):
        restore(tmp_path / "new")
    assert contents(tmp_path / "new", LOCK) == {}
    assert not restore(mirrored.files.path)


# What fails on the way -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("is_finished", [False, True])
def test_killed_anywhere_it_is_restored_once_more(
    mirrored: Any,
    mirror: RunDirectory,
    restore: Restore,
    resumable: Resumable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_finished: bool,
) -> None:
    """Half of one run and half of another would lie in the run directory, and be gone on with."""
    if is_finished:
        mirrored.finish()
    stale = tmp_path / "stale"
    shutil.copytree(mirrored.files.path, stale)
    mirrored.commit()  # of a finished run: with more epochs
    MirrorContent(mirrored.files, mirror, no_beat).bring_up_to_date(everything=is_finished)
    for moment in range(100):
        here = tmp_path / f"here-{moment}"
        shutil.copytree(stale, here)
        steps = count_of_steps(moment)
        with monkeypatch.context() as patched:
            for name in ("replace", "rename", "unlink"):
                patched.setattr(Path, name, steps(getattr(Path, name)))
            was_killed = raises_killed(restore, here)
        assert resumable(here) in {None, 6, 9}
        if not was_killed:
            break
        assert restore(here) or resumable(here) == 9
        assert resumable(here) == 9
        assert contents(here, LOCK) == contents(mirror.path, LOCK)
    assert moment > 20


class KilledError(BaseException):
    """Stands for the end of the process."""


def count_of_steps(moment: int) -> Callable[[Any], Any]:
    """Wraps functions, all of which together can be called so many times."""
    left = [moment]

    def wrap(step: Any) -> Any:
        def counted(path: Path, *given: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KilledError
            return step(path, *given, **named)

        return counted

    return wrap


def raises_killed(restore: Restore, here: Path) -> bool:
    try:
        restore(here)
    except KilledError:
        return True
    return False


def test_a_full_disk_here_leaves_what_was_here(
    mirrored: Any, mirror: RunDirectory, restore: Restore, resumable: Resumable, tmp_path: Path
) -> None:
    """The older state would be given up for one that there is no room for."""
    stale = tmp_path / "stale"
    shutil.copytree(mirrored.files.path, stale)
    mirrored.commit()
    MirrorContent(mirrored.files, mirror, no_beat).bring_up_to_date()

    def full(source: IO[bytes], target: Path, size_bytes: int, beat: Beat) -> str:
        if target.name == "manifest.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return copy_file(source, target, size_bytes, beat)

    with pytest.raises(StorageError, match=r"No space left on device\): make room"):
        restore(stale, copy=full)
    assert resumable(stale) == 6
    assert restore(stale)
    assert resumable(stale) == 9


# Untrusted mirrors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run.json", "samples.csv", "audit.jsonl", "attempts", "checkpoints"])
def test_no_link_is_followed(mirrored: Any, mirror: RunDirectory, restore: Restore, tmp_path: Path, name: str) -> None:
    """An untrusted mirror would bring a copy of any file of this machine into the run directory."""
    outside = tmp_path / "outside"
    (mirror.path / name).rename(outside)
    (mirror.path / name).symlink_to(outside)
    with pytest.raises((UserError, StorageError), match=r"mirror .*(ymbolic link|is no folder)"):
        restore(tmp_path / "new")
    assert not (tmp_path / "new" / "run.json").exists()
    assert mirrored.updates == 6


@pytest.mark.parametrize("name", ["attempts/0001", "checkpoints/00000002"])
def test_a_link_among_others_is_passed_over(
    mirrored: Any, mirror: RunDirectory, restore: Restore, tmp_path: Path, name: str
) -> None:
    """As above, for what there may be many of."""
    outside = tmp_path / "outside"
    (mirror.path / name).rename(outside)
    (mirror.path / name).symlink_to(outside)
    assert restore(tmp_path / "new")
    assert not (tmp_path / "new" / name).exists()
    assert mirrored.updates == 6


@pytest.mark.parametrize("name", ["run.json", "samples.csv", "attempts/0001/events.jsonl"])
def test_a_pipe_is_not_waited_for(
    mirrored: Any, mirror: RunDirectory, restore: Restore, tmp_path: Path, name: str
) -> None:
    """A pipe in an untrusted mirror would hang the call for ever."""
    (mirror.path / name).unlink()
    os.mkfifo(mirror.path / name)
    with pytest.raises((UserError, StorageError), match="is no regular file"):
        restore(tmp_path / "new")
    assert mirrored.updates == 6


def test_only_files_of_known_names_are_taken(
    mirrored: Any, mirror: RunDirectory, restore: Restore, tmp_path: Path
) -> None:
    """A foreign `numpy.py` or `.lock` would be copied along, and might be imported or locked."""
    for name in ("numpy.py", "attempts/0001/numpy.py", "attempts/notes", "checkpoints/00000002/more", "checkpoints/x"):
        (mirror.path / name).write_text("strange")
    assert restore(tmp_path / "new")
    assert [name for name, data in contents(tmp_path / "new", LOCK).items() if data == b"strange"] == []
    assert mirrored.updates == 6
