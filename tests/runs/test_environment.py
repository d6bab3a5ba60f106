"""The machine and the software in a result."""

from __future__ import annotations

from autofit.runs.environment import UNKNOWN_SOFTWARE, environment_of, on_software, software_of
from autofit.runs.run_record import RunRecord
from tests.support.machines import make_hardware
from tests.support.paths import FIXTURES


def test_the_machine_and_the_software_are_named() -> None:
    """Two results that differ could not be explained."""
    facts = environment_of(make_hardware())
    assert set(facts) == {"processor", "memory", "software"}
    assert "core" in facts["processor"]
    assert facts["software"].startswith("autofit 0.1.0")
    on_gpu = environment_of(make_hardware(device="gpu", device_name="Some GPU", device_memory_bytes=16 * 10**9))
    assert on_gpu["gpu"].startswith("Some GPU, 16 GB")


# Other software than before

OLD, NEW = "TensorFlow 2.20.0, Keras 3.13.0, Python 3.11.7", "TensorFlow 2.21.0, Keras 3.15.1, Python 3.13.1"


def record(*software: str) -> RunRecord:
    there = RunRecord.load(FIXTURES / "runs" / "2026-11-28-pages" / "run.json")
    return there.model_copy(update={"software": list(software)})


def test_other_software_is_said_once() -> None:
    """Weights that differ in their last bits would have no cause that anybody could see."""
    goes_on, said = on_software(record(OLD), NEW, is_begun=True)
    assert goes_on.software == [OLD, NEW]
    assert said.startswith(f"trained with {OLD} until now, and from here on with {NEW}: ")
    assert on_software(goes_on, NEW, is_begun=True) == (goes_on, "")


def test_the_same_software_and_a_new_run_say_nothing() -> None:
    """Each resume would tell of a change that was none."""
    assert on_software(record(OLD), OLD, is_begun=True) == (record(OLD), "")
    goes_on, said = on_software(record(), NEW, is_begun=False)
    assert (goes_on.software, said) == ([NEW], "")


def test_versions_that_were_not_recorded_are_not_taken_for_these() -> None:
    """A run from before would be called bit-equal, whatever it was begun with."""
    goes_on, said = on_software(record(), NEW, is_begun=True)
    assert goes_on.software == [UNKNOWN_SOFTWARE, NEW]
    assert UNKNOWN_SOFTWARE in said


def test_each_version_counts() -> None:
    """Another Keras or Python would go unsaid."""
    machine = make_hardware()
    for name in ("tensorflow_version", "keras_version", "python_version"):
        assert software_of(machine.model_copy(update={name: "0.1"})) != software_of(machine)
