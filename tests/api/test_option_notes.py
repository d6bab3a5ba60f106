"""What is said about options that have another effect than may be expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autofit.api.option_notes import option_notes, rate_note
from autofit.config.options import make_options
from autofit.runs.plan import staged_plan
from tests.support.machines import make_hardware

COSINE = {"class_name": "CosineDecay", "config": {"initial_learning_rate": 1e-3, "decay_steps": 9}}
BOTH = "optimizer and learning_rate are those of the head, which is trained by epochs"
FINE_TUNING = "fine-tuning has AdamW with learning_rate 0.0001"
RANDOM = "the head is not solved first: all layers train at once, on a random head"


def notes(*, has_callbacks: bool = False, images: int = 1_000, classes: int = 5, **given: Any) -> list[str]:
    """All lines; a configuration stands for a schedule, as `optimizer_values` makes it of one that was given."""
    schedule = given.pop("schedule", None)
    options = make_options(**given)
    if schedule:
        config = {"class_name": "adam", "config": {"learning_rate": schedule}}
        options = options.model_copy(update={"optimizer_config": config})
    planned = staged_plan(options, images, classes, None, make_hardware(), has_callbacks=has_callbacks)
    first = rate_note(options)
    return [*([first] if first else []), *option_notes(options, planned, has_callbacks=has_callbacks)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"fine_tune_epochs": 4}, []),
        ({"fine_tune_epochs": 4, "learning_rate": 1e-5}, []),  # the rate of fine-tuning
        ({"fine_tune_epochs": 4, "epochs": 2}, []),
        ({"learning_rate": 0.01}, []),
        (
            {"fine_tune_epochs": 4, "optimizer": "sgd"},
            [f"optimizer is that of the head, which is trained by epochs; {FINE_TUNING}"],
        ),
        (
            {"fine_tune_epochs": 4, "learning_rate": 0.01, "epochs": 2},
            [f"learning_rate is that of the head, which is trained by epochs because of epochs; {FINE_TUNING}"],
        ),
        (
            {"fine_tune_epochs": 4, "learning_rate": 0.02, "optimizer": "sgd", "batch_size": 8, "has_callbacks": True},
            [f"{BOTH} because of batch_size and callbacks; {FINE_TUNING}"],
        ),
        (
            {"fine_tune_epochs": 4, "schedule": COSINE},
            [f"learning_rate is that of the head, which is trained by epochs; {FINE_TUNING}"],
        ),
        (
            {"time_budget": "5m", "learning_rate": 0.01},
            [f"learning_rate is that of the head, which is trained by epochs; {FINE_TUNING}"],
        ),
    ],
    ids=str,
)
def test_whose_rate_is_not_that_of_fine_tuning_is_told_which_that_is(
    given: dict[str, Any], expected: list[str]
) -> None:
    """A user would believe that the layers of the backbone train as was asked for."""
    assert notes(**given) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"trainable": "all", "learning_rate": 1e-3}, "is over what is usual with adam for layers of a pretrained"),
        ({"fine_tune_epochs": 4, "learning_rate": 2e-3}, "is over what is usual with adamw for layers of a pretrained"),
        ({"fine_tune_epochs": 4, "learning_rate": 2e-3, "epochs": 3}, None),  # that of the head
        ({"fine_tune_epochs": 4, "learning_rate": 0.5, "has_callbacks": True}, "is far over what is usual with adam ("),
        ({"fine_tune_epochs": 4, "learning_rate": 3e-4}, None),
        ({"learning_rate": 2e-3}, None),
    ],
    ids=str,
)
def test_a_rate_that_ruins_pretrained_layers_is_said_where_they_train(given: dict[str, Any], words: str | None) -> None:
    """The pretrained weights would be lost without a word; or a head be warned of what is usual for it."""
    told = [line for line in notes(**given) if "usual" in line]
    assert len(told) == (words is not None)
    assert all(str(words) in line for line in told)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"epochs": 3, "batch_size": 8, "early_stopping": 2}, []),  # those of the stage after the head
        ({"optimizer": "adamw"}, [f"because of optimizer {RANDOM}"]),
        ({"hidden_units": 8, "batch_schedule": "8:16"}, [f"because of batch_schedule and hidden_units {RANDOM}"]),
        ({"feature_cache": "off", "has_callbacks": True}, [f"because of feature_cache and callbacks {RANDOM}"]),
        ({"has_callbacks": True}, [f"because of callbacks {RANDOM}"]),
        ({"images": 10**6, "classes": 1_000}, [f"because of so many images and classes {RANDOM}"]),
        ({"recipe": "classic"}, []),  # that is what it is for
    ],
    ids=str,
)
def test_all_layers_on_a_random_head_are_said_to_train_so(given: dict[str, Any], expected: list[str]) -> None:
    """A callback for a log would take the head's stage away, and with it much of the accuracy, without a word."""
    assert notes(trainable="all", **given) == expected


def test_a_replay_trains_as_the_run_that_it_follows(tmp_path: Path) -> None:
    """Lines about its stages would be untrue: they are those of the other run."""
    (tmp_path / "audit.jsonl").touch()
    assert notes(replay=tmp_path, fine_tune_epochs=4, learning_rate=1e-5) == []
    assert notes(replay=tmp_path, trainable="all") == []


def test_from_scratch_nothing_is_solved_first() -> None:
    """Each training from random weights would begin with a line that says so."""
    assert notes(weights=None, optimizer="sgd") == []
    assert notes(model="json:loads", optimizer="sgd") == []
