"""What the doctor finds on a machine on which workers crash as soon as they start."""

from __future__ import annotations

from contextlib import suppress

from autofit.doctor.findings import findings
from autofit.doctor.gather import gather
from autofit.doctor.records import Severity
from autofit.process.exit_classifier import START_CRASH

MOST_FINDINGS = 3
GRAVE = (Severity.PROBLEM, Severity.WARNING)
_FINDS = "; the doctor finds "


def with_findings(text: str) -> str:
    """The text of an error, and if it is about crashes at the start, the doctor's gravest findings, once."""
    if START_CRASH not in text or _FINDS in text:
        return text
    found = []
    with suppress(Exception):  # a broken installation is what it is about: nothing may hide the error itself
        found = [one.text for one in findings(gather()) if one.severity in GRAVE]
    return f"{text}{_FINDS}{'; '.join(found[:MOST_FINDINGS]) or 'nothing else'}"
