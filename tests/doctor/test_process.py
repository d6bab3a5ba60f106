"""Findings about limits of the process and about the processor."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from autofit.doctor import Facts, Severity, findings, gather
from autofit.doctor.records import StoppedWorker
from autofit.machine.process_limits import ProcessLimits
from tests.support.waiting import wait_until


def texts(facts: Facts, topic: str) -> list[str]:
    return [f"{one.text}: {one.advice}" for one in findings(facts) if one.topic == topic]


def test_each_low_limit_is_named_with_what_lifts_it(facts: Callable[..., Facts]) -> None:
    """A run that fails by a limit of the shell would leave its user without a place to look."""
    flags = ("-v", "-d", "-t", "-s", "-f", "-u")
    low = ProcessLimits(
        address_space_bytes=3 * 10**9,
        cpu_seconds=60,
        stack_bytes=2**19,
        file_bytes=10**6,
        processes=200,
        data_bytes=2 * 10**9,
    )
    found = texts(facts(limits=low), "limits")
    assert [next(flag for flag in flags if f"ulimit {flag}" in text) for text in found] == list(flags)


def test_usual_limits_are_no_finding(facts: Callable[..., Facts]) -> None:
    """The doctor would warn on every machine."""
    usual = ProcessLimits(address_space_bytes=10**12, stack_bytes=2**23, file_bytes=10**12, processes=100_000)
    assert texts(facts(limits=usual), "limits") == []
    assert texts(facts(), "limits") == []


def test_a_processor_without_avx_is_a_problem(facts: Callable[..., Facts]) -> None:
    """TensorFlow would end with SIGILL, and the doctor find nothing."""
    assert texts(facts(cpu_flags=frozenset({"sse2", "avx"})), "processor") == []
    assert texts(facts(), "processor") == []
    (found,) = [one for one in findings(facts(cpu_flags=frozenset({"sse2"}))) if one.topic == "processor"]
    assert found.severity is Severity.PROBLEM
    assert "AVX" in found.text


def test_a_stopped_worker_is_named_with_its_run(facts: Callable[..., Facts]) -> None:
    """It holds memory and a run directory, and the doctor would find nothing."""
    found = texts(facts(stopped_workers=[StoppedWorker(4711, "runs/\x1b[1ma")]), "processes")
    assert len(found) == 1
    assert "pid 4711" in found[0]
    assert "autofit resume 'runs/" in found[0]
    assert "a' --take-over" in found[0]
    assert "\x1b" not in found[0]


def test_a_worker_that_is_really_stopped_is_found(tmp_path: Path) -> None:
    """The finding would be there, and nothing to fill it."""
    attempt = tmp_path / "attempts" / "0001"
    command = [sys.executable, "-c", "import time; time.sleep(60)", "autofit.worker", str(attempt)]
    with subprocess.Popen(command) as process:
        try:
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
            assert StoppedWorker(process.pid, str(tmp_path)) in gather().stopped_workers
        finally:
            process.kill()
