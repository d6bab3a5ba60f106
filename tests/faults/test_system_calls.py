"""Runs of the supervisor whose worker is hit at one of its system calls: `children/stub_worker.py` under strace."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autofit.errors import AutofitError, StorageError
from autofit.process.launch import ProcessLauncher, Worker
from autofit.protocol.payload import Payload
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from tests.support.stub_runs import Stub, draw_plan, result_of, stages_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("autofit_is_found")]

CALLS = "/^((mkdir|rename|link|unlink)(at|at2|2)?|p?write(64)?|fsync|ftruncate|rmdir)$"
"""The system calls with which a worker changes files, by their names on several architectures."""

REPEATED = re.compile("write|fsync|truncate")
"""Calls that a signal can interrupt, on a drive of the machine's own."""
MOST_INTERRUPTED = 25
"""Of each stage, drawn at random: each takes a second or two."""

Count = Callable[..., None]


class TracingLauncher(ProcessLauncher):
    """Starts one worker under strace, which hits it at one of its system calls, and the others as they are."""

    def __init__(self, command: list[str], strace: list[str], number: int = 0) -> None:
        super().__init__(command)
        self._traced, self._until = ProcessLauncher([*strace, *command]), number

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        """Start the worker."""
        self._until -= 1
        return (self._traced.launch if self._until == -1 else super().launch)(attempt, payload, lock_fd)


@dataclass
class Traced:
    """Runs of which one worker, the first or the second, is hit at one of its system calls."""

    stub: Stub
    strace: list[str]
    folder: Path
    plan: dict[str, Any]
    worker: int

    def calls(self) -> list[tuple[str, int]]:
        """The system calls of that worker that change files, each with its number among those of its name."""
        log = self.folder / "trace"
        tracing = [*self.strace, "-e", f"trace={CALLS}", "-o", str(log)]
        files, error = self._run("undisturbed", tracing)
        assert error is None
        self.stub.assert_lost_nothing(files, self.plan)
        totals = Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))
        return [(call, number) for call, total in sorted(totals.items()) for number in range(1, total + 1)]

    def hit(self, call: str, number: int, fault: str) -> tuple[RunDirectory, AutofitError | None]:
        """Run with a fault at this call."""
        faulty = ["-e", f"trace={CALLS}", "-o", "/dev/null", "-e", f"inject={call}:{fault}:when={number}"]
        return self._run(f"{call}-{number}", [*self.strace, *faulty])

    def _run(self, name: str, strace: list[str]) -> tuple[RunDirectory, AutofitError | None]:
        files = RunDirectory(self.folder / name)
        files.create()
        launcher = TracingLauncher(self.stub.command(), strace, self.worker)
        return files, self.stub.supervise(files, self.plan, launcher=launcher)


@pytest.fixture(params=["training", "head", "fine-tune"])
def traced(request: pytest.FixtureRequest, stub: Stub, strace: list[str], tmp_path: Path, *, whole: bool) -> Traced:
    """The worker of this stage: the head's is hit before the stage that follows, the other after the one before."""
    if request.param != "fine-tune" and not whole:
        pytest.skip("a share of the cases is of the last stage")
    plan = draw_plan(random.Random(0), in_stages=request.param != "training") | {"threads": 2}
    return Traced(stub, strace, tmp_path, plan, worker=int(request.param == "fine-tune"))


def test_a_kill_at_the_system_calls_of_an_attempt_loses_nothing(
    stub: Stub, traced: Traced, count: Count, *, whole: bool
) -> None:
    """Audit log, checkpoint, heartbeat and outcome would contradict each other after a kill between two of them."""
    cases, hit = traced.calls(), 0
    assert len(cases) > 50, "the trace shows no attempt"
    for call, number in cases[:: 2 if whole else 97]:
        for promise in (2, 3, 4):
            count(promise)
        files, error = traced.hit(call, number, "signal=KILL")
        assert error is None
        stub.assert_lost_nothing(files, traced.plan)
        hit += len(result_of(files).attempts) > max(1, len(stages_of(traced.plan)))
    assert hit > 0, "no worker was hit"


def test_an_interrupted_system_call_is_made_again(stub: Stub, traced: Traced, count: Count, *, whole: bool) -> None:
    """A signal within a write by C code, which Python does not repeat, would end an attempt or leave half a file."""
    cases = [(call, number) for call, number in traced.calls() if REPEATED.search(call)]
    random.Random(1).shuffle(cases)
    for call, number in cases[: MOST_INTERRUPTED if whole else 2]:
        count(20)
        files, error = traced.hit(call, number, "error=EINTR")
        assert error is None, f"{call} {number}: {error}"
        assert len(result_of(files).attempts) == len(stages_of(traced.plan) or [0]), f"{call} {number}"
        stub.assert_lost_nothing(files, traced.plan)


def test_a_full_disk_at_the_system_calls_of_a_stage_loses_nothing(
    stub: Stub, traced: Traced, count: Count, *, whole: bool
) -> None:
    """A run whose disk fills up in a stage, or between two, would begin anew, or go on from half a checkpoint."""
    cases, told = traced.calls(), 0
    random.Random(0).shuffle(cases)
    for call, number in cases[:: 4 if whole else 1]:
        if told and not whole:
            break
        for promise in (3, 4, 6):
            count(promise)
        files, error = traced.hit(call, number, "error=ENOSPC")
        told += isinstance(error, StorageError)
        assert error is None or "No space left" in str(error), error
        assert stub.supervise(files, traced.plan) is None
        stub.assert_lost_nothing(files, traced.plan, may_fail=True)  # it cannot report it on a full disk
    assert told > 0, "no disk was full"
