"""Which rung of the ladder a probe tries next, and on which one a run trains. Pure.

On each rung a search finds the largest micro-batch that fits. A smaller micro-batch is the first means against a lack
of memory, since it changes no result and costs little time. Another rung is tried only if that is not enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from autofit.config.rungs import IN_TURN, KEPT, MOST_SEGMENTS, ON_REQUEST, SAVING, Rung
from autofit.probing.evidence import CLEARLY_FASTER
from autofit.probing.recommend import AS_FAST_AS_THE_NEXT, recommended_batch, recommended_speed
from autofit.probing.records import ProbeReport, RungRecord, Workload
from autofit.protocol.messages import Trial, Verdict

SEGMENTS_PER_GAIN: Final = 2
"""With n segments seldom more than n/2 times as many images fit: MobileNetV2 trained 33 images in 8 instead of 15,
ResNet50 14 in 8 and 16 in 16 instead of 3 (docs/benchmarks.md)."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a probe is for.

    Attributes:
        rungs: the rungs that may be tried, by their number of segments; the first is that of the request.
        wanted: the micro-batch that the training should have.
        shapes_result: whether the result depends on the micro-batch, so that having the wanted one is worth the price
            of a rung.
        until_it_fits: whether the first rung on which anything fits is enough, since each one costs seconds of tuning.
    """

    rungs: tuple[Rung, ...]
    wanted: int
    shapes_result: bool = False
    until_it_fits: bool = False


def goal_of(workload: Workload, wanted: int, device: Literal["cpu", "gpu"], *, may_climb: bool) -> Goal:
    """The goal of a probe.

    Args:
        workload: the network as it was asked for.
        wanted: the micro-batch that the training should have.
        device: the kind of device that trains.
        may_climb: whether autofit may choose the rung. It never does for a frozen backbone, which has no backward pass.
    """
    own = Rung(segments=workload.segments)
    trains = workload.trainable == "all" or bool(workload.cut)
    return Goal(
        rungs=(own, *(SAVING[device] if may_climb and trains else ())),
        wanted=wanted,
        shapes_result=workload.trainable == "all" and workload.weights == "none" and not workload.cut,
        until_it_fits=device == "gpu",
    )


@dataclass(frozen=True, slots=True)
class Start:
    """What the rungs before have shown for the search on the next rung.

    Attributes:
        from_one: whether nothing has fitted yet, so that the first size is one image.
        non_allocator_bytes: on a CPU, the memory of a process outside the allocator and the image buffers, as the last
            rung measured it; 0 if none did.
    """

    from_one: bool = False
    non_allocator_bytes: int = 0


FROM_NOTHING: Final = Start()
"""The start on the first rung, when nothing is known."""


def start_on(rung: Rung, tried: Sequence[RungRecord]) -> Start:
    """What the rungs that were tried have shown for the search on another rung."""
    others = [record for record in tried if record.rung != rung]
    measured = [record.non_allocator_bytes for record in others if record.non_allocator_bytes]
    nothing_fits = bool(others) and not any(record.largest_feasible_batch for record in tried)
    return Start(from_one=nothing_fits, non_allocator_bytes=measured[-1] if measured else 0)


def next_rung(goal: Goal, tried: Sequence[RungRecord]) -> Rung | None:
    """The rung to try next; None if no further rung is likely to gain anything.

    If something fits already, more images at once bring more speed only if the largest size was still the fastest.
    """
    if not tried:
        return goal.rungs[0]
    rung = _next_above(goal, tried)
    if rung is None:
        return None
    *before, last = tried
    most_before = max((record.largest_feasible_batch for record in before), default=0)
    largest = last.largest_feasible_batch
    if not max(largest, most_before):
        is_futile = cannot_be_built(last.trials) or limit_in_the_way(last.trials) or took_too_long(last.trials)
        return None if is_futile else rung
    if largest >= goal.wanted or (before and (largest <= most_before or goal.until_it_fits)):
        return None
    return rung if goal.shapes_result or _speed_still_rises(last) else None


def _speed_still_rises(record: RungRecord) -> bool:
    """Whether no size that is clearly smaller than the largest was as fast, so that more images at once may be faster.

    The recommended batch does not tell: on a GPU it leaves memory free, and so is often smaller than the largest.
    """
    return (record.fastest_batch or record.recommended_batch) * AS_FAST_AS_THE_NEXT >= record.largest_feasible_batch


def cannot_be_built(trials: Sequence[Trial]) -> bool:
    """Whether the device's memory ran out in each trial before the network was built: no rung changes that."""
    return bool(trials) and all(trial.was_building and trial.verdict is Verdict.DEVICE_OOM for trial in trials)


def took_too_long(trials: Sequence[Trial]) -> bool:
    """Whether not even the smallest size was done in time, as on a device that hangs: all other rungs are slower."""
    smallest = min((trial.batch_size for trial in trials), default=0)
    return any(trial.verdict is Verdict.TIMEOUT for trial in trials if trial.batch_size == smallest)


def limit_in_the_way(trials: Sequence[Trial]) -> str:
    """The limit of the process because of which the smallest size did not fit, with how to lift it; empty if none."""
    smallest = min((trial.batch_size for trial in trials), default=0)
    return next((trial.cause for trial in trials if trial.is_limited and trial.batch_size == smallest), "")


def _next_above(goal: Goal, tried: Sequence[RungRecord]) -> Rung | None:
    """The next rung with more segments than all that were tried; None if no such rung can help.

    If something fits on the first rung, the rungs that are not likely to be enough are skipped; if nothing does, or a
    search costs seconds of tuning, those with few segments. If a network can be cut only into fewer segments than the
    last rung had, all further rungs are the same for it. Of a network that cannot be cut only the update can take less
    memory, which is tried if nothing fits: it does not depend on the number of images.
    """
    highest = max(record.rung.segments for record in tried)
    most = max(record.most_segments for record in tried) or MOST_SEGMENTS
    largest = max(record.largest_feasible_batch for record in tried)
    if most == 1 and not highest and not largest and len(goal.rungs) > 1:
        return IN_TURN
    on_first = tried[0].largest_feasible_batch
    if on_first and not goal.until_it_fits:
        worth_trying = _likely_enough(_distinct(goal.rungs[1:], most), on_first, goal.wanted)
    else:
        worth_trying = [rung for rung in goal.rungs if rung.segments >= ON_REQUEST.segments]
    above = [rung for rung in worth_trying if rung.segments > highest and most > max(highest, 1)]
    return above[0] if above else None


def _distinct(rungs: Sequence[Rung], most_segments: int) -> list[Rung]:
    """The rungs that are different networks, of one that can be cut into at most so many segments."""
    return [rung for rung, before in zip(rungs, (KEPT, *rungs), strict=False) if before.segments < most_segments]


def _likely_enough(rungs: Sequence[Rung], largest: int, wanted: int) -> list[Rung]:
    """The rungs that may hold the wanted micro-batch, where `largest` images fit with activations kept; else the last.

    Each rung takes minutes of searching. One that is skipped and would have been enough costs some speed only, since
    the next one holds as many.
    """
    enough = [rung for rung in rungs if rung.segments * largest >= SEGMENTS_PER_GAIN * wanted]
    return enough or list(rungs[-1:])


def best_rung(goal: Goal, tried: Sequence[RungRecord]) -> RungRecord:
    """The rung to train on: the one that comes nearest to the wanted micro-batch, or the fastest.

    The micro-batch decides if the result depends on it, else the speed. Of equal rungs, and if nothing fits on any, it
    is the first.
    """
    best, *others = tried
    for record in others:
        if _is_better(goal, record, best):
            best = record
    return best


def _is_better(goal: Goal, record: RungRecord, best: RungRecord) -> bool:
    if not best.largest_feasible_batch or not record.largest_feasible_batch:
        return record.largest_feasible_batch > best.largest_feasible_batch
    if goal.shapes_result:
        return min(record.largest_feasible_batch, goal.wanted) > min(best.largest_feasible_batch, goal.wanted)
    return record.images_per_second > CLEARLY_FASTER * best.images_per_second > 0


def rung_record(rung: Rung, report: ProbeReport) -> RungRecord:
    """What a probe found on a rung."""
    line = report.memory_model
    return RungRecord(
        rung=rung,
        largest_feasible_batch=report.largest_feasible_batch,
        recommended_batch=report.recommended_batch,
        fastest_batch=recommended_batch(
            report.trials,
            report.largest_feasible_batch,
            device="gpu" if report.hardware.get("device") == "gpu" else "cpu",
        ),
        images_per_second=recommended_speed(report),
        bytes_per_image=line.bytes_per_image if line else 0.0,
        non_allocator_bytes=report.non_allocator_bytes,
        most_segments=max((trial.most_segments for trial in report.trials), default=0),
        trials=[trial for trial in report.trials if not trial.saved] or report.trials,
        wall_seconds=report.wall_seconds,
    )


def with_prices(tried: Sequence[RungRecord]) -> list[RungRecord]:
    """The rungs, with the price of each against the first; it is None if no size was timed on both."""
    first, *others = tried
    return [first, *(record.model_copy(update={"price": _price(record, first)}) for record in others)]


def _price(record: RungRecord, first: RungRecord) -> float | None:
    """The share of the images a second that is lost, at the largest size that was timed on both rungs."""
    speeds, of_first = _speeds(record.trials), _speeds(first.trials)
    both = speeds.keys() & of_first.keys()
    return 1 - speeds[max(both)] / of_first[max(both)] if both else None


def _speeds(trials: Sequence[Trial]) -> dict[int, float]:
    """The images a second of each size; the best, if it ran more than once."""
    timed = [trial for trial in trials if trial.verdict is Verdict.FITS and trial.images_per_second > 0]
    return {t.batch_size: t.images_per_second for t in sorted(timed, key=lambda trial: trial.images_per_second)}
