"""A fake of `autofit.api` for the tests of the command line, and the one line that a command fails with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from autofit import api
from autofit.cli import run_command_line
from autofit.config.options import make_options
from autofit.probing.estimate import EstimateReport
from autofit.probing.records import ProbeReport, SweepReport
from autofit.protocol.messages import Trial, Verdict
from autofit.report.views import ProgressView
from autofit.runs.model_source import workload


def found(largest: int = 64) -> ProbeReport:
    """A report of a probe."""
    trial = Trial(batch_size=max(1, largest), verdict=Verdict.FITS, peak_bytes=10**8, images_per_second=100.0)
    return ProbeReport(
        workload=workload(make_options(), 3),
        hardware={"cpu_model": "Some CPU"},
        memory_limit_bytes=10**9,
        limited_by="the host",
        largest_feasible_batch=largest,
        recommended_batch=largest,
        memory_model=None,
        trials=[trial] if largest else [],
        wall_seconds=1.0,
    )


class FinishedRun:
    """A finished run with what the command line asks it for."""

    run_dir = Path("runs/a b")

    def to_json(self) -> str:
        """The content of `result.json`."""
        return '{"status": "completed", "labels": ["café"]}'

    def summary(self) -> str:
        """The text for the terminal."""
        return "Trained 2 epochs in 3 s."


@dataclass
class Calls:
    """A fake of `autofit.api`: records the calls of each function, and returns or raises what a test sets."""

    error: BaseException | None = None
    report: ProbeReport = field(default_factory=found)
    swept: SweepReport = field(default_factory=lambda: SweepReport(probes=[found()], wall_seconds=2.0))
    estimated: EstimateReport = field(default_factory=lambda: EstimateReport(estimates=[], wall_seconds=2.0))
    made: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def function(self, name: str, of: ModuleType = api) -> Callable[..., Any]:
        """The replacement of one function of a module, which takes what that one takes."""
        taken = inspect.signature(getattr(of, name))

        def call(*positional: Any, **named: Any) -> Any:
            taken.bind(*positional, **named)
            self.made.append((name, positional, named))
            for view in (named.pop("view", None), *positional):
                if isinstance(view, ProgressView):
                    view.message("looking around")
            if self.error is not None:
                raise self.error
            return {"probe": self.report, "sweep": self.swept, "estimate": self.estimated}.get(name, FinishedRun())

        return call


def failure(capsys: pytest.CaptureFixture[str], arguments: Sequence[str], code: int = 2) -> str:
    """The one line of the error of a command."""
    assert run_command_line(list(arguments)) == code
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line != "looking around"]
    assert out == ""
    assert len(lines) == 1
    assert lines[0].startswith("autofit: ")
    return lines[0].removeprefix("autofit: ")
