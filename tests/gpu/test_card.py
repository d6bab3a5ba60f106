"""What the doctor says of a card, and what its allocator does after it ran out; with a budget of seconds each."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from autofit.doctor import Severity, diagnose
from autofit.machine.hardware import Hardware
from tests.support.paths import CHILDREN

pytestmark = pytest.mark.gpu


@pytest.mark.timeout(30)
def test_the_doctor_sees_the_card(card: Hardware) -> None:
    """A machine with a GPU would train on its CPU, or be told of a problem that it does not have."""
    diagnosis = diagnose()
    assert diagnosis.hardware.device == "gpu"
    assert diagnosis.hardware.device_name == card.device_name
    assert (diagnosis.hardware.device_memory_bytes or 0) > 10**9
    problems = [finding.text for finding in diagnosis.findings if finding.severity is Severity.PROBLEM]
    assert problems == []


@pytest.mark.timeout(120)
def test_the_allocator_is_whole_after_an_out_of_memory() -> None:
    """A process would have to end after each size that does not fit, and the next one start for 15 s."""
    program = [sys.executable, str(CHILDREN / "gpu_out_of_memory.py")]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["raised"] == "ResourceExhaustedError"
    assert report["bytes_after"] == report["bytes_before"]
    assert report["fitted_afterwards"]
