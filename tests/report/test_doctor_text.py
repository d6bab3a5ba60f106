"""The text of the doctor's diagnosis."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from autofit.doctor import Diagnosis, Finding, Severity
from autofit.report.doctor_text import doctor_styled, doctor_text
from tests.support.machines import make_hardware

LIMIT = Finding(severity=Severity.OK, topic="memory", text="host memory counts: 12 GB of 16 GB are free")
WARNING = Finding(
    severity=Severity.WARNING, topic="disk", text="little room", advice="make some", command="rm -r old-runs"
)
GPU: dict[str, Any] = {
    "device": "gpu",
    "device_name": "NVIDIA T4",
    "device_memory_bytes": 16 * 10**9,
    "driver_version": "580.1",
    "compute_capability": "7.5",
    "host_limit_bytes": 13 * 10**9,
}


def diagnosis(*findings: Finding, environment: dict[str, str] | None = None, **machine: Any) -> Diagnosis:
    return Diagnosis(
        hardware=make_hardware(**machine),
        versions={"tensorflow": "2.21.0", "keras": "3.15.1"},
        environment=environment or {},
        findings=[*findings, LIMIT],
    )


def test_a_sound_machine() -> None:
    """Someone whose machine is in order would have to find that out line by line."""
    assert doctor_text(diagnosis()).splitlines() == [
        "Processor  Some CPU, 2 cores",
        "Memory     16 GB",
        "Limit      host memory counts: 12 GB of 16 GB are free",
        "Software   Python 3.13.1, tensorflow 2.21.0, keras 3.15.1",
        "",
        "Nothing is wrong: autofit can train here.",
    ]


def test_a_machine_with_a_gpu() -> None:
    """The GPU, which counts most, or the cgroup's share of the host would not be shown."""
    lines = doctor_text(diagnosis(environment={"KERAS_BACKEND": "jax"}, **GPU)).splitlines()
    assert lines[0] == "GPU        NVIDIA T4, 16 GB, compute capability 7.5, driver 580.1"
    assert lines[2] == "Memory     16 GB, 13 GB of it for this process, 12 GB free"
    assert "Variables  KERAS_BACKEND=jax" in lines


def test_a_finding_says_what_to_do() -> None:
    """A reader would know what is wrong, but not how to fix it."""
    text = doctor_text(diagnosis(WARNING, WARNING))
    assert "WARNING    Little room.\n           Make some.\n               rm -r old-runs\n" in text
    assert text.endswith("\n2 warnings.")


def test_problems_and_warnings_are_counted() -> None:
    """The last line, which is all that many read, would say that nothing is wrong."""
    problem = Finding(severity=Severity.PROBLEM, topic="gpu", text="no driver")
    note = Finding(severity=Severity.NOTE, topic="gpu", text="two GPUs")
    assert doctor_text(diagnosis(problem, WARNING, note)).endswith("\n1 problem and 1 warning.")
    assert doctor_text(diagnosis(note)).endswith("Nothing is wrong: autofit can train here.")


def test_the_text_fits_a_terminal() -> None:
    """Words would be broken at the edge of a terminal of 80 columns, or a command be broken into two."""
    long = Finding(severity=Severity.NOTE, topic="gpu", text="word " * 60, advice="more " * 60, command="x" * 100)
    lines = doctor_text(diagnosis(long)).splitlines()
    assert {line for line in lines if len(line) > 80} == {" " * 15 + "x" * 100}
    assert sum("word" in line for line in lines) > 1


def test_untrusted_names_are_escaped() -> None:
    """A process could name itself so that it clears the screen, or forges a line."""
    evil = "\x1b[2J\nNothing is wrong"
    found = Finding(severity=Severity.WARNING, topic="gpu", text=evil, advice=evil, command=evil)
    text = doctor_text(
        diagnosis(found, cpu_model=evil, device_name=evil, device="gpu", environment={"KERAS_BACKEND": evil})
    )
    assert "\x1b" not in text
    assert not any(line.startswith("Nothing") for line in text.splitlines())


def test_a_pipe_gets_ascii() -> None:
    """A log in another encoding would hold question marks."""
    assert doctor_text(diagnosis(WARNING, **GPU)).isascii()


def test_a_terminal_gets_the_same_words_in_colour() -> None:
    """A terminal and a log would show different texts, or a name in brackets be taken for a colour."""
    made = diagnosis(WARNING.model_copy(update={"text": "[red]little[/red] room"}))
    console = Console(width=80, force_terminal=True, color_system="standard")
    with console.capture() as plain:
        console.print(doctor_styled(made), end="", soft_wrap=True)
    shown = plain.get()
    assert "\x1b[33mWARNING" in shown
    lines = [line.rstrip() for line in doctor_styled(made).plain.splitlines()]
    assert lines == doctor_text(made).splitlines()
    assert "[red]little[/red]" in shown
