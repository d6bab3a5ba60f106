"""What a run ends with: the record in `result.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autofit.protocol.messages import BadImage, OomEvent, Verdict
from autofit.storage.records import Record


class AttemptRecord(Record):
    """One life of the training worker. `epoch` and `step` are where it ended, counted from zero."""

    verdict: Verdict
    cause: str
    batch_size: int
    micro_batch_size: int
    epoch: int
    step: int
    wall_seconds: float


class ResultRecord(Record):
    """The content of `result.json`."""

    schema_: Literal["autofit/result/1"] = Field("autofit/result/1", alias="schema")
    status: Literal["completed", "failed", "interrupted"]
    cause: str = ""
    history: dict[str, list[float]]
    attempts: list[AttemptRecord]
    oom_events: list[OomEvent]
    quarantined: list[BadImage]
    result_changed: bool
    weights_sha256: str | None
    seconds_to_first_step: float | None
    wall_seconds: float
