"""The audit log tells the same story as the checkpoint, and another run can follow it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autofit.errors import StorageError, UserError
from autofit.worker.training.audit_log import AuditLog, read_micro_batch_sizes
from autofit.worker.training.replay import Replay
from autofit.worker.training.training_progress import TrainingProgress
from tests.support.records import make_plan


def write(audit_log: AuditLog, *, attempt: int = 1, epoch: int = 0, step: int = 0, micro: int = 4) -> None:
    audit_log.write(attempt=attempt, epoch=epoch, step=step, micro_batch_size=micro, samples=[step, 7], skipped=[9])


def test_a_line_says_what_an_update_was_made_of(tmp_path: Path) -> None:
    """The names in a line are a contract: whoever checks a run reads them."""
    path = tmp_path / "audit.jsonl"
    audit_log = AuditLog(path, 0)
    write(audit_log, attempt=3, epoch=1, step=2)
    assert json.loads(path.read_text()) == {
        "attempt": 3,
        "epoch": 1,
        "step": 2,
        "micro_batch_size": 4,
        "samples": [2, 7],
        "skipped": [9],
    }
    audit_log.close()


def test_a_line_of_a_skipped_update_says_so_and_is_followed(tmp_path: Path) -> None:
    """A reader would take the weights for updated; or a replay of the run be refused for the word in its log."""
    audit_log = AuditLog(tmp_path / "audit.jsonl", 0)
    for step, applied in enumerate((True, False)):
        audit_log.write(attempt=1, epoch=0, step=step, micro_batch_size=4, samples=[1], skipped=[], applied=applied)
    audit_log.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line.get("applied") for line in lines] == [None, False]
    assert read_micro_batch_sizes(tmp_path) == {("", 0, 0): 4, ("", 0, 1): 4}


def test_what_no_checkpoint_has_is_cut_off(tmp_path: Path) -> None:
    """Updates that died with a worker would stand in the audit log beside those that replace them."""
    path = tmp_path / "audit.jsonl"
    audit_log = AuditLog(path, 0)
    write(audit_log, step=0)
    committed = audit_log.commit()
    write(audit_log, step=1)
    with path.open("ab") as torn:
        torn.write(b'{"attempt":1,"ep')
    audit_log.close()
    again = AuditLog(path, committed)
    assert again.commit() == committed == path.stat().st_size
    write(again, attempt=2, step=1)
    assert again.commit() == path.stat().st_size
    again.close()
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["attempt"], line["step"]) for line in written] == [(1, 0), (2, 1)]


def test_a_ledger_that_has_lost_lines_is_not_filled_with_nothing(tmp_path: Path) -> None:
    """A file that was removed would come back as zeros of the committed length, and go on from there."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"x" * 10)
    with pytest.raises(StorageError) as caught:
        AuditLog(path, 11)
    assert str(caught.value) == (
        f"{path} has 10 bytes, but the checkpoint counts on 11: bring the file back, "
        "or start anew in another run directory"
    )
    assert path.read_bytes() == b"x" * 10


def test_without_a_path_nothing_is_written(tmp_path: Path) -> None:
    """A run without an audit would leave a file behind."""
    audit_log = AuditLog(None, 0)
    write(audit_log)
    assert audit_log.commit() == 0
    audit_log.close()
    assert list(tmp_path.iterdir()) == []


def test_a_recorded_run_can_be_followed(tmp_path: Path) -> None:
    """The replay of a run that ran out of memory would take other micro-batches than it did."""
    audit_log = AuditLog(tmp_path / "audit.jsonl", 0)
    for epoch, step, micro in ((0, 0, 8), (0, 1, 4), (1, 0, 2)):
        write(audit_log, epoch=epoch, step=step, micro=micro)
    audit_log.close()
    assert read_micro_batch_sizes(tmp_path) == {("", 0, 0): 8, ("", 0, 1): 4, ("", 1, 0): 2}


def test_a_stage_that_was_cut_short_is_not_followed_into_the_next(tmp_path: Path) -> None:
    """Epochs are counted on over stages: the replay of a head of 7 epochs would train an eighth, as fine-tuning did."""
    committed = 0
    for stage, epoch in (("head", 0), ("fine-tune", 1)):
        audit_log = AuditLog(tmp_path / "audit.jsonl", committed, stage)
        write(audit_log, epoch=epoch)
        committed = audit_log.commit()
        audit_log.close()
    assert read_micro_batch_sizes(tmp_path) == {("head", 0, 0): 4, ("fine-tune", 1, 0): 4}
    followed = make_plan(replay=str(tmp_path), ends_with_ledger=True)
    head, tuning = (TrainingProgress(epoch=epoch, position=0, step=0) for epoch in (0, 1))
    assert not Replay(followed, "head").is_over(head)
    assert Replay(followed, "head").is_over(tuning)
    assert not Replay(followed, "fine-tune").is_over(tuning)


def test_a_head_whose_fine_tuning_was_left_out_is_followed_by_a_training(tmp_path: Path) -> None:
    """The replay, which is planned in one stage, would be over before its first step, and its model be untrained."""
    audit_log = AuditLog(tmp_path / "audit.jsonl", 0, "head")
    write(audit_log, micro=2)
    audit_log.close()
    replay = Replay(make_plan(replay=str(tmp_path), ends_with_ledger=True), "training")
    assert not replay.is_over(TrainingProgress())
    assert replay.size(TrainingProgress(), 8) == 2
    assert replay.is_over(TrainingProgress(epoch=1))


def test_a_log_without_stages_is_followed_as_before(tmp_path: Path) -> None:
    """The replay of a run of an earlier version would make no step at all."""
    audit_log = AuditLog(tmp_path / "audit.jsonl", 0)
    write(audit_log, epoch=1, micro=2)
    audit_log.close()
    replay = Replay(make_plan(replay=str(tmp_path), ends_with_ledger=True), "fine-tune")
    assert not replay.is_over(TrainingProgress(epoch=1, position=0, step=0))
    assert replay.size(TrainingProgress(epoch=1, position=0, step=0), 8) == 2


def test_a_solved_head_of_many_images_can_be_followed(tmp_path: Path) -> None:
    """Its one line lists them all; a replay would be refused, and the log of the run called damaged."""
    audit_log = AuditLog(tmp_path / "audit.jsonl", 0)
    images = range(1_000_000, 1_400_000)
    audit_log.write(attempt=1, epoch=0, step=0, micro_batch_size=400_000, samples=images, skipped=[])
    audit_log.close()
    assert read_micro_batch_sizes(tmp_path) == {("", 0, 0): 400_000}


GOOD = '{"attempt":1,"epoch":0,"step":0,"micro_batch_size":4,"samples":[],"skipped":[]}'


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"\xff",
        GOOD[:-1].encode(),
        GOOD.replace(":4", ":0").encode(),
        GOOD.replace(":4", ":Infinity").encode(),
        GOOD.replace(":4", ':"many"').encode(),
        GOOD.replace('"step":0,', "").encode(),
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, damage: bytes) -> None:
    """A replay would go on with sizes of its own, and call the result the same."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(f"{GOOD}\n{GOOD}\n".encode() + damage + b"\n")
    with pytest.raises(UserError) as caught:
        read_micro_batch_sizes(tmp_path)
    assert str(caught.value) == f"replay: line 3 of {path} is damaged: follow another run"


def test_a_ledger_that_cannot_be_read_is_the_users_error(tmp_path: Path) -> None:
    """A traceback, for a run directory that was moved."""
    with pytest.raises(
        UserError, match=r"audit.jsonl cannot be read \(No such file or directory\): follow another run"
    ):
        read_micro_batch_sizes(tmp_path)
