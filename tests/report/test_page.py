"""The pages: valid, self-contained HTML in which no name from an untrusted source can do anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit.probing.records import ProbeReport, SweepFailure, SweepReport, TimeSpent
from autofit.protocol.messages import BadImage, OomEvent, Verdict
from autofit.report import markup
from autofit.report.page import probe_page, sweep_page
from autofit.report.run_page import run_page
from autofit.runs.predicted_images import PredictedImages
from autofit.runs.result_record import AttemptRecord, ResultRecord

HOSTILE = "<script>alert('1')</script><img src=x onerror=\"alert(2)\">&amp;"
VOID = {"meta", "wbr"}
MODEL = Path("runs/x/model.keras")


class Page(HTMLParser):
    """What a browser would see: tags that match, their attributes, and the text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that begins."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that is closed at once."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """An element may end only where it is the innermost."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.text += data


_PAGES: dict[str, str] = {}
"""The pages of `hostile_pages`, drawn once: plots take seconds."""


@pytest.fixture
def hostile_pages(
    report: ProbeReport,
    make_result: Callable[..., ResultRecord],
    make_attempt: Callable[..., AttemptRecord],
    make_oom: Callable[..., OomEvent],
) -> dict[str, str]:
    if _PAGES:
        return _PAGES
    workload = report.workload.model_copy(update={"backbone": HOSTILE, "weights": HOSTILE})
    machine: dict[str, str | int | float | None] = {HOSTILE: HOSTILE}
    strange = {"workload": workload, "hardware": machine, "limited_by": HOSTILE, "other_gpu_processes": [HOSTILE]}
    probe = report.model_copy(update=strange)
    failure = SweepFailure(workload=workload, cause=HOSTILE)
    fields = {
        "cause": HOSTILE,
        "history": {"loss": [0.5, 0.4], HOSTILE + "accuracy": [0.5, 0.6]},
        "attempts": [make_attempt(Verdict.CRASHED, HOSTILE)],
        "oom_events": [make_oom(2, 64)],
        "quarantined": [BadImage(path=HOSTILE, reason=HOSTILE)],
        "warnings": [HOSTILE],
    }
    folder = Path(HOSTILE.replace("/", "")) / "model.keras"
    _PAGES.update(
        probe=probe_page(probe),
        sweep=sweep_page(SweepReport(probes=[probe, probe], failures=[failure], wall_seconds=2.0)),
        run=run_page(make_result(**fields), labels=[HOSTILE], model_path=folder),
        failed=run_page(make_result(**fields, status="failed"), labels=[HOSTILE], model_path=folder),
    )
    return _PAGES


@pytest.mark.slow
@pytest.mark.parametrize("name", ["probe", "sweep", "run", "failed"])
def test_hostile_names_are_shown_and_do_nothing(hostile_pages: dict[str, str], name: str) -> None:
    """Opening a report on photos from an untrusted source would run a script from there."""
    seen = Page(hostile_pages[name])
    assert "script" not in seen.tags
    assert "img" not in seen.tags
    assert not [key for key, _ in seen.attributes if key.startswith("on")]
    assert HOSTILE in seen.text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["probe", "sweep", "run", "failed"])
def test_a_page_makes_no_requests(hostile_pages: dict[str, str], name: str) -> None:
    """A page opened offline would be broken, and one opened online would tell others that it was."""
    seen = Page(hostile_pages[name])
    loaded = [value for key, value in seen.attributes if key in {"src", "href", "xlink:href", "srcset"}]
    assert all(value and value.startswith("#") for value in loaded)
    assert "url(http" not in hostile_pages[name]
    assert "@import" not in hostile_pages[name]
    assert "default-src 'none'" in hostile_pages[name]


@pytest.mark.parametrize("name", ["probe", "sweep"])
def test_a_page_has_one_of_each_id(hostile_pages: dict[str, str], name: str) -> None:
    """A figure would be clipped by another one's frame."""
    source = hostile_pages[name]
    ids = [value for key, value in Page(source).attributes if key == "id"]
    assert len(ids) == len(set(ids)) > 0
    referred = re.findall(r'(?:href="|url\()#([^")]+)', source)
    assert set(referred) <= set(ids)


@pytest.mark.slow
def test_the_probe_page_says_what_was_found(report: ProbeReport) -> None:
    """The page would be less complete than the terminal's table."""
    spent = TimeSpent(
        process_starts_seconds=15.2, first_steps_seconds=14.1, steady_steps_seconds=9.0, other_seconds=2.9
    )
    text = Page(probe_page(report.model_copy(update={"time_spent": spent}))).text
    for expected in (
        "MobileNetV2 at 160 x 192",
        "fits, recommended",
        "out of memory",
        "12.70 GB",
        "41 s, 5 trials",
        "2.50 GB of it left for tensors",
        "15 s starting 1 process, 14 s first steps",
    ):
        assert expected in text


def test_what_comes_from_a_saved_profile_is_muted(known: ProbeReport) -> None:
    """A figure from a saved profile would be taken for one measured now."""
    source = probe_page(known)
    assert '<span class="soft"><span class="">fits, saved</span></span>' in source.replace("<span>", '<span class="">')
    assert "6.2 s, 1 trial, 4 known from a saved profile" in Page(source).text


@pytest.mark.slow
def test_the_sweep_page_has_the_table_and_each_probe(sweep: SweepReport) -> None:
    """One page for all would leave out a network, or why it has no figures."""
    text = Page(sweep_page(sweep)).text
    for expected in (
        "MobileNetV2 at 160 x 192, head trainable",
        "ResNet50 at 224 x 224, head trainable",
        "does not fit: not even one image; at 224 it fits",
        "does not fit: not even one image: take a smaller image size (image_size), a smaller backbone or a higher",
        "failed: images of 32 x 32 or more, not 16 x 16",
        "fits, recommended",
        "3 min 24 s, 5 probes",
    ):
        assert expected in text
    assert text.count("12.70 GB") == 1


def test_a_sweep_page_without_any_probe(sweep: SweepReport) -> None:
    """A sweep in which all failed would end in an error about its own report."""
    assert "failed: images of 32" in Page(sweep_page(sweep.model_copy(update={"probes": []}))).text


def test_the_run_page_says_how_it_ended(make_result: Callable[..., ResultRecord]) -> None:
    """The page would leave out the figures, or what to do with the model."""
    text = Page(run_page(make_result(), labels=["daisy"], model_path=MODEL)).text
    for expected in (
        "Trained 3 epochs in 2 min 12 s",
        "2 (best)",
        "0.875",
        "load_model('runs/x/model.keras')",
    ):
        assert expected in text
    assert "Images left out" not in text
    assert "AttemptOutcomeBatchAt onceTime" in text


def test_the_run_page_has_the_warnings_and_the_standard_error(make_result: Callable[..., ResultRecord]) -> None:
    """Whoever reads only the page would take an accuracy on forty images for a fact."""
    text = Page(run_page(make_result(warnings=["A warning."], validated_images=40), labels=[], model_path=MODEL)).text
    assert "Words of warning\nA warning." in text
    assert "0.875 ± 0.055" in text


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_single_epoch_has_no_curve(make_result: Callable[..., ResultRecord], epochs: int) -> None:
    """Two axes with a point each would stand first on the page of a solved head."""
    result = make_result(history={"loss": [0.5, 0.4][:epochs], "val_loss": [0.6, 0.5][:epochs]})
    assert ("Curves" in Page(run_page(result, labels=[], model_path=MODEL)).text) is (epochs > 1)


def test_of_a_thousand_epochs_the_last_ones_and_the_best_are_shown(make_result: Callable[..., ResultRecord]) -> None:
    """The table would end half-way, before the epochs that count."""
    losses = [1.0 / (epoch + 1) for epoch in range(1000)]
    page = run_page(make_result(history={"loss": losses}, best_epoch=3), labels=[], model_path=MODEL)
    table = page.partition("<h2>Epochs</h2>")[2].partition("<h2>Attempts</h2>")[0]
    shown = [int(number) for number in re.findall(r"<tr><td>(?:<b>)?(\d+)", table)]
    assert shown == [4, *range(502, 1001)]
    assert "Of 1,000 epochs the last ones, and the best; history.csv has all." in page


def test_a_page_without_any_epoch(make_result: Callable[..., ResultRecord]) -> None:
    """A run that failed at once would end in an error about its own report."""
    text = Page(run_page(make_result(status="failed", history={}), labels=[], model_path=MODEL)).text
    assert "Failed before the first epoch was finished" in text
    assert "autofit resume runs/x" in text
    assert "The best model so far" not in text


def test_a_run_that_was_stopped_names_the_model_that_is_there(
    make_result: Callable[..., ResultRecord], tmp_path: Path
) -> None:
    """Someone would train for hours more for a model that is good enough."""
    (tmp_path / "model.keras").touch()
    stopped = make_result(status="interrupted", best_epoch=1, saved_epoch=1)
    text = Page(run_page(stopped, labels=[], model_path=tmp_path / "model.keras")).text
    assert f"The best model so far is {tmp_path / 'model.keras'}." in text


@pytest.mark.parametrize(
    "ended",
    [{"status": "failed", "cause": "SIGSEGV"}, {"status": "interrupted", "saved_epoch": 0}, {"status": "interrupted"}],
    ids=str,
)
def test_a_run_that_ended_early_is_not_said_to_have_saved_its_best(
    ended: dict[str, Any], make_result: Callable[..., ResultRecord], tmp_path: Path
) -> None:
    """The model of the head, and its confusions, would be taken for those of the best epoch of fine-tuning."""
    (tmp_path / "model.keras").touch()
    predicted = PredictedImages(["a.jpg"], np.array([0]), np.array([[0.9, 0.1]], np.float32), ("cat", "dog"))
    result = make_result(best_epoch=1, **ended)
    text = Page(run_page(result, labels=[], model_path=tmp_path / "model.keras", predicted=predicted)).text
    assert f"The last model saved is {tmp_path / 'model.keras'}." in text
    assert "On 1 validation image, by the last model saved." in text


@pytest.mark.slow
def test_ten_thousand_broken_images_make_a_page_that_opens(make_result: Callable[..., ResultRecord]) -> None:
    """A page on a folder of broken files would be too large for a browser."""
    bad = [BadImage(path=f"{n}.jpg", reason="broken") for n in range(10_000)]
    text = Page(run_page(make_result(quarantined=bad), labels=[], model_path=MODEL)).text
    assert "Images left out: 10,000" in text
    assert f"and {10_000 - markup.MAX_ROWS:,} more." in text


def test_a_card_outdoes_the_rules_of_a_notebook() -> None:
    """JupyterLab floats the names of a list at a fifth of its width: they would stand over the figures."""
    card = markup.fragment([markup.cards([("Validation accuracy", "0.75")])])
    rules = [line for line in card.splitlines() if line.startswith(".autofit.autofit .facts dt")]
    assert len(rules) == 1
    assert "float: none" in rules[0]
    selectors = {
        line.partition("{")[0].strip() for line in card.partition("</style>")[0].splitlines() if " .facts" in line
    }
    assert selectors
    assert all(selector.startswith(".autofit.autofit ") for selector in selectors)


@pytest.mark.parametrize(
    ("cause", "shown"), [("max_minutes is reached", "max_minutes is reached."), ("a signal came", "A signal came.")]
)
def test_a_cause_is_a_sentence_that_keeps_the_name_of_an_option(
    cause: str, shown: str, make_result: Callable[..., ResultRecord]
) -> None:
    """A reader would look for `Max_minutes`, which does not exist."""
    text = Page(run_page(make_result(status="interrupted", cause=cause), labels=["daisy"], model_path=MODEL)).text
    assert shown in text
