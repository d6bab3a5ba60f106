"""Two of what is usually one: parents of a run, users of a cache, savers of a profile, and days of a clock."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from autofit.cache.store import CacheStore
from autofit.machine.hardware import Hardware
from autofit.probing.records import MemoryModelRecord, ProbeReport
from autofit.profiles.store import ProfileStore
from autofit.protocol.messages import Trial, Verdict
from autofit.runs.collect_result import collect_result
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.machines import make_hardware
from tests.support.paths import AUTOFIT_PATH, CHILDREN, child_environment, load_child
from tests.support.records import make_workload
from tests.support.run_files import assert_each_epoch_once
from tests.support.stub_parents import STUB_PARENT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

PROMISE = 18
IMAGES, EPOCHS = 24, 2
"""Of the run of `stub_parent.py`."""

Count = Callable[..., None]


def odd_environment(**odd: str) -> dict[str, str]:
    """The environment of a parent and workers whose machine is odd as said."""
    return child_environment(**odd) | {"PYTHONPATH": f"{CHILDREN / 'odd_machine'}:{AUTOFIT_PATH}"}


def parent(files: RunDirectory, ends: str, **odd: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(STUB_PARENT), str(files.path), ends]
    environment = odd_environment(**odd)
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said_last(process: subprocess.Popen[str]) -> list[str]:
    """The kind and the words of the error that a supervisor returned."""
    out, _ = process.communicate(timeout=120)
    kind, words = json.loads(out.splitlines()[-1])
    return [kind, words]


def test_two_parents_where_no_locks_are_there(tmp_path: Path, count: Count) -> None:
    """On NFS or FUSE both would train in one directory, and each tear the other's checkpoints."""
    count(promise=PROMISE)
    files = RunDirectory(tmp_path)
    with parent(files, "complete", ODD_LOCKS="none", STUB_SECONDS_AN_UPDATE="1") as first:
        wait_until(lambda: CheckpointStore(files.checkpoints).latest_state() is not None, process=first)
        with parent(files, "complete", ODD_LOCKS="none") as second:
            _, said = second.communicate(timeout=120)
        assert second.returncode != 0
        assert "is in use by" in said
        assert said_last(first) == ["NoneType", "None"]
    assert len(files.attempts()) == 1
    assert_each_epoch_once(files.path, EPOCHS, range(IMAGES))
    with parent(files, "complete", ODD_LOCKS="none") as third:  # what the first has left locks nobody out
        assert said_last(third) == ["NoneType", "None"]


@pytest.mark.parametrize(
    "is_killed", [pytest.param(False, id="calm", marks=pytest.mark.whole), pytest.param(True, id="killed")]
)
def test_a_clock_that_is_set_back_by_a_day_changes_nothing(tmp_path: Path, count: Count, *, is_killed: bool) -> None:
    """The worker would be taken for hung, or the run for one that has taken minus a day."""
    count(promise=PROMISE)
    files, flag = RunDirectory(tmp_path / "run"), tmp_path / "flag"
    files.create()
    with parent(files, "slow", ODD_CLOCK_FLAG=str(flag)) as process:
        wait_until(lambda: CheckpointStore(files.checkpoints).latest_state() is not None, process=process)
        flag.touch()
        if is_killed:
            psutil.Process(process.pid).children()[0].kill()
        assert said_last(process) == ["NoneType", "None"]
    lines = [line for attempt in files.attempts() for line in attempt.progress.read_text().splitlines()]
    times = [(line["time"], line["monotonic_seconds"]) for line in map(json.loads, lines)]
    assert times[-1][0] < times[0][0] - 80_000  # the hook has worked
    assert [monotonic for _, monotonic in times] == sorted(monotonic for _, monotonic in times)
    attempts = collect_result(files, "completed", "", 0.0).attempts
    assert [one.verdict for one in attempts] == [Verdict.CRASHED] * is_killed + [Verdict.COMPLETED]
    assert all(0 < one.wall_seconds < 60 for one in attempts)
    assert_each_epoch_once(files.path, EPOCHS, range(IMAGES))


def test_a_cache_that_is_cleared_while_others_read(tmp_path: Path, count: Count, *, whole: bool) -> None:
    """A run would train on the rows of another image, or end because its cache was cleared."""
    known, store = load_child("row_writer"), CacheStore(tmp_path, 10**9)
    command = [sys.executable, str(CHILDREN / "row_reader.py"), str(tmp_path)]
    readers = [
        subprocess.Popen(
            command,
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for reader in readers:
        assert reader.stdout
        assert reader.stdout.readline() == "ready\n"
    removed = 0
    for number in range(40 if whole else 8):
        count(promise=PROMISE)
        known.keep(tmp_path, (number * 7) % 140, 60)
        if number == 0:
            assert [reader.stdout.readline() for reader in readers if reader.stdout] == ["read\n"] * 3
        removed += store.clear()[0]
    for reader in readers:
        out, errors = reader.communicate(timeout=60)
        assert reader.returncode == 0, errors[-1000:]
        assert "wrong" not in out
        assert int(out.splitlines()[-1]) > 0
    assert removed > 0


def test_ten_processes_that_save_one_profile_lose_nothing(tmp_path: Path, count: Count) -> None:
    """Of ten probes that end at the same moment, nine would be measured in vain."""
    machine: Hardware = make_hardware()
    report = ProbeReport(
        workload=make_workload(),
        hardware={},
        memory_limit_bytes=3 * 10**9,
        limited_by="--memory-limit",
        max_batch=4096,
        largest_feasible_batch=200,
        recommended_batch=32,
        memory_model=MemoryModelRecord(base_bytes=8e8, bytes_per_image=1e7, max_relative_error=0.01),
        trials=[
            Trial(batch_size=200, verdict=Verdict.FITS, peak_bytes=10**9, step_seconds=1.0, images_per_second=200.0),
        ],
        wall_seconds=40.0,
    )
    report.save(tmp_path / "report.json")
    machine.save(tmp_path / "machine.json")
    given = [str(tmp_path / name) for name in ("profiles", "report.json", "machine.json")]
    firsts = range(100, 1100, 100)
    savers = [
        subprocess.Popen(
            [sys.executable, str(CHILDREN / "profile_saver.py"), *given, str(first), "3"],
            env=child_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in firsts
    ]
    count(promise=PROMISE, cases=len(savers))
    assert [saver.communicate(timeout=120)[0] for saver in savers] == [""] * len(savers)
    ((profile, _),) = ProfileStore(tmp_path / "profiles", None, lambda _: None).load()
    found = sorted(entry.workload.num_classes for entry in profile.entries)
    assert found == [first + number for first in firsts for number in range(3)]
