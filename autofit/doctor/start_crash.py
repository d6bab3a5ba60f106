"""Adds the doctor's findings to the error of a run whose workers crash as soon as they start or do not find the GPU."""

from __future__ import annotations

from contextlib import suppress

from autofit.doctor.findings import findings
from autofit.doctor.gather import gather
from autofit.doctor.records import Severity
from autofit.process.exit_classifier import START_CRASH
from autofit.process.gpu_causes import NO_GPU_FOUND

MOST_FINDINGS = 3
GRAVE = (Severity.PROBLEM, Severity.WARNING)
_FINDS = "; the doctor finds "


def with_findings(text: str) -> str:
    """The text of an error; if it is about the start of a worker, with the doctor's gravest findings, added once."""
    if _FINDS in text or not any(words in text for words in (START_CRASH, NO_GPU_FOUND)):
        return text
    found = []
    with suppress(Exception):  # a broken installation is what it is about: nothing may hide the error itself
        found = [one.text for one in findings(gather()) if one.severity in GRAVE]
    return f"{text}{_FINDS}{'; '.join(found[:MOST_FINDINGS]) or 'nothing else'}"
