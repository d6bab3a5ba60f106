"""Selection of the saved measurement that matches a machine and a workload best, as a hint. Pure.

An exact match gives the expected answer, which one trial verifies. A near match gives points for the memory line: the
memory of a batch depends on the device and the workload, and hardly on the limit, the driver or the versions. The same
holds for the fastest micro-batch size of an extraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from autofit.config.backbones import BACKBONES
from autofit.machine.hardware import MEMORY_STEP_BYTES, Hardware, fingerprint
from autofit.probing.hint import ProfileHint
from autofit.probing.records import Workload
from autofit.profiles.records import HardwareFacts, MachineProfile, Origin, ProfileEntry, SavedExtraction, SavedWorkload
from autofit.protocol.messages import Trial, Verdict

GIVEN_LIMIT_TOLERANCE = 0.01
FREE_MEMORY_TOLERANCE = 0.05  # the free memory changes from moment to moment
POINTS_OF_A_LINE = 2

Key = tuple[object, ...]
Case = tuple[Key, int]


@dataclass(frozen=True, slots=True)
class Limit:
    """A memory limit: given by the user, or the memory that the machine has free at this moment."""

    bytes: int
    is_given: bool

    def is_alike(self, other: Limit) -> bool:
        """Whether a size that just fits one is likely to fit the other."""
        tolerance = GIVEN_LIMIT_TOLERANCE if self.is_given or other.is_given else FREE_MEMORY_TOLERANCE
        return abs(self.bytes - other.bytes) <= tolerance * max(self.bytes, other.bytes)


@dataclass(frozen=True, slots=True)
class _PlannedProbe:
    """The probe that needs a hint."""

    fingerprint: str
    workload: Workload
    limit: Limit
    max_batch: int


@dataclass(frozen=True, slots=True)
class _Match:
    """An entry that matches the planned probe, and how well."""

    entry: ProfileEntry
    origin: Origin
    exact: bool
    off_by_bytes: int

    @property
    def rank(self) -> tuple[bool, bool, int, float]:
        """The sort key, the best match first: exact before near, own before shipped, the nearest limit, the newest."""
        return not self.exact, self.origin is not Origin.OWN, self.off_by_bytes, -self.entry.measured_at


def find_hint(
    profiles: Sequence[tuple[MachineProfile, Origin]],
    machine: Hardware,
    workload: Workload,
    limit_bytes: int,
    *,
    limit_is_given: bool,
    max_batch: int,
) -> ProfileHint | None:
    """The hint of the saved probe that matches best; None if none matches.

    Args:
        profiles: as `ProfileStore.load` returns them.
        machine: the machine that runs the probe.
        workload: the network to probe.
        limit_bytes: the memory limit of the probe.
        limit_is_given: the user gave the limit; else it is the memory that the machine has free.
        max_batch: the largest size of interest.
    """
    if not is_known(workload):
        return None
    planned = _PlannedProbe(fingerprint(machine), workload, Limit(limit_bytes, limit_is_given), max_batch)
    matches = [
        match
        for profile, origin in profiles
        if _device(profile.hardware) == _device(machine)
        for entry in profile.entries
        if (match := _match(planned, profile, origin, entry))
    ]
    best = min(matches, key=lambda match: match.rank, default=None)
    return None if best is None else _hint(best, max_batch)


def exact_entry(
    profiles: Sequence[tuple[MachineProfile, Origin]],
    machine: Hardware,
    workload: Workload,
    limit: Limit,
    max_batch: int,
) -> ProfileEntry | None:
    """The newest measurement of this workload on this very machine under such a limit, also if nothing fitted.

    Args:
        profiles: as `ProfileStore.load` returns them; only what was measured by the user counts.
        machine: the machine that runs the probe.
        workload: the network to probe.
        limit: the memory limit of the probe.
        max_batch: the largest size of interest.
    """
    same = own_entries(profiles, machine, workload)
    return next((entry for entry in same if _is_of_case(entry, workload, limit, max_batch)), None)


def own_entries(
    profiles: Sequence[tuple[MachineProfile, Origin]], machine: Hardware, workload: Workload
) -> list[ProfileEntry]:
    """The user's own measurements of this network on this very machine, under any limit, the newest first.

    Imported ones are somebody else's, and so hints, also if they claim to be of this machine.

    Args:
        profiles: as `ProfileStore.load` returns them.
        machine: the machine that was measured.
        workload: the network. For a user's own function the list is empty, since its name says nothing about its code.
    """
    if not is_known(workload):
        return []
    entries = [
        entry
        for profile, origin in profiles
        if origin is Origin.OWN and profile.fingerprint == fingerprint(machine)
        for entry in profile.entries
        if not entry.imported and is_known(entry.workload) and key_of(entry.workload) == key_of(workload)
    ]
    return sorted(entries, key=lambda entry: -entry.measured_at)


def find_extraction(
    profiles: Sequence[tuple[MachineProfile, Origin]], machine: Hardware, workload: Workload
) -> SavedExtraction | None:
    """The saved extraction that matches best; None if none matches.

    Args:
        profiles: as `ProfileStore.load` returns them.
        machine: the machine that runs the extraction.
        workload: the workload of its training; only the fields that an extraction depends on count.
    """
    if not is_known(workload):
        return None
    exact = fingerprint(machine)
    matches = [
        ((profile.fingerprint != exact, origin is not Origin.OWN, -extraction.measured_at), extraction)
        for profile, origin in profiles
        if _device(profile.hardware) == _device(machine)
        for extraction in profile.extractions
        if extraction_case(extraction) == extraction_case(workload)
    ]
    return min(matches, key=lambda match: match[0], default=(None, None))[1]


def extraction_case(extraction: SavedExtraction | Workload) -> Key:
    """The fields that an extraction depends on, besides the machine."""
    return extraction.backbone, extraction.image_size, extraction.precision


def is_known(workload: Workload | SavedWorkload | SavedExtraction) -> bool:
    """Whether the name determines the network; the name of a user's own function says nothing about its code."""
    return workload.backbone in BACKBONES


def case_of(entry: ProfileEntry) -> Case:
    """The workload that an entry measured, without its limit."""
    return key_of(entry.workload), entry.workload.num_classes


def limit_of(entry: ProfileEntry) -> Limit:
    """The limit that an entry was measured under."""
    return Limit(entry.memory_limit_bytes, entry.limit_is_given)


def origin_words(entry: ProfileEntry, origin: Origin) -> str:
    """The origin of a hint, such as `your profile of 24 November 2026`; the day is in UTC."""
    if origin is Origin.SHIPPED:
        return "a profile that comes with autofit"
    day = datetime.fromtimestamp(entry.measured_at, UTC)
    return f"{'an imported profile' if entry.imported else 'your profile'} of {day.day} {day:%B %Y}"


def _device(machine: HardwareFacts | Hardware) -> tuple[object, ...]:
    """The fields of a machine that decide how much memory a batch takes, and about how fast it is."""
    if machine.device == "cpu":
        return machine.device, machine.cpu_model, machine.cores
    memory = round((machine.device_memory_bytes or 0) / MEMORY_STEP_BYTES)
    return machine.device, machine.device_name, memory, machine.compute_capability


def key_of(workload: Workload | SavedWorkload) -> Key:
    """The fields of a workload that decide how much memory an image takes; a few classes more or fewer hardly do."""
    return (
        workload.backbone,
        workload.image_size,
        workload.trainable,
        workload.trainable == "all" and workload.weights == "none",  # then BatchNormalization trains
        workload.precision,
        workload.optimizer,
        workload.hidden_units,
        workload.dropout > 0,
        workload.cut,
        workload.segments,
    )


def _match(planned: _PlannedProbe, profile: MachineProfile, origin: Origin, entry: ProfileEntry) -> _Match | None:
    """The entry as a match, if it is of this workload and gives an answer or a memory line; else None."""
    if not is_known(entry.workload) or key_of(entry.workload) != key_of(planned.workload):
        return None
    exact = _is_exact(planned, profile, entry) and bool(_fitting(entry))
    if entry.largest_feasible_batch == 0 or not (exact or _gives_a_line(entry)):
        return None
    return _Match(entry, origin, exact, abs(entry.memory_limit_bytes - planned.limit.bytes))


def _is_exact(planned: _PlannedProbe, profile: MachineProfile, entry: ProfileEntry) -> bool:
    is_here = profile.fingerprint == planned.fingerprint
    return is_here and _is_of_case(entry, planned.workload, planned.limit, planned.max_batch)


def _is_of_case(entry: ProfileEntry, workload: Workload, limit: Limit, max_batch: int) -> bool:
    """Whether an entry of the same network answers for this number of classes, such a limit and sizes up to this."""
    return (
        entry.workload.num_classes == workload.num_classes
        and limit_of(entry).is_alike(limit)
        and _covers(entry, max_batch)
    )


def _covers(entry: ProfileEntry, max_batch: int) -> bool:
    """Whether the answer holds for sizes up to `max_batch`: the probe searched that far, or a smaller size failed."""
    return entry.max_batch >= max_batch or entry.largest_feasible_batch < entry.max_batch


def _gives_a_line(entry: ProfileEntry) -> bool:
    return len({trial.batch_size for trial in _fitting(entry)}) >= POINTS_OF_A_LINE


def _fitting(entry: ProfileEntry) -> list[Trial]:
    trials = [trial.as_trial() for trial in entry.trials]
    return [trial for trial in trials if trial.verdict is Verdict.FITS and trial.memory_bytes > 0]


def _hint(match: _Match, max_batch: int) -> ProfileHint:
    """The hint; only an exact match gives its failed trials: a size that failed under another limit may fit here."""
    entry = match.entry
    trials = [trial.as_trial() for trial in entry.trials] if match.exact else _fitting(entry)
    return ProfileHint(
        trials=tuple(trials),
        expected_batch=min(entry.largest_feasible_batch, max_batch) if match.exact else 0,
        non_allocator_bytes=entry.non_allocator_bytes,
        baseline_rss_bytes=entry.baseline_rss_bytes,
        origin=origin_words(entry, match.origin),
    )
