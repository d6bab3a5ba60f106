"""The lines that a run shows about its devices before its first attempt, and the check that they exist."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from autofit.api.result import shown_path
from autofit.cache.compiled_kernels import PATH_VARIABLE, KernelCache, kernel_cache
from autofit.cache.folder import default_folder
from autofit.config.byte_size import format_size
from autofit.config.options import Options
from autofit.errors import UserError
from autofit.machine.hardware import Hardware, device_count
from autofit.machine.host_others import HostProcess
from autofit.machine.nvml import GpuProcess, gpu_error, missing_gpu
from autofit.machine.tensorflow_build import cuda_targets, has_machine_code
from autofit.printable import one_line
from autofit.process.monitor import View
from autofit.protocol.job import TrainingPlan, Tuning
from autofit.protocol.tf_choices import AUTOTUNE_VARIABLE, XLA_VARIABLE
from autofit.report.words import count_of
from autofit.storage.user_path import user_path

TUNING_WORDS: Mapping[Tuning, str] = {
    "quick": f"convolutions: cuDNN's first choice, for a quick start; {AUTOTUNE_VARIABLE}=1 tunes them in a new run",
    "tuned": f"convolutions: tuned in the first steps; {AUTOTUNE_VARIABLE}=0 starts a new run sooner",
}
CUDAS_FOLDER = Path("~/.nv/ComputeCache")
SHOWN = 3
WORTH_TELLING_BYTES = 500 * 10**6
"""GPU memory that other programs hold is reported from this amount on: a desktop and the driver hold less."""

XLA_WORDS = f"XLA compiles each new shape, as {XLA_VARIABLE} asked when the run began: that may take minutes"
DETERMINISTIC_WORDS = "convolutions: cuDNN's first deterministic choice"


def announce_device(planned: TrainingPlan, machine: Hardware, view: View, *, isolated: bool = True) -> None:
    """Show how convolution algorithms are chosen and what has to be compiled first; on a CPU, why a GPU is not used.

    In the user's own process (`isolated` false), CUDA keeps compiled kernels in its default folder.
    """
    if machine.device == "cpu" and (why := _why_no_gpu()):
        view.message(f"{why}: training on the CPU")
    if machine.device == "gpu":
        ours = {} if isolated else {PATH_VARIABLE: str(user_path(CUDAS_FOLDER))}
        cache = kernel_cache({**ours, **os.environ}, default_folder())
        for note in device_notes(planned, machine, cuda_targets(), cache):
            view.message(note)


def _why_no_gpu() -> str:
    """Why a GPU that may be meant to train does not; empty if there is none, or if it is hidden on purpose."""
    if error := gpu_error():
        return f"there is a GPU, but its driver cannot describe it ({error})"
    if name := missing_gpu():
        return f"CUDA_VISIBLE_DEVICES names {one_line(name)}, which is no GPU of this machine"
    return ""


def require_devices(options: Options, machine: Hardware) -> None:
    """Check that a machine has the devices that a request asks for.

    Raises:
        UserError: it has fewer.
    """
    count = device_count(options.devices, machine)
    if count > machine.devices and machine.device == "cpu":
        raise UserError(f"devices {count}: autofit finds no GPU here, and a CPU is one device: leave devices out")
    if count > machine.devices:
        there = count_of(machine.devices, "GPU")
        raise UserError(f"devices {count}: this process is shown {there}: give devices='all', or as many")


def devices_note(options: Options, machine: Hardware) -> str:
    """The line about the use of several devices; empty where a request asks for one. Pure."""
    if options.devices == 1:
        return ""
    if options.trainable == "head" and not options.fine_tune_epochs:
        return f"devices {options.devices}: a head on features is trained on one; only layers below it use several"
    count = device_count(options.devices, machine)
    if count == 1:
        return f"devices {options.devices}: there is one"
    what = "GPUs" if machine.device == "gpu" else "devices"
    note = f"layers of the backbone train on {count} {what}, each on a part of every batch"
    if options.time_budget_seconds is not None:
        note += "; the time budget plans with the speed of one, so the run may end before it"
    return note


def device_notes(
    planned: TrainingPlan, machine: Hardware, targets: Sequence[str], cache: KernelCache | None
) -> list[str]:
    """The lines about a GPU. Pure.

    Args:
        planned: the plan.
        machine: a machine with a GPU.
        targets: the compute capabilities for which TensorFlow's kernels were compiled; empty if unknown.
        cache: the folder in which CUDA keeps the kernels that it compiles; None if that cache is off.
    """
    notes = [*_held(machine), DETERMINISTIC_WORDS if planned.deterministic else TUNING_WORDS[planned.tuning]]
    notes += [XLA_WORDS] if planned.xla else []
    compiles = not has_machine_code(machine.compute_capability, targets)
    if compiles and (cache is None or not cache.size_bytes):
        again = "every start" if cache is None else "this first start"
        kept = "" if cache is None else f"; they are kept in {shown_path(Path(cache.path))}"
        notes.append(
            f"{machine.device_name} has compute capability {machine.compute_capability}, for which this TensorFlow has "
            f"no machine code: {again} compiles its kernels, which may take minutes{kept}"
        )
    return notes


def _held(machine: Hardware) -> list[str]:
    """A line on the GPU memory that other programs hold, so that the run has only the rest."""
    total, free = machine.device_memory_bytes or 0, machine.device_free_bytes or 0
    if total - free < max(total // 10, WORTH_TELLING_BYTES):
        return []
    sizes = ((process, f", {format_size(process.bytes)}" if process.bytes else "") for process in _largest(machine))
    holders = ", ".join(f"{process.name} (pid {process.pid}{size})" for process, size in sizes)
    whose = holders or "a program that the driver does not show"
    return [f"{format_size(free)} of the GPU's {format_size(total)} are free, and the run uses those; held by {whose}"]


def _largest(machine: Hardware) -> list[GpuProcess]:
    """The processes that hold the most of the GPU."""
    return sorted(machine.other_gpu_processes, key=lambda process: -(process.bytes or 0))[:SHOWN]


def taken_meanwhile(before: Hardware, now: Hardware) -> str:
    """A line on the GPU memory that other programs have taken since a run began; empty if it is little. Pure."""
    less = (before.device_free_bytes or 0) - (now.device_free_bytes or 0)
    if before.device != "gpu" or now.device != "gpu" or less < WORTH_TELLING_BYTES:
        return ""
    known = {process.pid for process in before.other_gpu_processes}
    new = [process for process in now.other_gpu_processes if process.pid not in known]
    names = ", ".join(f"{process.name}, pid {process.pid}" for process in new[:SHOWN])
    who = f"another program ({names})" if new else "another program"
    return f"{who} took {format_size(less)} of the GPU meanwhile; {format_size(now.device_free_bytes or 0)} are free"


def host_memory_taken(before: Hardware, now: Hardware, begun: Sequence[HostProcess]) -> str:
    """A line on the host memory that other programs have taken since a run began; empty if it is little. Pure.

    Args:
        before: the machine when the run began.
        now: the machine while no worker runs.
        begun: large programs that have begun since, the largest first.
    """
    less = before.host_available_bytes - now.host_available_bytes
    if less < WORTH_TELLING_BYTES:
        return ""
    names = ", ".join(f"{process.name}, pid {process.pid}" for process in begun[:SHOWN])
    who = f"another program ({names})" if begun else "another program"
    left = format_size(now.host_available_bytes)
    return f"{who} took {format_size(less)} of the memory meanwhile; {left} are free ({now.limited_by})"
