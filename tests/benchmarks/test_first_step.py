"""What `benchmarks/first_step.py` reads of a run, on a run directory that is made up."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

SPENT = {"start": 4.0, "weights": 0.5, "build": 1.0, "trace": 0.5, "extract": 2.0, "solve": 0.25}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose worker was launched at 101 s and had its first images through at 108.5 s."""
    attempt = tmp_path / "attempts" / "0001"
    attempt.mkdir(parents=True)
    (attempt / "job.json").write_text(json.dumps({"work": {"launched_at": 101.0}}))
    lines = [
        {"monotonic_seconds": 107.0, "phase": "extract", "first_steps_seconds": 0.0, "phase_seconds": {"start": 4.0}},
        {"monotonic_seconds": 108.5, "phase": "extract", "first_steps_seconds": 1.5, "phase_seconds": {"start": 4.0}},
        {"monotonic_seconds": 112.0, "phase": "save", "first_steps_seconds": 1.75, "phase_seconds": SPENT},
    ]
    (attempt / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "result.json").write_text(json.dumps({"seconds_to_first_step": 10.0}))
    return tmp_path


def test_the_parts_add_up_and_begin_with_the_command(run: Path) -> None:
    """What the command itself takes before its worker would be nobody's."""
    benchmark: Any = import_module("first_step")
    start = benchmark.start_of(run, 100.0, 13.0, 9.0)
    assert (start.parent, start.launch_and_import, start.build) == (1.0, 4.0, 2.0)
    assert (start.first_steps, start.extraction, start.solving) == (1.75, 2.0, 0.25)
    assert start.rest == 2.0
    assert (start.to_first_images, start.to_first_step) == (8.5, 11.0)
    rows = benchmark.table([start], [{"imported": 2.5, "convolved": 3.0, "processor": 2.0}]).splitlines()
    assert rows[-2] == "| first images after the plain convolution | 5.5 | 5.5 to 5.5 |"
    assert rows[-1] == "| first step after the plain convolution | 8.0 | 8.0 to 8.0 |"


def test_a_run_without_a_step_is_no_reading(run: Path) -> None:
    """A run that took all features from the cache would count as the fastest start."""
    benchmark: Any = import_module("first_step")
    lines = run / "attempts" / "0001" / "progress.jsonl"
    lines.write_text(lines.read_text().splitlines()[0] + "\n")
    with pytest.raises(ValueError, match="has made no step"):
        benchmark.start_of(run, 100.0, 13.0)
