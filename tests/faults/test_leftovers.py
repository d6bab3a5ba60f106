"""A hundred attempts, ended in every possible way, must leave nothing behind."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from autofit.storage.run_directory import RunDirectory
from tests.support.paths import CHILDREN

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("autofit_is_found")]

STUB_PARENT = CHILDREN / "stub_parent.py"
WAYS = [
    "SIGKILL",
    "SIGSEGV",
    "SIGABRT",
    "device_oom",
    "host_oom",
    "yielded",
    "silent",
    "damaged",
    "orphan",
    "bad_alloc",
]
JUST_OPENED = 2
"""So many descriptors the next attempt may open just when they are counted; one left by each would soon be more."""
GROWTH_BYTES = 20 * 2**20
FILES = {".lock", "audit.jsonl", "memory", "orphan", "model.keras"} | {
    *("job.json", "outcome.json", "attempt.json", "state.json", "manifest.json", "model.safetensors"),
    *("progress.jsonl", "events.jsonl", "stdout.log", "stderr.log"),
}


def processes_with(mark: str) -> list[str]:
    """The processes that have this mark in their environment, by their commands; a zombie shows none."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("AUTOFIT_TEST_MARK") == mark:
                found.append(" ".join(process.cmdline()))
    return found


def orphans_with(mark: str) -> list[str]:
    """The marked processes that are still there after a while: a killed one takes a moment to end."""
    deadline = time.monotonic() + 5
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    return processes_with(mark)


def test_attempts_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Callable[..., None], *, whole: bool
) -> None:
    """A notebook that trains for a week would run out of memory, descriptors, process numbers or disk."""
    attempts = 100 if whole else 11
    files, temporary = RunDirectory(tmp_path / "run"), tmp_path / "temporary"
    files.create()
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("AUTOFIT_TEST_MARK", str(tmp_path))
    ends = ",".join([*(f"{WAYS[number % len(WAYS)]}@3" for number in range(attempts - 1)), "complete"])
    plan = json.dumps({"epochs": attempts, "micro_batch_size": 1})
    command = [sys.executable, str(STUB_PARENT), str(files.path), ends, "/", plan]
    resident_bytes, descriptors, zombies = list[int](), list[int](), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        process = psutil.Process(parent.pid)
        for line in parent.stdout:
            if line.startswith("attempt "):
                count(promise=10)
                resident_bytes.append(process.memory_info().rss)
                descriptors.append(process.num_fds())
                zombies += sum(child.status() == psutil.STATUS_ZOMBIE for child in process.children())
    assert line == '["NoneType", "None"]\n'
    assert len(files.attempts()) == attempts
    assert max(resident_bytes) - resident_bytes[0] < GROWTH_BYTES
    assert min(descriptors[-5:]) <= min(descriptors[:5]) + JUST_OPENED
    assert zombies == 0
    assert orphans_with(str(tmp_path)) == []
    assert list(temporary.iterdir()) == []
    assert {path.name for path in files.path.rglob("*") if path.is_file()} <= FILES
    assert len(list(files.checkpoints.iterdir())) == 2
