"""The rungs that a probe tried, in words."""

from __future__ import annotations

from typing import Any

import pytest

from autofit.config.rungs import KEPT, Rung
from autofit.probing.records import ProbeReport, RungRecord
from autofit.protocol.messages import Trial, Verdict
from autofit.report.ladder_text import ladder_lines, ladder_rows
from autofit.report.page import probe_page
from autofit.report.plots import probe_figure
from autofit.report.probe_text import probe_text

FEW = Rung(segments=4)


def rung(which: Rung, largest: int, **more: Any) -> RungRecord:
    return RungRecord(
        rung=which, largest_feasible_batch=largest, recommended_batch=largest, wall_seconds=20.0, images_per_second=0.0
    ).model_copy(update=more)


def climbed(report: ProbeReport) -> ProbeReport:
    """The report as that of four segments, where eight images fit without."""
    trials = [Trial(batch_size=8, verdict=Verdict.FITS, images_per_second=50.0, peak_bytes=10**9)]
    kept = rung(KEPT, 8, images_per_second=50.0, bytes_per_image=55e6, trials=trials)
    few = rung(FEW, 256, images_per_second=146.0, bytes_per_image=10.6e6, price=0.118, trials=report.trials)
    workload = report.workload.model_copy(update={"segments": 4})
    return report.model_copy(update={"workload": workload, "rungs": [kept, few]})


def test_each_rung_has_its_line(report: ProbeReport) -> None:
    """A user would not see what fits without, and what the rest costs."""
    assert ladder_lines(climbed(report)) == [
        ("Activations kept", "8 at once, 50 images/s, 55 MB an image"),
        ("Again, 4 segments", "256 at once, 146 images/s, 10.6 MB an image, 12 % slower, chosen"),
    ]
    text = probe_text(climbed(report))
    assert "activations recomputed in 4 segments" in " ".join(text.split())
    assert "Again, 4 segments: 256 at once" in text
    assert "40 s on 2 rungs; on the chosen one 41 s, 5 trials" in text


def test_where_nothing_fits_all_rungs_say_so(report: ProbeReport) -> None:
    """A rung without an answer would be shown as chosen, with a batch of 0."""
    nothing = report.model_copy(
        update={"largest_feasible_batch": 0, "rungs": [rung(KEPT, 0), rung(FEW, 0, saved=True)]}
    )
    assert ladder_lines(nothing) == [
        ("Activations kept", "not even one image fits"),
        ("Again, 4 segments", "not even one image fits, saved"),
    ]
    assert [row[:2] for row in ladder_rows(nothing)] == [("kept", "nothing"), ("again, 4 segments", "nothing")]


def test_a_single_rung_is_not_mentioned(report: ProbeReport) -> None:
    """Each probe would speak of a ladder that it did not climb."""
    assert ladder_lines(report) == ladder_rows(report) == []
    assert "Ways to train" not in probe_page(report)


@pytest.mark.slow
def test_the_page_and_the_plot_have_the_rungs(report: ProbeReport) -> None:
    """The picture would show the rung that was taken as the only one."""
    page = probe_page(climbed(report))
    assert "Ways to train that were tried" in page
    assert "again, 4 segments, chosen" in page
    legends = [axes.get_legend() for axes in probe_figure(climbed(report), "").axes]
    labels = [text.get_text() for legend in legends if legend for text in legend.texts]
    assert labels.count("activations kept") == 2


def test_a_report_from_before_there_were_rungs_is_read(report: ProbeReport) -> None:
    """The reports of older runs could not be opened any more."""
    old = report.model_dump(mode="json", by_alias=True, exclude={"rungs"})
    assert ProbeReport.model_validate(old) == report
    assert ProbeReport.model_validate_json(climbed(report).to_json()) == climbed(report)
