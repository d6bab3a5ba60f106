"""Exits whose causes look alike: limits that are really set, crashes at the start. Each is named, and what to do."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from autofit.runs.collect_result import collect_result
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.paths import child_environment
from tests.support.stub_parents import STUB_PARENT

pytestmark = pytest.mark.slow

PROMISE = 16
NOBODY = 65534

LIMITS: dict[str, tuple[int, int, str, str, str]] = {
    "address space": (resource.RLIMIT_AS, 2 * 10**9, "SIGKILL@3,hog@0", "DoesNotFitError", "(ulimit -v)"),
    "data segment": (resource.RLIMIT_DATA, 2 * 10**9, "SIGKILL@3,hog@0", "DoesNotFitError", "(ulimit -d)"),
    "threads": (resource.RLIMIT_AS, 2 * 10**9, "SIGKILL@3,threads@0", "TrainingFailedError", "(ulimit -v)"),
    "processor time": (resource.RLIMIT_CPU, 4, "SIGKILL@3,spin@0", "TrainingFailedError", "(ulimit -t, "),
    "stack": (resource.RLIMIT_STACK, 2**19, "SIGKILL@3,SIGSEGV@0", "TrainingFailedError", "(ulimit -s)"),
    "file size": (resource.RLIMIT_FSIZE, 2**16, "large@3", "StorageError", "(ulimit -f)"),
}
"""The limit, what it is set to, how workers meet it after one that was killed, and what the run ends with."""


def supervised(
    files: RunDirectory, ends: str, limit: int | None = None, value: int = 0, before: Sequence[str] = ()
) -> list[str]:
    """The kind and the words of the error with which a parent ends that was started under a limit."""

    def lower() -> None:
        if limit is not None:
            resource.setrlimit(limit, (value, value))

    command = [*before, sys.executable, str(STUB_PARENT), str(files.path), ends]
    environment = child_environment(OPENBLAS_NUM_THREADS="1")
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120, preexec_fn=lower
    )
    assert done.returncode == 0, done.stderr[-2000:]
    kind, words = json.loads(done.stdout.splitlines()[-1])
    return [kind, words]


SOME = ("address space", "file size")
"""What `make test` tries."""


@pytest.mark.parametrize(
    "name", [name if name in SOME else pytest.param(name, marks=pytest.mark.whole) for name in LIMITS]
)
def test_a_limit_is_named_and_costs_no_checkpoint(tmp_path: Path, count: Callable[..., None], name: str) -> None:
    """The user would hear that not even one image fits, or the name of a signal, and not which limit to lift."""
    count(promise=PROMISE)
    limit, value, ends, expected, words = LIMITS[name]
    files = RunDirectory(tmp_path)
    kind, text = supervised(files, ends, limit, value)
    assert kind == expected
    assert words in text
    assert "\n" not in text
    assert len(text) < 500
    state = CheckpointStore(files.checkpoints).latest_state()
    assert state
    assert state["position"] > 0
    assert supervised(files, "complete") == ["NoneType", "None"]  # nothing was lost


AS_NOBODY = ("--reuid", str(NOBODY), "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
"""Another user, who may read and write what root may: the limit on processes does not bind root."""


def test_a_limit_on_threads_is_named(tmp_path: Path, count: Callable[..., None]) -> None:
    """A worker without a thread ends with words that only a programmer understands."""
    count(promise=PROMISE)
    before = [shutil.which("setpriv") or "setpriv", *AS_NOBODY] if os.geteuid() == 0 else []
    with contextlib.suppress(OSError):
        if subprocess.run([*before, "true"], capture_output=True, check=False).returncode == 0:
            kind, text = supervised(RunDirectory(tmp_path), "SIGKILL@3,threads@0", resource.RLIMIT_NPROC, 40, before)
            assert kind == "TrainingFailedError"
            assert "(ulimit -u, 40)" in text
            return
    pytest.skip("the limit does not bind root, and no other user can be had")


@pytest.mark.parametrize(
    "name", ["SIGILL", *(pytest.param(name, marks=pytest.mark.whole) for name in ("SIGSEGV", "SIGBUS"))]
)
def test_three_crashes_at_the_start_name_the_likely_causes(
    tmp_path: Path, count: Callable[..., None], name: str
) -> None:
    """The user would hear of a signal three times, and not that TensorFlow needs another machine or installation."""
    count(promise=PROMISE)
    files = RunDirectory(tmp_path)
    kind, text = supervised(files, f"early-{name}")
    assert kind == "TrainingFailedError"
    assert f"{name} at its start: the processor lacks instructions" in text
    assert "mixes libraries" in text
    assert "a driver is faulty (autofit doctor)" in text
    attempts = collect_result(files, "failed", "", 0.0).attempts
    assert [one.cause.partition(":")[0] for one in attempts] == [f"{name} at its start"] * 3


def test_a_kill_by_hand_is_no_memory(tmp_path: Path, count: Callable[..., None]) -> None:
    """Each `kill -9` of somebody would halve the micro-batch."""
    count(promise=PROMISE)
    files = RunDirectory(tmp_path)
    assert supervised(files, "SIGKILL@3,complete") == ["NoneType", "None"]
    attempts = collect_result(files, "completed", "", 0.0).attempts
    assert [one.micro_batch_size for one in attempts] == [4, 4]
    assert attempts[0].cause.startswith(signal.SIGKILL.name)
