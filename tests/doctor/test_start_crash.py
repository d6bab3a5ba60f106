"""The doctor's findings in the error of what a worker was started for, if it crashes as soon as it starts."""

from __future__ import annotations

import pytest

from autofit.doctor import start_crash
from autofit.doctor.start_crash import with_findings
from autofit.probing.trial_worker import error_of_exit
from autofit.process.exit_classifier import START_CRASH, ExitDiagnosis
from autofit.process.monitor import WorkerExit
from autofit.protocol.messages import Verdict
from autofit.runs.model_worker import error_of_model_worker


def test_the_findings_are_told_where_workers_crash_at_their_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user would be sent to the doctor for what could have been said at once; or every error would ask it."""
    text = f"3 attempts ended without progress, the last one: SIGILL at its start: {START_CRASH}"
    told = with_findings(text)
    assert told.startswith(f"{text}; the doctor finds ")
    assert with_findings(f"fine-tuning: {told}") == f"fine-tuning: {told}"
    assert with_findings("another") == "another"

    def broken() -> None:
        raise ImportError

    monkeypatch.setattr(start_crash, "gather", broken)
    assert with_findings(text) == f"{text}; the doctor finds nothing else"


def test_a_probe_and_a_prediction_tell_them_too() -> None:
    """A probe, an estimate, an export or a prediction on such a machine would name a signal, and the doctor at most."""
    crashed = ExitDiagnosis(Verdict.CRASHED, f"SIGSEGV at its start: {START_CRASH}")
    ended = WorkerExit(diagnosis=crashed, outcome=None, last=None, events=(), wall_seconds=0.5)
    assert "; the doctor finds " in str(error_of_exit(ended))
    assert "; the doctor finds " in str(error_of_model_worker(ended, "prediction"))
