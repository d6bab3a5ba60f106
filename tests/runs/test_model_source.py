"""Where a worker gets its network, and what a probe of it measures."""

from __future__ import annotations

from autofit.config.options import make_options
from autofit.runs.model_source import model_source, workload


def test_a_models_source_says_where_its_function_is() -> None:
    """The worker would look for a function by a name that is none, or build a backbone instead."""

    def network() -> None: ...

    by_name, by_hand = (
        model_source(make_options(model="json:loads"), 3),
        model_source(make_options(model=network), 3),
    )
    assert (by_name.reference, by_name.sent) == ("json:loads", False)
    assert (by_hand.reference, by_hand.sent) == (None, True)
    backbone = model_source(make_options(hidden_units=64, seed=5, optimizer="sgd", learning_rate=0.1), 3)
    assert (backbone.reference, backbone.sent, backbone.num_classes) == (None, False, 3)
    assert (backbone.optimizer, backbone.learning_rate) == ("sgd", 0.1)
    assert (backbone.spec.hidden_units, backbone.spec.dropout, backbone.spec.seed) == (64, 0.2, 5)


def test_a_probes_workload_names_what_was_probed() -> None:
    """A profile would be taken for another network's."""
    found = workload(make_options(model="json:loads", image_size=32, optimizer="sgd"), 7)
    assert (found.backbone, found.image_size, found.num_classes) == ("json:loads", (32, 32), 7)
    assert (found.trainable, found.weights, found.optimizer) == ("all", "none", "sgd")
