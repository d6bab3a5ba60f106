"""The machine and the software of a run, in words for its result; and a change of the software during a run."""

from __future__ import annotations

from autofit.config.byte_size import format_size
from autofit.machine.hardware import Hardware, installed_version
from autofit.runs.run_record import RunRecord

UNKNOWN_SOFTWARE = "versions that were not recorded"


def environment_of(machine: Hardware) -> dict[str, str]:
    """The facts that may explain a different result, or a different time, on another machine."""
    cores = f"{machine.cores} core{'' if machine.cores == 1 else 's'}"
    facts = {"processor": f"{machine.cpu_model}, {cores}", "memory": format_size(machine.host_memory_bytes)}
    if machine.device == "gpu":
        memory = format_size(machine.device_memory_bytes or 0)
        driver = f", driver {machine.driver_version}" if machine.driver_version else ""
        facts["gpu"] = f"{machine.device_name}, {memory}{driver}"
    return facts | {"software": ", ".join(filter(None, (_named("autofit", "autofit-keras"), software_of(machine))))}


def software_of(machine: Hardware) -> str:
    """The software on which the bits of a training depend."""
    found = (
        ("TensorFlow", machine.tensorflow_version),
        ("Keras", machine.keras_version),
        ("Python", machine.python_version),
    )
    return ", ".join(f"{name} {version}" for name, version in found if version)


def on_software(record: RunRecord, now: str, *, is_begun: bool) -> tuple[RunRecord, str]:
    """The run with this software added to those that it was trained with; and a message if that is a new one."""
    before = record.software or ([UNKNOWN_SOFTWARE] if is_begun else [])
    if before[-1:] == [now]:
        return record, ""
    goes_on = record.model_copy(update={"software": [*before, now]})
    if not before:
        return goes_on, ""
    return goes_on, (
        f"trained with {before[-1]} until now, and from here on with {now}: "
        "the result is about equal to that of a run without interruption, not bit for bit"
    )


def _named(name: str, distribution: str) -> str:
    version = installed_version(distribution)
    return f"{name} {version}" if version else ""
