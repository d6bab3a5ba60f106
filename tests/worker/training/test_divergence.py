"""A training that has diverged ends; one that only has a bad epoch goes on."""

from __future__ import annotations

import math
import re
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autofit.config.fine_tuning import FineTuning
from autofit.config.options import make_options
from autofit.errors import UserError
from autofit.protocol.messages import StageName
from autofit.runs.model_source import model_source
from autofit.worker.training.divergence import (
    DivergedError,
    Facts,
    advice,
    divergence,
    dropped_if_diverged,
    require_convergence,
)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([math.nan], "its loss is nan in epoch 1"),
        ([0.5, math.inf], "its loss is inf in epoch 2"),
        ([1.0, 2.5, 30.0, 400.0], "its loss is 400 in epoch 4 and was 1 in the first"),
        ([1.0, 2.5, 30.0], None),  # not for long
        ([1.0, 1.9, 1.9, 1.9, 1.9], None),  # not far
        ([1.0, 9.0, 9.0, 0.9, 9.0, 9.0], None),  # it came back
        ([1.0, 0.5, 0.4, 0.3], None),
        ([-1.0, 3.0, 3.0, 3.0], None),  # a loss of the user's own has no scale
        ([0.0, 0.1, 0.1, 0.1], None),
    ],
    ids=str,
)
def test_a_training_has_diverged_or_not(losses: list[float], expected: str | None) -> None:
    """Hours would go into a network that cannot come back, or a good training would be ended."""
    assert divergence(losses) == expected


def test_a_loss_that_is_better_than_guessing_has_not_diverged() -> None:
    """Fine-tuning after a head that knew its images by heart would end: its loss was 0.02, and is 0.1 or 0.5."""
    losses = [0.0234, 0.05, 0.09, 0.115]
    assert divergence(losses) is not None
    assert divergence(losses, guessing=math.log(6)) is None
    assert divergence([0.0234, 2.0, 3.0, 4.0], guessing=math.log(6)) is not None


@pytest.mark.parametrize("stage", ["training", "head"])
def test_only_fine_tuning_is_ended_by_itself(stage: StageName) -> None:
    """A run of a single stage would be complete, with a network of NaN."""
    unused: Any = None
    with pytest.raises(DivergedError, match="loss is nan"), dropped_if_diverged(stage, unused, unused, unused):
        raise DivergedError("its loss is nan", "its loss is nan: take a lower learning_rate")


@pytest.mark.slow
@pytest.mark.parametrize(("mean_weight", "diverged"), [(1.0, True), (3.0, False)])
def test_the_loss_of_guessing_has_the_weights_of_the_classes(mean_weight: float, *, diverged: bool) -> None:
    """A fine-tuning that is better than guessing would be ended where a class counts ten times."""
    import keras  # noqa: PLC0415 - slow to load

    loss = keras.losses.SparseCategoricalCrossentropy()
    objective = SimpleNamespace(columns=(), unit_threshold=None, loss_function=loss, optimizer=keras.optimizers.Adam())
    session: Any = SimpleNamespace(objective=objective, built=SimpleNamespace(model=keras.Sequential()), metrics=dict)
    source = model_source(make_options(), 2)
    with pytest.raises(DivergedError) if diverged else nullcontext():
        require_convergence([0.2, 1.5, 1.5, 1.5], session, source, mean_weight)


def variable(value: float) -> Any:
    return np.array([1, value], np.float32).view(Named)


class Named(np.ndarray[Any, Any]):
    """A variable of Keras, as far as it is read."""

    path = "block/kernel"


@pytest.mark.parametrize("loss", [math.nan, math.inf])
@pytest.mark.parametrize("damaged", ["block/kernel", ""])
def test_weights_that_were_no_numbers_are_the_cause(damaged: str, loss: float) -> None:
    """A damaged file would be told as a learning rate that is too high, or end a fine-tuning as one that diverged."""
    features = SimpleNamespace(variables=[variable(1.0), variable(2.0 if damaged else math.nan)])
    session: Any = SimpleNamespace(built=SimpleNamespace(frozen=True, features=features))
    with pytest.raises(
        UserError, match="weights that are no numbers, such as block/kernel, and so is its loss"
    ) as told:
        require_convergence([loss], session, model_source(make_options(), 2), damaged=damaged)
    assert not isinstance(told.value, DivergedError)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "dtype", "asked"),
    [
        ({}, "float32", ""),
        ({"learning_rate": 0.5}, "mixed_bfloat16", "; give a learning_rate lower than 0.5"),
        ({}, "mixed_float16", '; give precision "mixed_bfloat16" or "float32"'),
        (
            {"learning_rate": 0.5},
            "mixed_float16",
            '; give precision "mixed_bfloat16" or "float32", or a learning_rate lower than 0.5',
        ),
    ],
)
def test_what_to_give_is_named_where_fine_tuning_ends(given: dict[str, Any], dtype: str, asked: str) -> None:
    """The run is complete, with the head alone, and its user would not know what to correct."""
    import keras  # noqa: PLC0415 - slow to load

    options = make_options(trainable="all", **given)
    settings = FineTuning(updates=9, warmup_updates=1)
    source = model_source(options, 2).model_copy(update={"fine_tuning": settings})
    objective = SimpleNamespace(columns=(), unit_threshold=None, loss_function=None, optimizer=keras.optimizers.Adam())
    network = SimpleNamespace(model=keras.Sequential([keras.layers.Dense(2, dtype=dtype)]), frozen=False, features=None)
    session: Any = SimpleNamespace(objective=objective, built=network, metrics=dict)
    with pytest.raises(DivergedError) as raised:
        require_convergence([math.nan], session, source)
    assert raised.value.why == f"its loss is nan in epoch 1{asked}"


@pytest.mark.parametrize(
    ("facts", "loss", "said"),
    [
        (Facts(0.5, 0.003, is_unscaled=True, accuracy=0.1, chance=0.1), "nan", "learning rate 0.5 is far too high"),
        (Facts(1e-3, 0.003, is_unscaled=True, accuracy=0.1, chance=0.1), "nan", r"keras.layers.Rescaling\(1/255\)"),
        (Facts(1e-3, 0.003, is_unscaled=False, accuracy=0.11, chance=0.1), "9.5", "labels are mixed up"),
        (Facts(1e-3, 0.003, is_unscaled=False, accuracy=0.11, chance=0.1), "nan", "learning_rate lower than 0.001"),
        (
            Facts(1e-3, None, is_unscaled=False, accuracy=None, chance=0.1, in_float16=True),
            "nan",
            'number over 65,504 is infinite: .* precision "mixed_bfloat16" or "float32", or a learning_rate lower',
        ),
        (
            Facts(1e-3, None, is_unscaled=False, accuracy=0.6, chance=0.1, in_float16=True),
            "9.5",
            "with a learning_rate",
        ),
        (Facts(1e-3, None, is_unscaled=False, accuracy=0.6, chance=0.1), "9.5", "learning_rate lower than 0.001"),
        (Facts(1e-3, None, is_unscaled=False, accuracy=None, chance=0.1), "9.5", "learning_rate lower than 0.001"),
    ],
    ids=str,
)
def test_the_advice_names_the_first_cause_that_the_facts_support(facts: Facts, loss: str, said: str) -> None:
    """The user would change the wrong thing, or not know what to change."""
    text = advice(f"its loss is {loss} in epoch 1", facts, is_finite=math.isfinite(float(loss)))
    assert re.search(said, text)
    assert f"its loss is {loss}" in text
    assert "the last checkpoint from before is kept" in text
    assert "\n" not in text
    assert len(text) < 500
