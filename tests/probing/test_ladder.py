"""The ladder: which rung is tried next, which one is taken, and what it costs. Pure."""

from __future__ import annotations

from typing import Literal

import pytest

from autofit.config.rungs import IN_TURN, KEPT, ON_REQUEST, Rung
from autofit.probing.ladder import Goal, best_rung, goal_of, next_rung, rung_record, with_prices
from autofit.probing.records import RungRecord
from autofit.protocol.messages import Trial, Verdict
from tests.support.records import make_probe_report, make_workload

FEW, MANY = Rung(segments=4), Rung(segments=16)
ALL = {"trainable": "all", "weights": "none"}


def found(rung: Rung, largest: int, *, recommended: int | None = None, speed: float = 10.0) -> RungRecord:
    """What a probe found on a rung; nothing if nothing fits."""
    size = largest if recommended is None else recommended
    return RungRecord(
        rung=rung, largest_feasible_batch=largest, recommended_batch=size, images_per_second=speed if largest else 0.0
    )


def goal(wanted: int = 32, device: Literal["cpu", "gpu"] = "cpu", *, may_climb: bool = True, **workload: str) -> Goal:
    return goal_of(make_workload(**(ALL | workload)), wanted, device, may_climb=may_climb)


def climbed(wanted: Goal, largest: dict[Rung, int]) -> list[int]:
    """The segments of the rungs that are tried where so much fits on each, the speed rising with the size."""
    tried: list[RungRecord] = []
    while (rung := next_rung(wanted, tried)) is not None:
        tried.append(found(rung, largest.get(rung, 0)))
    return [record.rung.segments for record in tried]


CLIMBS = {
    "it fits": (goal(), {KEPT: 32}, [0]),
    "more than is wanted": (goal(8), {KEPT: 8}, [0]),
    "nothing fits anywhere": (goal(), {}, [0, 8, 16]),
    "few segments are enough": (goal(), {KEPT: 16, FEW: 40}, [0, 4]),
    "few cannot be enough": (goal(), {KEPT: 8, ON_REQUEST: 32}, [0, 8]),
    "more than few cannot be enough": (goal(), {KEPT: 4, MANY: 19}, [0, 16]),
    "none is likely to be enough": (goal(), {KEPT: 1, MANY: 4}, [0, 16]),
    "many are needed": (goal(), {MANY: 1}, [0, 8, 16]),
    "each gains": (goal(), {KEPT: 16, FEW: 20, ON_REQUEST: 24, MANY: 28}, [0, 4, 8, 16]),
    "one gains nothing": (goal(), {KEPT: 16, FEW: 20, ON_REQUEST: 20}, [0, 4, 8]),
    "the user has decided": (goal(may_climb=False), {}, [0]),
    "a frozen backbone": (goal(trainable="head", weights="imagenet"), {}, [0]),
    "above a cut": (goal(1, trainable="head", weights="imagenet", cut="auto"), {ON_REQUEST: 2}, [0, 8]),
    "a GPU": (goal(device="gpu"), {}, [0, 8, 16]),
    "a GPU, where something fits": (goal(device="gpu"), {KEPT: 2, ON_REQUEST: 4, MANY: 8}, [0, 8]),
}


@pytest.mark.parametrize(("wanted", "largest", "segments"), CLIMBS.values(), ids=CLIMBS)
def test_rungs_are_tried_in_order_while_they_may_gain(
    wanted: Goal, largest: dict[Rung, int], segments: list[int]
) -> None:
    """A network would not train that could, or each probe would cost four, also where everything fits."""
    assert climbed(wanted, largest) == segments


@pytest.mark.parametrize(("most", "segments"), [(1, [0, 1]), (6, [0, 8]), (12, [0, 8, 16]), (0, [0, 8, 16])])
def test_a_network_is_not_tried_where_it_cannot_be_cut_any_further(most: int, segments: list[int]) -> None:
    """A network would be measured again on each rung, for minutes, always as the same network.

    One that cannot be cut has one other rung: its weights are updated one after another.
    """
    tried: list[RungRecord] = []
    while (rung := next_rung(goal(), tried)) is not None:
        tried.append(found(rung, 0).model_copy(update={"most_segments": most}))
    assert [record.rung.segments for record in tried] == segments


@pytest.mark.parametrize(("most", "segments"), [(1, [0]), (3, [0, 4]), (6, [0, 8]), (8, [0, 8]), (12, [0, 16])])
def test_where_it_fits_no_rung_is_tried_that_is_the_same_network_as_a_smaller_one(
    most: int, segments: list[int]
) -> None:
    """The last rung would be searched for minutes, to find out what the one before it would have said."""
    tried: list[RungRecord] = []
    largest = {0: 2, 4: 3, 8: 4, 16: 5}
    while (rung := next_rung(goal(), tried)) is not None:
        tried.append(found(rung, largest[rung.segments]).model_copy(update={"most_segments": most}))
    assert [record.rung.segments for record in tried] == segments


def test_an_update_in_turn_is_tried_only_where_nothing_fits() -> None:
    """It saves the same memory for any number of images: where one fits, it would cost a probe and gain an image."""
    uncut = found(KEPT, 4).model_copy(update={"most_segments": 1})
    nothing = found(KEPT, 0).model_copy(update={"most_segments": 1})
    assert next_rung(goal(), [uncut]) is None
    assert next_rung(goal(), [nothing]) == next_rung(goal(device="gpu"), [nothing]) == IN_TURN
    assert next_rung(goal(may_climb=False), [nothing]) is None


def test_no_rung_is_tried_for_a_network_that_cannot_be_built() -> None:
    """Each rung would cost two starts of TensorFlow, which both end where the first did."""
    building = Trial(batch_size=1, verdict=Verdict.DEVICE_OOM, was_building=True)
    stepped = building.model_copy(update={"was_building": False})
    killed = building.model_copy(update={"verdict": Verdict.HOST_OOM})
    for trials, is_climbed in (([building] * 2, False), ([building, stepped], True), ([killed], True), ([], True)):
        nothing = found(KEPT, 0).model_copy(update={"trials": trials})
        assert (next_rung(goal(), [nothing]) is not None) is is_climbed


def test_no_rung_is_tried_where_a_limit_of_the_shell_is_in_the_way() -> None:
    """Each rung would run into `ulimit -v`, and the advice at the end be to take smaller images."""
    limited = Trial(batch_size=1, verdict=Verdict.HOST_OOM, is_limited=True, cause="ulimit -v unlimited")
    larger = Trial(batch_size=4, verdict=Verdict.HOST_OOM)
    record = found(KEPT, 0).model_copy(update={"trials": [larger, limited]})
    assert next_rung(goal(), [record]) is None
    other = record.model_copy(update={"trials": [limited.model_copy(update={"batch_size": 4}), larger]})
    smallest = record.model_copy(update={"trials": [*other.trials, larger.model_copy(update={"batch_size": 1})]})
    assert next_rung(goal(), [smallest]) == ON_REQUEST


def test_no_rung_is_tried_where_not_even_the_smallest_size_is_done_in_time() -> None:
    """A device that hangs would hold the probe for half an hour on each rung, all of which are slower."""
    out = Trial(batch_size=4, verdict=Verdict.DEVICE_OOM)
    hung = Trial(batch_size=1, verdict=Verdict.TIMEOUT)
    assert next_rung(goal(), [found(KEPT, 0).model_copy(update={"trials": [out, hung]})]) is None
    slow = [hung.model_copy(update={"batch_size": 4}), out.model_copy(update={"batch_size": 1})]
    assert next_rung(goal(), [found(KEPT, 0).model_copy(update={"trials": slow})]) == ON_REQUEST


def test_speed_that_has_ended_to_rise_is_no_reason_to_climb() -> None:
    """A pretrained network that trains as fast with 8 images at once as with 16 would be probed twice for nothing."""
    pretrained = goal(weights="imagenet")
    assert next_rung(pretrained, [found(KEPT, 16, recommended=8)]) is None
    assert next_rung(pretrained, [found(KEPT, 16)]) == FEW
    assert next_rung(pretrained, [found(KEPT, 16, recommended=15)]) == FEW  # nearly the largest, and the fastest
    assert next_rung(goal(), [found(KEPT, 16, recommended=8)]) == FEW  # the micro-batch is part of the result


CHOICES = {
    "nothing fits": (goal(), [found(KEPT, 0), found(FEW, 0)], KEPT),
    "the only one": (goal(), [found(KEPT, 0), found(FEW, 1), found(ON_REQUEST, 3)], ON_REQUEST),
    "the first that holds the batch": (goal(), [found(KEPT, 8), found(FEW, 32), found(ON_REQUEST, 64)], FEW),
    "what holds more": (goal(), [found(KEPT, 8), found(FEW, 12)], FEW),
    "pretrained: the fastest": (
        goal(weights="imagenet"),
        [found(KEPT, 8), found(FEW, 16, speed=12), found(ON_REQUEST, 32, speed=12.5)],
        FEW,
    ),
    "pretrained: hardly faster": (goal(weights="imagenet"), [found(KEPT, 8), found(FEW, 16, speed=10.5)], KEPT),
    "pretrained: what fits": (goal(weights="imagenet"), [found(KEPT, 0), found(FEW, 16), found(ON_REQUEST, 0)], FEW),
}


@pytest.mark.parametrize(("wanted", "tried", "rung"), CHOICES.values(), ids=CHOICES)
def test_the_rung_is_the_one_that_holds_the_batch_or_is_the_fastest(
    wanted: Goal, tried: list[RungRecord], rung: Rung
) -> None:
    """A training would take longer than it has to, or a cut batch would change its result."""
    assert best_rung(wanted, tried).rung == rung


def timed(size: int, speed: float) -> Trial:
    return Trial(batch_size=size, verdict=Verdict.FITS, images_per_second=speed, peak_bytes=1)


def test_the_price_is_the_speed_that_is_lost_at_the_same_size() -> None:
    """The gain of a larger batch would hide what the second forward pass costs."""
    kept = found(KEPT, 8).model_copy(update={"trials": [timed(4, 8.0), timed(8, 10.0), timed(8, 9.0)]})
    again = found(FEW, 32).model_copy(update={"trials": [timed(4, 8.0), timed(8, 9.0), timed(32, 11.0)]})
    other = found(MANY, 32).model_copy(update={"trials": [timed(32, 11.0)]})
    prices = [record.price for record in with_prices([kept, again, other])]
    assert prices[0] is prices[2] is None
    assert prices[1] == pytest.approx(0.1)


def test_a_rung_keeps_what_ran_on_it() -> None:
    """The report would have no figures to compare, or those of an older probe beside the new ones."""
    saved = timed(4, 1.0).model_copy(update={"saved": True})
    report = make_probe_report(8, 16).model_copy(update={"trials": [saved, timed(8, 20.0)]})
    record = rung_record(FEW, report)
    assert (record.rung, record.largest_feasible_batch, record.images_per_second) == (FEW, 16, 20.0)
    assert [trial.batch_size for trial in record.trials] == [8]
