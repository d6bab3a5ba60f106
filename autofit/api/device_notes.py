"""What a run on a GPU says about it before its first attempt."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from autofit.api.result import shown_path
from autofit.cache.compiled_kernels import KernelCache, kernel_cache
from autofit.cache.folder import default_folder
from autofit.machine.hardware import Hardware
from autofit.machine.tensorflow_build import cuda_targets, has_machine_code
from autofit.process.monitor import View
from autofit.protocol.job import AUTOTUNE_VARIABLE, TrainingPlan, Tuning

TUNING_WORDS: Mapping[Tuning, str] = {
    "quick": f"convolutions: cuDNN's first choice, for a quick start; {AUTOTUNE_VARIABLE}=1 tunes them in a new run",
    "tuned": f"convolutions: tuned in the first steps; {AUTOTUNE_VARIABLE}=0 starts a new run sooner",
}
DETERMINISTIC_WORDS = "convolutions: cuDNN's first deterministic choice"


def announce_device(planned: TrainingPlan, machine: Hardware, view: View) -> None:
    """Show how convolutions are chosen, and what has to be compiled first; nothing on a CPU."""
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
