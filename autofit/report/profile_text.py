"""Saved profiles as text for a terminal. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
from autofit.report.tables import Layout, day, shortened_text
from autofit.report.width import columns
from autofit.report.words import bytes_words, count_of, speed_words

ORIGIN_WORDS = {Origin.OWN: "yours", Origin.SHIPPED: "comes with autofit"}
LISTED = Layout((16, 20, 6, 11, 10, 7), numbers=(2, 3), flexible=1, spare=(3,))
ENTRIES = Layout((17, 9, 6, 8, 7, 11, 10), numbers=(3, 4, 5), spare=(6,))
NAME_WIDTH = 10


def profiles_text(listing: ProfileList) -> str:
    """The machines that have a saved profile, one line each."""
    where = f"Your profiles are in {printable(listing.folder)}"
    if not listing.profiles:
        return f"There are no profiles yet: autofit probe makes the first.\n{where}"
    header = ("machine", "device", "probes", "extractions", "newest", "from")
    rows = LISTED.lines([header, *map(_summary_cells, listing.profiles)])
    return "\n".join([*rows, "", where])


def profile_text(profile: MachineProfile, origin: Origin) -> str:
    """One machine's profile: its hardware and the saved measurements."""
    facts = [
        f"{name + ':':<{NAME_WIDTH}} {shortened_text(value, columns() - NAME_WIDTH - 1)}"
        for name, value in _machine_lines(profile.hardware)
    ]
    head = [f"Machine {profile.fingerprint} ({ORIGIN_WORDS[origin]})", *facts]
    return "\n".join([*head, "", *_probe_lines(profile), *_extraction_lines(profile)])


def measured_words(probes: int, extractions: int) -> str:
    """The number of measurements, as `2 probes and 1 extraction`."""
    if not extractions:
        return count_of(probes, "probe")
    also = count_of(extractions, "extraction")
    return f"{count_of(probes, 'probe')} and {also}" if probes else also


def imported_words(fingerprint: str, added: int, others: int, extractions: int = 0) -> str:
    """The result of an import, in a sentence. `added` counts probes; `others` counts what was not imported."""
    ignored = f"; {count_of(others, 'other')} already known or not usable here" if others else ""
    return f"{measured_words(added, extractions)} of the machine {fingerprint} added{ignored}."


def _probe_lines(profile: MachineProfile) -> list[str]:
    if not profile.entries:
        return ["No probe is saved for it yet."]
    header = ("network", "size", "trains", "limit", "largest", "recommended", "measured")
    newest_first = sorted(profile.entries, key=lambda entry: entry.measured_at, reverse=True)
    return ENTRIES.lines([header, *map(_entry_cells, newest_first)])


def _extraction_lines(profile: MachineProfile) -> list[str]:
    """An empty line, then one line for each extraction, the newest first; nothing if there are none."""
    newest_first = sorted(profile.extractions, key=lambda one: one.measured_at, reverse=True)
    lines = [shortened_text(_extraction_words(extraction), columns()) for extraction in newest_first]
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
    newest = "" if summary.newest is None else day(summary.newest)
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
        day(entry.measured_at),
    )
