"""The table of `benchmarks/kernels.py`, from readings that are made up; and what it sets for a worker."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import pytest

from autofit.protocol.messages import Trial, Verdict
from autofit.protocol.tf_choices import xla_asked


def test_a_row_is_the_median_and_a_size_that_ran_out_says_so() -> None:
    """A choice that ran out of memory would have no row, or one of zeros."""
    benchmark: Any = import_module("kernels")
    case = benchmark.Case("MobileNet", "head", 256)
    trials = [
        Trial(
            batch_size=256,
            verdict=Verdict.FITS,
            images_per_second=speed,
            first_steps_seconds=3.0,
            peak_bytes=2 * 10**9,
            first_step_peak_bytes=5 * 10**9,
        )
        for speed in (900.0, 1000.0, 4000.0)
    ]
    failed = Trial(batch_size=256, verdict=Verdict.DEVICE_OOM)
    found = {
        (case, "tuned"): [benchmark.Reading(start, trial) for start, trial in zip((9, 7, 8), trials, strict=True)],
        (case, "quick"): [benchmark.Reading(7.0, failed)],
    }
    rows = benchmark.table(found).splitlines()[2:]
    assert rows[0] == "| MobileNet | head | 256 | tuned | 8.0 | 3.0 | 1,000 | 2.00 | 5.00 |"
    assert rows[1] == "| MobileNet | head | 256 | quick | device_oom |  |  |  |  |"


def test_the_variables_are_those_of_one_choice_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row without XLA would be one with it; or the caller's own choice be lost."""
    benchmark: Any = import_module("kernels")
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=1")
    seen = {}
    for name, choice in benchmark.CHOICES.items():
        with benchmark._set(choice.variables):
            seen[name] = (xla_asked(os.environ), os.environ["TF_CUDNN_USE_AUTOTUNE"])
    assert seen == {
        "quick": (False, "0"),
        "tuned": (False, "1"),
        "deterministic": (False, "0"),
        "tuned, XLA": (True, "1"),
    }
    assert os.environ["TF_XLA_FLAGS"] == "--tf_xla_auto_jit=1"
