"""The machine and the software that a run has ended on, in words for its result."""

from __future__ import annotations

from autofit.config.byte_size import format_size
from autofit.machine.hardware import Hardware, installed_version


def environment_of(machine: Hardware) -> dict[str, str]:
    """What may explain that another machine gives another result, or takes another time."""
    cores = f"{machine.cores} core{'' if machine.cores == 1 else 's'}"
    facts = {"processor": f"{machine.cpu_model}, {cores}", "memory": format_size(machine.host_memory_bytes)}
    if machine.device == "gpu":
        memory = format_size(machine.device_memory_bytes or 0)
        driver = f", driver {machine.driver_version}" if machine.driver_version else ""
        facts["gpu"] = f"{machine.device_name}, {memory}{driver}"
    software = (
        ("autofit", installed_version("autofit-keras")),
        ("TensorFlow", machine.tensorflow_version),
        ("Keras", machine.keras_version),
        ("Python", machine.python_version),
    )
    return facts | {"software": ", ".join(f"{name} {version}" for name, version in software if version)}
