"""Which devices of a cluster take part in an extraction."""

from __future__ import annotations

from typing import Any

import pytest

from autofit.cluster.devices import Devices, devices_of
from autofit.errors import UserError


def node(*, alive: bool = True, **resources: float) -> dict[str, Any]:
    """A node as `ray.nodes()` has it."""
    return {"Alive": alive, "Resources": {"memory": 1e9, **resources}}


@pytest.mark.parametrize(
    ("nodes", "devices"),
    [
        ([node(), node(CPU=4.0), node(CPU=16.0)], Devices(2, 2, "CPU", {"num_cpus": 4})),
        ([node(CPU=4.0), node(CPU=4.0, alive=False)], Devices(1, 1, "CPU", {"num_cpus": 4})),
        ([node(CPU=4.0), node(CPU=8.0, GPU=2.0), node(CPU=8.0, GPU=1.0)], Devices(3, 2, "GPU", {"num_gpus": 1})),
    ],
    ids=["CPUs of two nodes", "one is gone", "GPUs go before"],
)
def test_gpus_or_else_nodes(nodes: list[dict[str, Any]], devices: Devices) -> None:
    """Two actors would share a card, or a node have none; features of two kinds would be mixed."""
    assert devices_of(nodes) == devices


def test_a_cluster_without_devices_is_named() -> None:
    """Ray would wait for ever for a node that can take an actor."""
    with pytest.raises(UserError, match="neither a GPU nor a CPU"):
        devices_of([node(), node(CPU=4.0, alive=False)])
