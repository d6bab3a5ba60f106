"""The settings of TensorFlow in this process: all are made here, before TensorFlow's first operation.

Each is based on a measurement (`benchmarks/environment.py`, docs/decisions/0021). The figures are images a second by
the clock, relative to those with BFC and without oneDNN: MobileNetV2 at 160 px, 2 cores of an AMD EPYC with AVX-512,
TensorFlow 2.21, 2026-11-27, three rounds on a quiet machine. A setting that was not measured, or not well enough, is
left at TensorFlow's default.

    setting     on a CPU                   alternatives: extraction at 32, training all at 16
    allocator   BFC, as one arena          malloc: 0.61, 0.67; tuned malloc: 0.99, 0.93, and neither raises at a limit
    malloc      as the system has it       tuned beside BFC: 0.98, 1.01
    oneDNN      on where memory cannot     on: 1.40, 1.24; it ends the process where it finds no memory (0004, 0023)
                run out, else off
    intra-op    TensorFlow's: the cores    1: 0.63, 0.82; 2, the same: 0.98, 0.97
    inter-op    TensorFlow's: the cores,   1: 1.01, 0.90; 2, the same: 1.01, 0.95
                1 on a rung of the ladder (0057)
    determinism on request (0027)          on: 1.01, 0.99 by processor time; on a busy machine, 2026-11-28
    XLA         off                        on: 0.07 (extraction)
    precision   float32                    bfloat16: 0.35, 0.19; with oneDNN 2.16, 0.88: it changes the result

On a GPU TensorFlow always uses BFC, and the plan decides whether cuDNN's convolutions are tuned (0028). XLA is off
unless the user asks for it (0051): with it, Keras's `fit` took 197 s for a first epoch (docs/gpu.md). Mixed precision
is an option (0059).
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from pathlib import Path
from typing import Any

from autofit.cache import compiled_kernels
from autofit.cache.folder import default_folder
from autofit.config.batch_schedule import LEAST_BUFFER_BYTES
from autofit.config.byte_size import format_size, whole_megabytes
from autofit.errors import UserError
from autofit.machine import cgroups, memory_policy
from autofit.machine.memory_policy import HANDLES_SHARE
from autofit.machine.process_limits import memory_within, process_limits
from autofit.process.gpu_causes import NO_GPU_ADVICE, NO_GPU_FOUND
from autofit.protocol.job import Devices, Kernels, Tuning
from autofit.protocol.messages import LEAST_ALLOCATOR_BYTES, MemoryBudget
from autofit.protocol.tf_choices import AUTOTUNE_VARIABLE, ONEDNN_VARIABLE, XLA_VARIABLE, kernels_asked, xla_flags
from autofit.worker.runtime.devices import logical_cpus, visible
from autofit.worker.runtime.exceptions import ShortOfMemoryError
from autofit.worker.runtime.keras_config import naming_the_settings
from autofit.worker.runtime.memory import CPU, GPU, reserve_arena, resident_bytes

AFTER_IMPORT_BYTES = {"head": 250 * 10**6, "all": 450 * 10**6}
"""An estimate, by what is trained, of the resident memory that building, tracing and a first step add outside the
allocator.

Measured with TensorFlow 2.21 on 2 cores, 160 px: MobileNetV2 120 MB (head) and 220 to 350 MB (all), ResNet50 320 to
380 MB (all). After its first step the worker measures its own figure, which the next attempt uses.
"""

HANDLES_COUNTED_BYTES = 3 * 10**9
"""The allocator takes a share of its limit outside its arena, for its handles (`HANDLES_SHARE`).

`AFTER_IMPORT_BYTES` was measured with a limit of 3 GB and includes the handles for it; with 20 GB they took 560 MB
more, and half a second.
"""

CONTEXT_ARENA_MB = 4
"""What TensorFlow's context takes of the allocator's limit before the first operation, with a margin."""

_allocator_limit: int | None = None


def before_import(
    device: str, planned: Kernels | None = None, tuning: Tuning | None = None, *, xla: bool | None = None
) -> None:
    """Make the settings that TensorFlow and Keras read while they are imported.

    On a CPU oneDNN is switched off where memory may run out. Its kernels do not check whether their scratch memory was
    allocated: without it they end the process (SIGSEGV or SIGABRT) instead of raising. With Eigen's kernels every
    out-of-memory that was provoked raised (MobileNetV2, EfficientNetB0 and ResNet50, forward and backward, TensorFlow
    2.21).

    Args:
        device: "cpu" or "gpu".
        planned: the kernels in the plan of a training (`autofit/runs/`). Other jobs use Eigen's, unless the user has
            asked for others.
        tuning: how convolutions are chosen on a GPU, in the plan of a training. Other jobs leave the choice to
            TensorFlow and the user.
        xla: whether XLA compiles on a GPU, in the plan of a training. Other jobs follow the user's variable.

    Raises:
        UserError: a setting of the user's that autofit cannot work with.
    """
    if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in {"1", "true"}:
        raise UserError("TF_USE_LEGACY_KERAS is set, and autofit needs Keras 3: unset it")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if device == "cpu":
        if planned is None:
            os.environ.setdefault(ONEDNN_VARIABLE, "0")
        else:  # from the run's first attempt to its last, whatever the shell says
            os.environ[ONEDNN_VARIABLE] = "1" if planned == "onednn" else "0"
    elif tuning is not None:
        os.environ[AUTOTUNE_VARIABLE] = "1" if tuning == "tuned" else "0"
    if device == "gpu" and xla is not None:  # from the run's first attempt to its last
        os.environ[XLA_VARIABLE] = xla_flags(os.environ, is_on=xla)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # what native code says goes to stderr.log


def hide_gpus() -> None:
    """Hide the machine's GPUs from TensorFlow, so that a job for the CPU, such as an estimate, is measured there."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def keep_compiled_kernels() -> None:
    """Let CUDA keep what it compiles for this GPU in autofit's cache folder, unless the user has set another folder.

    If the folder cannot be made, CUDA uses its own.

    Raises:
        UserError: AUTOFIT_CACHE is not a possible path.
    """
    ours = compiled_kernels.settings(os.environ, default_folder())
    with contextlib.suppress(OSError):
        Path(ours[compiled_kernels.PATH_VARIABLE]).mkdir(parents=True, exist_ok=True)
        os.environ.update(ours)


def kernels_in_use() -> Kernels:
    """The kernels that compute on a CPU in this process. If nothing is set, TensorFlow 2.21 uses oneDNN."""
    return kernels_asked(os.environ) or "onednn"


def import_keras(*, isolated: bool) -> None:
    """Import TensorFlow and Keras; in a worker process without the packages that Keras imports only if installed.

    pandas and matplotlib, which no training needs, cost a fifth of the import (0.5 of 2.9 s) and 50 MB; SciPy, which
    only a solved head needs, another 0.4 s and 10 MB. Keras works without them, and they can be imported later.
    The garbage collector is off during the import: it would go through a million new objects repeatedly and free none
    (another 0.4 s). In a worker process it ignores these objects afterwards as well: they stay, and three collections
    would take 0.9 s more until the model is saved (2026-11-26, SciPy 2026-11-28; 2 cores, TensorFlow 2.21). In the
    user's own process (`isolated` is false) the collector is only paused.

    Raises:
        UserError: Keras cannot use the user's `keras.json`.
    """
    hidden = [name for name in ("pandas", "matplotlib", "scipy") if isolated and name not in sys.modules]
    was_collecting = gc.isenabled()
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the import system then does not find it
    gc.disable()
    try:
        with naming_the_settings():
            import keras  # noqa: F401, PLC0415 - here, so that its size is part of what is measured
        import tensorflow as tf  # noqa: F401, PLC0415
    finally:
        for name in hidden:
            del sys.modules[name]
        if isolated:
            gc.freeze()
        if was_collecting:
            gc.enable()


def make_deterministic() -> None:
    """Let TensorFlow run only operations that give the same bits each time, until the process ends.

    cuDNN then takes the first deterministic algorithm without timing any. An operation that has no deterministic
    implementation raises `UnimplementedError`; one that draws random numbers without a seed raises `RuntimeError`. The
    seeds are set where the network is built.
    https://www.tensorflow.org/api_docs/python/tf/config/experimental/enable_op_determinism
    """
    import tensorflow as tf  # noqa: PLC0415 - after its settings are made

    tf.config.experimental.enable_op_determinism()


def compute_in_order() -> None:
    """Let TensorFlow compute one operation after another, each on all cores, until the process ends.

    Where activations are computed again, how much memory a step takes depends on the order of its operations, and with
    several at once it is another in each step (docs/decisions/0057).
    """
    import tensorflow as tf  # noqa: PLC0415 - after its settings are made

    tf.config.threading.set_inter_op_parallelism_threads(1)


def limit_allocator(memory: MemoryBudget, trains: str, devices: Devices = 1) -> int:
    """Set the allocator's limit, once in a process, and return it in bytes.

    On a CPU, TensorFlow's BFC allocator (the GPU's) is switched on: it has a hard limit, raises
    `ResourceExhaustedError` at it, keeps exact statistics, and is faster than malloc. TensorFlow reads these variables
    when it makes its CPU device, which is after the import and before the first operation. With several GPUs the limit
    is that of each GPU.

    Raises:
        UserError: the limit is less than the process itself needs.
        ShortOfMemoryError: no limit was given, and the host has less memory left than the process needs.
    """
    import keras  # noqa: F401, PLC0415 - imported here, so that its size is part of what is measured
    import tensorflow as tf  # noqa: PLC0415

    global _allocator_limit  # noqa: PLW0603 - TensorFlow reads it once a process, so it is the process's
    if _allocator_limit is not None:
        return _allocator_limit
    _allocator_limit = (
        _limit_gpu(tf, memory, devices) if memory.device == "gpu" else _limit_cpu(tf, memory, trains, devices)
    )
    return _allocator_limit


def _limit_cpu(tf: Any, memory: MemoryBudget, trains: str, devices: Devices) -> int:
    now = resident_bytes()
    non_allocator = (
        max(memory.non_allocator_bytes, now)
        if memory.non_allocator_bytes
        else now + after_import_bytes(trains, memory.limit_bytes)
    )
    least = non_allocator + memory.buffer_bytes + LEAST_ALLOCATOR_BYTES
    limit = memory.limit_bytes if memory.is_given else _host_limit(memory.limit_bytes, now, least)
    if limit < least:
        has, needs = whole_megabytes(limit), whole_megabytes(least)
        bare, images = whole_megabytes(non_allocator), whole_megabytes(memory.buffer_bytes)
        raise UserError(
            f"memory_limit {has} is under what the bare process needs ({bare} for TensorFlow, {images} for images): "
            f"give over {needs}{', or smaller images (image_size)' if memory.buffer_bytes > LEAST_BUFFER_BYTES else ''}"
        )
    allocator = limit - non_allocator - memory.buffer_bytes
    os.environ["TF_CPU_ALLOCATOR_USE_BFC"] = "true"
    megabytes = allocator // 2**20
    os.environ["TF_CPU_BFC_MEM_LIMIT_IN_MB"] = str(megabytes)
    logical_cpus(tf, devices)
    reserve_arena(megabytes - CONTEXT_ARENA_MB)
    return allocator


def after_import_bytes(trains: str, limit_bytes: int) -> int:
    """Estimate how much a worker will take outside its allocator after the import, in bytes, until it is measured."""
    return AFTER_IMPORT_BYTES[trains] + max(0, limit_bytes - HANDLES_COUNTED_BYTES) // HANDLES_SHARE


def _host_limit(planned: int, now: int, least: int) -> int:
    """The limit in bytes if the user gave none: the planned one, or less if the host has less left by now.

    Raises:
        ShortOfMemoryError: it is less than `least`.
    """
    left = cgroups.memory_left_reader()()
    limit = min(planned, now + memory_policy.usable_bytes(left.bytes))
    if limit < least:
        has, needs = format_size(max(limit - now, 0)), format_size(least - now)
        within = memory_within(process_limits())
        if within is not None and limit == planned >= memory_policy.usable_bytes(within[0]):
            raise ShortOfMemoryError(f"{within[1]} leaves {has} for a worker that needs {needs}", "raise that limit")
        raise ShortOfMemoryError(f"the machine has {has} of memory left ({left.of}) for a worker that needs {needs}")
    return limit


def _limit_gpu(tf: Any, memory: MemoryBudget, devices: Devices) -> int:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise UserError(f"{NO_GPU_FOUND}: {NO_GPU_ADVICE}")
    used = visible(gpus, devices)
    tf.config.set_visible_devices(used, "GPU")
    for gpu in used:
        if memory.is_given:
            device = tf.config.LogicalDeviceConfiguration(memory_limit=memory.limit_bytes // 2**20)
            tf.config.set_logical_device_configuration(gpu, [device])
        else:
            tf.config.experimental.set_memory_growth(gpu, True)
    return memory.limit_bytes


def device_name(memory: MemoryBudget) -> str:
    """TensorFlow's name of the device whose memory is limited."""
    return GPU if memory.device == "gpu" else CPU
