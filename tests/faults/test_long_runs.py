"""A long run stays as small as it began: memory, open files, threads, disk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.paths import child_environment

pytestmark = [pytest.mark.slow, pytest.mark.whole]

PROMISE = 23
STEPS = 12_000
SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"
MEGABYTE = 10**6
BYTES_A_SECOND, BYTES_A_STEP = 1_000, 20
"""A line of progress, and what an epoch adds: a busy machine has more of one, a quick one of the other."""


def test_a_long_run_does_not_grow(tmp_path: Path, count: Callable[..., None]) -> None:
    """A night's training would run out of memory, of open files or of disk, and the cause be what came long before."""
    count(promise=PROMISE, cases=STEPS)
    found = tmp_path / "soak.json"
    command = [sys.executable, str(SOAK), "--work", str(tmp_path), "--steps", str(STEPS), "--json", str(found)]
    subprocess.run(command, env=child_environment(), check=True, capture_output=True, timeout=900)
    seen = [look for look in json.loads(found.read_text()) if look["worker_bytes"]]
    early = next(look for look in seen if look["steps"] > STEPS // 4)
    late = next(look for look in seen if look["steps"] > STEPS * 9 // 10)
    assert late["worker_bytes"] < early["worker_bytes"] + 20 * MEGABYTE
    assert late["parent_bytes"] < early["parent_bytes"] + 2 * MEGABYTE
    assert late["open_files"] <= early["open_files"] + 1  # a checkpoint may be at work
    assert late["threads"] <= early["threads"] + 1
    assert late["audit_bytes"] < 100 * late["steps"]
    seconds, steps = (late[name] - early[name] for name in ("seconds", "steps"))
    assert late["other_bytes"] - early["other_bytes"] < BYTES_A_SECOND * seconds + BYTES_A_STEP * steps
