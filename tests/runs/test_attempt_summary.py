"""What the retry policy is told about an attempt."""

from __future__ import annotations

from typing import Any

import pytest

from autofit.process.exit_classifier import ExitDiagnosis
from autofit.process.monitor import WorkerExit
from autofit.protocol.job import Event, Outcome
from autofit.protocol.messages import OomEvent, Phase, Progress, Verdict
from autofit.runs.attempt_notes import attempt_record
from autofit.runs.attempt_summary import sizes_at_exit, summarize
from autofit.runs.retry_policy import Sizes
from tests.support.records import make_plan

SIZES = Sizes(micro_batch_size=8, buffer_bytes=1024, non_allocator_bytes=500)


def worker_exit(*events: Event, **changes: Any) -> WorkerExit:
    """A worker that was killed after 10 s, with these events."""
    killed: dict[str, Any] = {"diagnosis": ExitDiagnosis(Verdict.CRASHED, "SIGKILL"), "outcome": None, "last": None}
    return WorkerExit(**(killed | {"events": events, "wall_seconds": 10.0} | changes))


def oom(after: int) -> Event:
    return Event(
        oom=OomEvent(
            attempt=1,
            epoch=0,
            step=0,
            phase=Phase.EXTRACT,
            micro_batch_size_before=8,
            micro_batch_size_after=after,
            seconds_lost=1.0,
        )
    )


@pytest.mark.parametrize(
    ("events", "committed", "progressed"),
    [
        ((), False, False),
        ((), True, True),
        ((Event(kept_rows=64),), False, True),
        ((Event(kept_rows=0),), False, False),
        ((Event(message="m"), Event(kept_rows=1), Event(message="m")), False, True),
    ],
    ids=["nothing", "checkpoint", "rows", "no rows", "one row"],
)
def test_rows_in_the_cache_are_progress_as_a_checkpoint_is(
    events: tuple[Event, ...], committed: object, progressed: object
) -> None:
    """An extraction of days that is killed three times would be given up, although each attempt has got further."""
    assert summarize(worker_exit(*events), SIZES, committed=bool(committed)).progressed is progressed


@pytest.mark.parametrize(
    ("start_seconds", "short_lived"),
    [(None, True), (5.01, True), (5.0, False), (2.6, False), (9.9, True)],
    ids=["no step", "just shorter", "as long", "longer", "one step"],
)
def test_an_attempt_is_short_lived_if_it_trained_for_less_than_its_start_took(
    start_seconds: float | None, short_lived: object
) -> None:
    """The micro-batch of a leak would shrink down to one, or a machine that is always short start for each step."""
    summary = summarize(worker_exit(Event(seconds_to_first_step=start_seconds)), SIZES, committed=False)
    assert summary.short_lived is short_lived


def test_only_what_the_worker_reported_itself_is_certain_to_come_again() -> None:
    """A killed worker would end the run, or a defect in Python be tried again and again."""
    outcome = Outcome(verdict=Verdict.CRASHED, cause="ValueError")
    assert not summarize(worker_exit(), SIZES, committed=False).reported
    assert summarize(worker_exit(outcome=outcome), SIZES, committed=False).reported


@pytest.mark.parametrize(
    ("last", "events", "micro_batch_size"),
    [
        (None, (oom(2),), 8),
        (Progress(time=0.0, phase=Phase.TRAIN, micro_batch_size=4), (oom(2),), 4),
        (Progress(time=0.0, phase=Phase.TRAIN, micro_batch_size=16), (), 8),
        (Progress(time=0.0, phase=Phase.START), (), 8),
        (Progress(time=0.0, phase=Phase.EXTRACT, counts="images", micro_batch_size=1), (), 8),
        (Progress(time=0.0, phase=Phase.EXTRACT, counts="images", micro_batch_size=1), (oom(4), oom(2)), 2),
    ],
    ids=["nothing said", "training", "grown", "start", "extraction", "extraction that ran out"],
)
def test_the_next_attempt_starts_from_the_size_at_exit(
    last: Progress | None, events: tuple[Event, ...], micro_batch_size: int
) -> None:
    """It would run out again, or keep the small size with which each extraction starts."""
    at_exit = sizes_at_exit(worker_exit(*events, last=last), SIZES)
    assert at_exit == Sizes(micro_batch_size=micro_batch_size, buffer_bytes=1024, non_allocator_bytes=500)


def test_the_most_that_was_measured_outside_the_allocator_counts() -> None:
    """The next attempt would leave the allocator too much."""
    events = [Event(non_allocator_bytes=size) for size in (700, 900, 800)]
    assert sizes_at_exit(worker_exit(*events), SIZES).non_allocator_bytes == 900


def test_it_is_known_into_how_many_segments_the_network_can_be_cut() -> None:
    """A training without a probe would be tried on rungs that are all the same for its network."""
    built = worker_exit(Event(message="m"), Event(most_segments=3), Event(kept_rows=1))
    assert summarize(built, SIZES, committed=False).most_segments == 3
    assert summarize(worker_exit(), SIZES, committed=False).most_segments == 0


@pytest.mark.parametrize("phase", list(Phase))
def test_it_is_known_whether_the_network_was_built(phase: Phase) -> None:
    """A step that does not fit would end the run, or a network that does not be tried with fewer and fewer images."""
    summary = summarize(worker_exit(last=Progress(time=0.0, phase=phase)), SIZES, committed=False)
    assert summary.was_building is (phase in {Phase.START, Phase.WEIGHTS, Phase.BUILD})


@pytest.mark.parametrize("may_pass", [None, True, False])
@pytest.mark.parametrize("is_told", [True, False])
def test_an_error_of_the_gpu_comes_again_or_passes_by_what_it_is(*, may_pass: bool | None, is_told: bool) -> None:
    """A kernel that failed once would end the run; a card that is lost would be asked for, start after start."""
    diagnosis = ExitDiagnosis(Verdict.CRASHED, "a GPU", may_pass=may_pass)
    outcome = Outcome(verdict=Verdict.CRASHED, cause="a GPU") if is_told else None
    found = summarize(worker_exit(diagnosis=diagnosis, outcome=outcome), SIZES, committed=False)
    assert found.reported is (is_told if may_pass is None else not may_pass)


def test_the_images_of_an_extraction_are_no_steps() -> None:
    """A worker killed after 4,096 images, before the first step, would be told to have ended at step 4,097."""
    last = Progress(time=0.0, phase=Phase.EXTRACT, counts="images", epoch=1, step=4096, steps=9000)
    assert attempt_record(worker_exit(last=last), SIZES, "fine-tune", make_plan()).step == 0
    trained = last.model_copy(update={"counts": "batches", "step": 7})
    assert attempt_record(worker_exit(last=trained), SIZES, "fine-tune", make_plan()).step == 7
