"""Saved profiles as a person reads them in a terminal 80 columns wide. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from autofit.config.byte_size import format_size
from autofit.printable import printable
from autofit.profiles.records import (
    HardwareFacts,
    MachineProfile,
    Origin,
    ProfileEntry,
    ProfileList,
    ProfileSummary,
    SavedExtraction,
)
from autofit.report.words import COLUMNS, bytes_words, count_of, speed_words

ORIGIN_WORDS = {Origin.OWN: "yours", Origin.SHIPPED: "comes with autofit"}
LIST_WIDTHS = (16, 20, 6, 11, 10, 7)
ENTRY_WIDTHS = (17, 9, 6, 8, 7, 11, 10)
VALUE_WIDTH = 66


def profiles_text(listing: ProfileList) -> str:
    """The machines of which there are profiles, a line each."""
    where = f"Your own are kept in {printable(listing.folder)}"
    if not listing.profiles:
        return f"There are no profiles yet: autofit probe makes the first.\n{where}"
    header = ("machine", "device", "probes", "extractions", "newest", "from")
    rows = [_row(cells, LIST_WIDTHS, numbers=(2, 3)) for cells in (header, *map(_summary_cells, listing.profiles))]
    return "\n".join([*rows, "", where])


def profile_text(profile: MachineProfile, origin: Origin) -> str:
    """One machine's profile: what the machine is, and what was found there."""
    facts = [f"{name + ':':<10} {_cut(value, VALUE_WIDTH)}" for name, value in _machine_lines(profile.hardware)]
    head = [f"Machine {profile.fingerprint} ({ORIGIN_WORDS[origin]})", *facts]
    return "\n".join([*head, "", *_probe_lines(profile), *_extraction_lines(profile)])


def measured_words(probes: int, extractions: int) -> str:
    """So much as was measured, such as `2 probes and 1 extraction`."""
    if not extractions:
        return count_of(probes, "probe")
    also = count_of(extractions, "extraction")
    return f"{count_of(probes, 'probe')} and {also}" if probes else also


def imported_words(fingerprint: str, added: int, others: int, extractions: int = 0) -> str:
    """What came of an import, in a sentence. `added` are probes; `others`, of both kinds, are not new."""
    left = f"; {count_of(others, 'other')} known already, or of no use here" if others else ""
    return f"{measured_words(added, extractions)} of the machine {fingerprint} added{left}."


def _probe_lines(profile: MachineProfile) -> list[str]:
    if not profile.entries:
        return ["No probe is kept of it yet."]
    header = ("network", "size", "trains", "limit", "largest", "recommended", "measured")
    newest_first = sorted(profile.entries, key=lambda entry: entry.measured_at, reverse=True)
    return [_row(cells, ENTRY_WIDTHS, numbers=(3, 4, 5)) for cells in (header, *map(_entry_cells, newest_first))]


def _extraction_lines(profile: MachineProfile) -> list[str]:
    """A line for each, the newest first, below an empty one."""
    newest_first = sorted(profile.extractions, key=lambda one: one.measured_at, reverse=True)
    lines = [_cut(_extraction_words(extraction), COLUMNS) for extraction in newest_first]
    return ["", *lines] if lines else []


def _extraction_words(extraction: SavedExtraction) -> str:
    height, width = extraction.image_size
    size = str(height) if height == width else f"{height}x{width}"
    at_once = f"{count_of(extraction.micro_batch_size, 'image')} at once"
    speed = f"{speed_words(extraction.images_per_second)} images/s"
    return f"extraction: {extraction.backbone} at {size}: {at_once}, {speed}"


def _machine_lines(facts: HardwareFacts) -> list[tuple[str, str]]:
    device = [
        facts.device_name,
        *([bytes_words(facts.device_memory_bytes)] if facts.device_memory_bytes else []),
        *([f"compute capability {facts.compute_capability}"] if facts.compute_capability else []),
        *([f"driver {facts.driver_version}"] if facts.driver_version else []),
    ]
    host = f"{count_of(facts.cores, 'core')}, {bytes_words(facts.host_limit_bytes)} of memory"
    versions = (
        ("TensorFlow", facts.tensorflow_version),
        ("Keras", facts.keras_version),
        ("Python", facts.python_version),
    )
    return [
        *([("GPU", ", ".join(device))] if facts.device == "gpu" else []),
        ("CPU", facts.cpu_model),
        ("Host", host),
        ("Software", ", ".join(f"{name} {version}" for name, version in versions if version)),
    ]


def _summary_cells(summary: ProfileSummary) -> Sequence[str]:
    newest = "" if summary.newest is None else _day(summary.newest)
    origin = "yours" if summary.origin is Origin.OWN else "autofit"
    device = re.sub(r"\((R|TM)\)", "", summary.device_name)
    return summary.fingerprint, device, f"{summary.entries:,}", f"{summary.extractions:,}", newest, origin


def _entry_cells(entry: ProfileEntry) -> Sequence[str]:
    height, width = entry.workload.image_size
    return (
        entry.workload.backbone,
        f"{height}x{width}",
        entry.workload.trainable,
        format_size(entry.memory_limit_bytes),
        f"{entry.largest_feasible_batch:,}" if entry.largest_feasible_batch else "none",
        f"{entry.recommended_batch:,}" if entry.recommended_batch else "-",
        _day(entry.measured_at),
    )


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _row(cells: Sequence[str], widths: Sequence[int], numbers: Sequence[int]) -> str:
    """The cells in their columns, numbers to the right; nothing a stranger wrote can be wider or do anything."""
    shown = [_cut(cell, width) for cell, width in zip(cells, widths, strict=True)]
    placed = [
        f"{cell:>{width}}" if column in numbers else f"{cell:<{width}}"
        for column, (cell, width) in enumerate(zip(shown, widths, strict=True))
    ]
    return "  ".join(placed).rstrip()


def _cut(text: str, width: int) -> str:
    shown = printable(text)
    return shown if len(shown) <= width else f"{shown[: width - 3]}..."
