"""The memory that a worker may use: the given limit, or what is free, as far as the worker needs it. Pure."""

from __future__ import annotations

import math

from autofit.config.batch_schedule import EXTRACTION_BLOCK, image_buffer_bytes
from autofit.config.byte_size import format_size
from autofit.config.options import Options
from autofit.errors import UserError
from autofit.machine.hardware import Hardware
from autofit.machine.memory_policy import usable_bytes, usable_gpu_bytes
from autofit.machine.process_limits import OF_SHELL
from autofit.probing.records import ProbeReport
from autofit.protocol.job import TrainingPlan
from autofit.protocol.messages import MemoryBudget

FORWARD_BYTES_A_PIXEL = 1000
"""An upper bound of the memory that the forward pass of a frozen network takes for each pixel of an image. Measured at
160 px on a CPU, with 32 images at once and with weights: 180 (ResNet50) to 460 (Xception), and 520 for the first layers
of VGG16. Other networks were not measured."""

LARGEST_NETWORK_BYTES = 1_500_000_000
"""More than the weights of the largest network in `keras.applications` without its top: ConvNeXtXLarge with 1.4 GB."""

LEAST_USE_BYTES, TIMES_FORESEEN = 4 * 10**9, 3
"""On a CPU, a worker without a given limit gets more than `LEAST_USE_BYTES` only if it may need it: to extract features
of large images, or if `TIMES_FORESEEN` times the estimate is more. The reason is that 1/32 of the allocator's limit is
resident from the start: 0.7 GB of 24 GB."""

ROOM_BYTES = 4 * 10**9
"""With so much free memory, and without a given limit, memory is spent on what only makes a run faster."""

THREADS_BYTES = 64 * 2**20
"""Memory for loader threads that each wait for a file, as on a mounted drive: 27 threads at 224 px."""

LEAST_PROCESS_BYTES = 700 * 10**6
"""The least memory with which a worker can start on a CPU: TensorFlow 2.21 has 660 MB resident after its import."""

LEAST_TRAINING_BYTES = 1_100_000_000
"""The memory that the smallest training takes on a CPU (1.06 to 1.11 GB with TensorFlow 2.21). Less than this within a
limit of the shell is not tried."""

GIVEN_LIMIT = "--memory-limit"
"""The name of a given limit in a report."""


def memory_budget(
    options: Options,
    machine: Hardware,
    largest_batch: int,
    *,
    extracts: bool = False,
    foreseen_bytes: float = math.inf,
) -> MemoryBudget:
    """The memory that a worker may use: the given limit, or what the machine has free, as far as the worker needs it.

    A given limit that is more than the machine has free counts as none.

    Args:
        options: the request.
        machine: the machine on which it runs.
        largest_batch: the largest number of decoded images that a worker has to hold at once.
        extracts: whether the worker extracts features by the backbone.
        foreseen_bytes: the estimated memory of the training; infinity if there is no estimate.

    Raises:
        UserError: the given limit is less than the bare process needs, or a limit of the shell leaves less.
    """
    given = options.memory_limit_bytes
    if given is not None and machine.device == "cpu" and given < LEAST_PROCESS_BYTES:
        raise UserError(
            f"memory_limit {format_size(given)} is under what the bare process needs "
            f"(TensorFlow alone takes about {format_size(LEAST_PROCESS_BYTES)}): "
            f"give more than {format_size(LEAST_TRAINING_BYTES)}, which the smallest training takes"
        )
    free = machine.device_free_bytes or machine.device_memory_bytes or 0
    of_host = machine.host_available_bytes
    has = usable_gpu_bytes(free, machine.compute_major) if machine.device == "gpu" else usable_bytes(of_host)
    if machine.limited_by in OF_SHELL:
        _require_room(machine.limited_by, has)
    if exceeds_machine(options, machine):
        given = None
    if machine.device == "cpu":
        use = TIMES_FORESEEN * foreseen_bytes
        if extracts:
            use = max(most_to_extract_bytes(options, largest_batch), use if math.isfinite(use) else 0)
        has = int(min(has, max(LEAST_USE_BYTES, use)))
    return MemoryBudget(
        device=machine.device,
        limit_bytes=given or has,
        is_given=given is not None,
        buffer_bytes=image_buffer_bytes(largest_batch, options.image_size),
        threads_bytes=THREADS_BYTES if can_spare(options, machine) else 0,
    )


def _require_room(limited_by: str, has: int) -> None:
    """Check that a limit on what a process maps leaves enough memory, in bytes.

    Raises:
        UserError: it does not.
    """
    if has < LEAST_TRAINING_BYTES:
        needs = format_size(LEAST_TRAINING_BYTES)
        raise UserError(
            f"{limited_by} leaves a worker {has // 10**6} MB, and the smallest training takes {needs}: raise that limit"
        )


def exceeds_machine(options: Options, machine: Hardware) -> bool:
    """Whether a memory limit was given that is more than the machine has free, and so limits nothing."""
    given = options.memory_limit_bytes
    if machine.device == "cpu":
        return given is not None and given > machine.host_available_bytes
    free = machine.device_free_bytes or machine.device_memory_bytes
    return given is not None and free is not None and given > free


def can_spare(options: Options, machine: Hardware) -> bool:
    """Whether memory may be spent on what only makes a run faster."""
    return options.memory_limit_bytes is None and machine.host_available_bytes >= ROOM_BYTES


def most_to_extract_bytes(options: Options, images: int) -> int:
    """The most that a worker takes for the forward pass of so many images at once through a frozen backbone."""
    tensors = LARGEST_NETWORK_BYTES + images * math.prod(options.image_size) * FORWARD_BYTES_A_PIXEL
    return LEAST_PROCESS_BYTES + tensors


def largest_decoded_batch(plan: TrainingPlan, machine: Hardware) -> int:
    """How many images are decoded together."""
    return max(plan.schedule.largest, EXTRACTION_BLOCK[machine.device] if plan.feature_cache else 0)


def limited_by(options: Options, machine: Hardware) -> str:
    """The limit that applies, in a few words."""
    is_given = options.memory_limit_bytes is not None and not exceeds_machine(options, machine)
    return GIVEN_LIMIT if is_given else machine.limited_by


def foreseen_bytes(probe: ProbeReport, micro_batch_size: int) -> float:
    """The memory that a worker takes with this micro-batch size, by the probe's line; infinity if there is no line."""
    line = probe.memory_model
    return line.base_bytes + line.bytes_per_image * micro_batch_size if line else math.inf
