"""The files of a run directory, as tests read them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autofit.storage.checkpoints import CheckpointStore


def result_of(run_dir: Path) -> dict[str, Any]:
    """The content of `result.json`."""
    content: dict[str, Any] = json.loads((run_dir / "result.json").read_text())
    return content


def samples_of(run_dir: Path, split: str) -> dict[int, str]:
    """The paths of one split by index."""
    with (run_dir / "samples.csv").open(newline="") as lines:
        return {int(row["index"]): row["path"] for row in csv.DictReader(lines) if row["split"] == split}


def updates_of(run_dir: Path, epoch: int | None = None) -> list[dict[str, Any]]:
    """The lines of the audit log: one for each update, of one epoch or of all."""
    lines = [json.loads(line) for line in (run_dir / "audit.jsonl").read_text().splitlines()]
    return [line for line in lines if epoch in {None, line["epoch"]}]


def assert_each_epoch_once(
    run_dir: Path, epochs: int, samples: Sequence[int], *, first: int = 0, skipped: bool = False
) -> None:
    """Assert that each epoch trained on each of these samples once; or else, with `skipped`, has skipped it once.

    Those from the epoch `first` up to, without it, the epoch `epochs`, counted from zero.
    """
    for epoch in range(first, epochs):
        lines = updates_of(run_dir, epoch)
        used = [sample for line in lines for sample in line["samples"] + (line["skipped"] if skipped else [])]
        assert sorted(used) == list(samples)


def committed(run_dir: Path) -> tuple[int, int]:
    """The (epoch, position) of the newest checkpoint; (0, 0) if there is none."""
    state = CheckpointStore(run_dir / "checkpoints").latest_state() or {"epoch": 0, "position": 0}
    return state["epoch"], state["position"]


def contents(folder: Path, without: frozenset[str] = frozenset()) -> dict[str, bytes]:
    """The bytes of each file below a folder by its relative path, but for files of these names."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in without)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def assert_same_history(one: dict[str, list[float]], other: dict[str, list[float]]) -> None:
    """Assert equal metrics, bit for bit in training; a validation in smaller parts is summed in another order."""
    assert one.keys() == other.keys()
    for name, values in one.items():
        if name.startswith("val_"):
            np.testing.assert_allclose(values, other[name], rtol=1e-5, err_msg=name)
        else:
            assert values == other[name], name
