"""Decides whether a training has diverged, so that it ends before its checkpoints are spoiled, and names the cause."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autofit.config.learning_rates import PRETRAINED_LEARNING_RATE, usual_rates
from autofit.errors import UserError
from autofit.protocol.job import ModelSource
from autofit.protocol.messages import FINE_TUNING, StageName
from autofit.worker.model.finite_weights import first_not_finite, of_weights

if TYPE_CHECKING:
    from autofit.worker.execution.session import Session
    from autofit.worker.model.objective import Objective
    from autofit.worker.training.run_events import RunEvents
    from autofit.worker.training.train_state import TrainState

FAR_PAST_THE_START = 2.0
"""A training may have diverged if its loss is over this multiple of the loss of the stage's first epoch."""

LONG_EPOCHS = 3
"""It has diverged after so many epochs in a row over that loss. From one or two a training may recover."""

CHANCE_TIMES = 1.2
"""A training accuracy of up to this multiple of the accuracy of guessing means that nothing was learned."""

SCALING_LAYERS = frozenset({"Rescaling", "Normalization", "BatchNormalization", "LayerNormalization", "Lambda"})

WIDER = 'precision "mixed_bfloat16" or "float32"'
"""What to give where float16 may be the cause."""


def divergence(losses: Sequence[float], guessing: float = 0.0) -> str | None:
    """Why a training has diverged, in a few words; None if it has not.

    After a solved head the first loss may be near 0: a model with ten times that loss is still a good one. So a loss
    below that of guessing never counts as diverged.

    Args:
        losses: the training loss of each epoch so far, at least one; the last may be that of an epoch's first steps.
        guessing: the loss of a model that guesses; 0 if it is not known.
    """
    if not math.isfinite(losses[-1]):
        return f"its loss is {losses[-1]} in epoch {len(losses)}"
    latest = losses[1:][-LONG_EPOCHS:]
    bound = max(FAR_PAST_THE_START * losses[0], guessing)
    if losses[0] > 0 and len(latest) == LONG_EPOCHS and min(latest) > bound:
        return f"its loss is {losses[-1]:.3g} in epoch {len(losses)} and was {losses[0]:.3g} in the first"
    return None


class DivergedError(UserError):
    """A training has diverged.

    Attributes:
        why: how that shows, in a few words; in a fine-tuning also what to do, if there is something.
    """

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True, slots=True)
class Facts:
    """What may tell why a training has diverged.

    Attributes:
        learning_rate: the optimizer's present learning rate; the highest of several.
        highest_rate: the highest usual learning rate with this optimizer; None if it is not known.
        is_unscaled: whether the network is the user's, and has no layer that scales the images of 0 to 255.
        accuracy: the training accuracy of the epoch; None if it is not measured.
        chance: the accuracy of guessing.
        in_float16: whether the network computes in float16.
    """

    learning_rate: float
    highest_rate: float | None
    is_unscaled: bool
    accuracy: float | None
    chance: float
    in_float16: bool = False


def require_convergence(
    losses: Sequence[float], session: Session, source: ModelSource | None, mean_weight: float = 1.0, damaged: str = ""
) -> None:
    """Check that a training has not diverged.

    Args:
        losses: as in `divergence`.
        session: has the network and its optimizer.
        source: where the network comes from.
        mean_weight: the mean weight of the training images in the loss.
        damaged: the path of a weight that may train and was no number before; empty if all were.

    Raises:
        DivergedError: it has diverged; the message names the likely cause and what to do.
        UserError: its loss is no number because weights were none from the start.
    """
    if source and not math.isfinite(losses[-1]):
        _refuse_damaged(session, damaged)
    why = divergence(losses, mean_weight * guessing_loss(session.objective, source.num_classes) if source else 0.0)
    if why and source:
        facts, is_finite = facts_of(session, source), math.isfinite(losses[-1])
        raise DivergedError(f"{why}{_to_give(source, facts, is_finite)}", advice(why, facts, is_finite=is_finite))


def _refuse_damaged(session: Session, damaged: str) -> None:
    """Refuse weights that were no numbers from the start; those that are frozen have not changed since.

    Raises:
        UserError: there are some.
    """
    built = session.built
    frozen = built.features.variables if built.frozen and built.features is not None else ()
    if weight := damaged or first_not_finite(frozen):
        raise UserError(of_weights(weight, "so is its loss"))


def _to_give(source: ModelSource, facts: Facts, is_finite: bool) -> str:  # noqa: FBT001 - as in `advice`
    """What to do about a fine-tuning that has diverged; empty if all is autofit's own."""
    if source.fine_tuning is None:
        return ""
    wider = "" if is_finite or not facts.in_float16 else WIDER
    is_own_rate = source.learning_rate == PRETRAINED_LEARNING_RATE
    lower = "" if is_own_rate else f"a learning_rate lower than {source.learning_rate:g}"
    return f"; give {', or '.join(filter(None, (wider, lower)))}" if wider or lower else ""


@contextmanager
def dropped_if_diverged(
    stage: StageName, state: TrainState, events: RunEvents, end_stage: Callable[[str], None]
) -> Iterator[None]:
    """End a stage of fine-tuning that diverges with the best model so far, which is as good as it was.

    Without a validation nothing tells whether an epoch before that was better than the head: the head's model is kept.
    The learning rate of these stages is autofit's own, or falls from one that was given for them.

    Args:
        stage: the stage that trains.
        state: gets the best weights so far.
        events: tells the user.
        end_stage: called with how it has diverged.

    Raises:
        DivergedError: another stage has diverged.
    """
    try:
        yield
    except DivergedError as error:
        if stage not in FINE_TUNING:
            raise
        state.best = state.before or state.best
        state.show_best()
        on_all = " on all images" if stage == "refit" else ""
        events.message(f"fine-tuning{on_all} has diverged ({error.why}): the best model from before is kept")
        end_stage(error.why)


def guessing_loss(objective: Objective, classes: int) -> float:
    """The cross-entropy of a model that finds all classes equally likely, in nats; 0 for a loss of another kind."""
    import keras  # noqa: PLC0415 - `divergence` and `advice` work without Keras

    is_binary = isinstance(objective.loss_function, keras.losses.BinaryCrossentropy)
    if objective.columns or (objective.unit_threshold is not None and is_binary):
        return math.log(2)
    kinds = keras.losses.SparseCategoricalCrossentropy, keras.losses.CategoricalCrossentropy
    return math.log(classes) if isinstance(objective.loss_function, kinds) else 0.0


def facts_of(session: Session, source: ModelSource) -> Facts:
    """The facts about a training."""
    from autofit.worker.model.keras_internals import all_layers  # noqa: PLC0415 - as above
    from autofit.worker.model.optimizer import each_of, rate_of  # noqa: PLC0415
    from autofit.worker.model.precision import computes_in_float16  # noqa: PLC0415

    optimizer, is_own = session.objective.optimizer, source.sent or source.reference is not None
    trains_pretrained = not is_own and source.spec.trainable == "all" and source.spec.weights != "none"
    usual = usual_rates(type(optimizer).__name__.lower(), trains_pretrained=trains_pretrained)
    layers = {type(layer).__name__ for layer in all_layers(session.built.model)}
    return Facts(
        learning_rate=max(rate for one in each_of(optimizer) if (rate := rate_of(one)) is not None),
        highest_rate=usual.most if usual else None,
        is_unscaled=is_own and not layers & SCALING_LAYERS,
        accuracy=session.metrics().get("accuracy"),
        chance=1 / source.num_classes,
        in_float16=computes_in_float16(session.built.model),
    )


def advice(why: str, facts: Facts, *, is_finite: bool) -> str:
    """The message that ends a training that has diverged: with the first cause that the facts support.

    Labels are named only while the loss is a number: without one, nothing is predicted.
    """
    rate = facts.learning_rate
    if facts.highest_rate is not None and rate > facts.highest_rate:
        cause = (
            f"The learning rate {rate:g} is far too high (usual is at most {facts.highest_rate:g}): start a new run "
        )
        cause += "with a lower learning_rate"
    elif facts.is_unscaled:
        cause = (
            "The model takes images of 0 to 255 and scales them nowhere: begin it with keras.layers.Rescaling(1/255)"
        )
    elif is_finite and facts.accuracy is not None and facts.accuracy <= CHANCE_TIMES * facts.chance:
        cause = f"The training accuracy is at chance ({facts.accuracy:.3f}): look whether the labels are mixed up"
    elif not is_finite and facts.in_float16:
        cause = "In float16 a number over 65,504 is infinite: start a new run with "
        cause += f"{WIDER}, or a learning_rate lower than {rate:g}"
    else:
        cause = f"Start a new run with a learning_rate lower than {rate:g}"
    return f"the training has diverged: {why}. {cause}; the last checkpoint from before is kept, and can be resumed"
