"""Findings about limits of the process and about the processor."""

from __future__ import annotations

from collections.abc import Callable

from autofit.doctor import Facts, Severity, findings
from autofit.machine.process_limits import ProcessLimits


def texts(facts: Facts, topic: str) -> list[str]:
    return [f"{one.text}: {one.advice}" for one in findings(facts) if one.topic == topic]


def test_each_low_limit_is_named_with_what_lifts_it(facts: Callable[..., Facts]) -> None:
    """A run that fails by a limit of the shell would leave its user without a place to look."""
    low = ProcessLimits(
        address_space_bytes=3 * 10**9, cpu_seconds=60, stack_bytes=2**19, file_bytes=10**6, processes=200
    )
    found = texts(facts(limits=low), "limits")
    assert [next(flag for flag in ("-v", "-t", "-s", "-f", "-u") if f"ulimit {flag}" in text) for text in found] == [
        "-v",
        "-t",
        "-s",
        "-f",
        "-u",
    ]


def test_usual_limits_are_no_finding(facts: Callable[..., Facts]) -> None:
    """The doctor would warn on every machine."""
    usual = ProcessLimits(address_space_bytes=10**12, stack_bytes=2**23, file_bytes=10**12, processes=100_000)
    assert texts(facts(limits=usual), "limits") == []
    assert texts(facts(), "limits") == []


def test_a_processor_without_avx_is_a_problem(facts: Callable[..., Facts]) -> None:
    """TensorFlow would end with SIGILL, and the doctor find nothing."""
    assert texts(facts(cpu_flags=frozenset({"sse2", "avx"})), "processor") == []
    assert texts(facts(), "processor") == []
    (found,) = [one for one in findings(facts(cpu_flags=frozenset({"sse2"}))) if one.topic == "processor"]
    assert found.severity is Severity.PROBLEM
    assert "AVX" in found.text
