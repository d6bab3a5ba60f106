"""The probe of a stage: when there is one, of what, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest

from autofit.config.options import Options, make_options
from autofit.errors import DoesNotFitError
from autofit.protocol.job import FineTunePlan, Kernels, TrainingPlan
from autofit.protocol.messages import StageRecord, Trial, Verdict
from autofit.runs.plan import staged_plan
from autofit.runs.stage_probe import (
    kernels_of_stage,
    needs_stage_probe,
    probed_words,
    size_of_stage,
    stage_left_out,
    stage_workload,
)
from tests.support.machines import make_hardware
from tests.support.records import make_probe_report

HEAD = StageRecord(name="head", method="solved", epochs=1, l2=1.0)
FINE_TUNE = StageRecord(name="fine-tune", method="epochs", epochs=2)


def planned(options: Options) -> TrainingPlan:
    return staged_plan(options, 1_000, 10, make_probe_report(32, 64), make_hardware())


@pytest.mark.parametrize(
    ("given", "is_needed"),
    [
        ({}, True),
        ({"fine_tune_from": "input"}, True),
        ({"micro_batch_size": 4}, False),
        ({"batch_size": 8, "epochs": 1}, False),
        ({"time_budget": "29s"}, False),  # of which nothing would be left after the head
        ({"time_budget": "30s"}, True),
        ({"trainable": "all", "fine_tune_epochs": 0}, False),  # the run began with the probe
    ],
    ids=str,
)
def test_a_stage_is_probed_where_its_size_is_not_known(given: dict[str, Any], *, is_needed: bool) -> None:
    """A size that was given would be measured for nothing, or one that nobody knows be found by running out."""
    options = make_options(**{"fine_tune_epochs": 2, **given})
    plan = planned(options)
    assert plan.fine_tune is not None
    assert needs_stage_probe(options, plan, "fine-tune") is is_needed
    assert not needs_stage_probe(options, plan, "head")


def test_a_replay_has_the_sizes_of_the_run_that_it_follows() -> None:
    """Each replay would cost a probe, whose answer the audit log overrules."""
    options = make_options(fine_tune_epochs=2)
    follows = planned(options).model_copy(update={"replay": "a"})
    assert not needs_stage_probe(options, follows, "fine-tune")


def test_another_cut_is_another_workload() -> None:
    """The answer for the last layers would be believed of the whole network."""
    cuts = [FineTunePlan(epochs=1, batch_size=32, micro_batch_size=32, learning_rate=1, cut=cut) for cut in "ab"]
    one, other = (stage_workload(make_options(), 3, cut) for cut in cuts)
    assert one != other
    assert one.trainable == other.trainable == "all"
    assert one.optimizer != make_options().optimizer


@pytest.mark.parametrize(
    ("head", "cut", "takes_bytes", "limit_bytes", "expected"),
    [
        ("onednn", "input", 2 * 10**9, 5 * 10**9, "onednn"),
        ("onednn", "input", 3 * 10**9, 5 * 10**9, "eigen"),
        ("onednn", "auto", 2 * 10**9, 5 * 10**9, "eigen"),  # extracting the activations may take more
        ("eigen", "input", 2 * 10**9, 5 * 10**9, "eigen"),  # as the user wants, or as others are no faster
    ],
)
def test_the_faster_kernels_are_used_where_memory_is_ample(
    head: Kernels, cut: str, takes_bytes: int, limit_bytes: int, expected: Kernels
) -> None:
    """Fine-tuning would take longer than needed; or end by a signal where memory runs out."""
    options = make_options(fine_tune_epochs=2, fine_tune_from=cut)
    plan = planned(options).model_copy(update={"kernels": head})
    trial = Trial(batch_size=32, verdict=Verdict.FITS, peak_bytes=takes_bytes)
    report = make_probe_report(32).model_copy(update={"memory_limit_bytes": limit_bytes, "trials": [trial]})
    assert plan.fine_tune is not None
    assert kernels_of_stage(options, plan, plan.fine_tune, report) == expected
    unknown = report.model_copy(update={"trials": []})
    assert kernels_of_stage(options, plan, plan.fine_tune, unknown) == "eigen"


@pytest.mark.parametrize(("largest", "expected"), [(32, 32), (4096, 32), (31, 31), (1, 1)])
def test_the_size_is_the_whole_batch_where_it_fits(largest: int, expected: int) -> None:
    """Two machines that hold the batch would train in other micro-batches."""
    assert size_of_stage(32, make_probe_report(8, largest)) == expected


def test_nothing_that_fits_says_what_would_help() -> None:
    """A user would only learn that it failed."""
    helps = r"take a smaller image size \(image_size\), a cut nearer to the head \(fine_tune_from\), precision 'mixed"
    with pytest.raises(DoesNotFitError, match=rf"fine-tuning: not even one image .*{helps}") as raised:
        size_of_stage(32, make_probe_report(0, 0))
    assert raised.value.why == "fine-tuning: not even one image at a time fits (limited by a test)"


def test_what_was_found_is_said_with_its_origin() -> None:
    """A second run would seem to have measured in no time."""
    report = make_probe_report(8, 32)
    assert probed_words(report).startswith("fine-tuning: 32 images at once fit (probed in ")
    assert "earlier run" in probed_words(report.model_copy(update={"source": "profile"}))
    assert probed_words(make_probe_report(1, 1)).startswith("fine-tuning: 1 image at once fits (")


def test_fine_tuning_that_never_came_is_noticed() -> None:
    """The head would look like all that was asked for, or a finished run as if something were missing."""
    two = planned(make_options(fine_tune_epochs=2))
    assert stage_left_out(two, [HEAD], 0) == "fine-tune"
    assert stage_left_out(two, [HEAD, FINE_TUNE], 1) == "refit"
    assert stage_left_out(two, [HEAD, FINE_TUNE], 0) is None  # fine-tuning was no better
    assert stage_left_out(two, [HEAD, FINE_TUNE, FINE_TUNE.model_copy(update={"name": "refit"})], 1) is None
    assert stage_left_out(two, [], None) is None
    assert stage_left_out(planned(make_options()), [HEAD], 0) is None
