"""Keeps the best weights so far, with which the model is saved in the end."""

from __future__ import annotations

from autofit.protocol.messages import StageName
from autofit.worker.execution.session import Session
from autofit.worker.training.evaluation import Evaluation
from autofit.worker.training.head_stage import SolvedHead, final_weights
from autofit.worker.training.train_state import Arrays, TrainState
from autofit.worker.training.training_progress import TrainingProgress


def with_best_kept(
    progress: TrainingProgress,
    state: TrainState,
    session: Session,
    evaluation: Evaluation | None,
    solved: SolvedHead | None,
    *,
    is_refitted: bool,
) -> TrainingProgress:
    """Keep the weights of the epoch that has just ended, if they are the best so far or those of a whole refit.

    A solved head is set only if it is the best so far: fine-tuning goes on from the head that the session has.

    Args:
        progress: after the epoch.
        state: takes the weights, and the probabilities that they give for the validation images.
        session: has the weights, but for a head that the epoch solved.
        evaluation: has validated the weights, or those that callbacks have set for it; None without a validation.
        solved: the head, if the epoch solved it.
        is_refitted: whether this was the last epoch of a refit.

    Returns:
        The progress, with what the best epoch's validation predicted.
    """
    if is_refitted:
        state.best = state.weights()
    elif progress.best_epoch == progress.epoch - 1:
        validated = evaluation.weights if evaluation is not None else None
        state.best = final_weights(session, state, solved) if solved else validated or state.weights()
        if evaluation is not None:
            state.probabilities = (solved or evaluation).probabilities
            return progress.moved(best_predicted=(solved or session).predicted)
    return progress


def as_built(state: TrainState, head: Arrays) -> Arrays:
    """The weights of a network as it was built, with this head: what a fine-tuning begins with."""
    weights = state.weights()
    places = sorted(weights)[len(weights) - len(head) :]
    return weights | {place: head[name] for place, name in zip(places, sorted(head), strict=True)}


def is_unseen(stage: StageName, progress: TrainingProgress) -> bool:
    """Whether a stage is a fine-tuning without validation, whose epochs are compared only with each other."""
    return stage == "fine-tune" and "val_loss" not in progress.history


def with_best_before(progress: TrainingProgress, monitor: str) -> TrainingProgress:
    """The progress with the best epoch from before a fine-tuning without validation; else the progress as it is.

    Args:
        progress: in a stage that has diverged.
        monitor: the figure by which epochs are compared.
    """
    if not is_unseen(progress.stage, progress):
        return progress
    before = TrainingProgress()
    for epoch in range(progress.first_epoch):
        logs = {name: values[epoch] for name, values in progress.history.items()}
        before = before.after_epoch(epoch, logs, monitor)
    best = {"best_epoch": before.best_epoch, "best_value": before.best_value, "best_accuracy": before.best_accuracy}
    return progress.moved(**best)
