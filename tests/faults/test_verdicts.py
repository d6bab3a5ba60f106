"""Errors of TensorFlow's own classes: those about memory shrink the micro-batch, all others never do."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from autofit.protocol.messages import Verdict

pytestmark = pytest.mark.slow

OUT_OF_MEMORY = {Verdict.DEVICE_OOM, Verdict.HOST_OOM}

# Class and words, as TensorFlow gives them or threads about it quote them, and some that only sound alike.
MEMORY = [
    ("ResourceExhaustedError", "OOM when allocating tensor with shape[64,112,112,96] and type float on CPU:0"),
    ("ResourceExhaustedError", "Out of memory while trying to allocate 4294967296 bytes."),
    ("ResourceExhaustedError", "failed to allocate memory [Op:Conv2D]"),
    ("ResourceExhaustedError", "MemoryError: Unable to allocate 7.00 GiB for an array"),
    ("ResourceExhaustedError", "/photos/0001.jpg; Cannot allocate memory"),
    ("ResourceExhaustedError", ""),
    ("InternalError", "failed to allocate 2.00G: CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    ("InternalError", "CUDA runtime implicit initialization on GPU:0 failed. Status: CUDA_ERROR_OUT_OF_MEMORY"),
    ("InternalError", "Dst tensor is not initialized."),
    ("InternalError", "Failed copying input tensor from CPU:0 to GPU:0 in order to run _EagerConst"),
    ("UnknownError", "Dst tensor is not initialized. [[node model/conv1/Conv2D]]"),
    ("AbortedError", "Failed copying input tensor from CPU:0 to GPU:0 in order to run Identity"),
]
PERHAPS = [
    ("InternalError", "Could not create cuDNN handle: CUDNN_STATUS_ALLOC_FAILED"),
    ("UnknownError", "CUDNN_STATUS_ALLOC_FAILED in tensorflow/stream_executor/cuda/cuda_dnn.cc(427)"),
    ("InternalError", "cuDNN launch failure: CUDNN_STATUS_INTERNAL_ERROR"),
    ("InternalError", "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ("InternalError", "failed to create cublas handle: CUBLAS_STATUS_NOT_INITIALIZED"),
    ("InternalError", "failed to create cublas handle: the resource allocation failed"),
    ("InternalError", "cublasCreate: CUBLAS_STATUS_ALLOC_FAILED"),
    ("NotFoundError", "No algorithm worked!  Error messages: Profiling failure on CUDNN engine"),
    ("UnknownError", "Failed to get convolution algorithm. This is probably because cuDNN failed to initialize"),
]
OTHER = [
    ("ResourceExhaustedError", "/runs/logs/events.out.tfevents; No space left on device [Op:WriteFile]"),
    ("ResourceExhaustedError", "/runs/logs/events.out.tfevents; Disk quota exceeded"),
    ("ResourceExhaustedError", "/photos/0001.jpg; Too many open files [Op:ReadFile]"),
    ("ResourceExhaustedError", "/photos/0001.jpg; Too many open files in system"),
    ("ResourceExhaustedError", "/photos/0001.jpg; Too many links"),
    ("InvalidArgumentError", "Incompatible shapes: [32,10] vs. [32,12]"),
    ("InvalidArgumentError", "Matrix size-incompatible: In[0]: [2,3], In[1]: [2,3]"),
    ("InvalidArgumentError", "Received a label value of 7 which is outside the valid range of [0, 5)"),
    ("InvalidArgumentError", "dense/kernel : Tensor had NaN values"),
    ("InvalidArgumentError", "Allocator (cpu_bfc) ran out of memory trying to allocate 1.1GiB: this is not a failure"),
    ("InvalidArgumentError", "class 'out of memory' is unknown"),
    ("InvalidArgumentError", "OOM"),
    ("InternalError", "ptxas exited with non-zero error code 2"),
    ("InternalError", "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered"),
    ("InternalError", "CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure"),
    ("InternalError", "CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected"),
    ("InternalError", "Could not find device for node: OOM"),
    ("UnknownError", "CUDNN_STATUS_EXECUTION_FAILED in tensorflow/stream_executor/cuda/cuda_dnn.cc"),
    ("UnknownError", "CUDNN_STATUS_NOT_SUPPORTED"),
    ("UnimplementedError", "The Conv2D op currently only supports the NHWC tensor format on the CPU"),
    ("FailedPreconditionError", "Could not find variable dense/bias. This could mean that it was deleted"),
    ("NotFoundError", "/weights/resource_exhausted.h5; No such file or directory"),
    ("PermissionDeniedError", "/photos/0001.jpg; Permission denied"),
    ("DataLossError", "corrupted record at 0"),
    ("OutOfRangeError", "End of sequence"),
    ("DeadlineExceededError", "the host's memory was busy for too long"),
    ("UnavailableError", "Socket closed"),
    ("CancelledError", "RecvAsync is cancelled"),
    ("AlreadyExistsError", "Resource __per_step_0/oom already exists"),
    ("RuntimeError", "CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    ("RuntimeError", "CUDA out of memory. Tried to allocate 2.00 GiB"),
    ("ValueError", "ResourceExhaustedError: OOM when allocating tensor"),
    ("ValueError", "Input 0 of layer dense is incompatible with the layer: Dst tensor is not initialized"),
    ("KeyError", "out of memory"),
    ("AssertionError", "OOM"),
    ("OSError", "No algorithm worked"),
]


@pytest.fixture(scope="module")
def tf() -> ModuleType:
    return importlib.import_module("tensorflow")


def made(tf: ModuleType, kind: str, words: str) -> Exception:
    """An exception of that class of TensorFlow or Python."""
    if hasattr(tf.errors, kind):
        error: Exception = getattr(tf.errors, kind)(None, None, words)
        return error
    builtin = {one.__name__: one for one in (RuntimeError, ValueError, KeyError, AssertionError, OSError)}[kind]
    return builtin(words)


def repeated(error: Exception, raised_times: int) -> tuple[list[int], Exception | None]:
    """The micro-batch sizes tried, from 8 down, while the work raised this error so often; and the outcome."""
    from autofit.worker.execution.microbatch import MicroBatcher  # noqa: PLC0415 - it imports TensorFlow

    tried: list[int] = []

    def work(size: int) -> None:
        tried.append(size)
        if len(tried) <= raised_times:
            raise error

    try:
        MicroBatcher(8, on_shrink=lambda _: None).repeat(8, work)
    except Exception as raised:  # noqa: BLE001 - whatever it is, the test compares it
        return tried, raised
    return tried, None


def verdict_on(error: Exception) -> Verdict:
    """The verdict that the worker reports if this error ends its attempt."""
    from autofit.worker.jobs.dispatch import _verdict_of  # noqa: PLC0415 - beside TensorFlow alone

    return _verdict_of(error)[0]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("UnimplementedError", "Determinism is not yet supported in GPU implementation of Bincount."),
        ("UnimplementedError", "A deterministic GPU implementation of AdjustContrast is not currently available."),
        ("InvalidArgumentError", "When determinism is enabled, random ops must have a seed specified."),
        ("FailedPreconditionError", "Timestamp cannot be called when determinism is enabled"),
        ("RuntimeError", "Random ops require a seed to be set when determinism is enabled."),
    ],
)
def test_an_operation_that_cannot_be_deterministic_is_the_users(tf: ModuleType, kind: str, words: str) -> None:
    """A run would be tried three times and end in a traceback, without a word about the option that it is about."""
    from autofit.worker.jobs.dispatch import _refusal  # noqa: PLC0415 - beside TensorFlow alone

    cause = _refusal(made(tf, kind, f"Graph execution error:\n\n{words}\n[[node a]]")) or ""
    assert words in cause
    assert cause.endswith("leave deterministic out, or use another layer")
    assert _refusal(made(tf, kind, "Conv2D supports NHWC only")) is None


@pytest.mark.parametrize(("kind", "words"), MEMORY)
def test_memory_shrinks_the_micro_batch(tf: ModuleType, count: Callable[..., None], kind: str, words: str) -> None:
    """A run that only needs a smaller micro-batch would end with an error."""
    count(promise=8)
    error = made(tf, kind, words)
    assert repeated(error, raised_times=2) == ([8, 4, 2], None)
    assert verdict_on(error) is Verdict.DEVICE_OOM


@pytest.mark.parametrize(("kind", "words"), PERHAPS)
def test_what_may_be_memory_is_tried_smaller_and_is_none_where_one_image_fails(
    tf: ModuleType, count: Callable[..., None], kind: str, words: str
) -> None:
    """A broken driver would be reported as a network that is too large for the device."""
    count(promise=8)
    error = made(tf, kind, words)
    assert repeated(error, raised_times=1) == ([8, 4], None)
    assert repeated(error, raised_times=99) == ([8, 4, 2, 1], error)
    assert verdict_on(error) is Verdict.CRASHED


def assert_shrinks_nothing(error: Exception) -> None:
    assert repeated(error, raised_times=1) == ([8], error)
    assert verdict_on(error) not in OUT_OF_MEMORY


@pytest.mark.parametrize(("kind", "words"), OTHER)
def test_what_is_not_memory_shrinks_nothing(tf: ModuleType, count: Callable[..., None], kind: str, words: str) -> None:
    """A run with a mistake in its code would be retried, smaller each time, and then be reported as too large."""
    count(promise=8)
    assert_shrinks_nothing(made(tf, kind, words))


MISTAKES: dict[str, Callable[[Any], object]] = {
    "a full disk": lambda tf: tf.io.write_file("/dev/full", "x"),
    "a missing file": lambda tf: tf.io.read_file("/nonexistent/OOM"),
    "shapes": lambda tf: tf.matmul(tf.zeros([2, 3]), tf.zeros([2, 3])),
    "more elements than there are numbers": lambda tf: tf.zeros([2**40, 2**40]),
    "channels": lambda tf: tf.nn.conv2d(tf.zeros([1, 4, 4, 3]), tf.zeros([3, 3, 4, 8]), 1, "SAME"),
    "no image": lambda tf: tf.io.decode_jpeg(b"out of memory"),
    "a label too high": lambda tf: tf.gather([1, 2], [5]),
    "no number": lambda tf: tf.strings.to_number("out of memory"),
    "NaN": lambda tf: tf.debugging.check_numerics(tf.constant([float("nan")]), "OOM"),
    "an assertion": lambda tf: tf.debugging.assert_equal(1, 2, message="out of memory"),
    "a singular matrix": lambda tf: tf.linalg.inv(tf.zeros([2, 2])),
    "an exception of the user's": lambda tf: tf.py_function(lambda: int("OOM"), [], tf.float32),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_real_mistakes_shrink_nothing(
    tf: ModuleType, count: Callable[..., None], mistake: Callable[[Any], object]
) -> None:
    """TensorFlow may raise another class or message than the table above knows."""
    count(promise=8)
    with pytest.raises(tf.errors.OpError) as raised:
        mistake(tf)
    assert_shrinks_nothing(raised.value)


def test_a_real_allocation_that_is_too_large_shrinks(tf: ModuleType, count: Callable[..., None]) -> None:
    """A real out-of-memory error would be taken for a mistake in the code."""
    count(promise=8)
    with pytest.raises(tf.errors.ResourceExhaustedError) as raised:
        tf.zeros([10**6, 10**6])
    assert repeated(raised.value, raised_times=1) == ([8, 4], None)
