"""What a run directory of autofit says of speed, from the lines of its heartbeat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path
from typing import Any

Line = dict[str, Any]
"""One of `attempts/*/progress.jsonl`: `time` in seconds since 1970, `phase`, `epoch` from zero, and more."""


def heartbeat_lines(run: Path) -> list[Line]:
    """Those of all attempts of a run, in order."""
    files = sorted(run.glob("attempts/*/progress.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def seconds_after_first_epoch(lines: Sequence[Line]) -> float | None:
    """How long all epochs but the first took, validation included; None if that was too short to be seen.

    It is known to the heartbeat's quarter of a second at either end.
    """
    later = list(dropwhile(lambda line: line["epoch"] < 1, lines))
    working = [place for place, line in enumerate(later) if line["phase"] in {"train", "validate"}]
    if not working:
        return None
    end = later[min(working[-1] + 1, len(later) - 1)]  # the first of what comes after the last epoch
    return (end["monotonic_seconds"] - later[0]["monotonic_seconds"]) or None


def import_ended(lines: Sequence[Line]) -> float:
    """When the worker had imported TensorFlow and went on: within a quarter of a second, by the monotonic clock."""
    return next(line["monotonic_seconds"] for line in lines if line["phase"] != "start")


def import_to_first_step_seconds(run: Path) -> float | None:
    """From the end of the import to the end of the first training step; None if there was none in the first attempt."""
    first_step_seconds = json.loads((run / "result.json").read_text(encoding="utf-8"))["seconds_to_first_step"]
    if first_step_seconds is None:
        return None
    attempt = min(run.glob("attempts/*"))
    launched_at = json.loads((attempt / "job.json").read_text(encoding="utf-8"))["work"]["launched_at"]
    return launched_at + first_step_seconds - import_ended(heartbeat_lines(run))


def own_accuracy(run: Path) -> float:
    """The validation accuracy that autofit itself tells of the epoch whose model it keeps."""
    history = json.loads((run / "result.json").read_text(encoding="utf-8"))["history"]
    losses = history["val_loss"]
    return float(history["val_accuracy"][losses.index(min(losses))])
