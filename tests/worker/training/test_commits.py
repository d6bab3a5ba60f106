"""When a training commits."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

import numpy as np
import pytest

from autofit.errors import TrainingFailedError
from autofit.protocol.job import TrainingPlan
from autofit.protocol.messages import StageName, StageRecord
from autofit.storage.checkpoints import Checkpoint
from autofit.worker.training.commits import Commits
from autofit.worker.training.training_progress import TrainingProgress

pytestmark = pytest.mark.slow  # loads Keras


class Store:
    """A store without a disk."""

    def __init__(self, first: Checkpoint | None = None) -> None:
        self.saved: list[dict[str, Any]] = []
        self.all_damaged = () if first else ("00000001.damaged",)
        self._first = first

    def latest(self, most_bytes: int) -> Checkpoint | None:
        """The one from before, if there is one."""
        del most_bytes
        return self._first

    def save(self, groups: object, state: dict[str, Any]) -> None:
        """Remember the state."""
        del groups
        self.saved.append(state)


class State:
    """A training without arrays, but for one that is built and restored."""

    changeable = ()

    def __init__(self) -> None:
        self.before: dict[str, Any] = {}
        self.w = "as built"

    def weights(self) -> dict[str, Any]:
        """What it is now."""
        return {"w": self.w}

    def most_checkpoint_bytes(self) -> int:
        """There is nothing that could be too large."""
        return 0

    def groups(self) -> dict[str, Any]:
        """There are none."""
        return {}

    def restore(self, checkpoint: Checkpoint, progress: TrainingProgress) -> None:
        """Take what was trained."""
        del checkpoint, progress
        self.w = "as trained"


def commits(
    now: list[float], seconds: float | None, steps: int | None, epochs: int = 1, before: TrainingProgress | None = None
) -> tuple[Commits, Store]:
    plan = TrainingPlan(
        epochs=epochs,
        first_batch_size=8,
        last_batch_size=8,
        micro_batch_size=8,
        seed=0,
        class_weight="none",
        early_stopping=None,
        checkpoint_seconds=seconds,
        checkpoint_steps=steps,
        audit=False,
        replay=None,
        threads=1,
    )
    store = Store(None if before is None else Checkpoint(1, {}, before.model_dump(mode="json"), ()))
    state = State()
    made: Any = Commits(store, state, plan, clock=lambda: now[0])  # type: ignore[arg-type]
    return made, store


def test_a_checkpoint_is_due_after_so_many_steps() -> None:
    """More would be lost with a killed worker than was asked for."""
    made, store = commits([0.0], None, 2)
    due = []
    for _ in range(4):
        made.note_step()
        due.append(made.is_due)
        if made.is_due:
            made.save(TrainingProgress(epoch=len(store.saved)))
    assert due == [False, True, False, True]
    assert [state["epoch"] for state in store.saved] == [0, 1]


def test_a_checkpoint_is_due_after_so_many_seconds() -> None:
    """The seconds count from the last checkpoint, whatever it was made for."""
    now = [0.0]
    made, _ = commits(now, 60.0, None)
    seen = []
    for moment in (59.0, 60.0):
        now[0] = moment
        seen.append(made.is_due)
    made.save(TrainingProgress())
    now[0] = 119.0
    assert [*seen, made.is_due] == [False, True, False]


def test_a_checkpoint_is_due_when_somebody_asks_for_one() -> None:
    """The warning of a batch system would be heard, and nothing saved."""

    class Asked:
        """Asks once."""

        answers: ClassVar = [True]

        def take_commit(self) -> bool:
            return bool(self.answers) and self.answers.pop()

    made, _ = commits([0.0], None, 100)
    made._requests = Asked()
    assert [made.is_due, made.is_due] == [True, False]


def test_without_new_steps_there_is_nothing_to_commit() -> None:
    """An attempt that cannot go on would write the same checkpoint again, on a disk that may be full."""
    made, _ = commits([0.0], None, 100)
    seen = [made.is_behind]
    made.note_step()
    seen.append(made.is_behind)
    made.save(TrainingProgress())
    assert [*seen, made.is_behind] == [False, True, False]


def test_the_arrays_of_the_first_checkpoint_can_be_freed() -> None:
    """A resumed training would hold a copy of its weights and its optimizer's state in memory until its end."""
    made, _ = commits([0.0], None, 100)
    checkpoint = Checkpoint(1, {"model": {"w": np.zeros(3)}}, TrainingProgress().model_dump(mode="json"), ())
    freed = weakref.ref(checkpoint.groups["model"]["w"])
    made.newest = checkpoint
    del checkpoint
    made.release_newest()
    assert freed() is None


def trained(epochs: int, *, is_finished: bool, **more: Any) -> TrainingProgress:
    """Of the head, by epochs."""
    progress = TrainingProgress(stage="head", epoch=epochs, **more)
    return progress.after_stage() if is_finished else progress


@pytest.mark.parametrize(
    ("before", "epochs", "finished", "saved"),
    [
        (trained(2, is_finished=True), 2, [2], 0),
        (trained(2, is_finished=True), 3, [], 0),
        (trained(2, is_finished=True, stopped=True), 3, [2], 0),
        (trained(2, is_finished=False), 3, [], 0),
        (trained(2, is_finished=False), 2, [2], 1),
        (trained(1, is_finished=False, position=4), 2, [], 0),
    ],
    ids=["as before", "more epochs", "stopped itself", "under way", "fewer epochs", "fewer, within the last"],
)
def test_a_stage_with_other_epochs_than_before_is_finished_or_not(
    before: TrainingProgress, epochs: int, finished: list[int], saved: int
) -> None:
    """Two stages would be recorded for one; or a stage that has all its epochs begin again and again."""
    made, store = commits([0.0], None, 1, epochs, before)
    progress = made.begin("head", 8, lambda *_: None)
    assert [stage.epochs for stage in progress.stages] == finished
    assert len(store.saved) == saved
    assert all(state["stages"] == progress.model_dump(mode="json")["stages"] for state in store.saved)


HEAD = StageRecord(name="head", method="epochs", epochs=1)


@pytest.mark.parametrize(
    ("found", "stage", "after"),
    [
        (TrainingProgress(stage="head", epoch=0, position=8), "fine-tune", "head"),
        (TrainingProgress(stage="fine-tune", epoch=2, stages=[HEAD]), "refit", "fine-tune"),
        (TrainingProgress(stage="head", epoch=1, stages=[HEAD]), "fine-tune", "views"),
    ],
    ids=["a head that is not finished", "a fine-tuning that is not", "the stage before that"],
)
def test_a_stage_begins_only_from_the_end_of_the_stage_before(
    found: TrainingProgress, stage: StageName, after: StageName
) -> None:
    """Where that checkpoint is damaged, a refit would begin within the fine-tuning, with twice the planned epochs."""
    made, _ = commits([0.0], None, 100, before=found)
    with pytest.raises(TrainingFailedError, match="the stage before cannot be used: resume to go on from an earlier"):
        made.begin(stage, 8, lambda *_: None, after)


@pytest.mark.parametrize(("metric", "is_kept"), [("loss", True), ("val_loss", False)])
def test_without_validation_a_fine_tuning_keeps_the_model_from_before(metric: str, *, is_kept: bool) -> None:
    """One that diverges after a restart would end with an epoch of its own, or with the network of that epoch."""
    found = TrainingProgress(stage="fine-tune", epoch=2, stages=[HEAD], history={metric: [0.5, 0.4]})
    made, _ = commits([0.0], None, 100, before=found)
    state: Any = made._state
    made.begin("fine-tune", 8, lambda *_: None)
    assert state.before == ({"w": "as built"} if is_kept else {})


def test_that_no_checkpoint_can_be_used_is_said() -> None:
    """Hours of training would be gone without a word, or a head of random weights be fine-tuned."""
    told: list[tuple[str, bool]] = []
    made, _ = commits([0.0], None, 100)
    progress = made.begin("head", 8, lambda *damaged: told.append(damaged))
    assert (progress.epoch, told) == (0, [("00000001.damaged", False)])
    with pytest.raises(TrainingFailedError, match="no checkpoint of the stage before can be used"):
        made.begin("fine-tune", 8, lambda *damaged: told.append(damaged))
