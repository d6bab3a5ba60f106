"""What the mirror's tests share: a run that commits when it is told to, without a worker."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autofit.runs.result_record import AttemptRecord, ResultRecord
from autofit.runs.run_record import RunRecord
from autofit.storage.checkpoints import Checkpoint, CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.paths import load_child

LEDGER_LINE_BYTES = 32


class Training:
    """Writes what a worker writes: each update a line of the audit_log, and with each commit a checkpoint."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        self.files, self.record = RunDirectory(path), record
        path.mkdir(parents=True)
        record.save(self.files.run)
        self.files.samples.write_text("index,path,label,split\n")
        self.store = CheckpointStore(self.files.checkpoints)
        self.updates = 0
        self.begin_attempt()

    def begin_attempt(self) -> None:
        """The next life of a worker."""
        self.attempt, folder = self.files.new_attempt()
        folder.job.write_text("{}")
        folder.events.write_text('{"message":"begun"}\n')
        folder.progress.write_text("first\n")

    def commit(self, updates: int = 3, size: int = 4) -> int:
        """Make some updates and commit them: arrays of `size` numbers that all say which update is the last."""
        with self.files.audit.open("a") as audit_log:
            for _ in range(updates):
                self.updates += 1
                audit_log.write(json.dumps({"attempt": self.attempt, "update": self.updates}).ljust(31) + "\n")
        with self.files.attempts()[-1].progress.open("a") as progress:
            progress.write(f"update {self.updates}\n")
        arrays = {group: {"a": np.full(size, self.updates)} for group in ("model", "optimizer")}
        state = {"epoch": 0, "position": self.updates, "ledger_bytes": self.files.audit.stat().st_size}
        return self.store.save(arrays, state)

    def go_back(self) -> None:
        """As a worker that finds the newest generation damaged."""
        newest = max(path for path in self.files.checkpoints.iterdir() if path.name.isdigit())
        damage(newest)
        found = self.store.latest()
        assert found
        self.begin_attempt()
        self.updates = found.state["position"]
        with self.files.audit.open("r+b") as audit_log:
            audit_log.truncate(found.state["ledger_bytes"])

    def finish(self) -> None:
        """What a good end leaves."""
        self.files.model.write_bytes(b"model" * 1000)
        self.files.labels.write_text("{}")
        last = AttemptRecord(
            verdict="completed", cause="", batch_size=4, micro_batch_size=4, epoch=1, step=1, wall_seconds=1.0
        )
        last.save(self.files.attempts()[-1].record)
        self.files.report.write_text("<html>")
        ResultRecord(
            status="completed",
            history={},
            attempts=[last],
            oom_events=[],
            quarantined=[],
            result_changed=False,
            weights_sha256="0" * 64,
            seconds_to_first_step=None,
            wall_seconds=1.0,
        ).save(self.files.result)


def damage(generation: Path) -> None:
    """Change the last byte of a generation's arrays."""
    path = generation / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def resumable(path: Path) -> int | None:
    """The update that a worker would go on from, once the audit log is found to tell the same story; None from scratch.

    Looks at a copy: a store that finds damage renames what it finds.
    """
    copy = path.with_name(f"{path.name}-looked-at")
    shutil.copytree(path, copy, symlinks=True)
    found = CheckpointStore(copy / "checkpoints").latest()
    shutil.rmtree(copy)
    if found is None:
        return None
    assert_one_story(found, (path / "audit.jsonl").read_bytes())
    position: int = found.state["position"]
    return position


def assert_one_story(found: Checkpoint, audit_log: bytes) -> None:
    lines = audit_log[: found.state["ledger_bytes"]].splitlines(keepends=True)
    assert [json.loads(line)["update"] for line in lines] == list(range(1, found.state["position"] + 1))
    assert all(len(line) == LEDGER_LINE_BYTES for line in lines)
    assert {int(number) for group in found.groups.values() for number in group["a"]} == {found.state["position"]}


@pytest.fixture
def training(tmp_path: Path) -> Training:
    """A run in `tmp_path / "run"` that has not committed yet."""
    return Training(tmp_path / "run", load_child("stub_parent").run_record())


@pytest.fixture
def another(tmp_path: Path) -> Training:
    """Another run of the same request."""
    return Training(tmp_path / "another", load_child("stub_parent").run_record())


@pytest.fixture
def mirror(tmp_path: Path) -> RunDirectory:
    """An empty folder on the drive."""
    files = RunDirectory(tmp_path / "drive" / "mirror")
    files.path.mkdir(parents=True)
    return files


@pytest.fixture(name="resumable")
def resumable_fixture() -> Callable[[Path], int | None]:
    """See `resumable`."""
    return resumable


@pytest.fixture(name="damage")
def damage_fixture() -> Callable[[Path], None]:
    """See `damage`."""
    return damage
