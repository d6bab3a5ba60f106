"""From a request, its images, a machine and a probe to a plan: pure, and fixed in `run.json`."""

from __future__ import annotations

import math

from autofit.config.backbones import ModelSpec
from autofit.config.batch_schedule import (
    EXTRACTION_BLOCK,
    LARGEST_EXTRACTION,
    USUAL_BATCH,
    BatchSchedule,
    auto_batch_size,
    auto_micro_batch_size,
    batch_image_bytes,
    image_buffer_bytes,
)
from autofit.config.byte_size import format_size
from autofit.config.option_checks import GIVEN_FUNCTION
from autofit.config.options import Options, freezes_backbone, has_constant_features
from autofit.config.run_options import MOST_PROBED_BATCH
from autofit.errors import UserError
from autofit.machine.hardware import Hardware
from autofit.machine.memory_policy import usable_bytes, usable_gpu_bytes
from autofit.probing.records import ProbeReport, Workload
from autofit.protocol.job import MOST_THREADS, Kernels, ModelSource, TrainingPlan
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

EARLY_BYTES = 96 * 2**20
"""For images that are decoded while a worker imports TensorFlow: at 160 px 1,300 of them, more than a core decodes in
the two or three seconds until the worker needs them."""

SHARE_FOR_ONEDNN = 0.5
"""Of the memory there is. What is foreseen to take less cannot run out, and oneDNN may compute it."""

LEAST_PROCESS_BYTES = 700 * 10**6
"""Under this no worker starts on a CPU: TensorFlow 2.21 alone has 660 MB resident after its import."""

SHARE_FOR_BATCH_NORMALIZATION = 0.75
"""Where the micro-batch is part of the result it must not shrink: it takes at most this share of what was feasible."""

GIVEN_LIMIT = "--memory-limit"
"""What limits where a limit was asked for, in the words of a report."""


def model_source(options: Options, num_classes: int) -> ModelSource:
    """Where a worker gets the network."""
    given = options.model == GIVEN_FUNCTION
    return ModelSource(
        spec=ModelSpec(
            backbone=options.backbone,
            weights=options.weights,
            image_size=options.image_size,
            trainable=options.trainable,
            hidden_units=options.hidden_units,
            dropout=options.dropout,
            seed=options.seed,
        ),
        reference=None if given else options.model,
        sent=given,
        num_classes=num_classes,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
    )


def workload(options: Options, num_classes: int) -> Workload:
    """What a probe of this request measures."""
    return Workload(
        backbone=options.backbone or options.model or "",
        image_size=options.image_size,
        num_classes=num_classes,
        trainable=options.trainable,
        weights=options.weights,
        hidden_units=options.hidden_units,
        dropout=options.dropout,
        optimizer=options.optimizer,
    )


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
        use = _most_to_extract_bytes(options, largest_batch) if extracts else TIMES_FORESEEN * foreseen_bytes
        has = int(min(has, max(LEAST_USE_BYTES, use)))
    return MemoryBudget(
        device=machine.device,
        limit_bytes=given or has,
        is_given=given is not None,
        buffer_bytes=image_buffer_bytes(largest_batch, options.image_size),
        threads_bytes=THREADS_BYTES if _can_spare(options, machine) else 0,
    )


def _can_spare(options: Options, machine: Hardware) -> bool:
    """Whether there is memory for what only makes a run faster."""
    return options.memory_limit_bytes is None and machine.host_available_bytes >= ROOM_BYTES


def _most_to_extract_bytes(options: Options, images: int) -> int:
    """What a worker takes at most where so many images at once go forward through a frozen backbone."""
    tensors = LARGEST_NETWORK_BYTES + images * math.prod(options.image_size) * FORWARD_BYTES_A_PIXEL
    return LEAST_PROCESS_BYTES + tensors


def largest_decoded_batch(plan: TrainingPlan, machine: Hardware) -> int:
    """How many images are decoded together."""
    return max(plan.schedule.largest, EXTRACTION_BLOCK[machine.device] if plan.feature_cache else 0)


def limited_by(options: Options, machine: Hardware) -> str:
    """In a few words, which limit counts."""
    return GIVEN_LIMIT if options.memory_limit_bytes else machine.limited_by


def keeps_features(options: Options) -> bool:
    """Whether features are to be extracted once and kept: by itself where that is exact and they are used again."""
    if options.feature_cache == "auto":
        return has_constant_features(options) and options.epochs > 1
    return options.feature_cache == "on" and freezes_backbone(options)


def views_kept(options: Options) -> int:
    """Of how many views of a training image features are kept, where they are: an epoch more needs no view more."""
    return min(options.feature_views, options.epochs) if options.augment != "none" else 1


def keeps_pixels(options: Options) -> bool:
    """Whether decoded images are to be kept: where they are needed more than once."""
    times = views_kept(options) if keeps_features(options) else options.epochs
    return options.pixel_cache == "auto" and times > 1


def early_images(planned: TrainingPlan, options: Options, machine: Hardware) -> int:
    """How many images may be decoded before a worker can extract features: where there is memory to spare.

    None on a single core, which the import needs; and none of augmented views, which are not known so early.
    """
    wanted = planned.feature_cache and planned.augment == "none" and options.isolation == "process"
    if not wanted or machine.cores == 1 or not _can_spare(options, machine):
        return 0
    return EARLY_BYTES // batch_image_bytes(1, options.image_size)


def needs_probe(options: Options) -> bool:
    """Whether a size is left to be found. An extraction finds its own, and a head has room for any."""
    return options.batch_size is None and options.batch_schedule is None and not keeps_features(options)


def largest_useful_batch(options: Options, train_count: int) -> int:
    """The largest size at once that a training of so many images could use: there is no use in probing beyond it.

    Where BatchNormalization trains, so much more that the whole batch is still within the share it may take.
    """
    useful = options.micro_batch_size or auto_batch_size(MOST_PROBED_BATCH, train_count)
    return math.ceil(useful / SHARE_FOR_BATCH_NORMALIZATION) if _trains_batch_normalization(options) else useful


def _trains_batch_normalization(options: Options) -> bool:
    """Whether BatchNormalization may train, so that the micro-batch is part of the result."""
    return options.trainable == "all" and options.weights == "none"


def training_plan(
    options: Options,
    train_count: int,
    probe: ProbeReport | None,
    machine: Hardware,
    asked: Kernels | None = None,
) -> TrainingPlan:
    """Fix the sizes: what was asked for, and the probe's answers for the rest. The kernels are those `asked` for."""
    first, last = _batch_sizes(options, train_count, probe)
    schedule = BatchSchedule(first, last, options.epochs)
    micro = _micro_batch_size(options, schedule.largest, probe)
    return TrainingPlan(
        epochs=options.epochs,
        first_batch_size=first,
        last_batch_size=last,
        micro_batch_size=micro,
        seed=options.seed,
        class_weight=options.class_weight,
        early_stopping=options.early_stopping,
        checkpoint_seconds=options.checkpoint_seconds,
        checkpoint_steps=options.checkpoint_steps,
        audit=options.audit,
        replay=options.replay,
        threads=min(max(2, machine.cores), MOST_THREADS),
        max_bad_images=options.max_bad_images,
        feature_cache=keeps_features(options),
        feature_views=views_kept(options),
        augment=options.augment,
        pixel_cache=keeps_pixels(options),
        kernels=asked or _kernels(options, micro, probe, machine),
    )


def foreseen_bytes(probe: ProbeReport, micro_batch_size: int) -> float:
    """What a worker takes with so many images at once, by the probe's line; infinity where it has none."""
    line = probe.memory_model
    return line.base_bytes + line.bytes_per_image * micro_batch_size if line else math.inf


def _kernels(options: Options, micro_batch_size: int, probe: ProbeReport | None, machine: Hardware) -> Kernels:
    """Those of oneDNN on a CPU where memory cannot run out, so that it is only faster; Eigen's where it might."""
    if machine.device != "cpu" or options.memory_limit_bytes is not None or options.isolation == "inline":
        return "eigen"
    if probe is not None:
        limit, takes = probe.memory_limit_bytes, foreseen_bytes(probe, micro_batch_size)
    else:
        limit = usable_bytes(machine.host_available_bytes)
        at_once = max(LARGEST_EXTRACTION["cpu"] if keeps_features(options) else 1, micro_batch_size)
        takes = _most_to_extract_bytes(options, at_once) if freezes_backbone(options) else math.inf
    return "onednn" if takes <= SHARE_FOR_ONEDNN * limit else "eigen"


def _batch_sizes(options: Options, train_count: int, probe: ProbeReport | None) -> tuple[int, int]:
    if options.batch_schedule is not None:
        return options.batch_schedule
    if options.batch_size is not None:
        return options.batch_size, options.batch_size
    size = auto_batch_size(probe.recommended_batch if probe else USUAL_BATCH, train_count)
    return size, size


def _micro_batch_size(options: Options, batch_size: int, probe: ProbeReport | None) -> int:
    if options.micro_batch_size is not None:
        return min(options.micro_batch_size, batch_size)
    if probe is None:
        return batch_size
    bound = probe.recommended_batch
    if _trains_batch_normalization(options):
        bound = min(bound, int(SHARE_FOR_BATCH_NORMALIZATION * probe.largest_feasible_batch))
    return auto_micro_batch_size(batch_size, bound)
