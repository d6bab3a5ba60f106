"""What fine-tuning may be: of the layers above a cut, or of all; a time budget chooses. Pure."""

from __future__ import annotations

from typing import Final

from autofit.config.cuts import WHOLE
from autofit.config.fine_tuning import MOST_AUTO_EPOCHS
from autofit.config.learning_rates import PRETRAINED_LEARNING_RATE
from autofit.config.options import Options, epochs_of, strength_of
from autofit.protocol.job import FineTunePlan, Kernels

FINE_TUNE_BATCH = 32
FINE_TUNE_RATE = 1e-4
FINE_TUNE_VIEWS = 4
FINE_TUNE_AUGMENT: Final = "light"
"""Of fine-tuning above a cut: samples in an update, the peak of the head's rate, and the views of each training image
whose activations are cached."""

MOST_REFITTED = 2_000
"""Training images up to which a fine-tuning that helped is done once more with the validation images. It takes as long
again, and the more images there are, the less a quarter more of them gains."""


def above_cut(options: Options, train_count: int, asked: Kernels | None, devices: int = 1) -> FineTunePlan | None:
    """Fine-tuning above a cut on so many devices; None if it is not asked for.

    The kernels are Eigen's, which raise where memory runs out: what the upper layers take was not measured.
    """
    if not options.fine_tune_epochs:
        return None
    size = options.batch_size or FINE_TUNE_BATCH
    strength = FINE_TUNE_AUGMENT if options.augment == "auto" else options.augment
    epochs = MOST_AUTO_EPOCHS if options.fine_tune_epochs == "auto" else options.fine_tune_epochs
    return FineTunePlan(
        epochs=epochs,
        batch_size=size,
        micro_batch_size=min(options.micro_batch_size or size, -(-size // devices)),
        learning_rate=FINE_TUNE_RATE,
        cut=options.fine_tune_from,
        augment=strength,
        flip=options.flip,
        views=min(FINE_TUNE_VIEWS, epochs) if strength != "none" else 1,
        kernels=asked or "eigen",
        by_budget=options.time_budget_seconds is not None,
        refit=is_refitted(options, train_count),
    )


def is_refitted(options: Options, train_count: int) -> bool:
    """Whether the fine-tuned model is trained once more with the validation images, if they are autofit's to use."""
    return isinstance(options.validation, float) and options.validation > 0 and train_count <= MOST_REFITTED


def choices(stage: FineTunePlan, options: Options, train_count: int) -> tuple[FineTunePlan, ...]:
    """What a time budget may take for a stage, the best first: all layers, then those above the cut.

    Only where the user has left both the cut and the epochs to autofit; else the stage is what was asked for.

    Args:
        stage: as the run has planned it; perhaps already of all layers, by an earlier decision.
        options: the request.
        train_count: the images for training.
    """
    if (options.trainable, options.fine_tune_epochs, options.fine_tune_from) != ("head", "auto", "auto"):
        return (stage,)
    upper = above_cut(options, train_count, stage.kernels)
    if upper is None:
        return (stage,)
    # no refit where the user has validation images of their own
    upper = upper.model_copy(
        update={"refit": stage.refit, "rung": stage.rung, "micro_batch_size": stage.micro_batch_size}
    )
    return (of_all_layers(upper, options), upper)


def of_all_layers(stage: FineTunePlan, options: Options) -> FineTunePlan:
    """The stage with all layers instead of those above a cut, at the rate and in the epochs of `trainable="all"`."""
    return stage.model_copy(
        update={
            "cut": WHOLE,
            "epochs": epochs_of(options),
            "learning_rate": PRETRAINED_LEARNING_RATE,
            "augment": strength_of(options),
            "views": 1,
        }
    )
