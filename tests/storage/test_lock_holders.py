"""The processes that hold a run directory: found, and ended if they have no parent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autofit.errors import UserError
from autofit.storage.lock_holders import end_orphans, holders_of
from tests.support.stopped_worker import stopped_worker


def test_a_stopped_worker_is_found_and_ended(tmp_path: Path) -> None:
    """It would hold the run directory until the machine is started anew."""
    with stopped_worker(tmp_path) as worker:
        [holder] = holders_of(tmp_path / ".lock")
        assert (holder.pid, holder.is_orphan) == (worker.pid, True)
        end_orphans(tmp_path / ".lock", 5)
        assert worker.wait(5) == 0
    assert holders_of(tmp_path / ".lock") == []


def test_a_worker_that_cannot_be_ended_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits for a dead drive, or is another user's, would be waited for without an end."""

    def refused(group: int, number: int) -> None:
        raise PermissionError(group, number)

    with stopped_worker(tmp_path) as worker:
        monkeypatch.setattr(os, "killpg", refused)
        with pytest.raises(UserError, match=rf"worker \(pid {worker.pid}, stopped\) that cannot be ended: .*run_dir"):
            end_orphans(tmp_path / ".lock", 0.1, 0.1)
        monkeypatch.undo()
