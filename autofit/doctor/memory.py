"""Findings about memory: which limit applies, how much of it is free, and whether it ran out before. Pure."""

from __future__ import annotations

from autofit.config.byte_size import format_size
from autofit.doctor.holders import LITTLE_BYTES, free_for_worker
from autofit.doctor.records import Facts, Finding, Severity
from autofit.machine.process_limits import OF_SHELL, memory_within


def limit(facts: Facts) -> list[Finding]:
    """Which limit applies, and how much of it is free."""
    hardware = facts.hardware
    free, total = hardware.host_available_bytes, hardware.nearest_limit_bytes or hardware.host_limit_bytes
    if hardware.device == "gpu":
        free, total = free_for_worker(facts), hardware.device_memory_bytes or 0
    text = f"{hardware.limited_by} counts: {format_size(free)} of {format_size(total)} are free"
    return [Finding(severity=Severity.OK, topic="memory", text=text)]


def little_memory(facts: Facts) -> list[Finding]:
    """Little free memory, on the host or on the GPU."""
    is_of_shell = facts.hardware.limited_by in OF_SHELL  # about those: doctor/process.py
    free = {} if is_of_shell else {"host": facts.hardware.host_available_bytes}
    if facts.hardware.device == "gpu":
        free["GPU"] = free_for_worker(facts)
    return [_little(where, size) for where, size in free.items() if size < LITTLE_BYTES]


def _little(where: str, free_bytes: int) -> Finding:
    return Finding(
        severity=Severity.WARNING,
        topic="memory",
        text=f"only {format_size(free_bytes)} of {where} memory is free",
        advice="close other programs that use it, or use a small backbone and a small --image-size",
    )


def cgroup_below_host(facts: Facts) -> list[Finding]:
    """A container's limit, which psutil, `free` and `top` do not show."""
    hardware = facts.hardware
    within = memory_within(facts.limits)
    is_of_shell = hardware.limited_by in OF_SHELL or (within and within[0] == hardware.host_limit_bytes)
    if hardware.host_limit_bytes >= hardware.host_memory_bytes or is_of_shell:
        return []
    here, host = format_size(hardware.host_limit_bytes), format_size(hardware.host_memory_bytes)
    text = f"a cgroup lets this process use {here} of the host's {host}; free, top and psutil show the host"
    return [Finding(severity=Severity.NOTE, topic="memory", text=text, advice=f"plan with {here}, as autofit does")]


def oom_kills(facts: Facts) -> list[Finding]:
    """Processes in this cgroup that the kernel has killed because memory ran out."""
    if not facts.oom_kills:
        return []
    times = "once" if facts.oom_kills == 1 else f"{facts.oom_kills:,} times"
    text = f"the kernel's OOM killer has killed processes {times} in this cgroup"
    limit = format_size(facts.hardware.host_limit_bytes)
    advice = "close other programs in it, or give it more memory"
    if facts.hardware.device == "cpu":  # on a GPU the flag limits the GPU's memory
        advice += f"; --memory-limit keeps a run below its limit of {limit}"
    return [Finding(severity=Severity.WARNING, topic="memory", text=text, advice=advice)]
