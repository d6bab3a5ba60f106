"""Names what happened to a GPU behind an error of CUDA, and what to do; says whether a new process may help. Pure.

The names are those of the driver's API, which TensorFlow quotes (`CUresult`,
https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html), the texts those of the runtime's API and of NVML
(https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceEnumvs.html), the Xid numbers of the kernel's log those of
https://docs.nvidia.com/deploy/xid-errors/. An out-of-memory is none of them: the worker itself knows it.
"""

from __future__ import annotations

from dataclasses import dataclass

from autofit.protocol.messages import Verdict

NO_GPU_FOUND = "the driver shows a GPU, but TensorFlow finds none"
"""What a worker says of a GPU that was planned with and is not there for it."""

NO_GPU_ADVICE = (
    "install tensorflow[and-cuda], or a newer driver (autofit doctor); or train on the CPU with CUDA_VISIBLE_DEVICES=-1"
)


@dataclass(frozen=True, slots=True)
class GpuCause:
    """What an error of CUDA comes from.

    Attributes:
        signs: what CUDA, its runtime or NVML say of it.
        words: what it is, and what to do.
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
        "a computation on the GPU was ended (Xid 13 or 31 in dmesg), which a faulty card, driver or operation of the "
        "model does",
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
"""The first that is said counts: what follows an error of the card is often `CUDA_ERROR_UNKNOWN`."""

_OF_A_START = "cuInit"
"""TensorFlow logs `failed call to cuInit: CUDA_ERROR_NO_DEVICE` wherever it finds no GPU, a worker for the CPU too."""


def gpu_cause(verdict: Verdict, said: str) -> GpuCause | None:
    """What a crash comes from; None if no error of a GPU is behind it.

    Args:
        verdict: on the exit; only a crash is looked at.
        said: what the worker reported, all lines of it, or what the native code wrote that ended it.
    """
    if verdict is not Verdict.CRASHED:
        return None
    text = "\n".join(line for line in said.splitlines() if _OF_A_START not in line)
    return next((cause for cause in CAUSES if any(sign in text for sign in cause.signs)), None)
