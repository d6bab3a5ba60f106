"""What a user may give as callbacks, and what comes back in them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autofit.api import callbacks
from autofit.api.callbacks import give_back, listed_callbacks
from autofit.api.code_identity import as_given, code_of, remember_used
from autofit.errors import UserError
from autofit.protocol.callback_state import packed_parts
from autofit.protocol.object_state import Packer
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory


class Recorder:
    """A callback: what it is told goes into a list of its caller, an array and a counter."""

    def __init__(self, seen: list[float]) -> None:
        self.seen, self.count, self.total = seen, 0, np.zeros(2)

    def set_model(self, model: Any) -> None:
        """As Keras calls it."""

    def told(self, loss: float) -> None:
        """Note a loss."""
        self.seen.append(loss)
        self.count += 1
        self.total += loss


BackupAndRestore = type("BackupAndRestore", (Recorder,), {"__module__": "keras.src.callbacks.backup_and_restore"})


def test_callbacks_are_taken_as_keras_takes_them() -> None:
    """None, and one that stands alone, would end in a traceback."""
    one, two = Recorder([]), Recorder([])
    assert listed_callbacks(None) == ()
    assert listed_callbacks(one) == (one,)
    assert listed_callbacks([one, [two]]) == (one, two)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([Recorder], r"the class Recorder: give an object, Recorder\(...\)"),
        ("early", "'early', which is no keras.callbacks.Callback"),
        ([BackupAndRestore([])], "BackupAndRestore cannot be used: autofit keeps a backup itself"),
    ],
)
def test_what_is_no_callback_is_refused_in_a_line(given: Any, message: str) -> None:
    """It would fail in the worker, after the probe."""
    with pytest.raises(UserError, match=message) as error:
        listed_callbacks(given)
    assert "\n" not in str(error.value)


def test_the_callers_objects_come_back_as_the_run_has_left_them(tmp_path: Path) -> None:
    """`stopping.stopped_epoch` would be 0, and the user's list empty; and the same call be another request then."""
    worker = Recorder([])
    seen: list[float] = []
    worker.told(0.5)
    worker.told(0.25)
    packer = Packer(1000)
    parts, lost = packed_parts(worker, packer)
    files = RunDirectory(tmp_path)
    state = {"callbacks": [{"class": "Recorder", "parts": parts, "lost": []}]}
    CheckpointStore(files.checkpoints).save({"model": {}, "callbacks": packer.arrays}, state)
    mine = Recorder(seen)
    code, given = code_of([mine]), as_given([mine])

    give_back(files, [mine], print)
    remember_used([mine], given)

    assert lost == set()
    assert seen == [0.5, 0.25]
    assert mine.seen is seen
    assert (mine.count, mine.total.tolist()) == (2, [0.75, 0.75])
    assert code_of([mine]) == code
    mine.seen.append(7.0)  # by the user
    assert code_of([mine]) != code


def test_states_that_are_too_large_are_said_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed run directory would fill the memory of the notebook that resumes it."""
    monkeypatch.setattr(callbacks, "MOST_CALLBACK_BYTES", 1000)
    recorder, said = Recorder([0.5]), list[str]()
    files = RunDirectory(tmp_path)
    CheckpointStore(files.checkpoints).save({"callbacks": {"large": np.zeros(1000)}}, {"callbacks": []})
    give_back(files, [recorder], said.append)
    assert recorder.seen == [0.5]
    (line,) = said
    assert line.startswith("the state that your callbacks had after the run cannot be restored: ")
    assert "\n" not in line


def test_without_a_checkpoint_they_stay_as_they_are(tmp_path: Path) -> None:
    """A run that failed early would end in another error than its own."""
    mine = Recorder([1.0])
    give_back(RunDirectory(tmp_path), [mine, SimpleNamespace()], print)
    assert mine.seen == [1.0]


class WantsItsModel:
    """A callback whose `set_state` works on the model, which is gone after the run."""

    model = None

    def get_state(self) -> dict[str, float]:
        """The learning rate."""
        return {"rate": 0.1}

    def set_state(self, state: dict[str, float]) -> None:
        """Set it again."""
        self.model.optimizer.learning_rate = state["rate"]  # type: ignore[attr-defined]


def test_a_set_state_that_fails_after_the_run_is_said(tmp_path: Path) -> None:
    """A run that is finished would end in a traceback, without its result; or its own error be hidden."""
    packer = Packer(1000)
    state = {"callbacks": [{"class": "WantsItsModel", "asked": packer.pack({"rate": 0.1})}]}
    CheckpointStore(RunDirectory(tmp_path).checkpoints).save({"model": {}, "callbacks": packer.arrays}, state)
    said: list[str] = []
    give_back(RunDirectory(tmp_path), [WantsItsModel()], said.append)
    assert said == [
        "your callbacks could not be set to their state after the run: WantsItsModel (AttributeError in its set_state)"
    ]
