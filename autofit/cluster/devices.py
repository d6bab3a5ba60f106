"""The devices of a cluster. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from autofit.errors import UserError


class Devices(NamedTuple):
    """The devices of a cluster that take part.

    Attributes:
        number: the number of devices; each has one actor.
        nodes: the number of machines that have them.
        kind: `GPU`; or `CPU`, where all cores of a machine are one device.
        resources: the resources that an actor requests from Ray.
    """

    number: int
    nodes: int
    kind: str
    resources: dict[str, int]


def devices_of(nodes: Sequence[Mapping[str, Any]]) -> Devices:
    """The devices of a cluster, by the output of `ray.nodes()`: the GPUs of living nodes, or else their CPUs. Pure.

    Raises:
        UserError: there are none.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = [int(node.get("GPU", 0)) for node in alive if node.get("GPU", 0) >= 1]
    if gpus:
        return Devices(sum(gpus), len(gpus), "GPU", {"num_gpus": 1})
    cpus = [int(node.get("CPU", 0)) for node in alive if node.get("CPU", 0) >= 1]
    if not cpus:
        raise UserError("the Ray cluster has neither a GPU nor a CPU: start its nodes with --num-cpus or --num-gpus")
    return Devices(len(cpus), len(cpus), "CPU", {"num_cpus": min(cpus)})
