"""Which model is kept where a fine-tuning without validation diverges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autofit.protocol.messages import StageRecord
from autofit.worker.training.best_model import as_built, with_best_before
from autofit.worker.training.training_progress import TrainingProgress

pytestmark = pytest.mark.slow  # loads Keras

HEAD = [{"loss": 0.9, "accuracy": 0.5}, {"loss": 0.2, "accuracy": 0.9}, {"loss": 0.3, "accuracy": 0.8}]
FINE_TUNED = {"loss": 0.8, "accuracy": 0.6}


@pytest.mark.parametrize(("monitor", "best"), [("auto", 1), ("loss", 1), ("accuracy", 1)])
def test_the_best_epoch_is_one_of_the_head_again(monitor: str, best: int) -> None:
    """The result would name an epoch of the fine-tuning, whose model is not the one that is kept."""
    progress = TrainingProgress(stage="head")
    for epoch, logs in enumerate(HEAD):
        progress = progress.after_epoch(epoch, logs, monitor)
    progress = progress.after_stage(StageRecord(name="head", method="epochs", epochs=3)).in_stage("fine-tune")
    tuned = progress.after_epoch(3, FINE_TUNED, monitor)
    assert tuned.best_epoch == 3
    before = with_best_before(tuned.moved(stopped=True).after_stage(diverged="its loss is nan"), monitor)
    assert (before.best_epoch, before.best_value, before.best_accuracy) == (best, progress.best_value, 0.9)
    assert before.history["loss"] == [0.9, 0.2, 0.3, 0.8]


def test_with_validation_the_best_epoch_stays() -> None:
    """An epoch that is better on images which were not trained on would be thrown away."""
    progress = TrainingProgress(stage="fine-tune", history={"loss": [0.9], "val_loss": [0.8]}, best_epoch=3)
    assert with_best_before(progress, "auto") is progress


def test_what_a_fine_tuning_begins_with_has_the_head_from_before() -> None:
    """After a restart the kept model would have a head of random weights."""
    built = {f"{place:04d}/{name}": np.zeros(2) for place, name in enumerate(("a", "b", "kernel", "bias"))}
    state: Any = type("State", (), {"weights": lambda _: built})()
    weights = as_built(state, {"0000/kernel": np.ones(2), "0001/bias": np.full(2, 2.0)})
    assert [array[0] for array in weights.values()] == [0, 0, 1, 2]
