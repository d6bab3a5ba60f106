"""Learning rates: defaults that do not ruin pretrained weights, and a line about unusual ones."""

from __future__ import annotations

from typing import Any

import pytest

from autofit.config.given_options import given_options
from autofit.config.learning_rates import RateFall, fall_at_the_end, falls_of_other_length, unusual_rate
from autofit.config.options import head_options, make_options, needing_epochs


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 1e-3),
        ({"trainable": "all"}, 1e-4),
        ({"trainable": "all", "optimizer": "AdamW"}, 1e-4),
        ({"trainable": "all", "optimizer": "sgd"}, 1e-3),
        ({"trainable": "all", "weights": None}, 1e-3),
        ({"weights": None}, 1e-3),
        ({"model": "json:loads"}, 1e-3),
        ({"trainable": "all", "learning_rate": 1e-3}, 1e-3),  # as the user wants it
        ({"learning_rate": 0.5}, 0.5),
        ({"batch_size": 8}, 1e-3),
        ({"batch_size": 128}, 2e-3),
        ({"batch_size": 128, "learning_rate": 1e-3}, 1e-3),
        ({"batch_size": 64, "weights": None, "optimizer": "AdamW"}, 1.41e-3),
        ({"batch_size": 4096, "weights": None}, 2.83e-3),
        ({"batch_size": 128, "trainable": "all"}, 1e-4),
        ({"batch_size": 128, "model": "json:loads"}, 1e-3),
        ({"batch_size": 128, "recipe": "classic"}, 1e-3),
        ({"optimizer": "sgd"}, 1e-2),
        ({"optimizer": "sgd", "batch_size": 128}, 1e-2),
        ({"optimizer": "sgd", "recipe": "classic"}, 1e-3),
        ({"optimizer": "adadelta"}, 1.0),
        ({"optimizer": "lion", "batch_size": 128}, 2e-4),
    ],
    ids=str,
)
def test_the_default_rate_follows_from_what_trains_the_optimizer_and_the_batch(
    given: dict[str, Any], expected: float
) -> None:
    """Pretrained weights would be ruined by default, large batches would learn less, or a given rate be ignored."""
    options = make_options(**given)
    assert options.learning_rate == expected
    assert ("learning_rate" in given_options(options).values) == ("learning_rate" in given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"batch_size": 128}, ("batch_size",)),
        ({"optimizer": "sgd"}, ("optimizer",)),
        ({"trainable": "all", "optimizer": "sgd", "batch_size": 64}, ("optimizer",)),  # the batch is of all layers
        ({"optimizer": "sgd", "learning_rate": 0.5}, ("optimizer", "learning_rate")),
    ],
    ids=str,
)
def test_a_default_rate_is_not_named_as_given(given: dict[str, Any], expected: tuple[str, ...]) -> None:
    """The reason for a head trained by epochs would name an option that nobody gave."""
    options = make_options(**given)
    assert needing_epochs(head_options(options) if options.trainable == "all" else options) == expected


@pytest.mark.parametrize(
    ("optimizer", "rate", "trains_pretrained", "words"),
    [
        ("adam", 1e-3, False, None),
        ("adam", 0.5, False, "far over what is usual with adam (1e-05 to 0.003)"),
        ("adam", 1e-8, False, "far under"),
        (
            "adam",
            5e-3,
            True,
            "is far over what is usual with adam for layers of a pretrained network (1e-06 to 0.0003)",
        ),
        ("adam", 1e-3, True, "is over what is usual with adam for layers of a pretrained network"),  # it ruined them
        ("adamw", 4e-4, True, "(1e-06 to 0.0003): it may ruin the weights"),
        ("adam", 3e-4, True, None),
        ("adam", 1e-6, True, None),
        ("adam", 4e-3, False, None),  # of a head: unusual, but not far
        ("sgd", 0.1, False, None),
        ("sgd", 10, False, "far over"),
        ("adadelta", 100, False, None),
    ],
)
def test_a_rate_far_outside_what_is_usual_has_one_line(
    optimizer: str,
    rate: float,
    trains_pretrained: bool,  # noqa: FBT001
    words: str | None,
) -> None:
    """A slip of three digits would show hours later, or each run would begin with a warning."""
    line = unusual_rate(optimizer, rate, trains_pretrained=trains_pretrained)
    assert line is None if words is None else words in str(line)
    assert "\n" not in str(line)


def test_the_rate_of_a_training_from_scratch_falls_in_its_last_updates() -> None:
    """A share that is rounded to no update would leave the rate constant, or divide by zero."""
    assert fall_at_the_end(1000) == RateFall(begin=700, end=1000)
    for updates in range(1, 12):
        fall = fall_at_the_end(updates)
        assert 0 <= fall.begin < fall.end == updates


@pytest.mark.parametrize(
    ("done", "updates", "expected"),
    [
        (0, 200, [(140, 200)]),
        (70, 200, [(140, 200)]),
        (50, 100, [(70, 100)]),
        (70, 80, [(70, 80)]),
        (80, 200, [(70, 200)]),
        (80, 80, [(70, 80)]),
        (30, 30, [(29, 30)]),
        (100, 200, [(70, 100), (170, 200)]),
    ],
)
def test_a_training_of_another_length_falls_at_its_new_end(
    done: int, updates: int, expected: list[tuple[int, int]]
) -> None:
    """More updates would be made at a rate of zero; or a run that asks early for more differ from one at once."""
    falls = falls_of_other_length([fall_at_the_end(100)], done, updates)
    assert [(fall.begin, fall.end) for fall in falls] == expected


def test_a_training_that_is_made_longer_again_keeps_the_falls_before() -> None:
    """A resumed optimizer would compute other rates for the updates that are done."""
    first = fall_at_the_end(100)
    twice = falls_of_other_length([first], 100, 200)
    assert falls_of_other_length(twice, 120, 300) == (first, fall_at_the_end(300, after=100))
    assert falls_of_other_length(twice, 200, 210) == (*twice, RateFall(begin=207, end=210))


def test_a_fall_has_an_update_at_least() -> None:
    """The rate of a run from a stranger would be divided by zero."""
    with pytest.raises(ValueError, match="falls from update 3 to 3"):
        RateFall(begin=3, end=3)
