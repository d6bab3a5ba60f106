"""What this machine is, what of it counts, and what is wrong with it, found without starting TensorFlow or CUDA.

`gather` looks (effects), `findings` judges (pure), and the record `Diagnosis` goes to a reader or into a file.
"""

from __future__ import annotations

from autofit.doctor.findings import findings
from autofit.doctor.gather import gather
from autofit.doctor.records import Diagnosis, Facts, Finding, Severity

__all__ = ["Diagnosis", "Facts", "Finding", "Severity", "diagnose", "findings", "gather"]


def diagnose() -> Diagnosis:
    """Look at this machine, as seen from this process, and say what was found."""
    facts = gather()
    return Diagnosis(
        hardware=facts.hardware,
        versions=facts.versions,
        environment=facts.environment,
        findings=findings(facts),
    )
