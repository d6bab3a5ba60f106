"""What `benchmarks/index.py` makes, measures and prints, at a size that takes no time."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "index.py"


@pytest.fixture
def benchmark() -> ModuleType:
    """The benchmark as a module."""
    return import_module("index")


def _row(benchmark: ModuleType, images: int, *scan_seconds: float, **values: Any) -> Any:
    figures: dict[str, Any] = {
        "fingerprint_seconds": 0.5,
        "write_seconds": 2.0,
        "before_bytes": 60_000_000,
        "peak_bytes": 170_000_000,
        "reports": 1,
    }
    parents = tuple(benchmark.Parent(scan_seconds=seconds, **(figures | values)) for seconds in scan_seconds)
    return benchmark.Row(images, parents, (benchmark.Worker(1.5, 30_000_000, 120_000_000),))


def test_the_table_gives_medians_and_files_a_second(benchmark: ModuleType) -> None:
    """One slow round would move the figure that is published."""
    lines = benchmark.table([_row(benchmark, 1_000_000, 2.0, 50.0, 2.5)]).splitlines()
    assert [line.count("|") for line in lines] == [len(benchmark.HEADER) + 1] * 3
    assert lines[2] == "| 1,000,000 | 2.50 | 400,000 | 0.50 | 2.00 | 170 | 60 | 1.50 | 90 |"


def test_memory_is_the_highest_of_all_rounds(benchmark: ModuleType) -> None:
    """One round over the bound could hide behind the others."""
    low, high = _row(benchmark, 100, 1.0), _row(benchmark, 100, 1.0, peak_bytes=301_000_000)
    row = benchmark.Row(100, low.parents + high.parents + low.parents, low.workers)
    assert "| 301 | 60 |" in benchmark.table([row])


def test_a_tree_that_was_left_unfinished_is_made_again(benchmark: ModuleType, tmp_path: Path) -> None:
    """Fewer images would be measured than the table says, or the program could not be started again."""
    benchmark.fill(tmp_path / ".300-images" / "class_000", 2)
    folder = benchmark.tree(tmp_path, 300)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["300-images"]
    assert len(list(folder.glob("class_*/*.JPG"))) == 300
    assert benchmark.tree(tmp_path, 300) == folder


def test_a_number_that_cannot_be_shared_out_is_refused(benchmark: ModuleType, tmp_path: Path) -> None:
    """A tree of 900 would be measured as one of 950."""
    with pytest.raises(SystemExit, match="950 images cannot be shared out evenly over 100 classes"):
        benchmark.tree(tmp_path, 950)


@pytest.mark.slow
def test_it_measures_in_processes_of_their_own_and_names_the_machine(tmp_path: Path) -> None:
    """Nobody would notice that the benchmark no longer runs until the day of a release."""
    raw = tmp_path / "raw.json"
    command = [sys.executable, str(PROGRAM), "--work", str(tmp_path), "--images", "200", "--rounds", "1"]
    done = subprocess.run([*command, "--json", str(raw)], check=True, capture_output=True, text=True)
    assert "cores" in done.stdout
    assert "pydantic" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("| 200 | ")
    (row,) = json.loads(raw.read_text(encoding="utf-8"))
    (parent,), (worker,) = row["parents"], row["workers"]
    assert 0 < parent["before_bytes"] <= parent["peak_bytes"] < 300e6
    assert 0 < worker["before_bytes"] <= worker["peak_bytes"] < 300e6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["200-images", "raw.json"]
