"""The demo run: its memory limit makes it run out of memory exactly once."""

from __future__ import annotations

import inspect
import io
from pathlib import Path
from typing import Any

import pytest

from autofit.api import run
from autofit.config.options import make_options
from autofit.demo import demo_run
from autofit.errors import TrainingFailedError
from autofit.probing.records import ProbeReport
from autofit.protocol.messages import Trial, Verdict
from autofit.report.views import ProgressView
from autofit.runs.model_source import workload

BASE_BYTES, IMAGE_BYTES = 20_000_000, 2_000_000


def report(*, fitted: bool = True) -> ProbeReport:
    """A probe of the demo's network under 3 GB; its first worker had 2.2 GB for tensors, the last one more."""
    verdict = Verdict.FITS if fitted else Verdict.DEVICE_OOM
    trials = [
        Trial(
            batch_size=size,
            verdict=verdict,
            peak_bytes=BASE_BYTES + IMAGE_BYTES * size,
            allocator_bytes=2_200_000_000 if size < demo_run.BATCH_SIZE else 2_500_000_000,
        )
        for size in (4, 16, 32, 64)
    ]
    return ProbeReport(
        workload=workload(make_options(model=demo_run.NETWORK), 10),
        hardware={},
        memory_limit_bytes=3_000_000_000,
        allocator_limit_bytes=2_500_000_000,
        limited_by="--memory-limit",
        largest_feasible_batch=64 if fitted else 0,
        recommended_batch=64 if fitted else 0,
        memory_model=None,
        trials=trials,
        wall_seconds=1.0,
    )


def test_the_limit_is_too_small_for_the_batch_and_enough_for_its_half() -> None:
    """The demo would not run out at all, or again and again."""
    for_tensors = demo_run.insufficient_limit_bytes(report()) - 800_000_000
    assert (
        BASE_BYTES + IMAGE_BYTES * demo_run.BATCH_SIZE / 2
        < for_tensors
        < BASE_BYTES + IMAGE_BYTES * demo_run.BATCH_SIZE
    )


def test_a_network_that_could_not_be_measured_is_an_error() -> None:
    """The demo would continue with a meaningless limit."""
    with pytest.raises(TrainingFailedError, match="could not measure its network"):
        demo_run.insufficient_limit_bytes(report(fitted=False))


@pytest.fixture
def demo_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of the runs that two demos in one folder start."""
    runs: list[dict[str, Any]] = []

    def start(data: Path, **given: Any) -> None:
        given["run_dir"].mkdir(parents=True)
        runs.append({"data": data, **given})

    monkeypatch.setattr(demo_run, "write_photos", lambda folder: folder.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(demo_run, "probe", lambda **_: report())
    monkeypatch.setattr(demo_run, "run", start)
    view = ProgressView(io.StringIO())
    for _ in range(2):
        demo_run.run_demo(tmp_path, view)
    return runs


def test_the_run_gets_the_measured_limit(demo_calls: list[dict[str, Any]], tmp_path: Path) -> None:
    """The run would get another limit than the one that makes it run out of memory."""
    assert demo_calls[0]["data"] == tmp_path / "digits"
    assert demo_calls[0]["memory_limit"] == demo_run.insufficient_limit_bytes(report())
    assert (demo_calls[0]["batch_size"], demo_calls[0]["model"]) == (demo_run.BATCH_SIZE, demo_run.NETWORK)


def test_a_second_demo_is_a_second_run(demo_calls: list[dict[str, Any]], tmp_path: Path) -> None:
    """It would be refused as a run with other options: the measured memory differs a little each time."""
    assert [run["run_dir"] for run in demo_calls] == [tmp_path / "run-1", tmp_path / "run-2"]


def test_the_options_of_the_demo_are_valid(demo_calls: list[dict[str, Any]]) -> None:
    """A new check of the options would break the demo, and only a user would notice."""
    assert set(inspect.signature(run).parameters) >= demo_calls[0].keys()
    given = {name: value for name, value in demo_calls[0].items() if name not in {"data", "run_dir", "view"}}
    assert make_options(**given).model == demo_run.NETWORK


@pytest.mark.whole
@pytest.mark.slow
def test_it_really_runs_out_of_memory_once_and_learns(tmp_path: Path) -> None:
    """The demo would announce an out-of-memory that never happens."""
    result = demo_run.run_demo(tmp_path, ProgressView(io.StringIO()))
    sizes = [(event.micro_batch_size_before, event.micro_batch_size_after) for event in result.oom_events]
    assert sizes == [(64, 32)]
    assert max(result.history["val_accuracy"]) > 0.9
