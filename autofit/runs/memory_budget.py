"""The memory that a worker may use: the given limit, or what is free, as far as the worker needs it. Pure."""

from __future__ import annotations

import math

from autofit.config.batch_schedule import EXTRACTION_BLOCK, image_buffer_bytes
from autofit.config.byte_size import format_size
from autofit.config.options import Options
from autofit.errors import UserError
from autofit.machine.hardware import Hardware
from autofit.machine.memory_policy import usable_bytes, usable_gpu_bytes
from autofit.probing.records import ProbeReport
from autofit.protocol.job import TrainingPlan
from autofit.protocol.messages import MemoryBudget

FORWARD_BYTES_A_PIXEL = 1000
"""What a frozen network's forward pass takes of an image's pixel, and more: at 160 px on a CPU it was 180 (ResNet50) to
460 (Xception) with 32 at once, weights included, and 520 by VGG16's first layers. Others were not measured."""

LARGEST_NETWORK_BYTES = 1_500_000_000
"""ConvNeXtXLarge's weights, the most of `keras.applications` without a top, are 1.4 GB."""

LEAST_USE_BYTES, TIMES_FORESEEN = 4 * 10**9, 3
"""On a CPU a worker is given more than that only where it may have a use for it: to extract from large images, or where
three times what was foreseen is more. The allocator has a 32nd of its limit resident from the start: 0.7 GB where that
is all of 24 GB."""

ROOM_BYTES = 4 * 10**9
"""A machine that has so much left can spare what only makes a run faster, unless a limit was given."""

THREADS_BYTES = 64 * 2**20
"""For loader threads that wait for a file each, as on a mounted drive: 27 at 224 px."""

LEAST_PROCESS_BYTES = 700 * 10**6
"""Under this no worker starts on a CPU: TensorFlow 2.21 alone has 660 MB resident after its import."""

GIVEN_LIMIT = "--memory-limit"
"""What limits where a limit was asked for, in the words of a report."""


def memory_budget(
    options: Options,
    machine: Hardware,
    largest_batch: int,
    *,
    extracts: bool = False,
    foreseen_bytes: float = math.inf,
) -> MemoryBudget:
    """What a worker may use: the given limit, or what the machine has free, as far as it has a use for it.

    Args:
        options: the request.
        machine: where.
        largest_batch: how many decoded images a worker holds at once at the least.
        extracts: whether all that the worker does with the backbone is to extract features.
        foreseen_bytes: what the worker is foreseen to take, where that is known.

    Raises:
        UserError: the limit is under what the bare process needs.
    """
    given = options.memory_limit_bytes
    if given is not None and machine.device == "cpu" and given < LEAST_PROCESS_BYTES:
        raise UserError(
            f"memory_limit {format_size(given)} is under what the bare process needs "
            f"(TensorFlow alone takes about {format_size(LEAST_PROCESS_BYTES)}): give 1GB or more"
        )
    free = machine.device_free_bytes or machine.device_memory_bytes or 0
    has = usable_gpu_bytes(free) if machine.device == "gpu" else usable_bytes(machine.host_available_bytes)
    if machine.device == "cpu":
        use = most_to_extract_bytes(options, largest_batch) if extracts else TIMES_FORESEEN * foreseen_bytes
        has = int(min(has, max(LEAST_USE_BYTES, use)))
    return MemoryBudget(
        device=machine.device,
        limit_bytes=given or has,
        is_given=given is not None,
        buffer_bytes=image_buffer_bytes(largest_batch, options.image_size),
        threads_bytes=THREADS_BYTES if can_spare(options, machine) else 0,
    )


def can_spare(options: Options, machine: Hardware) -> bool:
    """Whether there is memory for what only makes a run faster."""
    return options.memory_limit_bytes is None and machine.host_available_bytes >= ROOM_BYTES


def most_to_extract_bytes(options: Options, images: int) -> int:
    """What a worker takes at most where so many images at once go forward through a frozen backbone."""
    tensors = LARGEST_NETWORK_BYTES + images * math.prod(options.image_size) * FORWARD_BYTES_A_PIXEL
    return LEAST_PROCESS_BYTES + tensors


def largest_decoded_batch(plan: TrainingPlan, machine: Hardware) -> int:
    """How many images are decoded together."""
    return max(plan.schedule.largest, EXTRACTION_BLOCK[machine.device] if plan.feature_cache else 0)


def limited_by(options: Options, machine: Hardware) -> str:
    """In a few words, which limit counts."""
    return GIVEN_LIMIT if options.memory_limit_bytes else machine.limited_by


def foreseen_bytes(probe: ProbeReport, micro_batch_size: int) -> float:
    """What a worker takes with so many images at once, by the probe's line; infinity where it has none."""
    line = probe.memory_model
    return line.base_bytes + line.bytes_per_image * micro_batch_size if line else math.inf
