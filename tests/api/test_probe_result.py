"""A probe and a sweep to look at: in words, as a picture, in a notebook."""

from __future__ import annotations

import pytest

from autofit.api.estimate_result import EstimateResult
from autofit.api.probe_result import ProbeResult, SweepResult
from autofit.probing.records import ProbeReport, SweepReport
from autofit.protocol.messages import Trial, Verdict
from tests.support.records import make_workload


@pytest.fixture
def report() -> ProbeReport:
    trials = [
        Trial(batch_size=size, verdict=Verdict.FITS, peak_bytes=size * 10**7, images_per_second=90) for size in (8, 16)
    ]
    return ProbeReport(
        workload=make_workload(),
        hardware={"cpu": "Some <CPU>", "cores": 2},
        memory_limit_bytes=3_000_000_000,
        allocator_limit_bytes=2_500_000_000,
        limited_by="--memory-limit",
        largest_feasible_batch=16,
        recommended_batch=8,
        memory_model=None,
        trials=trials,
        wall_seconds=4.0,
    )


@pytest.mark.slow
def test_a_probe_is_the_same_record_and_can_be_looked_at(report: ProbeReport) -> None:
    """What programs read would change, or a notebook show two screens of fields."""
    result = ProbeResult.of(report)
    assert result.to_json() == report.to_json()
    assert ProbeReport.model_validate_json(result.to_json()) == report
    assert "16" in result.summary()
    assert result.plot().png.startswith(b"\x89PNG")
    card = result._repr_html_()
    assert card.startswith('<div class="autofit">')
    assert "<svg" in card
    assert "<script" not in card


@pytest.mark.slow
def test_a_sweep_too(report: ProbeReport) -> None:
    """The same, of several networks."""
    sweep = SweepReport(probes=[report], failures=[], wall_seconds=4.0)
    result = SweepResult.of(sweep)
    assert result.to_json() == sweep.to_json()
    assert result.summary()
    assert result.plot().png.startswith(b"\x89PNG")
    assert "<table" in result._repr_html_()


def test_what_a_script_prints_is_the_summary(report: ProbeReport) -> None:
    """`print(autofit.probe())` would be two screens of fields, where that of an evaluation is a table."""
    shown = (
        ProbeResult.of(report),
        SweepResult.of(SweepReport(probes=[report], failures=[], wall_seconds=4.0)),
        EstimateResult(estimates=[], wall_seconds=2.0),
    )
    for result in shown:
        assert str(result) == repr(result) == result.summary()
