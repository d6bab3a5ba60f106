"""What a time budget has room for: the decision about the second stage, and the words about it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.config.fine_tuning import LEAST_WHOLE_EPOCHS
from autofit.config.options import make_options
from autofit.protocol.job import FineTunePlan, ViewsPlan
from autofit.runs.stage_forecast import FINISH_SECONDS, Speed, Work, share_below
from autofit.runs.time_budget import (
    EPOCHS_MARGIN,
    MOST_EPOCHS,
    TimeBudget,
    decide,
    epochs_by_budget,
    epochs_in,
    is_asked_for,
    most_epochs,
    opening_words,
    resumed_words,
    views_fit,
    with_epochs,
)

STAGE = FineTunePlan(
    epochs=8, batch_size=32, micro_batch_size=32, learning_rate=1e-4, cut="auto", views=4, by_budget=True
)
UNKNOWN = "time budget 5 min: the first stage shows how fast this machine is"
WORK = Work(1_000, 200, Speed(100.0, "eigen", 8.0))


def stage(**changes: Any) -> FineTunePlan:
    return STAGE.model_copy(update=changes)


works = st.builds(
    Work,
    st.integers(1, 10**6),
    st.integers(0, 10**5),
    st.builds(Speed, st.floats(0.1, 1e5), st.sampled_from(["eigen", "onednn"]), st.floats(0, 300)),
)
stages = st.builds(
    stage,
    epochs=st.integers(1, 40),
    batch_size=st.integers(1, 256),
    cut=st.sampled_from(["auto", "input", "0.5", "conv_pw_9_relu"]),
    views=st.integers(1, 8),
)
seconds = st.floats(-10, 1e5)


@given(planned=stages, work=works, left=seconds, asked=st.booleans())
def test_what_is_chosen_fits_in_what_is_left(planned: FineTunePlan, work: Work, left: float, *, asked: bool) -> None:
    """A run would be planned to end after its budget."""
    chosen = decide((planned,), work, left, is_asked_for=asked).fine_tune
    if chosen is not None:
        assert work.stage_seconds(chosen) <= left
        assert 1 <= chosen.epochs <= planned.epochs
        assert 1 <= chosen.views <= min(planned.views, chosen.epochs)
        assert not chosen.by_budget


@given(planned=stages, work=works, left=seconds, more=st.floats(0, 1e4), asked=st.booleans())
def test_more_time_never_gives_fewer_epochs(
    planned: FineTunePlan, work: Work, left: float, more: float, *, asked: bool
) -> None:
    """A user who gives more time would get less."""
    less, greater = (decide((planned,), work, time, is_asked_for=asked).fine_tune for time in (left, left + more))
    assert (less.epochs if less else 0) <= (greater.epochs if greater else 0)


@given(upper=stages, work=works, left=seconds, probes=st.booleans())
def test_all_layers_are_chosen_if_they_fit_and_nothing_else_is_lost(
    upper: FineTunePlan, work: Work, left: float, *, probes: bool
) -> None:
    """A budget would end without what there was time for."""
    whole = upper.model_copy(update={"cut": "input", "views": 1, "epochs": 10})
    alone = decide((upper,), work, left, is_asked_for=False, is_to_probe=probes).fine_tune
    chosen = decide((whole, upper), work, left, is_asked_for=False, is_to_probe=probes).fine_tune
    of_all = decide((whole,), work, left, is_asked_for=False, is_to_probe=probes).fine_tune
    if of_all is not None and of_all.epochs >= LEAST_WHOLE_EPOCHS:
        assert chosen == of_all
    else:
        assert chosen == alone


@given(work=works, left=st.floats(0, 1e4), probes=st.booleans(), asked=st.booleans())
def test_views_leave_all_layers_and_what_was_asked_for_their_epochs(
    work: Work, left: float, *, probes: bool, asked: bool
) -> None:
    """A point of accuracy would be bought with epochs that gain more, or that the user has asked for."""
    whole = stage(cut="input", views=1, epochs=10)
    views = ViewsPlan(count=4, augment="light")
    may_follow = (STAGE,) if asked else (whole, STAGE)
    if views_fit(views, may_follow, work, left, 2.0, is_asked_for=asked, is_to_probe=probes):
        after = left - work.views_seconds(views, 2.0)
        without, kept = (
            decide(may_follow, work, seconds_left, is_asked_for=asked, is_to_probe=probes).fine_tune
            for seconds_left in (left, after)
        )
        assert after >= 0
        if asked:
            assert kept == without
        elif without is not None and without.cut == "input":
            assert kept is not None
            assert kept.cut == "input"
            assert kept.epochs == without.epochs


def test_a_budget_beyond_what_helps_is_not_used_up_and_said_to_be() -> None:
    """Minutes of a user's would be burnt for epochs that are of no use, or nobody would know why it ended."""
    decision = decide((STAGE,), WORK, 3600.0, is_asked_for=False)
    assert decision.fine_tune == stage(by_budget=False)
    assert decision.words.startswith("time budget: 60 min left: fine-tuning of the upper layers for 8 epochs, about ")
    assert decision.words.endswith("; more epochs have not helped, so the budget is not used up")


def test_with_less_time_there_are_fewer_epochs_and_views_then_none() -> None:
    """Time would be spent on views that no epoch sees, or on a single epoch that changes hardly anything."""
    needed = [WORK.stage_seconds(with_epochs(STAGE, epochs)) for epochs in (1, 2, 3)]
    three = decide((STAGE,), WORK, needed[2], is_asked_for=False)
    assert three.fine_tune is not None
    assert (three.fine_tune.epochs, three.fine_tune.views) == (3, 3)
    assert three.words.endswith(" (of 8)")
    none = decide((STAGE,), WORK, needed[0], is_asked_for=False)
    assert none.fine_tune is None
    assert none.words.endswith("the head is the result")
    one = decide((stage(epochs=5),), WORK, needed[0], is_asked_for=True).fine_tune
    assert one is not None
    assert one.epochs == 1


def test_without_a_speed_all_epochs_are_planned_and_that_is_said() -> None:
    """Where all features of the head were in the cache nothing is known, and a fast machine would not be used."""
    unknown = Work(1_000, 200, Speed(None))
    decision = decide((STAGE,), unknown, 60.0, is_asked_for=False)
    assert decision.fine_tune is not None
    assert decision.fine_tune.epochs == 8
    assert "its speed is not known yet, and it ends in time" in decision.words
    assert unknown.epoch_seconds(STAGE) == 0


def test_fewer_epochs_by_the_speed_of_a_probe_are_said_to_be_fewer() -> None:
    """The line would give a number of epochs by a speed, and say that this is not known."""
    probed = Work(1_000, 200, Speed(None, trained_per_second={"auto": 20.0}))
    decision = decide((STAGE,), probed, 300.0, is_asked_for=False)
    assert decision.fine_tune is not None
    assert 1 < decision.fine_tune.epochs < 8
    assert decision.words.endswith(f"for {decision.fine_tune.epochs} epochs (of 8)")


def test_eigens_kernels_after_onednns_are_foreseen_to_be_slower() -> None:
    """The stage, which must be able to run out of memory, would take longer than planned each time."""
    after_onednn = Work(1_000, 200, Speed(100.0, "onednn", 8.0))
    onednn = stage(kernels="onednn")
    assert after_onednn.stage_seconds(STAGE) > WORK.stage_seconds(STAGE) > after_onednn.stage_seconds(onednn)
    of_gpu = Work(1_000, 200, Speed(100.0, "eigen", 8.0, device="gpu"))  # where neither computes
    assert of_gpu.stage_seconds(STAGE) == after_onednn.stage_seconds(onednn)


@pytest.mark.parametrize(("probed", "counts"), [(10.0, "passes"), (200.0, "steps")])
def test_of_two_estimates_of_onednns_training_the_shorter_counts(probed: float, counts: str) -> None:
    """All layers of a MobileNet, which trains three times as fast as its probe, would be left as they are."""
    whole = stage(cut="input", kernels="onednn")
    unknown = Work(1_000, 200, Speed(100.0, "onednn", 8.0))
    both = Work(1_000, 200, Speed(100.0, "onednn", 8.0, {"input": probed}))
    steps = Work(1_000, 200, Speed(None, "onednn", 8.0, {"input": probed}))
    assert both.epoch_seconds(whole) == (unknown if counts == "passes" else steps).epoch_seconds(whole)
    eigen = stage(cut="input")
    assert steps.epoch_seconds(whole) < steps.epoch_seconds(eigen) == both.epoch_seconds(eigen)


def test_a_deeper_cut_is_foreseen_to_take_longer_epochs() -> None:
    """Fine-tuning of all layers would be planned as if it were of the last few."""
    cuts = ("auto", "0.5", "input")
    epochs = [WORK.epoch_seconds(stage(cut=cut)) for cut in cuts]
    assert epochs == sorted(epochs)
    assert [share_below(cut) for cut in (*cuts, "block_3", "1.5")] == [0.85, 0.5, 0.0, 0.5, 1.0]


@given(st.floats(0, 100), st.integers(0, 20), st.integers(1, 5))
def test_the_most_epochs_are_at_least_as_many_as_are_worth_it_or_none(left: float, most: int, least: int) -> None:
    """A stage would begin for an epoch that does nothing."""
    found = most_epochs(lambda count: 7.0 * count, left, most, least)
    assert found == 0 or least <= found <= most
    assert 7.0 * found <= left


@pytest.mark.parametrize(("budget_seconds", "last"), [(10.0, 2.5), (300.0, 15.0)])
def test_a_worker_may_end_what_it_has_begun_within_half_the_tolerance(budget_seconds: float, last: float) -> None:
    """A run would be over by more than a tenth or 5 s, or an epoch be cut off that ends in a second."""
    time = TimeBudget(budget_seconds, 1_000.0).stage_time(3.0)
    assert (time.end_at, time.last_at) == (1_000.0, 1_000.0 + last)
    assert (time.epoch_seconds, time.finish_seconds) == (3.0, FINISH_SECONDS)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            "time budget 5 min: head about 24 s, then fine-tuning of the upper layers for 8 epochs, about 2.1 min",
        ),
        ({"left_seconds": 40.0}, "time budget 5 min: head about 24 s, and no time to fine-tune"),
        ({"choices": ()}, "time budget 5 min: head about 24 s"),
        (
            {"choices": (), "views": ViewsPlan(count=4, augment="light")},
            "time budget 5 min: head, also on augmented views about 97 s",
        ),
        (
            {"work": Work(1_000, 200, Speed(None))},
            f"{UNKNOWN}; then it is decided whether and for how long to fine-tune",
        ),
        ({"extracts": False, "choices": ()}, UNKNOWN),
    ],
    ids=str,
)
def test_the_opening_line_says_what_is_known(changes: dict[str, Any], expected: str) -> None:
    """A user would wait without knowing what for, or be told of a forecast that nothing supports."""
    told: dict[str, Any] = {"left_seconds": 290.0, "choices": (STAGE,), "work": WORK, "extracts": True}
    assert opening_words(300.0, **({"is_asked_for": False} | told | changes)) == expected


@given(left=seconds, done=st.integers(1, 200), epoch=st.floats(0, 1e4), start=st.floats(0, 300))
def test_the_epochs_of_a_training_fit_in_what_is_left(left: float, done: int, epoch: float, start: float) -> None:
    """A training would end before its learning rate has fallen, or have fewer epochs than it is at."""
    epochs = epochs_in(left, done, epoch, start)
    assert done <= epochs <= max(MOST_EPOCHS, done)
    if epochs > done:
        assert start + (epochs - done) * epoch + FINISH_SECONDS <= left
    else:
        assert epoch == 0 or done >= MOST_EPOCHS or start + EPOCHS_MARGIN * epoch + FINISH_SECONDS > left


@pytest.mark.parametrize(
    ("given_options", "expected"),
    [
        ({"time_budget": 60}, "open"),
        ({"time_budget": 59}, "no"),
        ({}, "no"),
        ({"time_budget": 60, "epochs": 10}, "no"),
        ({"time_budget": 60, "batch_schedule": "8:16"}, "no"),
    ],
    ids=str,
)
def test_epochs_that_nobody_has_given_follow_the_budget(given_options: dict[str, Any], expected: str) -> None:
    """Another number than the given one would train."""
    assert epochs_by_budget(make_options(weights="none", trainable="all", **given_options)) == expected


def test_a_resumed_run_is_told_what_is_left() -> None:
    """Its forecast would be of work that is partly done."""
    assert resumed_words(300.0, 90.0) == "time budget 5 min: 90 s left"
    assert resumed_words(300.0, -3.0) == "time budget 5 min: 0 s left"


@pytest.mark.parametrize(
    ("given_options", "expected"),
    [
        ({"time_budget": 60}, False),
        ({"time_budget": 60, "fine_tune_epochs": 5}, True),
        ({"time_budget": 60, "trainable": "all"}, False),
        ({"time_budget": 60, "trainable": "all", "epochs": 3}, True),
    ],
    ids=str,
)
def test_epochs_that_the_user_gave_are_told_from_those_of_the_budget(
    given_options: dict[str, Any], *, expected: bool
) -> None:
    """A single epoch that a user has asked for would be left out as of no use."""
    assert is_asked_for(make_options(**given_options)) is expected
