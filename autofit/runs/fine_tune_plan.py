"""The plans for fine-tuning: of the layers above a cut, or of all layers. A time budget chooses between them. Pure."""

from __future__ import annotations

from typing import Final

from autofit.config.cuts import WHOLE
from autofit.config.fine_tuning import MOST_AUTO_EPOCHS
from autofit.config.learning_rates import PRETRAINED_LEARNING_RATE
from autofit.config.options import DEFAULT_EPOCHS, Options, has_rate_of_fine_tuning, strength_of
from autofit.protocol.job import FineTunePlan, Kernels, TrainingPlan

FINE_TUNE_BATCH = 32
FINE_TUNE_RATE = 1e-4
FINE_TUNE_VIEWS = 4
FINE_TUNE_AUGMENT: Final = "light"
"""The defaults for fine-tuning above a cut: the batch size, the peak of the head's learning rate, and the number and
strength of the augmented views of each training image whose activations are cached."""

MOST_REFITTED = 2_000
"""With at most so many training images, a fine-tuning that helped is repeated with the validation images as well. That
doubles its time, and the more images there are, the less is gained by a quarter more of them."""


def above_cut(
    options: Options, train_count: int, asked: Kernels | None, devices: int = 1, *, is_head_solved: bool = True
) -> FineTunePlan | None:
    """The plan for fine-tuning above a cut, on `devices` devices; None if the user does not want to fine-tune.

    A learning rate that the user has given is that of the head if this is trained by epochs, else that of fine-tuning.
    Unless the user asked for others, the kernels are Eigen's, which raise an error if memory runs out: it was not yet
    measured how much the upper layers take.
    """
    if not options.fine_tune_epochs:
        return None
    size = options.batch_size or FINE_TUNE_BATCH
    strength = FINE_TUNE_AUGMENT if options.augment == "auto" else options.augment
    epochs = MOST_AUTO_EPOCHS if options.fine_tune_epochs == "auto" else options.fine_tune_epochs
    has_rate = is_head_solved and has_rate_of_fine_tuning(options)
    return FineTunePlan(
        epochs=epochs,
        batch_size=size,
        micro_batch_size=min(options.micro_batch_size or size, -(-size // devices)),
        learning_rate=options.learning_rate if has_rate else FINE_TUNE_RATE,
        cut=options.fine_tune_from,
        augment=strength,
        flip=options.flip,
        views=min(FINE_TUNE_VIEWS, epochs) if strength != "none" else 1,
        kernels=asked or "eigen",
        by_budget=options.time_budget_seconds is not None,
        refit=is_refitted(options, train_count),
        pixel_cache=keeps_pixels(options, options.fine_tune_from),
        calibrates=is_calibrated(options),
        compares="quality and loss",
        caches=options.feature_cache != "off",
    )


def of_whole_training(
    whole: TrainingPlan, options: Options, train_count: int, batch_size: int, micro_batch_size: int
) -> FineTunePlan:
    """The plan for all layers after the head, where `whole` would train them from the start, with `trainable="all"`."""
    return FineTunePlan(
        epochs=whole.epochs,
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        learning_rate=options.learning_rate,
        cut=WHOLE,
        augment=whole.augment,
        flip=whole.flip,
        kernels=whole.kernels,
        rung=whole.rung,
        by_budget=options.time_budget_seconds is not None,
        refit=is_refitted(options, train_count),
        early_stopping=options.early_stopping,
        pixel_cache=keeps_pixels(options, WHOLE),
        calibrates=is_calibrated(options),
        compares="quality and loss",
        caches=options.feature_cache != "off",
    )


def is_calibrated(options: Options) -> bool:
    """Whether the confidence of a fine-tuned model is calibrated: not if the user's own loss says what it should be."""
    return options.loss is None and not options.multi_label


def keeps_pixels(options: Options, cut: str) -> bool:
    """Whether fine-tuning from this cut keeps decoded images: all layers need them again in each epoch."""
    return options.pixel_cache == "auto" and cut == WHOLE


def is_refitted(options: Options, train_count: int) -> bool:
    """Whether fine-tuning is repeated on all images: if autofit split off the validation images, and data is scarce."""
    return isinstance(options.validation, float) and options.validation > 0 and train_count <= MOST_REFITTED


def choices(stage: FineTunePlan, options: Options, train_count: int) -> tuple[FineTunePlan, ...]:
    """The plans that a time budget may choose from for a stage, the best first: all layers, then those above the cut.

    There are several only if the user has left both the cut and the epochs to autofit.

    Args:
        stage: the stage as it is planned now, perhaps for all layers, by an earlier decision.
        options: the request.
        train_count: the number of training images.
    """
    if (options.trainable, options.fine_tune_epochs, options.fine_tune_from) != ("head", "auto", "auto"):
        return (stage,)
    upper = above_cut(options, train_count, stage.kernels)
    if upper is None:
        return (stage,)
    # `refit` is that of the stage, which is False if the user gave validation images
    kept = {
        name: getattr(stage, name) for name in ("refit", "rung", "micro_batch_size", "calibrates", "compares", "caches")
    }
    upper = upper.model_copy(update=kept)
    return (of_all_layers(upper, options), upper)


def of_all_layers(stage: FineTunePlan, options: Options) -> FineTunePlan:
    """The stage for all layers instead of those above a cut, with the learning rate and epochs of `trainable="all"`.

    The `epochs` of the request are those of the head.
    """
    return stage.model_copy(
        update={
            "cut": WHOLE,
            "epochs": DEFAULT_EPOCHS,
            "early_stopping": options.early_stopping,
            "learning_rate": PRETRAINED_LEARNING_RATE,
            "augment": strength_of(options),
            "views": 1,
            "pixel_cache": keeps_pixels(options, WHOLE),
        }
    )
