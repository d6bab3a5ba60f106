"""Findings about the processes that hold GPU memory: this notebook, other processes, or unknown ones. Pure."""

from __future__ import annotations

from autofit.config.byte_size import format_size
from autofit.doctor.records import Facts, Finding, Relative, Severity
from autofit.machine.nvml import GpuProcess
from autofit.printable import first_of

SMALL_BYTES = 500 * 10**6
"""A desktop environment holds a few hundred megabytes; more than that is worth a warning."""

LITTLE_BYTES = 2 * 10**9
"""With less free memory even a small backbone hardly trains: TensorFlow alone takes half a gigabyte."""

SHOWN = 4


def free_for_worker(facts: Facts) -> int:
    """The GPU memory that a worker could get now; memory that this process holds is not available to it."""
    return facts.hardware.device_free_bytes or 0


def _unseen_bytes(facts: Facts) -> int:
    """GPU memory in use by processes that NVML does not list here; 0 if the driver itself may hold it."""
    total = facts.hardware.device_memory_bytes or 0
    unseen = total - free_for_worker(facts) - _known(facts.gpu_processes)
    return unseen if unseen >= max(total // 10, 10**9) else 0


def relatives(facts: Facts) -> list[Finding]:
    """This process or an ancestor holds memory of the GPU, such as a notebook that has used TensorFlow."""
    severity = Severity.PROBLEM if free_for_worker(facts) < LITTLE_BYTES else Severity.WARNING
    return [
        Finding(
            severity=severity,
            topic="notebook" if relative.notebook else "gpu",
            text=f"{_who(facts, relative)} holds {_held(facts, relative)} of the GPU's memory, which the process that "
            "autofit trains in cannot use",
            advice=_advice(relative),
        )
        for relative in _holding(facts)
    ]


def _holding(facts: Facts) -> list[Relative]:
    """This process and its ancestors as far as they use the GPU.

    They are found in NVML's list, or if that is incomplete, by the device file that they have opened.
    """
    if facts.hardware.device != "gpu":
        return []
    listed = {process.pid for process in facts.gpu_processes}
    unseen = _unseen_bytes(facts) > 0
    return [relative for relative in facts.family if relative.pid in listed or (unseen and relative.uses_cuda)]


def _who(facts: Facts, relative: Relative) -> str:
    if relative.notebook:
        return f"the notebook itself (its kernel, pid {relative.pid})"
    if relative is facts.family[0]:
        return f"this program itself (pid {relative.pid})"
    return f"the program that this was started from ({relative.name}, pid {relative.pid})"


def _held(facts: Facts, relative: Relative) -> str:
    known = [process.bytes for process in facts.gpu_processes if process.pid == relative.pid]
    if not known:
        return f"up to {format_size(_unseen_bytes(facts))}"
    return "an unknown amount" if known[0] is None else format_size(known[0])


def _advice(relative: Relative) -> str:
    if not relative.notebook:
        return "start autofit from a program that has not used the GPU"
    return (
        "restart it (Colab: Runtime > Restart session; Jupyter: Kernel > Restart), and use neither tensorflow nor "
        "keras in it before autofit, which trains in a process of its own"
    )


def others(facts: Facts) -> list[Finding]:
    """Other processes on the GPU."""
    found = _others(facts)
    if not found:
        return []
    small = all(process.bytes is not None for process in found) and _known(found) < SMALL_BYTES
    advice = "end those that are yours and no longer needed (kill PID), such as a forgotten notebook"
    return [
        Finding(
            severity=Severity.NOTE if small else Severity.WARNING,
            topic="gpu",
            text=f"other processes hold memory of the GPU: {_named(found)}",
            advice="" if small else advice,
        )
    ]


def _others(facts: Facts) -> list[GpuProcess]:
    """Other processes on the GPU, the largest first; those with an unknown amount count as the largest."""
    if facts.hardware.device != "gpu":
        return []
    family = {relative.pid for relative in facts.family}
    found = [process for process in facts.gpu_processes if process.pid not in family]
    return sorted(found, key=lambda process: (process.bytes is not None, -(process.bytes or 0)))


def _known(processes: list[GpuProcess]) -> int:
    return sum(process.bytes or 0 for process in processes)


def _named(processes: list[GpuProcess]) -> str:
    return first_of([f"{process.name} (pid {process.pid}, {_amount(process)})" for process in processes], SHOWN)


def _amount(process: GpuProcess) -> str:
    return "amount unknown" if process.bytes is None else format_size(process.bytes)


def unseen(facts: Facts) -> list[Finding]:
    """Memory in use by a process that NVML does not show here, as in most containers."""
    amount_unknown = any(process.bytes is None for process in facts.gpu_processes)
    if facts.hardware.device != "gpu" or amount_unknown or _holding(facts) or not _unseen_bytes(facts):
        return []
    size = format_size(_unseen_bytes(facts))
    return [
        Finding(
            severity=Severity.WARNING,
            topic="gpu",
            text=f"{size} of the GPU's memory are in use, and the driver does not show the process that holds it",
            advice="close other notebooks and containers on this GPU; nvidia-smi outside of the container names them",
            command="nvidia-smi",
        )
    ]
