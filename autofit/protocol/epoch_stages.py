"""The stage of each epoch of a history. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from autofit.protocol.messages import StageName, StageRecord


def stages_of_epochs(epochs: int, finished: Sequence[StageRecord], current: StageName) -> list[StageName]:
    """The stage of each of so many epochs, in order.

    Args:
        epochs: the number of epochs in the history, in which those of a refit are not.
        finished: the finished stages, in order.
        current: the stage of the epochs after theirs.
    """
    names: list[StageName] = [stage.name for stage in finished for _ in range(stage.epochs)]
    return [*names, *repeat(current, epochs)][:epochs]


def is_cut_by_budget(finished: Sequence[StageRecord], stage: StageName) -> bool:
    """Whether a time budget ended a first stage that was trained by epochs before its last one."""
    first = next((record for record in finished if record.name == stage and stage in {"training", "head"}), None)
    return first is not None and first.method == "epochs" and bool(first.cut_short)
