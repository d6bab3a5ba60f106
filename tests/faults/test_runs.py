"""Runs of the supervisor over real processes that are killed at any moment: `children/stub_worker.py`."""

from __future__ import annotations

import contextlib
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from autofit.errors import DoesNotFitError, TrainingFailedError
from autofit.process.launch import ProcessLauncher, Worker
from autofit.protocol.messages import Verdict
from autofit.protocol.payload import Payload
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from tests.support.processes import wait_until_gone
from tests.support.stub_runs import Stub, draw_plan, result_of, stages_of

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers, pytest.mark.usefixtures("autofit_is_found")]

MOST_RESUMES = 20
SECONDS_AN_UPDATE, LONGEST_UNTIL_KILLED_SECONDS = 0.015, 0.3
"""Slow enough that a first attempt, of 25 updates or more, does not complete before it is killed."""
Count = Callable[..., None]


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow the updates down."""
    monkeypatch.setenv("STUB_SECONDS_AN_UPDATE", str(SECONDS_AN_UPDATE))


def draw_ends(chance: random.Random) -> str:
    """How attempts end that are not killed first, each in a way that a further attempt recovers from."""
    some = [chance.choice(["complete", "device_oom", "host_oom", "yielded", "SIGSEGV"]) for _ in range(3)]
    ends = [end if end == "complete" else f"{end}@{chance.randrange(1, 30)}" for end in some]
    return ",".join([*ends, "complete"])


class KillingLauncher(ProcessLauncher):
    """Kills so many of the workers that it starts, mostly some time after the first heartbeat, sometimes before it."""

    def __init__(self, command: list[str], chance: random.Random, kills: int) -> None:
        super().__init__(command)
        self.chance, self.kills = chance, kills
        self._killers: list[threading.Thread] = []

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        """Start the worker and the thread that kills it."""
        worker = super().launch(attempt, payload, lock_fd)
        if self.kills:
            self.kills -= 1
            early, seconds = self.chance.random() < 0.2, self.chance.uniform(0, LONGEST_UNTIL_KILLED_SECONDS)
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


@pytest.fixture(params=[False, True], ids=["one stage", "in stages"])
def in_stages(request: pytest.FixtureRequest, *, whole: bool) -> bool:
    """Whether the run has two stages; without them it is tried where all cases are."""
    if not request.param and not whole:
        pytest.skip("a share of the cases is of runs in stages")
    return bool(request.param)


@pytest.mark.usefixtures("paced")
def test_kills_of_the_worker_lose_nothing_and_change_nothing(
    stub: Stub, tmp_path: Path, count: Count, *, in_stages: bool, whole: bool
) -> None:
    """A kill at a bad moment, followed by another batch size or thread count, would lose an update or make it twice."""
    chance = random.Random(0)
    verdicts = Counter[str]()
    for case in range(90 if whole else 1):
        for promise in (2, 3, 4):
            count(promise)
        files, plan = RunDirectory(tmp_path / str(case)), draw_plan(chance, in_stages=in_stages)
        files.create()
        drive(stub, files, plan, KillingLauncher(stub.command(draw_ends(chance)), chance, kills=3))
        verdicts.update(attempt.verdict.value for attempt in result_of(files).attempts)
    stages = 2 if in_stages else 1
    assert verdicts["crashed"] >= (verdicts["completed"] / stages if whole else 1), "hardly a worker was hit"


def drive(stub: Stub, files: RunDirectory, plan: dict[str, Any], launcher: KillingLauncher) -> None:
    """Run to the end, each time with another number of threads; asserts that nothing was lost."""
    for _ in range(MOST_RESUMES):
        anew = {"threads": launcher.chance.randrange(1, 5)}
        if files.run.exists():  # written when a rung is climbed
            anew |= RunRecord.load(files.run).plan.model_dump(include={"rung"})
        error = stub.supervise(files, plan | anew, launcher=launcher)
        if error is None:
            break
        assert type(error) in {TrainingFailedError, DoesNotFitError}, error
        assert "without progress" in str(error) or "one image at a time" in str(error), error
    launcher.join()
    stub.assert_lost_nothing(files, plan)


@pytest.mark.usefixtures("paced")
def test_kills_while_a_run_climbs_the_ladder_lose_nothing_and_keep_the_rung(
    stub: Stub, tmp_path: Path, count: Count, *, whole: bool
) -> None:
    """A resumed run would begin on a rung on which it does not fit, or climb for a kill that is not about memory."""
    chance = random.Random(2)
    reached = Counter[int]()
    for case in range(20 if whole else 1):
        for promise in (2, 3, 4):
            count(promise)
        files, plan = RunDirectory(tmp_path / str(case)), draw_plan(chance) | {"micro_batch_size": 1}
        files.create()
        out_of_memory = chance.randrange(2, 4)
        ends = [*["device_oom@0"] * out_of_memory, *["complete"] * 4]
        drive(stub, files, plan, KillingLauncher(stub.command(",".join(ends)), chance, kills=out_of_memory + 3))
        segments = [attempt.segments for attempt in result_of(files).attempts]
        assert segments == sorted(segments)
        ran_out = sum(attempt.verdict is Verdict.DEVICE_OOM for attempt in result_of(files).attempts)
        assert segments[-1] == {0: 0, 1: 0, 2: 8, 3: 16}[ran_out]
        reached[segments[-1]] += 1
    assert reached[8] + reached[16] > 0, "no rung was reached"


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
            wait_until_gone(workers)


@pytest.mark.usefixtures("paced")
def test_kills_of_worker_and_parent_lose_nothing_and_change_nothing(
    stub: Stub, tmp_path: Path, count: Count, *, in_stages: bool, whole: bool
) -> None:
    """A machine that is switched off, or a notebook that is killed, would cost more than the last steps."""
    chance = random.Random(1)
    resumed = 0
    for case in range(30 if whole else 1):
        for promise in (2, 3, 4):
            count(promise)
        files, plan = RunDirectory(tmp_path / str(case)), draw_plan(chance, in_stages=in_stages)
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
            ends = [attempt.verdict for attempt in result_of(files).attempts]
            resumed += ends.count(Verdict.COMPLETED) < max(1, len(stages_of(plan)))
        assert stub.parent(files, plan, "complete").communicate(timeout=60)[0].endswith('["NoneType", "None"]\n')
        stub.assert_lost_nothing(files, plan)
    assert resumed > 0, "nothing was hit before it was done"
