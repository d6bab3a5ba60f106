"""The stage of each epoch of a history."""

from __future__ import annotations

import pytest

from autofit.protocol.epoch_stages import stages_of_epochs
from autofit.protocol.messages import StageName, StageRecord

HEAD = StageRecord(name="head", method="solved", epochs=1)
LEFT_OUT = StageRecord(name="views", method="epochs", epochs=0)
TUNED = StageRecord(name="fine-tune", method="epochs", epochs=2)
REFIT = StageRecord(name="refit", method="epochs", epochs=2, refitted=True)


@pytest.mark.parametrize(
    ("epochs", "finished", "current", "expected"),
    [
        (0, [], "training", []),
        (2, [], "training", ["training"] * 2),
        (2, [], "head", ["head"] * 2),  # trained by epochs, and not finished
        (1, [HEAD], "head", ["head"]),
        (2, [HEAD, LEFT_OUT], "fine-tune", ["head", "fine-tune"]),
        (3, [HEAD, TUNED], "fine-tune", ["head", "fine-tune", "fine-tune"]),
        (3, [HEAD, TUNED, REFIT], "refit", ["head", "fine-tune", "fine-tune"]),
    ],
)
def test_each_epoch_has_its_stage(
    epochs: int, finished: list[StageRecord], current: StageName, expected: list[StageName]
) -> None:
    """An epoch of the fine-tuning would pass for one of the head, or one that is not there have a stage."""
    assert stages_of_epochs(epochs, finished, current) == expected
