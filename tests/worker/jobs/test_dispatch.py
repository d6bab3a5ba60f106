"""From the exception that ends a job to a verdict."""

from __future__ import annotations

import pytest

from autofit.protocol.messages import Verdict
from autofit.worker.jobs.dispatch import _verdict_of


@pytest.mark.parametrize(
    ("said", "cause"),
    [("", "RuntimeError: RuntimeError"), (" \n", "RuntimeError: RuntimeError"), ("\n a \nb", "RuntimeError: a ")],
)
def test_an_exception_has_a_verdict_whatever_it_says(said: str, cause: str) -> None:
    """A callback that raises with a blank message would end its worker without an outcome, and be tried three times."""
    assert _verdict_of(RuntimeError(said)) == (Verdict.CRASHED, cause)
