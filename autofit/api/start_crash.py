"""What the doctor finds on a machine on which workers crash as soon as they start."""

from __future__ import annotations

from contextlib import suppress

from autofit.doctor import Severity, diagnose
from autofit.process.exit_classifier import START_CRASH

MOST_FINDINGS = 3


def with_findings(text: str) -> str:
    """The text of an error, and if it is about crashes at the start, the doctor's gravest findings."""
    if START_CRASH not in text:
        return text
    found = []
    with suppress(Exception):  # a broken installation is what it is about: nothing may hide the error itself
        found = [one.text for one in diagnose().findings if one.severity is not Severity.NOTE]
    return f"{text}; the doctor finds {'; '.join(found[:MOST_FINDINGS]) or 'nothing else'}"
