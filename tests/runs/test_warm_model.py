"""The worker that stays for the next prediction: when it is used again, and when it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autofit.errors import TrainingFailedError
from autofit.protocol.job import Event
from autofit.protocol.messages import PredictRequest
from autofit.protocol.payload import OwnCode
from autofit.runs.prediction import SavedModel
from autofit.runs.warm_model import WARM, predicting
from tests.support.answering import ROWS, Answering, Silence, rows
from tests.support.keras_files import keras_file


@pytest.fixture(autouse=True)
def nothing_warm() -> Iterator[None]:
    WARM.close()
    yield
    WARM.close()


@pytest.fixture
def model(tmp_path: Path) -> SavedModel:
    return SavedModel(keras_file(tmp_path / "model.keras"), (32, 48))


def ask(model: SavedModel, launcher: Answering) -> None:
    """Predict two images."""
    with predicting(model, launcher, Silence()) as predict:
        found, unreadable = predict(["a", "b"], Silence(), views=1, done=0, total=2)
    assert np.array_equal(found, ROWS)
    assert unreadable == []


def test_the_second_call_is_answered_by_the_same_worker(model: SavedModel) -> None:
    """Each call would wait for TensorFlow and the model."""
    launcher = Answering(rows)
    ask(model, launcher)
    assert WARM.is_warm
    ask(model, launcher)
    assert (len(launcher.works), len(launcher.requests)) == (1, 2)


def test_closing_gives_the_memory_back_but_not_that_of_another_model(model: SavedModel, tmp_path: Path) -> None:
    """A closed result would keep its worker, or end that of another result."""
    launcher = Answering(rows)
    ask(model, launcher)
    WARM.close(tmp_path / "other.keras")
    assert WARM.is_warm
    WARM.close(model.path)
    assert not WARM.is_warm
    assert launcher.is_closed


@pytest.mark.parametrize("what", ["model", "views", "environment", "module"])
def test_anything_else_is_predicted_by_another_worker(
    model: SavedModel, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The model of before would answer for one that was trained since, by layers that were edited, or on a lost GPU."""
    first, second = Answering(rows), Answering(rows)
    ask(model, first)
    if what == "model":
        keras_file(model.path, {"trained": "on"})
    elif what == "views":
        model = replace(model, flips=False)
    elif what == "module":
        model = replace(model, code=OwnCode(files=[("/home/someone/layers.py", 90, 2)]))
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    ask(model, second)
    assert (len(first.requests), len(second.requests)) == (1, 1)
    assert first.is_closed


def test_a_worker_that_was_killed_while_it_was_idle_is_replaced(model: SavedModel) -> None:
    """The call after it would fail, though nothing is wrong with it."""
    launcher = Answering(rows)
    ask(model, launcher)

    def replaced(request: PredictRequest) -> str | list[Event]:
        return rows(request) if len(launcher.works) > 1 else "gone"

    launcher.answer = replaced
    ask(model, launcher)
    assert len(launcher.works) == 2


def test_a_worker_that_fails_at_its_work_is_not_asked_again(model: SavedModel) -> None:
    """A batch that kills the worker would be tried for ever, or a worker in an unknown state be kept."""
    launcher = Answering(lambda _: "crashed")
    with predicting(model, launcher, Silence()) as predict, pytest.raises(TrainingFailedError, match="because"):
        predict(["a", "b"], Silence(), views=1, done=0, total=2)
    assert len(launcher.works) == 1
    assert not WARM.is_warm
    assert launcher.is_closed


def test_a_thread_of_this_process_and_a_users_module_do_not_stay(
    model: SavedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook would hold the model in its own memory, or an edited module be used as it was."""
    inline = Answering(rows)
    monkeypatch.setattr(inline, "isolated", False)
    for launcher, asked in ((inline, model), (Answering(rows), replace(model, code=OwnCode(module="mine")))):
        ask(asked, launcher)
        assert not WARM.is_warm
        assert launcher.is_closed


def test_a_forked_process_leaves_its_parents_worker_alone(model: SavedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of processes would talk over one pipe, and the first that ends would end the worker of all."""
    parents, own = Answering(rows), Answering(rows)
    ask(model, parents)
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    assert not WARM.is_warm
    WARM.close()
    ask(model, own)
    assert (len(parents.requests), len(own.requests)) == (1, 1)
    assert not parents.is_closed
    WARM.close()
    assert own.is_closed
