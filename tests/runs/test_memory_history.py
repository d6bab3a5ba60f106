"""The memory of a run over its time: bounded, in order, and with what ran out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autofit.protocol.job import Job, TrainJob
from autofit.protocol.messages import MemoryBudget, OomEvent, Phase, Progress, Verdict
from autofit.runs.memory_history import MOST_POINTS, MemoryPoint, memory_history
from autofit.runs.result_record import ResultRecord
from autofit.storage.run_directory import RunDirectory
from tests.support.records import make_attempt_record, make_plan

LIMIT = MemoryBudget(device="cpu", limit_bytes=2_000_000_000, is_given=True)


@pytest.fixture
def files(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def beat(second: float, host: int = 1, **more: Any) -> str:
    """A line of a heartbeat."""
    line = {"time": 0.0, "monotonic_seconds": 1000 + second, "phase": Phase.TRAIN, "host_bytes": host} | more
    return Progress.model_validate(line).model_dump_json()


def attempt(files: RunDirectory, *lines: str) -> None:
    """Add an attempt with this heartbeat."""
    number, directory = files.new_attempt()
    directory.progress.write_text("".join(f"{line}\n" for line in lines))
    work = TrainJob(
        run_dir=str(files.path),
        data_root="/",
        class_names=["a"],
        plan=make_plan(),
        micro_batch_size=1,
        launched_at=0.0,
    )
    Job(attempt=number, source=None, memory=LIMIT, isolated=True, work=work).save(directory.job)


def result(*verdicts: Verdict, oom: tuple[OomEvent, ...] = ()) -> ResultRecord:
    """How a run with such attempts ended."""
    return ResultRecord(
        status="completed",
        history={},
        attempts=[make_attempt_record(verdict, 1.0) for verdict in verdicts],
        oom_events=list(oom),
        quarantined=[],
        result_changed=False,
        weights_sha256=None,
        seconds_to_first_step=None,
        wall_seconds=1.0,
    )


def test_attempts_follow_each_other_without_the_time_between_them(files: RunDirectory) -> None:
    """A run that was resumed the next day would be one line across a night."""
    attempt(files, beat(0, 5), beat(10, 7, device_bytes=3), "{damaged")
    attempt(files, beat(90_000, 5), beat(90_004, 6))
    history = memory_history(files, result(Verdict.HOST_OOM, Verdict.COMPLETED))
    assert history.points == (
        MemoryPoint(0, 5, 0),
        MemoryPoint(10, 7, 3),
        MemoryPoint(10, 5, 0),
        MemoryPoint(14, 6, 0),
    )
    assert history.restarts == (10,)
    assert history.out_of_memory == (10,)
    assert (history.limit_bytes, history.device) == (2_000_000_000, "cpu")


def test_an_out_of_memory_is_where_fewer_images_follow(files: RunDirectory) -> None:
    """The mark would stand where memory was low, and nobody see what took it."""
    attempt(files, *(beat(second, micro_batch_size=size) for second, size in enumerate((8, 8, 4, 4, 2))))
    events = [
        OomEvent(
            attempt=1,
            epoch=0,
            step=0,
            phase=Phase.TRAIN,
            micro_batch_size_before=2 * after,
            micro_batch_size_after=after,
            seconds_lost=0.0,
        )
        for after in (4, 2, 1)
    ]
    history = memory_history(files, result(Verdict.COMPLETED, oom=tuple(events)))
    assert history.out_of_memory == (2, 4, 4), "one that no line followed is at the end"


def test_the_time_of_each_stage_is_summed(files: RunDirectory) -> None:
    """The page could not say what fine-tuning took."""
    attempt(files, beat(0, stage="head"), beat(3, stage="head"), beat(4, stage="fine-tune"))
    attempt(files, beat(100, stage="fine-tune"), beat(102, stage="fine-tune"))
    history = memory_history(files, result(Verdict.CRASHED, Verdict.COMPLETED))
    assert dict(history.stage_seconds) == {"head": 3, "fine-tune": 3}


def test_days_of_heartbeats_are_read_in_part_and_keep_their_peaks(files: RunDirectory) -> None:
    """A page of a long run would take minutes and megabytes, or lose the moment in which memory was short."""
    lines = [beat(second / 4, 900 if 20_000 <= second < 20_400 else 100) for second in range(40_000)]
    attempt(files, *lines)
    assert files.attempts()[0].progress.stat().st_size > 5_000_000
    history = memory_history(files, result(Verdict.COMPLETED))
    assert 100 < len(history.points) <= MOST_POINTS
    assert max(point.host_bytes for point in history.points) == 900
    assert history.points[-1].seconds == pytest.approx(10_000, rel=0.01)
    assert [point.seconds for point in history.points] == sorted(point.seconds for point in history.points)


def test_a_run_without_heartbeats_has_no_memory(files: RunDirectory) -> None:
    """A directory whose logs were deleted would have no page any more."""
    files.new_attempt()
    assert memory_history(files, result(Verdict.CRASHED)).points == ()


def test_a_clock_that_is_none_is_left_out(files: RunDirectory) -> None:
    """The page of a run from a stranger would end in an error of its plot."""
    attempt(files, beat(0), beat(1e300), beat(2), beat(1).replace("1001.0", "Infinity"))
    assert [point.seconds for point in memory_history(files, result(Verdict.COMPLETED)).points] == [0, 2]
