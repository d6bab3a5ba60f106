"""The rows of `benchmarks/ladder.py`: which probes they need, and which true maxima. No probe runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from autofit.config.rungs import KEPT, ON_REQUEST, Rung
from autofit.probing.ladder import rung_record
from autofit.probing.records import ProbeReport
from tests.support.records import make_probe_report

ladder: Any = import_module("ladder")


def _report(largest: dict[Rung, int], chosen: Rung) -> ProbeReport:
    """The report of a probe that found so many images on each rung, each in a second."""
    reports = {rung: make_probe_report(size, size) for rung, size in largest.items()}
    workload = reports[chosen].workload.model_copy(update={"segments": chosen.segments})
    rungs = [rung_record(rung, report) for rung, report in reports.items()] if len(reports) > 1 else []
    return reports[chosen].model_copy(update={"workload": workload, "rungs": rungs})


def _rows(monkeypatch: pytest.MonkeyPatch, recomputes: list[str], report: ProbeReport) -> tuple[Any, Any, Any]:
    """The rows of one network, what was probed for them, and the rungs and sizes of which the maximum was found."""
    probed: list[str] = []
    maxima: list[tuple[int, int]] = []

    def probe(*asked: Any) -> ProbeReport:
        probed.append(asked[2])
        return report

    def true_maximum(case: Any, *, near: int, **_: bool) -> tuple[int, int]:
        maxima.append((case.segments, near))
        return near, near

    monkeypatch.setattr(ladder, "probe", probe)
    monkeypatch.setattr(ladder, "true_maximum", true_maximum)
    return list(ladder.measure("ResNet50", 1.0, recomputes, "float32", only_bounds=True)), probed, maxima


def test_the_row_with_activations_kept_is_the_first_rung_of_the_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each network would be probed twice for the same figures, for minutes."""
    report = _report({KEPT: 8, ON_REQUEST: 32}, ON_REQUEST)
    rows, probed, maxima = _rows(monkeypatch, ["off", "auto"], report)
    assert [(row["recompute"], row["segments"], row["answer"], row["seconds"]) for row in rows] == [
        ("off", 0, 8, 1.0),
        ("auto", 8, 32, 2.0),
    ]
    assert (probed, maxima) == (["auto"], [(0, 8), (8, 32)])


def test_the_same_maximum_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it fits without a rung, an hour of trials would be repeated for the second row."""
    rows, probed, maxima = _rows(monkeypatch, ["off", "auto"], _report({KEPT: 32}, KEPT))
    assert [row["true_maximum"] for row in rows] == [32, 32]
    assert (probed, maxima) == (["auto"], [(0, 32)])


def test_a_row_alone_has_a_probe_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ladder would be climbed by somebody who wants to see what fits without it."""
    rows, probed, _ = _rows(monkeypatch, ["off"], _report({KEPT: 8}, KEPT))
    assert ([row["recompute"] for row in rows], probed) == (["off"], ["off"])


def test_where_nothing_fits_the_maximum_is_that_of_the_last_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table would compare nothing with what fits on a rung that needs more memory."""
    _, _, maxima = _rows(monkeypatch, ["off", "auto"], _report({KEPT: 0, ON_REQUEST: 0}, KEPT))
    assert maxima == [(0, 1), (8, 1)]
