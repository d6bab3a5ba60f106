"""The text of an estimate, word for word, and its card."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from autofit.machine.cards import CARDS
from autofit.probing.estimate import EstimateReport, Target, estimated
from autofit.probing.records import SweepFailure
from autofit.protocol.messages import Verdict
from autofit.report.estimate_text import estimate_card, estimate_table, estimate_text
from tests.support.lines import GB, measured_line


@pytest.fixture
def report() -> EstimateReport:
    """One network on a CPU, a card and a GPU that is too small; another one failed."""
    line = measured_line()
    targets = [Target("cpu", 4 * GB), Target("t4", CARDS["t4"].memory_bytes, CARDS["t4"]), Target("gpu", GB)]
    failed = SweepFailure(workload=line.workload.model_copy(update={"backbone": "VGG16"}), cause="SIGSEGV")
    estimates = [estimated(line, target) for target in targets]
    return EstimateReport(estimates=estimates, failures=[failed], measured=[line], wall_seconds=41.0)


def test_an_estimate_as_plain_text(report: EstimateReport) -> None:
    """A log would not say that it is an estimate, from what, or what a GPU needs beside tensors."""
    expected = """\
Estimate: what fits other machines

network      size  trains  device  memory    largest  at most  an image
MobileNetV2  224   head    cpu     4.00 GB       294      310     10 MB
MobileNetV2  224   head    t4      16.11 GB    1,315    1,460     10 MB
MobileNetV2  224   head    gpu     1.00 GB      none       36     10 MB

Measured:          on this machine's CPU, with 4, 16, 32, 64 images at once
Largest:           what to count on; 'at most' is the upper bound: on a GPU,
                   without workspaces of cuDNN
Beside tensors:    0.54 GB to 2.51 GB of a GPU: reserved for the system, the
                   CUDA context (assumed), workspaces
Line:              off by 0.0 % at most at the sizes that ran
Failed:            VGG16 at 224: SIGSEGV
Time:              41 s, 1 network"""
    assert estimate_text(report) == expected
    assert expected.isascii()


def test_a_size_that_ran_out_was_not_measured(report: EstimateReport) -> None:
    """A figure would seem to rest on more than it does."""
    line = report.measured[0]
    out = line.trials[0].model_copy(update={"batch_size": 128, "verdict": Verdict.DEVICE_OOM})
    tried = report.model_copy(update={"measured": [line.model_copy(update={"trials": [*line.trials, out]})]})
    assert "with 4, 16, 32, 64 images at once" in estimate_text(tried)


@pytest.mark.parametrize(
    ("weights", "words"),
    [("imagenet", "pretrained; from random weights they may take more"), ("none", "from random weights")],
)
def test_all_layers_are_told_by_their_weights(report: EstimateReport, weights: str, words: str) -> None:
    """Someone who trains from random weights would count on what pretrained ones take, and run out of memory."""
    one = report.estimates[0]
    work = one.workload.model_copy(update={"trainable": "all", "weights": weights})
    text = estimate_text(report.model_copy(update={"estimates": [one.model_copy(update={"workload": work})]}))
    assert f"All layers:        {words}\n" in text
    assert "All layers:" not in estimate_text(report)


def test_where_layers_train_it_says_that_activations_are_kept(report: EstimateReport) -> None:
    """A user would rent a larger card than the network needs: a training climbs a ladder that no estimate knows."""
    one = report.estimates[0]
    work = one.workload.model_copy(update={"trainable": "all"})
    text = estimate_text(report.model_copy(update={"estimates": [one.model_copy(update={"workload": work})]}))
    words = (
        "Activations:       kept; a training that does not fit so recomputes them, in\n                   less memory\n"
    )
    assert words in text
    assert "Activations:" not in estimate_text(report)


def test_an_estimate_table_fits_eighty_columns_and_says_what_it_is(report: EstimateReport) -> None:
    """In an ordinary terminal the figures would be cut off, or pass for measurements."""
    long_name = report.estimates[1].workload.model_copy(update={"backbone": "InceptionResNetV2", "trainable": "all"})
    longest = report.estimates[1].model_copy(update={"workload": long_name, "device": "a100-80gb"})
    stream = io.StringIO()
    Console(file=stream, width=80).print(estimate_table(report.model_copy(update={"estimates": [longest]})))
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("Estimate: ")
    assert "…" not in stream.getvalue()
    assert "a100-80gb" in stream.getvalue()
    assert max(map(len, lines)) <= 80


def test_a_card_says_that_it_is_an_estimate_and_escapes_names(report: EstimateReport) -> None:
    """A notebook would show a figure as if it had been measured, or run the name of a user's function."""
    hostile = report.estimates[0].workload.model_copy(update={"backbone": "<script>"})
    row = report.estimates[0].model_copy(update={"workload": hostile})
    card = estimate_card(report.model_copy(update={"estimates": [row]}))
    assert "<b>Estimate: " in card
    assert "<script>" not in card
    assert "&lt;script&gt;" in card


def test_the_record_says_that_it_is_an_estimate(report: EstimateReport) -> None:
    """A program that reads the JSON could not tell it from a probe's."""
    assert '"is_estimate": true' in report.to_json()
    assert EstimateReport.model_validate_json(report.to_json()) == report


def test_an_estimate_of_nothing_claims_no_measurement(report: EstimateReport) -> None:
    """Where all networks failed, it would say that something was measured, and how well the line meets it."""
    text = estimate_text(report.model_copy(update={"estimates": [], "measured": []}))
    assert "Measured" not in text
    assert "Line" not in text
    assert "Failed:            VGG16 at 224: SIGSEGV" in text
