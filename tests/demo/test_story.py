"""The demo's story: the figures that make it run out of memory once, and no more than once."""

from __future__ import annotations

import inspect
import io
from pathlib import Path
from typing import Any

import pytest

from autofit.api import run
from autofit.config.options import make_options
from autofit.demo import story
from autofit.errors import TrainingFailedError
from autofit.probing.records import ProbeReport
from autofit.protocol.messages import Trial, Verdict
from autofit.report.progress import ProgressView
from autofit.runs.model_source import workload

BASE_BYTES, IMAGE_BYTES = 20_000_000, 2_000_000


def report(*, fitted: bool = True) -> ProbeReport:
    """A probe of the demo's network under 3 GB; its first worker left 2.2 GB for tensors, the last one more."""
    verdict = Verdict.FITS if fitted else Verdict.DEVICE_OOM
    trials = [
        Trial(
            batch_size=size,
            verdict=verdict,
            peak_bytes=BASE_BYTES + IMAGE_BYTES * size,
            allocator_bytes=2_200_000_000 if size < story.BATCH_SIZE else 2_500_000_000,
        )
        for size in (4, 16, 32, 64)
    ]
    return ProbeReport(
        workload=workload(make_options(model=story.NETWORK), 10),
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
    for_tensors = story.too_small_a_limit(report()) - 800_000_000
    assert BASE_BYTES + IMAGE_BYTES * story.BATCH_SIZE / 2 < for_tensors < BASE_BYTES + IMAGE_BYTES * story.BATCH_SIZE


def test_a_network_that_could_not_be_measured_is_said() -> None:
    """The demo would go on with a limit made of nothing."""
    with pytest.raises(TrainingFailedError, match="could not measure its network"):
        story.too_small_a_limit(report(fitted=False))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The runs that the story starts, told twice in one folder."""
    runs: list[dict[str, Any]] = []

    def start(data: Path, **given: Any) -> None:
        given["run_dir"].mkdir(parents=True)
        runs.append({"data": data, **given})

    monkeypatch.setattr(story, "write_photos", lambda folder: folder.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(story, "probe", lambda **_: report())
    monkeypatch.setattr(story, "run", start)
    view = ProgressView(io.StringIO())
    for _ in range(2):
        story.tell(tmp_path, view)
    return runs


def test_the_run_gets_what_was_measured(told: list[dict[str, Any]], tmp_path: Path) -> None:
    """The limit would not be the one that makes it run out."""
    assert told[0]["data"] == tmp_path / "digits"
    assert told[0]["memory_limit"] == story.too_small_a_limit(report())
    assert (told[0]["batch_size"], told[0]["model"]) == (story.BATCH_SIZE, story.NETWORK)


def test_a_second_demo_is_a_second_run(told: list[dict[str, Any]], tmp_path: Path) -> None:
    """It would be refused, as another request: the memory measured differs a little each time."""
    assert [run["run_dir"] for run in told] == [tmp_path / "run-1", tmp_path / "run-2"]


def test_the_request_of_the_demo_passes_the_door(told: list[dict[str, Any]]) -> None:
    """A rule for options would be made that the demo breaks, and nobody notice before a user does."""
    assert set(inspect.signature(run).parameters) >= told[0].keys()
    given = {name: value for name, value in told[0].items() if name not in {"data", "run_dir", "view"}}
    assert make_options(**given).model == story.NETWORK


@pytest.mark.slow
def test_it_really_runs_out_of_memory_once_and_learns(tmp_path: Path) -> None:
    """The demo would show a training like any other, and say that it runs out."""
    result = story.tell(tmp_path, ProgressView(io.StringIO()))
    sizes = [(event.micro_batch_size_before, event.micro_batch_size_after) for event in result.oom_events]
    assert sizes == [(64, 32)]
    assert max(result.history["val_accuracy"]) > 0.9
