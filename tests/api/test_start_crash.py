"""The doctor's findings in the error of a run whose workers crash as soon as they start."""

from __future__ import annotations

import pytest

from autofit.api import start_crash
from autofit.api.start_crash import with_findings
from autofit.process.exit_classifier import START_CRASH


def test_the_findings_are_told_where_workers_crash_at_their_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user would be sent to the doctor for what could have been said at once; or every error would ask it."""
    text = f"3 attempts ended without progress, the last one: SIGILL at its start: {START_CRASH}"
    assert with_findings(text).startswith(f"{text}; the doctor finds ")
    assert with_findings("another") == "another"

    def broken() -> None:
        raise ImportError

    monkeypatch.setattr(start_crash, "diagnose", broken)
    assert with_findings(text) == f"{text}; the doctor finds nothing else"
