"""Makes the training plan, which `run.json` fixes, from a request, its images, a machine and a probe. Pure."""

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
from autofit.config.learning_rates import fall_at_the_end
from autofit.config.options import (
    Options,
    allows_solved_head,
    begins_with_head,
    epochs_of,
    freezes_backbone,
    has_constant_features,
    has_own_objective,
    head_options,
    strength_of,
)
from autofit.config.rungs import Rung
from autofit.machine.hardware import Hardware, device_count
from autofit.machine.memory_policy import usable_bytes
from autofit.probing.records import ProbeReport
from autofit.protocol.job import MOST_THREADS, Kernels, TrainingPlan, Tuning, ViewsPlan
from autofit.runs.fine_tune_plan import FINE_TUNE_AUGMENT, FINE_TUNE_BATCH, above_cut, of_whole_training
from autofit.runs.memory_budget import can_spare, foreseen_bytes, most_to_extract_bytes
from autofit.runs.time_budget import epochs_by_budget

PREDECODED_BYTES = 96 * 2**20
"""The memory for images that are decoded while a worker imports TensorFlow: 1,300 images at 160 px, more than a core
decodes in the two or three seconds until the worker needs them."""

HEAD_VIEWS = 4
"""The augmented views of each training image on which the head is solved again, if a time budget has time for that."""

LEAST_TO_PROBE_SECONDS = 120.0
"""The shortest time budget with which a run begins with a probe. On two cores it takes some 25 s."""

SHARE_FOR_ONEDNN = 0.5
"""If a training is estimated to take no more than this share of the available memory, it cannot run out of it, so
oneDNN may compute it."""

MOST_SOLVED = 10**8
"""The largest product of training images and classes for which a head is solved. With so many, the solver's passes over
the rows take about a fifth of the time of the extraction; with more, epochs need fewer passes."""

SHARE_FOR_BATCH_NORMALIZATION = 0.75
"""If a batch has to be split although BatchNormalization trains, each part has at most this share of the feasible size,
so that it need not shrink again."""


RECALIBRATION_IMAGES = 512
"""The number of training images from which the averages of BatchNormalization are computed (docs/decisions/0031)."""


QUICK_PIXELS = 4_000 * 224 * 224
"""With at most so many pixels in an extraction, cuDNN's convolutions are not tuned. On an H100 MobileNet extracts 4,000
images of 224 px in about a second; tuning takes longer than that."""


def uses_feature_cache(options: Options) -> bool:
    """Whether the run uses the feature cache; with `auto`, if that changes no result and features are used again."""
    if options.feature_cache == "auto":
        return has_constant_features(options) and epochs_of(options) > 1
    return options.feature_cache == "on" and freezes_backbone(options)


def cached_views(options: Options) -> int:
    """The number of views of each training image in the feature cache: at most as many as there are epochs."""
    return min(options.feature_views, epochs_of(options)) if strength_of(options) != "none" else 1


def uses_pixel_cache(options: Options) -> bool:
    """Whether the run uses the pixel cache; with `auto`, if decoded images are needed more than once."""
    times = cached_views(options) if uses_feature_cache(options) else epochs_of(options)
    return options.pixel_cache == "auto" and times > 1


def extraction_size(options: Options, planned: TrainingPlan, device: Literal["cpu", "gpu"]) -> int | None:
    """The micro-batch size of an extraction: as given, or fixed in a deterministic run; None to search the fastest."""
    if options.micro_batch_size is not None:
        return planned.micro_batch_size
    return DETERMINISTIC_EXTRACTION[device] if planned.deterministic else None


def predecoded_images(planned: TrainingPlan, options: Options, machine: Hardware) -> int:
    """How many images may be decoded before a worker can extract features, if there is memory for that.

    0 on a single core, which the import needs; also 0 with augmentation, whose views are not known so early.
    """
    wanted = planned.feature_cache and planned.augment == "none" and options.isolation == "process"
    if not wanted or machine.cores == 1 or not can_spare(options, machine):
        return 0
    return PREDECODED_BYTES // batch_image_bytes(1, options.image_size)


def needs_probe(options: Options) -> bool:
    """Whether a size has to be probed. An extraction finds its own size, and a head on its features fits with any."""
    return options.batch_size is None and options.batch_schedule is None and not uses_feature_cache(options)


def has_time_to_probe(options: Options, least_seconds: float = LEAST_TO_PROBE_SECONDS) -> bool:
    """Whether a time budget, if there is one, is long enough for a probe; else steps shrink when memory runs out."""
    return options.time_budget_seconds is None or options.time_budget_seconds >= least_seconds


def largest_useful_batch(options: Options, train_count: int, machine: Hardware) -> int:
    """The largest micro-batch that a training of so many images could use, and that has to be probed."""
    size = FINE_TUNE_BATCH if begins_with_head(options) else _auto_batch_size(options, train_count)
    return options.micro_batch_size or part_of_batch(options, size, machine)


def part_of_batch(options: Options, batch_size: int, machine: Hardware) -> int:
    """The most images of a batch that one device has in a training; all of them if only the head trains."""
    return -(-batch_size // device_count(options.devices, machine)) if options.trainable == "all" else batch_size


def _trains_from_scratch(options: Options) -> bool:
    """Whether autofit's recipe trains a network that autofit builds, from random weights.

    A network of the user's trains as with `model.fit`.
    """
    return options.model is None and options.recipe == "auto" and _trains_batch_normalization(options)


def _trains_batch_normalization(options: Options) -> bool:
    """Whether BatchNormalization may train, so that the result depends on the micro-batch."""
    return options.trainable == "all" and options.weights == "none"


def _begins_at_zeros(options: Options) -> bool:
    """Whether the head's last layer begins with zeros, on the features of pretrained weights.

    Its first loss is that of a guess, and no update has to undo a random head. `classic` begins as Keras does.
    """
    return options.recipe == "auto" and freezes_backbone(options) and options.weights != "none"


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
        train_count: the number of training images.
        probe: the report of the probe; None if there was none.
        machine: the machine on which it runs.
        asked: the kernels that the user wants; None if the user has not chosen.
        tuning: how the user wants a GPU's convolutions to be chosen; None likewise.
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
        head_from_zeros=_begins_at_zeros(options),
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
    """Make the plan with its stages: the head, which is solved unless something needs epochs, and perhaps fine-tuning.

    A training of all layers of a pretrained backbone has the same stages: it fine-tunes from the input on.

    Args:
        options: the request.
        train_count: the number of training images.
        num_classes: the number of the head's outputs.
        probe: the report of the probe; None if there was none.
        machine: the machine on which it runs.
        asked: the kernels that the user wants; None if the user has not chosen.
        tuning: how the user wants a GPU's convolutions to be chosen; None likewise.
        has_callbacks: whether the user has given callbacks, which need epochs.
    """
    whole = training_plan(options, train_count, probe, machine, asked, tuning)
    if not begins_with_head(options):
        planned = _with_solved_head(whole, options, train_count, num_classes, has_callbacks=has_callbacks)
        devices = device_count(options.devices, machine)
        tuned = above_cut(options, train_count, asked, devices, is_head_solved=planned.head == "solve")
        planned = _with_falling_rate(planned, options, train_count, has_callbacks=has_callbacks)
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
        return _with_falling_rate(whole, options, train_count, has_callbacks=has_callbacks)
    size = options.batch_size or FINE_TUNE_BATCH
    micro_batch_size = _micro_batch_size(options, part_of_batch(options, size, machine), probe)
    fine_tune = of_whole_training(whole, options, train_count, size, micro_batch_size)
    return planned.model_copy(update={"fine_tune": fine_tune})


def _with_falling_rate(
    planned: TrainingPlan, options: Options, train_count: int, *, has_callbacks: bool
) -> TrainingPlan:
    """The plan with a learning rate that falls in the end, if a network that autofit builds trains from scratch.

    Callbacks may set the rate, which Keras does not allow where it has a schedule.
    """
    if not _trains_from_scratch(options) or has_own_objective(options) or has_callbacks:
        return planned
    falls = (fall_at_the_end(planned.schedule.updates(train_count)),)
    return planned.model_copy(update={"rate_falls": falls, "epochs_by_budget": epochs_by_budget(options)})


def without_refit(planned: TrainingPlan) -> TrainingPlan:
    """The plan for data that comes with its own validation images: nothing is trained on them."""
    fine_tune = planned.fine_tune and planned.fine_tune.model_copy(update={"refit": False})
    return planned.model_copy(update={"refit_head": False, "fine_tune": fine_tune})


def _with_solved_head(
    planned: TrainingPlan, options: Options, train_count: int, num_classes: int, *, has_callbacks: bool
) -> TrainingPlan:
    """The plan with a head that is solved instead of trained by epochs, if nothing needs epochs and it is feasible.

    If the user gave no validation images, the head is afterwards fitted to all images.
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
    """The kernels of a run, as far as they can be known before a probe."""
    return asked or _kernels(options, 1, None, machine)


def _kernels(options: Options, micro_batch_size: int, probe: ProbeReport | None, machine: Hardware) -> Kernels:
    """OneDNN's faster kernels on a CPU, if memory cannot run out; else Eigen's."""
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
    """How a GPU's convolutions are chosen: without tuning for a short extraction, which it would delay.

    A deterministic run does not tune either. The settings of a user's own process are left as they are.
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
    size = _auto_batch_size(options, train_count)
    return size, size


def _auto_batch_size(options: Options, train_count: int) -> int:
    return auto_batch_size(train_count, from_scratch=_trains_from_scratch(options))


def _micro_batch_size(options: Options, batch_size: int, probe: ProbeReport | None) -> int:
    """The micro-batch size: as requested, else by the probe.

    If the backbone trains, the weights depend on the micro-batch. So a batch that fits is not split, even if that would
    be faster: every machine with enough memory trains the same model.
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
