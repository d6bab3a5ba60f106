"""The way back from a request to the options of a call: what is given again makes the same request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autofit.config.given_options import given_options
from autofit.config.options import make_options

REQUESTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "network": {"backbone": "ResNet50", "image_size": (160, 192), "trainable": "all", "hidden_units": 12},
    "square": {"image_size": 96, "dropout": 0.0},
    "random weights": {"weights": "none", "epochs": 3},
    "random weights, head": {"weights": "none", "trainable": "head"},
    "own network": {"model": "json:loads", "learning_rate": 0.01},
    "own network's head": {"model": "json:loads", "trainable": "head"},
    "own network, fine-tuning": {"model": "json:loads", "fine_tune_epochs": 3},
    "own network's head, budget": {"model": "json:loads", "trainable": "head", "time_budget": 60},
    "own network, budget, fine-tuning": {"model": "json:loads", "time_budget": 60, "fine_tune_epochs": 3},
    "own network, budget": {"model": "json:loads", "time_budget": 60},
    "all layers": {"trainable": "all", "learning_rate": 0.001},
    "all layers, usual rate": {"trainable": "all", "optimizer": "adamw"},
    "sgd": {"trainable": "all", "optimizer": "sgd", "learning_rate": 0.02},
    "ramp": {"batch_schedule": "32:16", "micro_batch_size": 4},
    "budget": {"time_budget": "90.5s", "checkpoint_every": "2m"},
    "budget, no fine-tuning": {"time_budget": "5m", "fine_tune_epochs": 0},
    "budget, epochs": {"time_budget": 60, "epochs": 4},
    "budget, batch size": {"time_budget": 60, "batch_size": 4, "learning_rate": 0.01},
    "budget, batch size, no fine-tuning": {"time_budget": 60, "batch_size": 4, "fine_tune_epochs": 0},
    "fine-tuning, rate": {"fine_tune_epochs": 3, "learning_rate": 1e-5},
    "fine-tuning": {"fine_tune_epochs": 3, "fine_tune_from": 0.5, "checkpoint_every": 20},
    "weights by class": {"class_weight": {"cats": 2.0}, "monitor": "accuracy", "metrics": ("mae",), "loss": "poisson"},
    "switches": {"flip": False, "audit": True, "deterministic": True, "multi_label": True},
    "rest": {
        "memory_limit": "3GiB",
        "validation": 0.0,
        "seed": 7,
        "max_minutes": 0.5,
        "max_bad_images": 1,
        "isolation": "inline",
        "recipe": "classic",
        "early_stopping": 2,
        "augment": "strong",
        "feature_cache": "on",
        "feature_views": 2,
        "pixel_cache": "off",
        "cache_by": "content",
    },
}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_what_is_given_again_makes_the_same_request(request_name: str) -> None:
    """A run repeated by the command on its page would be another."""
    request = REQUESTS[request_name]
    options = make_options(**request)
    given = given_options(options)
    assert given.objects == ()
    assert make_options(**given.values) == options
    assert set(given.values) <= set(request), "an option was named that has its default"


def test_the_place_of_a_run_is_not_repeated(tmp_path: Path) -> None:
    """The repeated run would be restored from the first one's mirror in place of training."""
    assert given_options(make_options(mirror_dir=tmp_path)).values == {}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"model": "<function>", "backbone": None, "weights": "none", "trainable": "all"}, ("model",)),
        ({"validation": "<table>"}, ("validation",)),
        ({"optimizer_config": {"class_name": "SGD", "config": {}, "module": "keras.optimizers"}}, ("optimizer",)),
        ({"optimizer_config": {"class_name": "adam", "config": {"learning_rate": {}}}}, ("learning_rate",)),
        ({"loss": {"class_name": "own"}, "metrics": ({"class_name": "own"},)}, ("loss", "metrics")),
    ],
    ids=["model", "validation", "optimizer", "schedule", "loss"],
)
def test_objects_are_named_and_not_invented(changes: dict[str, Any], names: tuple[str, ...]) -> None:
    """A page would show the configuration of a user's own object as if it were a value to type."""
    given = given_options(make_options().model_copy(update=changes))
    assert given.objects == names
    assert not set(names) & set(given.values)
