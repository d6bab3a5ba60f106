"""A diagnosis of this machine, made without starting TensorFlow or CUDA: hardware, limits, and what is wrong.

- `gather`: collects the facts; every effect is here.
- `findings`: runs all checks on the facts. Pure, as are the checks in `memory`, `gpu`, `holders` (processes that hold
  GPU memory), `software`, `environment` and `process` (limits, processor).
- `records`: `Facts`, `Finding` and the `Diagnosis`, which is shown to the user or written as JSON.
"""

from __future__ import annotations

from autofit.doctor.findings import findings
from autofit.doctor.gather import gather
from autofit.doctor.records import Diagnosis, Facts, Finding, Severity

__all__ = ["Diagnosis", "Facts", "Finding", "Severity", "diagnose", "findings", "gather"]


def diagnose() -> Diagnosis:
    """Examine this machine, as seen from this process, and return the findings."""
    facts = gather()
    return Diagnosis(
        hardware=facts.hardware,
        versions=facts.versions,
        environment=facts.environment,
        findings=findings(facts),
    )
