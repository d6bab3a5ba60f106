"""What of a run is in its mirror: enough to resume it at any time, and nothing half."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from autofit.mirror.content import MirrorContent, NotOursError
from autofit.mirror.copying import Beat, copy_file
from autofit.mirror.restore import held_by
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.paths import CHILDREN, child_environment
from tests.support.run_files import contents

WRITER = CHILDREN / "mirror_writer.py"

Resumable = Callable[[Path], int | None]


def no_beat() -> None:
    """Nobody waits."""


def content(training: Any, mirror: RunDirectory, copy: Any = copy_file) -> MirrorContent:
    return MirrorContent(training.files, mirror, no_beat, copy)


def generations(mirror: RunDirectory) -> list[str]:
    return sorted(path.name for path in mirror.checkpoints.iterdir())


class Breaking:
    """Copies until its time has come, and then fails once in the middle of a file."""

    def __init__(self, after: int, failure: BaseException) -> None:
        self.left, self.failure = after, failure
        self.has_failed = False

    def __call__(self, source: IO[bytes], target: Path, size_bytes: int, beat: Beat) -> str:
        """Copy, or fail."""
        self.left -= 1
        if self.left == -1:
            target.write_bytes(source.read(size_bytes // 2))
            self.has_failed = True
            raise self.failure
        return copy_file(source, target, size_bytes, beat)

    def fail(self, *_: object) -> None:
        """Fail at once."""
        raise self.failure


def test_a_mirror_is_a_run_directory(training: Any, mirror: RunDirectory, resumable: Resumable) -> None:
    """What a resume needs would be missing just when the machine is gone."""
    one = content(training, mirror)
    one.bring_up_to_date()
    held = held_by(mirror)
    assert held
    assert (held.record, held.progress) == (training.record, (0, -1, False))

    training.commit()
    one.bring_up_to_date()
    assert resumable(mirror.path) == 3
    training.finish()
    one.bring_up_to_date(everything=True)

    here, there = contents(training.files.path), contents(mirror.path)
    assert there == here
    held = held_by(mirror)
    assert held
    assert held.progress == (0, 3, True)


def test_predictions_of_a_former_model_do_not_stay(training: Any, mirror: RunDirectory) -> None:
    """A restored run would show the mistakes of another model than its own."""
    one = content(training, mirror)
    training.files.validation.write_bytes(b"of the best")
    training.commit()
    one.bring_up_to_date()
    assert mirror.validation.read_bytes() == b"of the best"
    training.files.validation.unlink()
    training.commit()
    one.bring_up_to_date()
    assert not mirror.validation.exists()


def test_of_a_heartbeat_the_first_line_and_the_last_are_kept(training: Any, mirror: RunDirectory) -> None:
    """The drive would take up all of it again with each commit; or a lost machine's hours be missing in the result."""
    for _ in range(3):
        training.commit()
    with training.files.attempts()[0].progress.open("a") as progress:
        progress.write("half a li")
    content(training, mirror).bring_up_to_date()
    assert (mirror.path / "attempts" / "0001" / "progress.jsonl").read_text() == "first\nupdate 9\n"


def test_the_last_two_generations_are_kept(training: Any, mirror: RunDirectory, resumable: Resumable) -> None:
    """The drive would fill with checkpoints, or hold none to fall back to."""
    one = content(training, mirror)
    for number in range(1, 6):
        training.commit()
        one.bring_up_to_date()
        assert resumable(mirror.path) == 3 * number
    assert generations(mirror) == ["00000004", "00000005"]


def test_without_a_new_checkpoint_nothing_is_written(training: Any, mirror: RunDirectory) -> None:
    """A drive that uploads all that is written would be kept busy all night, for a heartbeat."""
    copies: list[Path] = []

    def counting(source: IO[bytes], target: Path, size_bytes: int, beat: Beat) -> str:
        copies.append(target)
        return copy_file(source, target, size_bytes, beat)

    one = content(training, mirror, counting)
    training.commit()
    one.bring_up_to_date()
    assert copies
    copies.clear()
    training.files.attempts()[0].progress.write_text("another\n")
    one.bring_up_to_date()
    assert copies == []


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_copy_that_fails_anywhere_leaves_a_mirror_to_resume_from(
    training: Any, mirror: RunDirectory, resumable: Resumable, tmp_path: Path, code: int
) -> None:
    """A drive that fails at the wrong moment would leave half a checkpoint, or a log that does not belong to it."""
    training.commit()
    content(training, mirror).bring_up_to_date()
    training.commit()
    content(training, mirror).bring_up_to_date()
    training.commit()
    training.finish()
    before = tmp_path / "before"
    shutil.copytree(mirror.path, before)
    for moment in range(100):
        shutil.rmtree(mirror.path)
        shutil.copytree(before, mirror.path)
        breaking = Breaking(moment, OSError(code, "broken"))
        one = content(training, mirror, breaking)
        if not is_broken(one):
            break
        assert breaking.has_failed
        assert resumable(mirror.path) in {6, 9}
        one.bring_up_to_date()
        assert resumable(mirror.path) == 9
        assert contents(mirror.path).keys() - contents(before).keys() >= {"result.json"}
        assert [name for name in contents(mirror.path) if "/." in f"/{name}"] == []
    assert moment == 15  # one a file


def is_broken(one: MirrorContent) -> bool:
    try:
        one.bring_up_to_date()
    except OSError:
        return True
    return False


def test_a_full_drive_makes_room_by_giving_up_its_older_generation(
    training: Any, mirror: RunDirectory, resumable: Resumable
) -> None:
    """A drive with room for two generations would never take a third, and stay behind for the rest of the run."""
    one = content(training, mirror)
    for _ in range(2):
        training.commit()
        one.bring_up_to_date()
    assert generations(mirror) == ["00000001", "00000002"]
    training.commit()
    full = content(training, mirror, Breaking(3, OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        full.bring_up_to_date()
    assert generations(mirror) == ["00000002"]
    full.bring_up_to_date()
    assert resumable(mirror.path) == 9


def test_a_generation_that_is_removed_while_it_is_copied_arrives_whole(
    training: Any, mirror: RunDirectory, resumable: Resumable
) -> None:
    """A drive slower than the checkpoints come would never get one whole."""
    training.commit()

    def overtaken(source: IO[bytes], target: Path, size_bytes: int, beat: Beat) -> str:
        if target.suffix == ".safetensors":
            training.commit()
            training.commit()
        return copy_file(source, target, size_bytes, beat)

    one = content(training, mirror, overtaken)
    one.bring_up_to_date()
    assert not (training.files.checkpoints / "00000001").exists()
    assert resumable(mirror.path) == 3
    one.bring_up_to_date()
    assert resumable(mirror.path) == 3 * 5


def test_a_generation_that_is_removed_before_it_is_copied_is_passed_over(
    training: Any, mirror: RunDirectory, resumable: Resumable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy would fail, for a checkpoint that nobody needs any more."""
    training.commit()
    stale, listed = training.store.manifests(), CheckpointStore.manifests
    training.commit()
    training.commit()
    assert not (training.files.checkpoints / "00000001").exists()
    answers = [listed(training.store), stale]  # whether there is news, and then what to copy

    def once_stale(store: CheckpointStore) -> Any:
        return answers.pop(0) if answers and store.folder == training.files.checkpoints else listed(store)

    monkeypatch.setattr(CheckpointStore, "manifests", once_stale)
    content(training, mirror).bring_up_to_date()
    assert answers == []
    assert resumable(mirror.path) == 9


def test_a_damaged_generation_is_not_mirrored(
    training: Any, mirror: RunDirectory, resumable: Resumable, damage: Callable[[Path], None]
) -> None:
    """Rot on the local disk would spread to the drive, and push the good checkpoint out there."""
    training.commit()
    training.commit()
    damage(training.files.checkpoints / "00000002")
    one = content(training, mirror)
    one.bring_up_to_date()
    assert generations(mirror) == ["00000001"]
    training.commit()
    one.bring_up_to_date()
    assert generations(mirror) == ["00000001", "00000003"]
    assert resumable(mirror.path) == 9


def test_a_run_that_went_back_takes_its_mirror_along(training: Any, mirror: RunDirectory, resumable: Resumable) -> None:
    """After a damaged checkpoint the log is written anew: the mirror's would be of both stories, and of neither."""
    one = content(training, mirror)
    for updates in (2, 5):
        training.commit(updates)
        one.bring_up_to_date()
    training.go_back()
    assert training.updates == 2
    training.commit(updates=7)
    one.bring_up_to_date()
    assert resumable(mirror.path) == 9
    assert [json.loads(line)["attempt"] for line in mirror.audit.read_text().splitlines()] == [1] * 2 + [2] * 7
    assert generations(mirror) == ["00000001", "00000003"]  # the second is of the other story


def test_a_run_that_went_back_leaves_no_old_story_beside_a_new_audit_log(
    training: Any, mirror: RunDirectory, resumable: Resumable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine lost at that moment would leave weights and a audit log that do not belong together."""
    training.commit(updates=2)
    training.commit(updates=5)
    content(training, mirror).bring_up_to_date()
    training.go_back()
    training.commit(updates=4)
    with monkeypatch.context() as lost:
        lost.setattr("autofit.mirror.content.place_generation", Breaking(0, OSError(errno.EIO, "lost")).fail)
        assert is_broken(content(training, mirror))
    assert resumable(mirror.path) is None
    for moment in range(100):
        breaking = Breaking(moment, OSError(errno.EIO, "broken"))
        was_broken = is_broken(content(training, mirror, breaking))
        story = [json.loads(line)["attempt"] for line in mirror.audit.read_text().splitlines()]
        assert (resumable(mirror.path), story) in [(7, [1] * 7), (None, [1] * 2 + [2] * 4), (6, [1] * 2 + [2] * 4)]
        if not was_broken:
            break
    assert story == [1] * 2 + [2] * 4
    assert resumable(mirror.path) == 6


def test_an_audit_log_that_is_cut_while_it_is_copied_is_not_taken(
    training: Any, mirror: RunDirectory, resumable: Resumable
) -> None:
    """The mirror's audit log would be of two stories, and its checkpoints of one."""
    training.commit(updates=2)
    training.commit(updates=5)
    content(training, mirror).bring_up_to_date()
    training.commit(updates=1)

    def overtaken(source: IO[bytes], target: Path, size_bytes: int, beat: Beat) -> str:
        copied = copy_file(source, target, size_bytes, beat)
        if "audit" in target.name and training.attempt == 1:
            training.go_back()
            training.commit(updates=2)
            assert resumable(mirror.path) == 7
        return copied

    content(training, mirror, overtaken).bring_up_to_date()
    assert resumable(mirror.path) == 9


def test_a_drive_that_fails_is_not_taken_for_an_empty_one(
    training: Any, another: Any, mirror: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run would be written over because the drive could not say just then that it is there."""
    another.commit()
    content(another, mirror).bring_up_to_date()
    before = contents(mirror.path)
    training.commit()

    def failing(path: Path) -> Any:
        if path.is_relative_to(mirror.path):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return os.lstat(path)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "lstat", failing)
        broken.setattr("autofit.mirror.content.read_run", lambda _: None)
        with pytest.raises(OSError, match="Input/output error"):
            content(training, mirror).bring_up_to_date()
    assert contents(mirror.path) == before


def test_what_an_earlier_life_has_left_goes_when_a_newer_generation_is_safe(
    training: Any, mirror: RunDirectory, resumable: Resumable
) -> None:
    """A run that was resumed from an older state has other generations of the same and of higher numbers there."""
    training.commit()
    content(training, mirror).bring_up_to_date()
    old = training.files.path.with_name("old")
    shutil.copytree(training.files.path, old)
    for _ in range(5):
        training.commit()
        content(training, mirror).bring_up_to_date()
    shutil.rmtree(training.files.path)
    old.rename(training.files.path)
    training.updates = 3
    assert generations(mirror) == ["00000005", "00000006"]

    one = content(training, mirror)
    training.commit(updates=1)
    one.bring_up_to_date()
    assert generations(mirror) == ["00000002"]
    assert resumable(mirror.path) == 4


def test_leftovers_of_a_killed_copy_are_swept(training: Any, mirror: RunDirectory) -> None:
    """Every kill would leave a checkpoint's worth of bytes on the drive."""
    training.commit()
    content(training, mirror).bring_up_to_date()
    for name in (".saving-abc", ".removed-00000000"):
        shutil.copytree(mirror.checkpoints / "00000001", mirror.checkpoints / name)
    halves = [mirror.path / ".audit.jsonl.part", mirror.path / "attempts" / "0001" / ".memory.part"]
    for path in halves:
        path.write_text("half")
    training.commit()
    one = content(training, mirror)
    one.bring_up_to_date()
    assert generations(mirror) == ["00000001", "00000002"]
    assert [path for path in halves if path.exists()] == []
    halves[0].write_text("half")  # of a copy that failed, and could not be removed either
    training.commit()
    one.bring_up_to_date()
    assert generations(mirror) == ["00000002", "00000003"]
    assert not halves[0].exists()


def test_a_mirror_that_somebody_has_deleted_is_made_again(
    training: Any, mirror: RunDirectory, resumable: Resumable
) -> None:
    """What is thought to be there already would be missing in it for ever."""
    one = content(training, mirror)
    training.commit()
    one.bring_up_to_date()
    shutil.rmtree(mirror.path)
    mirror.path.mkdir()
    training.commit()
    one.bring_up_to_date()
    assert resumable(mirror.path) == 6
    assert contents(mirror.path).keys() >= {"run.json", "samples.csv", "attempts/0001/events.jsonl"}


def test_a_result_is_copied_after_the_checkpoint_that_it_belongs_to(
    training: Any, mirror: RunDirectory, resumable: Resumable
) -> None:
    """A run that ends while the mirror is busy would be counted as whole there, without its last checkpoint."""
    training.commit()

    def ending(source: IO[bytes], target: Path, size_bytes: int, beat: Beat) -> str:
        if target.parent.name == "0001" and not training.files.result.exists():
            training.commit()
            training.finish()
        return copy_file(source, target, size_bytes, beat)

    one = content(training, mirror, ending)
    one.bring_up_to_date()
    assert training.files.result.exists()
    assert not mirror.result.exists()
    content(training, mirror).bring_up_to_date()
    assert mirror.result.exists()
    assert resumable(mirror.path) == 6


def test_a_finished_run_that_is_there_is_not_copied_again(training: Any, mirror: RunDirectory) -> None:
    """Each look at a finished run would send its model over the net once more."""
    training.commit()
    training.finish()
    content(training, mirror).bring_up_to_date(everything=True)
    content(training, mirror, Breaking(0, OSError("copied"))).bring_up_to_date(everything=True)


def test_a_drive_that_reads_back_differently_has_failed(
    training: Any, mirror: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint that the drive has garbled would be counted as safe."""
    training.commit()
    monkeypatch.setattr("autofit.mirror.copying.sha256_of", lambda *_: "garbled")
    with pytest.raises(OSError, match="what was written reads back differently"):
        content(training, mirror).bring_up_to_date()
    assert contents(mirror.path) == {}


# What is not ours ----------------------------------------------------------------------------------------------------


def test_another_run_is_not_written_over(training: Any, another: Any, mirror: RunDirectory) -> None:
    """The only copy of a run whose machine is gone would be replaced by another's first minute."""
    another.commit()
    content(another, mirror).bring_up_to_date()
    before = contents(mirror.path)
    training.commit()
    with pytest.raises(NotOursError, match="it holds another run"):
        content(training, mirror).bring_up_to_date()
    assert contents(mirror.path) == before


@pytest.mark.parametrize("name", ["validation.npy", "test.npy", "equal-images.json"])
def test_arrays_of_somebodys_own_are_not_removed(training: Any, mirror: RunDirectory, name: str) -> None:
    """A folder of the user's own `test.npy` would lose it: a run without test images has none in its mirror."""
    (mirror.path / name).write_text("mine")
    training.commit()
    with pytest.raises(NotOursError, match=rf"it holds {name} of something else"):
        content(training, mirror).bring_up_to_date()
    assert contents(mirror.path) == {name: b"mine"}


@pytest.mark.parametrize("name", ["model.keras", "labels.json", "attempts/0001", "checkpoints/00000001"])
def test_a_folder_with_other_files_is_not_written_over(
    training: Any, another: Any, mirror: RunDirectory, name: str
) -> None:
    """Somebody's own `model.keras` in their drive would be lost, or another run's checkpoints resumed as this one's."""
    another.commit()
    another.finish()
    source = another.files.path / name
    if source.is_dir():
        shutil.copytree(source, mirror.path / name)
    else:
        shutil.copy(source, mirror.path / name)
    before = contents(mirror.path)
    with pytest.raises(NotOursError, match=rf"it holds {Path(name).name} of something else"):
        content(training, mirror).bring_up_to_date()
    assert contents(mirror.path) == before


@pytest.mark.parametrize("name", ["checkpoints", "attempts", "attempts/0001"])
def test_a_link_in_place_of_a_folder_leads_nowhere(
    training: Any, mirror: RunDirectory, tmp_path: Path, name: str
) -> None:
    """A mirror that an attacker has prepared would make autofit write, and delete, outside of it."""
    training.commit()
    content(training, mirror).bring_up_to_date()
    outside = tmp_path / "outside"
    (mirror.path / name).rename(outside)
    (mirror.path / name).symlink_to(outside)
    before = contents(outside)
    training.commit()
    training.begin_attempt()
    training.files.attempts()[0].events.write_text("more\n")
    with pytest.raises(OSError, match=f"{Path(name).name} is no folder"):
        content(training, mirror).bring_up_to_date()
    assert contents(outside) == before


@pytest.mark.parametrize("name", ["samples.csv", ".samples.csv.part", "audit.jsonl", "attempts/0001/events.jsonl"])
def test_a_link_in_place_of_a_file_is_replaced_and_not_followed(
    training: Any, mirror: RunDirectory, tmp_path: Path, name: str
) -> None:
    """As for folders: a file elsewhere would be written over."""
    training.commit()
    content(training, mirror).bring_up_to_date()
    outside = tmp_path / "outside"
    outside.write_text("precious")
    (mirror.path / name).unlink(missing_ok=True)
    (mirror.path / name).symlink_to(outside)
    training.commit()
    content(training, mirror).bring_up_to_date()
    assert outside.read_text() == "precious"
    assert not (mirror.path / name).is_symlink()


def test_a_link_in_place_of_the_request_is_not_read(training: Any, mirror: RunDirectory) -> None:
    """The request of another folder would be taken for the mirror's."""
    (mirror.path / "run.json").symlink_to(training.files.run)
    training.commit()
    with pytest.raises(OSError, match=r"[Ss]ymbolic"):
        content(training, mirror).bring_up_to_date()
    assert [path.name for path in mirror.path.iterdir()] == ["run.json"]


def test_a_link_among_the_generations_is_left_alone(
    training: Any, mirror: RunDirectory, tmp_path: Path, resumable: Resumable
) -> None:
    """What a link named like a generation, or like a leftover, points to would be emptied and removed."""
    training.commit()
    content(training, mirror).bring_up_to_date()
    outside = tmp_path / "outside"
    shutil.copytree(mirror.checkpoints / "00000001", outside)
    before = contents(outside)
    for name in ("00000002", ".removed-00000000", ".saving-xyz"):
        (mirror.checkpoints / name).symlink_to(outside)
    training.commit()
    content(training, mirror).bring_up_to_date()
    assert contents(outside) == before
    assert resumable(mirror.path) == 6


# A real drive that is full -------------------------------------------------------------------------------------------


def overflow(training: Any, drive: Path, limit_bytes: int, *prefix: str) -> subprocess.CompletedProcess[str]:
    """Mirror a small checkpoint, then one that does not fit, then a small one, in `mirror_writer.py`."""
    command = [*prefix, sys.executable, str(WRITER), str(training.files.path), str(drive), str(limit_bytes)]
    environment = child_environment(OPENBLAS_NUM_THREADS="1")
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def assert_got_over(ended: subprocess.CompletedProcess[str], reason: str) -> None:
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [
        ["", "00000001", 1],
        [reason, "00000001", 1],
        ["", "00000001,00000003", 3],
    ]


def test_a_file_size_limit_keeps_the_last_generation(training: Any, mirror: RunDirectory) -> None:
    """A file that is cut short would be taken for whole, or its part be left behind."""
    assert_got_over(overflow(training, mirror.path, 2**18), "File too large")


def test_a_full_drive_keeps_the_last_generation(training: Any, mirror: RunDirectory) -> None:
    """A drive that fills would cost the checkpoint that is there, or never be written again."""
    in_tiny_disk = 'mount -t tmpfs -o size=1m tmpfs "$0" || exit 77; exec "$@"'
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", in_tiny_disk, str(mirror.path)]
    if not shutil.which("unshare") or subprocess.run([*prefix[:4], "true"], check=False).returncode:
        pytest.skip("no user namespaces here")
    ended = overflow(training, mirror.path, 0, *prefix)
    if ended.returncode == 77:
        pytest.skip("no small filesystem can be mounted here")
    assert_got_over(ended, "No space left on device")
