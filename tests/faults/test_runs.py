"""Runs of the supervisor over real processes that are killed at any moment: `children/stub_worker.py`."""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from autofit.errors import AutofitError, DoesNotFitError, TrainingFailedError
from autofit.process.launch import ProcessLauncher, Worker
from autofit.protocol.messages import Verdict
from autofit.protocol.payload import Payload
from autofit.runs.collect_result import collect_result
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from tests.support.paths import load_child

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("autofit_is_found")]

IMAGES = 24
UNREADABLE = 7
MOST_RESUMES = 20
SECONDS_AN_UPDATE, LONGEST_UNTIL_KILLED_SECONDS = 0.015, 0.3
"""Slow enough that a first attempt, of 25 updates or more, does not complete before it is killed."""
CALLS = "/^((mkdir|rename|link|unlink)(at|at2|2)?|p?write(64)?|fsync|ftruncate|rmdir)$"
"""The system calls with which a worker changes files, by their names on several architectures."""
EXPECTED_ENDS = {Verdict.CRASHED, Verdict.DEVICE_OOM, Verdict.HOST_OOM, Verdict.YIELDED, Verdict.COMPLETED}

Count = Callable[..., None]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images that the stub's loader decodes: 24, one of them unreadable."""
    folder = tmp_path_factory.mktemp("images")
    chance = np.random.default_rng(0)
    for number in range(IMAGES):
        Image.fromarray(chance.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{number}.png")
    (folder / f"{UNREADABLE}.png").write_text("no image")
    return folder


class Stub:
    """Runs of the stub on those images, each compared with an undisturbed run of the same plan."""

    def __init__(self, parent: ModuleType, images: Path, undisturbed: Path) -> None:
        self._parent, self._images, self._undisturbed = parent, images, undisturbed
        self._weights: dict[str, str | None] = {}

    def record(self, plan: dict[str, Any]) -> RunRecord:
        """The request of a run with this plan."""
        record: RunRecord = self._parent.run_record(str(self._images), **plan)
        return record

    def command(self, ends: str = "complete") -> list[str]:
        """The command of a parent whose attempts end as `ends` says."""
        return list(self._parent.worker_command(ends))

    def supervise(
        self, files: RunDirectory, plan: dict[str, Any], ends: str = "complete", launcher: ProcessLauncher | None = None
    ) -> AutofitError | None:
        """Supervise, in this process, a run whose attempts end as `ends` says."""
        error: AutofitError | None = self._parent.supervisor(
            files, ends, record=self.record(plan), launcher=launcher, view=self._parent.PrintedView()
        ).run()
        return error

    def parent(self, files: RunDirectory, plan: dict[str, Any], ends: str) -> subprocess.Popen[str]:
        """Supervise the same in a process of its own."""
        arguments = [str(files.path), ends, str(self._images), json.dumps(plan)]
        program = [sys.executable, str(self._parent.__file__), *arguments]
        return subprocess.Popen(program, stdout=subprocess.PIPE, text=True)

    def assert_lost_nothing(self, files: RunDirectory, plan: dict[str, Any]) -> None:
        """Assert that each epoch is a permutation of the readable images, and the weights are the undisturbed run's."""
        result = result_of(files)
        assert {attempt.verdict for attempt in result.attempts} <= EXPECTED_ENDS
        assert [one.cause for one in result.attempts if one.cause.startswith("exit code")] == []
        assert_permutations(files, plan["epochs"])
        assert result.weights_sha256 == self._undisturbed_weights(plan) is not None
        assert [path.name for path in files.path.rglob(".*") if path.name != ".lock"] == []

    def _undisturbed_weights(self, plan: dict[str, Any]) -> str | None:
        what = json.dumps(plan | {"threads": 1})
        if what not in self._weights:
            files = RunDirectory(self._undisturbed / str(len(self._weights)))
            files.create()
            assert self.supervise(files, plan) is None
            assert_permutations(files, plan["epochs"])
            assert len(result_of(files).attempts) == 1
            self._weights[what] = result_of(files).weights_sha256
        return self._weights[what]


@pytest.fixture(scope="module")
def stub(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Stub:
    return Stub(load_child("stub_parent"), images, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow the updates down."""
    monkeypatch.setenv("STUB_SECONDS_AN_UPDATE", str(SECONDS_AN_UPDATE))


def result_of(files: RunDirectory) -> ResultRecord:
    return collect_result(files, "completed", "", 0.0)


def assert_permutations(files: RunDirectory, epochs: int) -> None:
    lines = [json.loads(line) for line in files.audit.read_text().splitlines()]
    readable = [number for number in range(IMAGES) if number != UNREADABLE]
    for epoch in range(epochs):
        of_epoch = [line for line in lines if line["epoch"] == epoch]
        assert sorted(sample for line in of_epoch for sample in line["samples"]) == readable
        assert [sample for line in of_epoch for sample in line["skipped"]] == [UNREADABLE]
        assert [line["step"] for line in of_epoch] == list(range(len(of_epoch)))


def draw_plan(chance: random.Random) -> dict[str, Any]:
    """A ramp of batch sizes and how often to commit, of a few, so that undisturbed runs can be shared."""
    first, last = chance.choice([(2, 2), (1, 4), (8, 2), (5, 3), (7, 1)])
    return {
        "epochs": 4,
        "first_batch_size": first,
        "last_batch_size": last,
        "micro_batch_size": 8,
        "checkpoint_steps": chance.choice([1, 3]),
    }


def draw_ends(chance: random.Random) -> str:
    """How attempts end that are not killed first, each in a way that a further attempt recovers from."""
    some = [chance.choice(["complete", "device_oom", "host_oom", "yielded", "SIGSEGV"]) for _ in range(3)]
    ends = [end if end == "complete" else f"{end}@{chance.randrange(1, 30)}" for end in some]
    return ",".join([*ends, "complete"])


class KillingLauncher(ProcessLauncher):
    """Kills so many of the workers that it starts, mostly some time after the first heartbeat, sometimes before it."""

    def __init__(self, command: list[str], chance: random.Random, kills: int) -> None:
        super().__init__(command)
        self._chance, self.kills = chance, kills
        self._killers: list[threading.Thread] = []

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        """Start the worker and the thread that kills it."""
        worker = super().launch(attempt, payload, lock_fd)
        if self.kills:
            self.kills -= 1
            early, seconds = self._chance.random() < 0.2, self._chance.uniform(0, LONGEST_UNTIL_KILLED_SECONDS)
            process = psutil.Process(worker.pid)  # type: ignore[attr-defined]
            killer = threading.Thread(target=self._kill, args=(process, attempt, seconds), kwargs={"early": early})
            killer.start()
            self._killers.append(killer)
        return worker

    def _kill(self, process: psutil.Process, attempt: AttemptDirectory, seconds: float, *, early: bool) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while not early and process.is_running() and not attempt.events.exists():
                time.sleep(0.005)
            time.sleep(seconds)
            process.kill()

    def join(self) -> None:
        """Wait until all killing threads have ended."""
        for killer in self._killers:
            killer.join()


@pytest.mark.usefixtures("paced")
def test_kills_of_the_worker_lose_nothing_and_change_nothing(
    stub: Stub, tmp_path: Path, count: Count, *, whole: bool
) -> None:
    """A kill at a bad moment, followed by another batch size or thread count, would lose an update or make it twice."""
    chance = random.Random(0)
    verdicts = Counter[str]()
    for case in range(90 if whole else 2):
        for promise in (2, 3, 4):
            count(promise)
        files, plan = RunDirectory(tmp_path / str(case)), draw_plan(chance)
        files.create()
        launcher = KillingLauncher(stub.command(draw_ends(chance)), chance, kills=3)
        for _ in range(MOST_RESUMES):
            error = stub.supervise(files, plan | {"threads": chance.randrange(1, 5)}, launcher=launcher)
            if error is None:
                break
            assert type(error) in {TrainingFailedError, DoesNotFitError}, error
            assert "without progress" in str(error) or "one image at a time" in str(error), error
        launcher.join()
        stub.assert_lost_nothing(files, plan)
        verdicts.update(attempt.verdict.value for attempt in result_of(files).attempts)
    assert verdicts["crashed"] >= (verdicts["completed"] if whole else 1), "hardly a worker was hit"


@contextlib.contextmanager
def workers_of(parent: subprocess.Popen[str]) -> Iterator[list[psutil.Process]]:
    """The workers of a parent after its first heartbeat, if any; parent and workers are killed afterwards."""
    workers: list[psutil.Process] = []
    with parent:
        assert parent.stdout
        try:
            next((line for line in parent.stdout if line.startswith("train")), None)
            workers = psutil.Process(parent.pid).children()
            yield workers
        finally:
            parent.kill()
            psutil.wait_procs(workers, timeout=10)


@pytest.mark.usefixtures("paced")
def test_kills_of_worker_and_parent_lose_nothing_and_change_nothing(
    stub: Stub, tmp_path: Path, count: Count, *, whole: bool
) -> None:
    """A machine that is switched off, or a notebook that is killed, would cost more than the last steps."""
    chance = random.Random(1)
    resumed = 0
    for case in range(30 if whole else 1):
        for promise in (2, 3, 4):
            count(promise)
        files, plan = RunDirectory(tmp_path / str(case)), draw_plan(chance)
        files.create()
        for _ in range(3):
            threads = {"threads": chance.randrange(1, 5)}
            parent = stub.parent(files, plan | threads, draw_ends(chance))
            with workers_of(parent) as workers:
                time.sleep(chance.uniform(0, LONGEST_UNTIL_KILLED_SECONDS))
                both = [psutil.Process(parent.pid), *workers]
                for victim in chance.choice([both[:1], both, both[::-1]]):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        victim.kill()
            resumed += not any(attempt.verdict is Verdict.COMPLETED for attempt in result_of(files).attempts)
        assert stub.parent(files, plan, "complete").communicate(timeout=60)[0].endswith('["NoneType", "None"]\n')
        stub.assert_lost_nothing(files, plan)
    assert resumed > 0, "nothing was hit before it was done"


class TracingLauncher(ProcessLauncher):
    """Kills the first worker at one of its system calls, and starts the others as they are."""

    def __init__(self, command: list[str], strace: list[str]) -> None:
        super().__init__(command)
        self._traced: ProcessLauncher | None = ProcessLauncher([*strace, *command])

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        """Start the worker."""
        traced, self._traced = self._traced, None
        return (traced.launch if traced else super().launch)(attempt, payload, lock_fd)


def test_a_kill_at_the_system_calls_of_an_attempt_loses_nothing(
    stub: Stub, strace: list[str], tmp_path: Path, count: Count, *, whole: bool
) -> None:
    """Audit log, checkpoint, heartbeat and outcome would contradict each other after a kill between two of them."""
    plan = draw_plan(random.Random(0)) | {"threads": 2}
    log = tmp_path / "trace"
    tracing = [*strace, "-e", f"trace={CALLS}", "-o", str(log)]
    undisturbed = RunDirectory(tmp_path / "undisturbed")
    undisturbed.create()
    assert stub.supervise(undisturbed, plan, launcher=TracingLauncher(stub.command(), tracing)) is None
    totals = Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))
    cases = [(call, number) for call, total in sorted(totals.items()) for number in range(1, total + 1)]
    assert len(cases) > 100, "the trace shows no attempt"
    hit = 0
    for call, number in cases[:: 2 if whole else 97]:
        for promise in (2, 3, 4):
            count(promise)
        files = RunDirectory(tmp_path / f"{call}-{number}")
        files.create()
        faulty = [*tracing, "-e", f"inject={call}:signal=KILL:when={number}"]
        assert stub.supervise(files, plan, launcher=TracingLauncher(stub.command(), faulty)) is None
        stub.assert_lost_nothing(files, plan)
        hit += len(result_of(files).attempts) > 1
    assert hit > 0, "no worker was hit"
