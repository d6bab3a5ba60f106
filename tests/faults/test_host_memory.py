"""Runs whose host really runs out of memory: parent and worker share a memory cgroup with a limit.

A stand-in for TensorFlow takes the memory; only the last tests train a small network.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil
import pytest

from autofit.probing.records import MemoryModelRecord
from autofit.protocol.job import Job, TrainJob
from autofit.runs.collect_result import collect_result
from autofit.runs.result_record import ResultRecord
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.paths import CHILDREN, child_environment
from tests.support.records import make_probe_report
from tests.support.run_files import assert_each_epoch_once, updates_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

CGROUPS = Path("/sys/fs/cgroup")
MEMORY_AND_SWAP = "memory.memsw.limit_in_bytes"
PROMISE = 7
MB = 10**6
IMAGES, UPDATES = 24, 12
"""Of `stub_parent.py`: in two epochs of six updates."""

STUB_BYTES = 400 * MB
"""Parent and worker take 110 MB without a leak; a worker that starts with less than 1.3 GB free stops at 67 MB."""
TENSORFLOW_BYTES = 1_600 * MB
NEIGHBOURS_BYTES, NEIGHBOUR_BYTES = 2_000 * MB, 1_440 * MB
"""Parent and worker take 75 to 110 MB and 400 for four images, and a worker that starts in 1.9 GB stops at 95 MB."""
TAKING = "import sys; held = b'x' * int(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
"""A neighbour that takes so many bytes, and says when it has them."""
PATIENCE_SECONDS = 200.0


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """A memory cgroup of our own."""

    folder: Path
    v2: bool

    def limit(self, limit_bytes: int) -> None:
        """Limit memory, and allow no swap beyond it; a kernel without swap accounting lacks that file."""
        name, of_swap = ("memory.max", "memory.swap.max") if self.v2 else ("memory.limit_in_bytes", MEMORY_AND_SWAP)
        with contextlib.suppress(OSError):  # in version 1 it may not be less than the other
            (self.folder / of_swap).write_text("0" if self.v2 else "-1")
        (self.folder / name).write_text(str(limit_bytes))
        with contextlib.suppress(OSError):
            (self.folder / of_swap).write_text("0" if self.v2 else str(limit_bytes))

    def used_bytes(self) -> int:
        """The bytes charged to the cgroup, file cache included."""
        return int((self.folder / ("memory.current" if self.v2 else "memory.usage_in_bytes")).read_text())

    def kills(self) -> int:
        """How often the kernel has killed in this cgroup."""
        lines = (self.folder / ("memory.events" if self.v2 else "memory.oom_control")).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def run(self, *command: object) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end."""
        inside = [sys.executable, CHILDREN / "in_memory_group.py", self.folder, *command]
        environment = child_environment()
        return subprocess.run(
            [str(part) for part in inside],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )

    def remove(self) -> None:
        """Remove it, as soon as the last process in it is gone."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self.folder.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


def places() -> Iterator[tuple[Path, bool]]:
    """Folders in which a cgroup can be made: ours, or its parent if a cgroup with processes may have no children."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        parts = PurePosixPath(path.lstrip("/"))
        if controllers == "memory":
            yield CGROUPS / "memory" / parts, False
        if not controllers:
            for root in (CGROUPS, CGROUPS / "unified"):
                yield root / parts, True
                yield root / parts.parent, True


def made_group() -> MemoryGroup | None:
    """The first group that can be made and limited."""
    for place, v2 in places():
        made = MemoryGroup(place / f"autofit-test-{os.getpid()}-{time.monotonic_ns()}", v2)
        try:
            made.folder.mkdir()
        except OSError:
            continue
        with contextlib.suppress(OSError):
            made.limit(TENSORFLOW_BYTES)
            return made
        made.remove()
    return None


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    """A memory cgroup of our own."""
    made = made_group() if Path("/proc/self/cgroup").is_file() else None
    if made is None:
        pytest.skip("no memory cgroup can be made here: that takes root, or a delegated cgroup (systemd-run --user)")
    yield made
    made.remove()


@pytest.fixture
def stub(group: MemoryGroup, tmp_path: Path) -> Callable[..., tuple[RunDirectory, list[str]]]:
    """Run `leaking_parent.py` in a small group; gives its run directory and what its supervisor returned."""

    def run(
        ends: str, name: str = "run", parent_holds: int = 0, limit_bytes: int = STUB_BYTES
    ) -> tuple[RunDirectory, list[str]]:
        group.limit(limit_bytes)
        files = RunDirectory(tmp_path / name)
        files.path.mkdir(exist_ok=True)
        done = group.run(sys.executable, "-P", CHILDREN / "leaking_parent.py", files.path, ends, parent_holds)
        assert done.returncode == 0, done.stderr[-2000:]
        returned: list[str] = json.loads(done.stdout.splitlines()[-1])
        return files, returned

    return run


def ended(files: RunDirectory) -> list[tuple[str, str]]:
    return [(one.verdict.value, one.cause) for one in collect_result(files, "completed", "", 0.0).attempts]


def sizes(files: RunDirectory) -> list[tuple[int, int]]:
    """Micro-batch size and bytes of image buffers of each attempt."""
    jobs = [Job.load(attempt.job) for attempt in files.attempts()]
    return [(job.work.micro_batch_size, job.memory.buffer_bytes) for job in jobs if isinstance(job.work, TrainJob)]


def assert_exact(files: RunDirectory) -> None:
    """Assert that each epoch has each image once."""
    assert_each_epoch_once(files.path, 2, range(IMAGES))


def test_the_kernel_kills_the_worker_and_nothing_else(
    group: MemoryGroup,
    stub: Callable[..., tuple[RunDirectory, list[str]]],
    count: Callable[..., None],
    whole: bool,  # noqa: FBT001 - a fixture
) -> None:
    """The kernel would kill the notebook, which holds most of the memory; or the next worker would run out as well."""
    for at in range(UPDATES) if whole else (0, 5, UPDATES - 1):
        count(promise=PROMISE)
        kills = group.kills()
        files, returned = stub(f"burst@{at},complete", f"at-{at}", parent_holds=220 * MB)
        assert returned == ["NoneType", "None"]
        assert group.kills() == kills + 1
        assert ended(files) == [("host_oom", "SIGKILL: the kernel's OOM killer"), ("completed", "")]
        assert sizes(files) == [(4, 2**20), (2, 2**19)]
        assert [line["attempt"] for line in updates_of(files.path)] == [1] * (at - at % 2) + [2] * (
            UPDATES - at + at % 2
        )
        assert_exact(files)


def test_the_guard_acts_before_the_kernel(
    group: MemoryGroup, stub: Callable[..., tuple[RunDirectory, list[str]]], count: Callable[..., None]
) -> None:
    """The kernel would kill a slowly leaking worker, and all updates since the last checkpoint would be lost."""
    count(promise=PROMISE)
    files, returned = stub("drip")
    assert returned == ["NoneType", "None"]
    assert group.kills() == 0
    attempts = ended(files)
    assert [verdict for verdict, _ in attempts] == ["yielded"] * (len(attempts) - 1) + ["completed"]
    assert len(attempts) > 1
    for _, cause in attempts[:-1]:
        assert cause.startswith("the machine has ")
        assert cause.endswith(f" MB of memory left (cgroup limit {name_of(group)})")
    assert sizes(files)[:2] == [(4, 2**20), (4, 4 * 224 * 224 * 3)]
    assert [line["epoch"] * 6 + line["step"] for line in updates_of(files.path)] == list(range(UPDATES))
    assert_exact(files)


def test_two_runs_under_one_limit_see_each_other(
    group: MemoryGroup, stub: Callable[..., tuple[RunDirectory, list[str]]], count: Callable[..., None]
) -> None:
    """Each would count on all of the memory that the other takes, and the kernel would kill one of them."""
    count(promise=18, cases=2)
    with ThreadPoolExecutor(2) as both:
        runs = list(both.map(lambda name: stub("drip", name, limit_bytes=2 * STUB_BYTES), ["first", "second"]))
    assert [returned for _, returned in runs] == [["NoneType", "None"]] * 2
    assert group.kills() == 0
    for files, _ in runs:
        verdicts = [verdict for verdict, _ in ended(files)]
        assert verdicts == ["yielded"] * (len(verdicts) - 1) + ["completed"]
        assert_exact(files)
    assert any(len(files.attempts()) > 1 for files, _ in runs)


def test_a_neighbour_that_takes_memory_is_named_and_what_it_leaves_is_used(
    group: MemoryGroup, tmp_path: Path, count: Callable[..., None]
) -> None:
    """The run would start again and again, each time a little smaller, and its user look for the leak in the model."""
    count(promise=18)
    group.limit(NEIGHBOURS_BYTES)
    files = RunDirectory(tmp_path / "run")
    files.create()
    line = MemoryModelRecord(base_bytes=80 * MB, bytes_per_image=100 * MB, max_relative_error=0.02)
    make_probe_report(4, 4).model_copy(update={"memory_model": line}).save(files.probe)
    taking = [sys.executable, "-c", TAKING, NEIGHBOUR_BYTES]
    inside = [sys.executable, CHILDREN / "in_memory_group.py", group.folder, *taking]
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(group.run, sys.executable, "-P", CHILDREN / "squeezed_parent.py", files.path)
        wait_until(lambda: CheckpointStore(files.checkpoints).latest_state() is not None, "it never began")
        worker = worker_of(files.path)
        worker.suspend()  # it would stop when memory falls fast, and the parent see a part of what is taken
        command = [str(part) for part in inside]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as neighbour:
            assert neighbour.stdout is not None
            assert neighbour.stdout.readline() == b"held\n"
            worker.resume()
            done = running.result()
            neighbour.communicate()
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == ["NoneType", "None"]
    assert group.kills() == 0
    assert [verdict for verdict, _ in ended(files)] == ["yielded", "completed"]
    assert [micro for micro, _ in sizes(files)] == [4, 3]
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("attempt 1 ended")]
    assert f", pid {neighbour.pid}) took 1.4 GB of the memory meanwhile; " in said
    assert "going on from the last checkpoint with 3 images at once" in said
    assert_exact(files)


def worker_of(run_dir: Path) -> psutil.Process:
    """The worker of a run: the process whose last argument is a folder in the run directory."""
    commands = {one: one.info["cmdline"] or [""] for one in psutil.process_iter(["cmdline"])}
    (worker,) = [one for one, command in commands.items() if command[-1].startswith(f"{run_dir}/")]
    return worker


def name_of(group: MemoryGroup) -> str:
    """The path of the cgroup as its own processes read it in /proc."""
    seen = group.run(sys.executable, "-c", "print(open('/proc/self/cgroup').read())").stdout
    return next(path for line in seen.splitlines() if (path := line.split(":")[-1]).endswith(group.folder.name))


@pytest.mark.whole
def test_a_machine_that_is_always_short_ends_the_run_and_loses_nothing(
    group: MemoryGroup, stub: Callable[..., tuple[RunDirectory, list[str]]], count: Callable[..., None]
) -> None:
    """The run would restart for ever, a step at a time; or its steps would be lost to the run that resumes it."""
    count(promise=PROMISE)
    files, (kind, words) = stub("short")
    assert kind == "DoesNotFitError"
    assert words.endswith(", 3 times: free memory and resume, or start anew with smaller images")
    assert "\n" not in words
    assert {verdict for verdict, _ in ended(files)} == {"yielded"}
    assert [micro for micro, _ in sizes(files)] == [4, 4, 2, 1, 1, 1]
    assert len(updates_of(files.path)) == len(files.attempts())
    assert group.kills() == 0
    assert stub("complete")[1] == ["NoneType", "None"]
    assert_exact(files)


@pytest.mark.whole
def test_file_cache_is_no_pressure(
    group: MemoryGroup, stub: Callable[..., tuple[RunDirectory, list[str]]], count: Callable[..., None]
) -> None:
    """Images that are read in every epoch fill any container with file cache: each training would stop for nothing."""
    count(promise=PROMISE)
    files, returned = stub("cache")
    assert returned == ["NoneType", "None"]
    assert ended(files) == [("completed", "")]
    if on_disk(files.path):
        assert group.used_bytes() > 200 * MB  # what is left of it, now that all processes are gone


def on_disk(path: Path) -> bool:
    """Whether the folder is on a disk, so that its files are cached, and not in memory."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True).stdout  # noqa: S607
    return kind.strip() not in {"tmpfs", "ramfs"}


# A real training ------------------------------------------------------------------------------------------------------


Rung = tuple[str, str]
"""The options `recompute` and `precision`."""
ON_EACH_RUNG = pytest.mark.parametrize("rung", [("auto", "float32"), ("on", "mixed_float16")], ids="-".join)


@pytest.fixture
def train(group: MemoryGroup, photos: Path, tmp_path: Path) -> Callable[..., RunDirectory]:
    """Run `leaking_training.py` in a group that has room for TensorFlow and some hundred megabytes more."""

    def train(how: str, rung: Rung) -> RunDirectory:
        group.limit(TENSORFLOW_BYTES)
        done = group.run(sys.executable, CHILDREN / "leaking_training.py", photos, tmp_path / how, how, *rung)
        assert done.returncode == 0, done.stderr[-2000:]
        return RunDirectory(tmp_path / how)

    return train


def assert_trained(files: RunDirectory) -> ResultRecord:
    """Assert that the run completed, with each of the 145 training images once an epoch."""
    result = ResultRecord.load(files.result)
    assert result.status == "completed"
    assert len(result.history["loss"]) == 2
    assert_each_epoch_once(files.path, 2, range(145))
    return result


@pytest.mark.whole
@ON_EACH_RUNG
def test_a_training_that_leaks_stops_in_time_and_ends_as_one_that_does_not(
    rung: Rung, group: MemoryGroup, train: Callable[..., RunDirectory], count: Callable[..., None]
) -> None:
    """A leaking callback would cost all updates since the last checkpoint, again and again; or the guard would."""
    count(promise=PROMISE, cases=2)
    calm, leaking = train("calm", rung), train("drip", rung)
    assert group.kills() == 0
    assert ended(calm) == [("completed", "")]
    verdicts = [verdict for verdict, _ in ended(leaking)]
    assert verdicts == ["yielded"] * (len(verdicts) - 1) + ["completed"]
    assert len(verdicts) > 1
    assert {micro for micro, _ in sizes(leaking)} == {16}
    assert len({buffer_bytes for _, buffer_bytes in sizes(leaking)}) == len(verdicts)
    results = [assert_trained(files) for files in (calm, leaking)]
    assert results[0].weights_sha256 == results[1].weights_sha256
    assert [result.result_changed for result in results] == [False, False]


@pytest.mark.whole
@ON_EACH_RUNG
def test_a_training_that_the_kernel_kills_goes_on_smaller(
    rung: Rung, group: MemoryGroup, train: Callable[..., RunDirectory], count: Callable[..., None]
) -> None:
    """The calling program would be killed with the training, or the result would hide that the micro-batch changed."""
    count(promise=PROMISE)
    files = train("burst", rung)
    assert group.kills() == 1
    result = assert_trained(files)
    assert ended(files) == [("host_oom", "SIGKILL: the kernel's OOM killer"), ("completed", "")]
    assert [one.micro_batch_size for one in result.attempts] == [16, 8]
    assert {one.segments for one in result.attempts} == {8 if rung[0] == "on" else 0}
    assert result.result_changed
