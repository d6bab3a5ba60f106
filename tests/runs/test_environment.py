"""The machine and the software in a result."""

from __future__ import annotations

from autofit.runs.environment import environment_of
from tests.support.machines import make_hardware


def test_the_machine_and_the_software_are_named() -> None:
    """Two results that differ could not be explained."""
    facts = environment_of(make_hardware())
    assert set(facts) == {"processor", "memory", "software"}
    assert "core" in facts["processor"]
    assert facts["software"].startswith("autofit 0.1.0")
    on_gpu = environment_of(make_hardware(device="gpu", device_name="Some GPU", device_memory_bytes=16 * 10**9))
    assert on_gpu["gpu"].startswith("Some GPU, 16 GB")
