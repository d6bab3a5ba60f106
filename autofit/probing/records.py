"""What a probe reports: the record in `probe.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autofit.process.messages import Trial
from autofit.records import Record

VERIFIED = "verified in a fresh process"
"""The cause that a trial carries which ran the search's answer once more."""


class Workload(Record):
    """What was probed: everything that decides how much memory one image costs."""

    backbone: str
    image_size: tuple[int, int]
    num_classes: int
    trainable: Literal["head", "all"]
    weights: str
    hidden_units: int
    dropout: float
    optimizer: str
    precision: str = "float32"


class MemoryModelRecord(Record):
    """Allocator bytes as a line over the batch: `base_bytes + bytes_per_image * batch`."""

    base_bytes: float
    bytes_per_image: float
    max_relative_error: float


class ProbeReport(Record):
    """The content of `probe.json`. `largest_feasible_batch` is 0 where not even one image fits.

    `allocator_limit_bytes` is what of the limit is left for tensors; the trials' peaks run against that.
    """

    schema_: Literal["autofit/probe/1"] = Field("autofit/probe/1", alias="schema")
    workload: Workload
    hardware: dict[str, str | int | float | None]
    memory_limit_bytes: int
    allocator_limit_bytes: int = 0
    limited_by: str
    largest_feasible_batch: int
    recommended_batch: int
    memory_model: MemoryModelRecord | None
    trials: list[Trial]
    source: Literal["measured", "profile"] = "measured"
    wall_seconds: float

    @property
    def tensors_limit_bytes(self) -> int:
        """What the trials' peaks run against: the allocator's limit, or where it is not known, the whole."""
        return self.allocator_limit_bytes or self.memory_limit_bytes
