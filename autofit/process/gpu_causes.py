"""Names the cause of a CUDA error, what to do about it, and whether a new process may help. Pure.

The `CUDA_ERROR_` names are those of the driver's API, which TensorFlow quotes (`CUresult`,
https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html); the sentences are those of the runtime's API and
of NVML (https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceEnumvs.html); the Xid numbers, which the kernel logs,
are explained in https://docs.nvidia.com/deploy/xid-errors/. Out-of-memory errors are not among them: the worker
reports those itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from autofit.protocol.messages import Verdict

NO_GPU_FOUND = "the driver shows a GPU, but TensorFlow finds none"
"""What a worker reports if the run was planned for a GPU that TensorFlow does not find."""

NO_GPU_ADVICE = (
    "install tensorflow[and-cuda], or a newer driver (autofit doctor); or train on the CPU with CUDA_VISIBLE_DEVICES=-1"
)


@dataclass(frozen=True, slots=True)
class GpuCause:
    """A cause of CUDA errors.

    Attributes:
        signs: texts by which CUDA, its runtime or NVML name it.
        words: what it is, and what to do, for the user.
        may_pass: whether a new process, with a CUDA context of its own, may go on at once.
    """

    signs: tuple[str, ...]
    words: str
    may_pass: bool


_DRIVER = "NVIDIA's driver is too old for this TensorFlow or this GPU: update the driver (autofit doctor), then resume"
CAUSES = (
    GpuCause(
        (
            "CUDA_ERROR_NO_BINARY_FOR_GPU",
            "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
            "CUDA_ERROR_INVALID_PTX",
            "CUDA_ERROR_JIT_COMPILER_NOT_FOUND",
            "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
            "no kernel image is available for execution on the device",
            "the provided PTX was compiled with an unsupported toolchain",
            "CUDA driver version is insufficient for CUDA runtime version",
        ),
        _DRIVER,
        may_pass=False,
    ),
    GpuCause(
        ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "Driver/library version mismatch"),
        "NVIDIA's driver and its libraries have different versions, as after an update: restart the machine, then "
        "resume",
        may_pass=False,
    ),
    GpuCause(
        ("CUDA_ERROR_ECC_UNCORRECTABLE", "CUDA_ERROR_NVLINK_UNCORRECTABLE", "CUDA_ERROR_HARDWARE_STACK_ERROR"),
        "the GPU's memory or hardware has failed (Xid 48, 63, 64 or 94 in dmesg): if it comes again, reset or replace "
        "the card",
        may_pass=True,
    ),
    GpuCause(
        ("CUDA_ERROR_LAUNCH_TIMEOUT",),
        "the watchdog of the GPU's display has ended a computation: use a card without a display, or smaller images",
        may_pass=True,
    ),
    GpuCause(
        (
            "CUDA_ERROR_ILLEGAL_ADDRESS",
            "CUDA_ERROR_LAUNCH_FAILED",
            "CUDA_ERROR_MISALIGNED_ADDRESS",
            "CUDA_ERROR_ILLEGAL_INSTRUCTION",
            "CUDA_ERROR_INVALID_PC",
        ),
        "a computation on the GPU was ended (Xid 13 or 31 in dmesg): the card, the driver or an operation of the model "
        "is faulty",
        may_pass=True,
    ),
    GpuCause(
        (
            "GPU is lost",
            "CUDA_ERROR_UNKNOWN",
            "CUDA_ERROR_NO_DEVICE",
            "CUDA_ERROR_DEVICE_UNAVAILABLE",
            "CUDA_ERROR_SYSTEM_NOT_READY",
        ),
        "the GPU no longer answers: it has fallen off the bus (Xid 79 in dmesg), or its driver was reset or put to "
        "sleep: see nvidia-smi, restart the machine, then resume",
        may_pass=False,
    ),
)
"""The first cause with a sign in the text counts: a more specific error is often followed by `CUDA_ERROR_UNKNOWN`."""

_CUDA_INIT = "cuInit"
"""Lines with this are ignored: where there is no GPU, TensorFlow logs `failed call to cuInit: CUDA_ERROR_NO_DEVICE`,
also in a worker that is meant to use the CPU."""


def gpu_cause(verdict: Verdict, said: str) -> GpuCause | None:
    """The cause of a crash; None if no error of a GPU is behind it.

    Args:
        verdict: on the exit; only a crash is examined.
        said: all lines that the worker reported, or what native code wrote to stderr before it ended the worker.
    """
    if verdict is not Verdict.CRASHED:
        return None
    text = "\n".join(line for line in said.splitlines() if _CUDA_INIT not in line)
    return next((cause for cause in CAUSES if any(sign in text for sign in cause.signs)), None)
