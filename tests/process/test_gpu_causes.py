"""What happened to a GPU, by the words of CUDA, its runtime, TensorFlow and NVML."""

from __future__ import annotations

import signal

import pytest

from autofit.machine.process_limits import NO_LIMITS
from autofit.process.exit_classifier import Evidence, classify
from autofit.process.gpu_causes import CAUSES, gpu_cause
from autofit.process.launch import Exit
from autofit.protocol.job import Outcome
from autofit.protocol.messages import MemorySample, Verdict

LOST, DRIVER, MISMATCH, FAULT, HARDWARE, WATCHDOG = (
    "no longer answers",
    "driver is too old",
    "different versions",
    "a computation on the GPU was ended",
    "memory or hardware has failed",
    "watchdog",
)
SYNCHRONIZE = (
    "E0000 00:00:1732000000.000000    77 cuda_executor.cc:1085] could not synchronize on CUDA context: {}\n"
    "F0000 00:00:1732000000.000001    77 gpu_event_mgr.cc:226] Unexpected Event status: 1\n"
)
SAID = {
    "fallen off the bus": ("InternalError: CUDA_ERROR_UNKNOWN: unknown error", LOST, False),
    "NVML": ("RuntimeError: GPU is lost", LOST, False),
    "gone": ("CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected", LOST, False),
    "a kernel failed": (
        "InternalError: Graph execution error:\n\nCUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered",
        FAULT,
        True,
    ),
    "launch failed": ("CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure", FAULT, True),
    "what follows a fault": ("CUDA_ERROR_UNKNOWN after CUDA_ERROR_ILLEGAL_ADDRESS", FAULT, True),
    "memory of the card": ("CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC error encountered", HARDWARE, True),
    "a display": ("CUDA_ERROR_LAUNCH_TIMEOUT: the launch timed out and was terminated", WATCHDOG, True),
    "an old driver": ("CUDA driver version is insufficient for CUDA runtime version", DRIVER, False),
    "no kernels": ("no kernel image is available for execution on the device", DRIVER, False),
    "PTX too new": (
        "CUDA_ERROR_UNSUPPORTED_PTX_VERSION: the provided PTX was compiled with an unsupported toolchain.",
        DRIVER,
        False,
    ),
    "updated under way": ("Failed to initialize NVML: Driver/library version mismatch", MISMATCH, False),
}


def exit_by(number: int, stderr: str = "") -> Evidence:
    return Evidence(
        exit=Exit(-number),
        memory=MemorySample(),
        stopped_by_us=None,
        kernel_oom_kills=0,
        allocator_bytes=0,
        host_limit_bytes=0,
        limit_is_given=False,
        stderr_tail=stderr,
        limits=NO_LIMITS,
    )


@pytest.mark.parametrize(("said", "words", "may_pass"), SAID.values(), ids=SAID)
def test_what_a_worker_reports_of_its_gpu_is_named(said: str, words: str, *, may_pass: bool) -> None:
    """A user would read CUDA's name of an error, and not that the card, or its driver, is at fault."""
    first_line = said.splitlines()[0]
    found = classify(Outcome(verdict=Verdict.CRASHED, cause=first_line, traceback=said), exit_by(0))
    assert found.verdict is Verdict.CRASHED
    assert found.cause.startswith(f"{first_line}; ")
    assert words in found.cause
    assert "\n" not in found.cause
    assert found.may_pass is may_pass


@pytest.mark.parametrize(("said", "words", "may_pass"), SAID.values(), ids=SAID)
def test_what_native_code_says_before_it_aborts_is_named(said: str, words: str, *, may_pass: bool) -> None:
    """TensorFlow ends the process itself where a card is lost: the user would be told SIGABRT."""
    found = classify(None, exit_by(signal.SIGABRT, SYNCHRONIZE.format(said)))
    assert (words in found.cause, found.may_pass) == (True, may_pass)


def test_a_gpu_is_not_blamed_for_what_it_has_not_done() -> None:
    """On each machine without a GPU TensorFlow writes such a line at its start: any crash there would be the card's."""
    at_start = "E cuda_platform.cc:51] failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected"
    assert classify(None, exit_by(signal.SIGABRT, at_start)).may_pass is None
    assert classify(None, exit_by(signal.SIGKILL, SYNCHRONIZE.format("CUDA_ERROR_UNKNOWN"))).cause == "SIGKILL"
    told = Outcome(verdict=Verdict.DEVICE_OOM, cause="CUDA_ERROR_OUT_OF_MEMORY: out of memory")
    assert classify(told, exit_by(0)).cause == told.cause
    assert gpu_cause(Verdict.CRASHED, "KeyError: 'x'") is None


def test_each_sign_is_its_own() -> None:
    """A sign that is part of another's would be put down to the wrong cause, or never be reached."""
    signs = [sign for cause in CAUSES for sign in cause.signs]
    assert len(set(signs)) == len(signs)
    for cause in CAUSES:
        assert all(gpu_cause(Verdict.CRASHED, sign) is cause for sign in cause.signs)
