"""The doctor's diagnosis as text for a terminal or a log: the machine first, then the gravest findings. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.text import Text

from autofit.config.byte_size import format_size
from autofit.doctor import Diagnosis, Finding, Severity
from autofit.machine.hardware import Hardware
from autofit.printable import printable
from autofit.report.width import columns, wrapped_lines
from autofit.report.words import count_of

LABEL_CELLS = 11
STYLES = {Severity.PROBLEM: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan", Severity.OK: "green"}

Line = tuple[str, str, str]
"""A line: its label, the label's style, and the rest."""


def doctor_text(diagnosis: Diagnosis) -> str:
    """The diagnosis as plain lines of the usual width, ASCII except for names; names and commands are not wrapped."""
    return "\n".join(f"{label}{rest}".rstrip() for label, _, rest in _lines(diagnosis))


def doctor_styled(diagnosis: Diagnosis) -> Text:
    """The same lines with coloured labels, for a terminal."""
    text = Text()
    for label, style, rest in _lines(diagnosis):
        text.append(label, style).append(f"{rest}\n")
    return text


def _lines(diagnosis: Diagnosis) -> Iterator[Line]:
    for name, value in machine_rows(diagnosis):
        yield from _labelled(name, "bold", value)
    yield "", "", ""
    for finding in diagnosis.findings:
        if finding.severity is not Severity.OK:
            yield from _finding_lines(finding)
    yield _closing(diagnosis)


def machine_rows(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """Facts about the machine, as pairs of a name and a value."""
    hardware = diagnosis.hardware
    variables = " ".join(f"{name}={value}" for name, value in diagnosis.environment.items())
    return [
        *([("GPU", _gpu_words(hardware))] if hardware.device == "gpu" else []),
        ("Processor", f"{printable(hardware.cpu_model)}, {count_of(hardware.cores, 'core')}"),
        ("Memory", _host_words(hardware)),
        ("Limit", _limit_words(diagnosis)),
        ("Software", _software_words(diagnosis)),
        *([("Variables", printable(variables))] if variables else []),
    ]


def _gpu_words(hardware: Hardware) -> str:
    facts = [hardware.device_name, format_size(hardware.device_memory_bytes or 0)]
    if hardware.compute_capability:
        facts.append(f"compute capability {hardware.compute_capability}")
    if hardware.driver_version:
        facts.append(f"driver {hardware.driver_version}")
    return printable(", ".join(facts))


def _host_words(hardware: Hardware) -> str:
    """The host's memory; on a CPU the row `Limit` says how much of it is free, so that is left out here."""
    words = [format_size(hardware.host_memory_bytes)]
    if hardware.host_limit_bytes < hardware.host_memory_bytes:
        words.append(f"{format_size(hardware.host_limit_bytes)} of it for this process")
    if hardware.device == "gpu":
        words.append(f"{format_size(hardware.host_available_bytes)} free")
    return ", ".join(words)


def _limit_words(diagnosis: Diagnosis) -> str:
    """The findings of severity OK: which memory limit applies."""
    return printable("; ".join(finding.text for finding in diagnosis.findings if finding.severity is Severity.OK))


def _software_words(diagnosis: Diagnosis) -> str:
    packages = [f"{name} {version}" for name, version in diagnosis.versions.items()]
    return printable(", ".join([f"Python {diagnosis.hardware.python_version}", *packages]))


def _finding_lines(finding: Finding) -> Iterator[Line]:
    yield from _labelled(finding.severity.upper(), STYLES[finding.severity], _sentence(finding.text))
    if finding.advice:
        yield from _labelled("", "", _sentence(finding.advice))
    if finding.command:
        yield "", "", " " * (LABEL_CELLS + 4) + printable(finding.command)
    yield "", "", ""


def _sentence(text: str) -> str:
    words = printable(text)
    return f"{words[:1].upper()}{words[1:].removesuffix('.')}."


def _labelled(label: str, style: str, text: str) -> Iterator[Line]:
    """A label and a text that is wrapped beside it; a long name or path is not broken."""
    rows = wrapped_lines(text, columns() - LABEL_CELLS)
    for number, row in enumerate(rows):
        yield (label if number == 0 else "").ljust(LABEL_CELLS), style, row


def _closing(diagnosis: Diagnosis) -> Line:
    counts = Counter(finding.severity for finding in diagnosis.findings)
    grave = [
        count_of(counts[severity], severity.value)
        for severity in (Severity.PROBLEM, Severity.WARNING)
        if counts[severity]
    ]
    if grave:
        return "", "", f"{' and '.join(grave)}."
    return "Nothing is wrong:".ljust(LABEL_CELLS), STYLES[Severity.OK], " autofit can train here."
