"""What a run on a GPU says about it before its first attempt."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from autofit.api.result import shown_path
from autofit.cache.compiled_kernels import KernelCache, kernel_cache
from autofit.cache.folder import default_folder
from autofit.config.byte_size import format_size
from autofit.machine.hardware import Hardware
from autofit.machine.nvml import gpu_error
from autofit.machine.tensorflow_build import cuda_targets, has_machine_code
from autofit.process.monitor import View
from autofit.protocol.job import AUTOTUNE_VARIABLE, TrainingPlan, Tuning

TUNING_WORDS: Mapping[Tuning, str] = {
    "quick": f"convolutions: cuDNN's first choice, for a quick start; {AUTOTUNE_VARIABLE}=1 tunes them in a new run",
    "tuned": f"convolutions: tuned in the first steps; {AUTOTUNE_VARIABLE}=0 starts a new run sooner",
}
DETERMINISTIC_WORDS = "convolutions: cuDNN's first deterministic choice"


def announce_device(planned: TrainingPlan, machine: Hardware, view: View) -> None:
    """Show how convolutions are chosen, and what has to be compiled first; on a CPU, whether a GPU was lost."""
    if machine.device == "cpu" and (error := gpu_error()):
        view.message(f"there is a GPU, but its driver cannot describe it ({error}): training on the CPU")
    if machine.device == "gpu":
        cache = kernel_cache(os.environ, default_folder())
        for note in device_notes(planned, machine, cuda_targets(), cache):
            view.message(note)


def device_notes(
    planned: TrainingPlan, machine: Hardware, targets: Sequence[str], cache: KernelCache | None
) -> list[str]:
    """The lines about a GPU. Pure.

    Args:
        planned: the plan.
        machine: with a GPU.
        targets: what TensorFlow's kernels were compiled for; empty if unknown.
        cache: what CUDA keeps of the kernels that it compiles; None if it is off.
    """
    notes = [DETERMINISTIC_WORDS if planned.deterministic else TUNING_WORDS[planned.tuning]]
    compiles = not has_machine_code(machine.compute_capability, targets)
    if compiles and (cache is None or not cache.size_bytes):
        again = "every start" if cache is None else "this first start"
        kept = "" if cache is None else f"; they are kept in {shown_path(Path(cache.path))}"
        notes.append(
            f"{machine.device_name} has compute capability {machine.compute_capability}, for which this TensorFlow has "
            f"no machine code: {again} compiles its kernels, which may take minutes{kept}"
        )
    return notes


WORTH_TELLING_BYTES = 500 * 10**6
"""So much less free memory than before is told after an out-of-memory: a smaller amount comes and goes."""


def taken_meanwhile(before: Hardware, now: Hardware) -> str:
    """What other programs have taken of a GPU since a run began, in words; empty if it is little. Pure."""
    less = (before.device_free_bytes or 0) - (now.device_free_bytes or 0)
    if before.device != "gpu" or now.device != "gpu" or less < WORTH_TELLING_BYTES:
        return ""
    known = {process.pid for process in before.other_gpu_processes}
    new = [process for process in now.other_gpu_processes if process.pid not in known]
    names = ", ".join(f"{process.name}, pid {process.pid}" for process in new[:3])
    who = f"another program ({names})" if new else "another program"
    return f"{who} took {format_size(less)} of the GPU meanwhile; {format_size(now.device_free_bytes or 0)} are free"
