"""The training plan: from a request, its images, a machine and a probe to what `run.json` fixes. Pure."""

from __future__ import annotations

import math
from typing import Literal

from autofit.config.batch_schedule import (
    DETERMINISTIC_EXTRACTION,
    LARGEST_EXTRACTION,
    BatchSchedule,
    auto_batch_size,
    auto_micro_batch_size,
    batch_image_bytes,
)
from autofit.config.cuts import WHOLE
from autofit.config.options import (
    Options,
    allows_solved_head,
    begins_with_head,
    epochs_of,
    freezes_backbone,
    has_constant_features,
    head_options,
    strength_of,
)
from autofit.config.rungs import Rung
from autofit.machine.hardware import Hardware, device_count
from autofit.machine.memory_policy import usable_bytes
from autofit.probing.records import ProbeReport
from autofit.protocol.job import MOST_THREADS, FineTunePlan, Kernels, TrainingPlan, Tuning, ViewsPlan
from autofit.runs.fine_tune_plan import FINE_TUNE_AUGMENT, FINE_TUNE_BATCH, above_cut, is_refitted
from autofit.runs.memory_budget import can_spare, foreseen_bytes, most_to_extract_bytes

PREDECODED_BYTES = 96 * 2**20
"""Memory for images that are decoded while a worker imports TensorFlow: 1,300 of them at 160 px, more than a core
decodes in the two or three seconds until the worker needs them."""

HEAD_VIEWS = 4
"""Augmented views of each training image on which the head is solved once more, if a time budget has room for it."""

LEAST_TO_PROBE_SECONDS = 120.0
"""With a shorter time budget nothing is probed. Before the first stage that takes some 25 s on two cores, before the
second 11 s (docs/decisions/0038)."""

SHARE_FOR_ONEDNN = 0.5
"""Share of the available memory. A training that is estimated to take less cannot run out, so oneDNN may compute it."""

MOST_SOLVED = 10**8
"""Training images times classes. Solving the head for so many takes about a fifth of the time of their extraction, as
the passes over the rows are counted; beyond it, epochs need fewer passes."""

SHARE_FOR_BATCH_NORMALIZATION = 0.75
"""Where a batch has to be cut although BatchNormalization trains, its parts should not shrink again: they take at most
this share of the feasible size."""


RECALIBRATION_IMAGES = 512
"""The training images from which the averages of BatchNormalization are computed (docs/decisions/0031)."""


QUICK_PIXELS = 4_000 * 224 * 224
"""If no more than so many pixels go through a frozen backbone once, cuDNN's convolutions are not tuned. On an H100
MobileNet extracts 4,000 images of 224 px in about a second, and all that is known of tuning is that it takes longer."""


def uses_feature_cache(options: Options) -> bool:
    """Whether the run uses the feature cache; with `auto`, if that is exact and features are used again."""
    if options.feature_cache == "auto":
        return has_constant_features(options) and epochs_of(options) > 1
    return options.feature_cache == "on" and freezes_backbone(options)


def cached_views(options: Options) -> int:
    """The number of views of each training image in the feature cache; more than one an epoch would be useless."""
    return min(options.feature_views, epochs_of(options)) if strength_of(options) != "none" else 1


def uses_pixel_cache(options: Options) -> bool:
    """Whether the run uses the pixel cache: if the decoded images are needed more than once."""
    times = cached_views(options) if uses_feature_cache(options) else epochs_of(options)
    return options.pixel_cache == "auto" and times > 1


def extraction_size(options: Options, planned: TrainingPlan, device: Literal["cpu", "gpu"]) -> int | None:
    """The micro-batch of an extraction: as given, or fixed in a deterministic run; None to find the fastest."""
    if options.micro_batch_size is not None:
        return planned.micro_batch_size
    return DETERMINISTIC_EXTRACTION[device] if planned.deterministic else None


def predecoded_images(planned: TrainingPlan, options: Options, machine: Hardware) -> int:
    """How many images may be decoded before a worker can extract features, if there is memory to spare.

    0 on a single core, which the import needs; and 0 with augmentation, whose views are not known so early.
    """
    wanted = planned.feature_cache and planned.augment == "none" and options.isolation == "process"
    if not wanted or machine.cores == 1 or not can_spare(options, machine):
        return 0
    return PREDECODED_BYTES // batch_image_bytes(1, options.image_size)


def needs_probe(options: Options) -> bool:
    """Whether a size has to be probed. An extraction finds its own size, and a head alone fits with any."""
    return options.batch_size is None and options.batch_schedule is None and not uses_feature_cache(options)


def has_time_to_probe(options: Options) -> bool:
    """Whether a time budget leaves most of itself after a probe; without one a step that runs out of memory shrinks."""
    return options.time_budget_seconds is None or options.time_budget_seconds >= LEAST_TO_PROBE_SECONDS


def largest_useful_batch(options: Options, train_count: int, machine: Hardware) -> int:
    """The largest micro-batch that a training of so many images could use: larger ones need no probe."""
    return options.micro_batch_size or part_of_batch(options, auto_batch_size(train_count), machine)


def part_of_batch(options: Options, batch_size: int, machine: Hardware) -> int:
    """How many images of a batch a device has at most in a training; all of them where only the head trains."""
    return -(-batch_size // device_count(options.devices, machine)) if options.trainable == "all" else batch_size


def _trains_batch_normalization(options: Options) -> bool:
    """Whether BatchNormalization may train, so that the micro-batch is part of the result."""
    return options.trainable == "all" and options.weights == "none"


def training_plan(
    options: Options,
    train_count: int,
    probe: ProbeReport | None,
    machine: Hardware,
    asked: Kernels | None = None,
    tuning: Tuning | None = None,
) -> TrainingPlan:
    """Make the plan: sizes as requested, else as the probe recommends.

    Args:
        options: the request.
        train_count: the images for training.
        probe: its report, if there was one.
        machine: the one on which it runs.
        asked: the kernels that the user wants.
        tuning: how the user wants a GPU's convolutions to be chosen.
    """
    first, last = _batch_sizes(options, train_count)
    schedule = BatchSchedule(first, last, epochs_of(options))
    part = part_of_batch(options, schedule.largest, machine)
    micro = _micro_batch_size(options, part, probe)
    is_cut = micro < part and options.micro_batch_size is None
    return TrainingPlan(
        epochs=epochs_of(options),
        first_batch_size=first,
        last_batch_size=last,
        micro_batch_size=micro,
        micro_batch_is_cut=is_cut and options.trainable == "all",
        recalibration_images=RECALIBRATION_IMAGES if _trains_batch_normalization(options) else 0,
        seed=options.seed,
        class_weight=options.class_weight,
        early_stopping=options.early_stopping,
        monitor=options.monitor,
        checkpoint_seconds=options.checkpoint_seconds,
        checkpoint_steps=options.checkpoint_steps,
        audit=options.audit,
        replay=options.replay,
        threads=min(max(2, machine.cores), MOST_THREADS),
        max_bad_images=options.max_bad_images,
        feature_cache=uses_feature_cache(options),
        feature_views=cached_views(options),
        augment=strength_of(options),
        flip=options.flip,
        pixel_cache=uses_pixel_cache(options),
        kernels=asked or _kernels(options, micro, probe, machine),
        deterministic=options.deterministic,
        devices=options.devices,
        tuning=tuning or _tuning(options, train_count, machine),
        rung=Rung(segments=probe.workload.segments) if probe else None,
    )


def staged_plan(
    options: Options,
    train_count: int,
    num_classes: int,
    probe: ProbeReport | None,
    machine: Hardware,
    asked: Kernels | None = None,
    tuning: Tuning | None = None,
    *,
    has_callbacks: bool = False,
) -> TrainingPlan:
    """Make the plan with its stages: the head, solved if nothing asks for epochs, and fine-tuning if asked for.

    A training of all layers of a pretrained backbone is the same, with everything above the images fine-tuned.

    Args:
        options: the request.
        train_count: the images for training.
        num_classes: the width of the head's output.
        probe: its report, if there was one.
        machine: the one on which it runs.
        asked: the kernels that the user wants.
        tuning: how the user wants a GPU's convolutions to be chosen.
        has_callbacks: whether there are callbacks, which are about epochs.
    """
    whole = training_plan(options, train_count, probe, machine, asked, tuning)
    if not begins_with_head(options):
        planned = _with_solved_head(whole, options, train_count, num_classes, has_callbacks=has_callbacks)
        tuned = above_cut(options, train_count, asked, device_count(options.devices, machine))
        return planned.model_copy(update={"fine_tune": tuned})
    of_head = head_options(options)
    planned = _with_solved_head(
        training_plan(of_head, train_count, None, machine, asked, tuning),
        of_head,
        train_count,
        num_classes,
        has_callbacks=has_callbacks,
    )
    if planned.head != "solve":
        return whole
    size = options.batch_size or FINE_TUNE_BATCH
    fine_tune = FineTunePlan(
        epochs=whole.epochs,
        batch_size=size,
        micro_batch_size=_micro_batch_size(options, part_of_batch(options, size, machine), probe),
        learning_rate=options.learning_rate,
        cut=WHOLE,
        augment=whole.augment,
        flip=whole.flip,
        kernels=whole.kernels,
        rung=whole.rung,
        by_budget=options.time_budget_seconds is not None,
        refit=is_refitted(options, train_count),
    )
    return planned.model_copy(update={"fine_tune": fine_tune})


def without_refit(planned: TrainingPlan) -> TrainingPlan:
    """The plan for data with validation images of its own: nothing is trained on them."""
    fine_tune = planned.fine_tune and planned.fine_tune.model_copy(update={"refit": False})
    return planned.model_copy(update={"refit_head": False, "fine_tune": fine_tune})


def _with_solved_head(
    planned: TrainingPlan, options: Options, train_count: int, num_classes: int, *, has_callbacks: bool
) -> TrainingPlan:
    """The plan with a head that is solved instead of trained by epochs, if nothing asks for epochs and it is feasible.

    Where the user gave no validation images of their own, the head is fitted once more on all images.
    """
    is_feasible = planned.feature_cache and train_count * num_classes <= MOST_SOLVED
    if not is_feasible or has_callbacks or not allows_solved_head(options):
        return planned
    views = ViewsPlan(count=HEAD_VIEWS, augment=FINE_TUNE_AUGMENT, flip=options.flip, by_budget=True)
    has_views = options.time_budget_seconds is not None and options.augment == "auto" and not options.replay
    return planned.model_copy(
        update={
            "head": "solve",
            "refit_head": isinstance(options.validation, float),
            "views": views if has_views else None,
        }
    )


def kernels_before_probe(options: Options, machine: Hardware, asked: Kernels | None = None) -> Kernels:
    """The kernels of a run as far as they are known before it is probed."""
    return asked or _kernels(options, 1, None, machine)


def _kernels(options: Options, micro_batch_size: int, probe: ProbeReport | None, machine: Hardware) -> Kernels:
    """OneDNN's on a CPU if memory cannot run out, where they are only faster; Eigen's if it might."""
    if machine.device != "cpu" or options.memory_limit_bytes is not None or options.isolation == "inline":
        return "eigen"
    if probe is not None:
        limit, takes = probe.memory_limit_bytes, foreseen_bytes(probe, micro_batch_size)
    else:
        limit = usable_bytes(machine.host_available_bytes)
        at_once = max(LARGEST_EXTRACTION["cpu"] if uses_feature_cache(options) else 1, micro_batch_size)
        takes = most_to_extract_bytes(options, at_once) if freezes_backbone(options) else math.inf
    return "onednn" if takes <= SHARE_FOR_ONEDNN * limit else "eigen"


def _tuning(options: Options, train_count: int, machine: Hardware) -> Tuning:
    """No tuning on a GPU for a short extraction, which it would only delay; nor if determinism forbids it.

    A user's own process is left as it is.
    """
    if machine.device != "gpu" or options.isolation == "inline":
        return "tuned"
    pixels = train_count * cached_views(options) * math.prod(options.image_size)
    is_short = uses_feature_cache(options) and pixels <= QUICK_PIXELS
    return "quick" if is_short or options.deterministic else "tuned"


def _batch_sizes(options: Options, train_count: int) -> tuple[int, int]:
    if options.batch_schedule is not None:
        return options.batch_schedule
    if options.batch_size is not None:
        return options.batch_size, options.batch_size
    size = auto_batch_size(train_count)
    return size, size


def _micro_batch_size(options: Options, batch_size: int, probe: ProbeReport | None) -> int:
    """The micro-batch size: as requested, else what the probe found.

    Where the backbone trains, other micro-batches make other weights. So if the whole batch fits it is not cut, however
    fast it is: every machine that holds it trains the same model.
    """
    if options.micro_batch_size is not None:
        return min(options.micro_batch_size, batch_size)
    if probe is None:
        return batch_size
    if options.trainable == "all" and batch_size <= probe.largest_feasible_batch:
        return batch_size
    bound = probe.recommended_batch
    if _trains_batch_normalization(options):
        bound = min(bound, int(SHARE_FOR_BATCH_NORMALIZATION * probe.largest_feasible_batch))
    return auto_micro_batch_size(batch_size, bound)
