"""What of all that is saved speaks of this machine and workload, and what it is worth as a hint. Pure.

An exact match names the answer, which then takes one trial to verify. A near match gives points for the memory line:
what a batch takes of memory hangs on the device and the workload, hardly on the limit, the driver or the versions.
So does the size with which an extraction is the fastest.
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
FREE_MEMORY_TOLERANCE = 0.05  # what is free is another figure at every look
POINTS_OF_A_LINE = 2

Key = tuple[object, ...]
Case = tuple[Key, int]


@dataclass(frozen=True, slots=True)
class Limit:
    """A memory limit: asked for, or what the machine has free just now."""

    bytes: int
    is_given: bool

    def is_alike(self, other: Limit) -> bool:
        """Whether a size that just fits one is likely to fit the other."""
        tolerance = GIVEN_LIMIT_TOLERANCE if self.is_given or other.is_given else FREE_MEMORY_TOLERANCE
        return abs(self.bytes - other.bytes) <= tolerance * max(self.bytes, other.bytes)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The probe that a hint is wanted for."""

    fingerprint: str
    workload: Workload
    limit: Limit
    max_batch: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An entry that speaks of what is asked, and how well."""

    entry: ProfileEntry
    origin: Origin
    exact: bool
    off_by_bytes: int

    @property
    def rank(self) -> tuple[bool, bool, int, float]:
        """The better the smaller: exact before near, own before shipped, the nearest limit, the newest."""
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
    """The best of what is saved about such a probe; None where nothing is.

    Args:
        profiles: as `ProfileStore.load` returns them.
        machine: where the probe is to run.
        workload: what is to be probed.
        limit_bytes: the memory limit of the probe.
        limit_is_given: it was asked for; else it is only what the machine has free.
        max_batch: the largest size of interest.
    """
    if not is_known(workload):
        return None
    asked = _Asked(fingerprint(machine), workload, Limit(limit_bytes, limit_is_given), max_batch)
    candidates = [
        candidate
        for profile, origin in profiles
        if _device(profile.hardware) == _device(machine)
        for entry in profile.entries
        if (candidate := _candidate(asked, profile, origin, entry))
    ]
    best = min(candidates, key=lambda candidate: candidate.rank, default=None)
    return None if best is None else _hint(best, max_batch)


def find_extraction(
    profiles: Sequence[tuple[MachineProfile, Origin]], machine: Hardware, workload: Workload
) -> SavedExtraction | None:
    """The best of what is saved about such an extraction; None where nothing is.

    Args:
        profiles: as `ProfileStore.load` returns them.
        machine: where the extraction is to run.
        workload: of its training; only what an extraction depends on counts.
    """
    if not is_known(workload):
        return None
    exact = fingerprint(machine)
    candidates = [
        ((profile.fingerprint != exact, origin is not Origin.OWN, -extraction.measured_at), extraction)
        for profile, origin in profiles
        if _device(profile.hardware) == _device(machine)
        for extraction in profile.extractions
        if extraction_case(extraction) == extraction_case(workload)
    ]
    return min(candidates, key=lambda candidate: candidate[0], default=(None, None))[1]


def extraction_case(extraction: SavedExtraction | Workload) -> Key:
    """What an extraction depends on besides the machine."""
    return extraction.backbone, extraction.image_size, extraction.precision


def is_known(workload: Workload | SavedWorkload | SavedExtraction) -> bool:
    """Whether the network's name says what it is; the name of a user's own function says nothing of its code."""
    return workload.backbone in BACKBONES


def case_of(entry: ProfileEntry) -> Case:
    """What an entry is about, but for its limit."""
    return _key(entry.workload), entry.workload.num_classes


def limit_of(entry: ProfileEntry) -> Limit:
    """The limit that an entry was measured under."""
    return Limit(entry.memory_limit_bytes, entry.limit_is_given)


def origin_words(entry: ProfileEntry, origin: Origin) -> str:
    """Where a hint comes from, as `your profile of 24 November 2026`; the day is UTC's."""
    if origin is Origin.SHIPPED:
        return "a profile that comes with autofit"
    day = datetime.fromtimestamp(entry.measured_at, UTC)
    return f"your profile of {day.day} {day:%B %Y}"


def _device(machine: HardwareFacts | Hardware) -> tuple[object, ...]:
    """What decides how much memory a batch takes, and about how fast it is."""
    if machine.device == "cpu":
        return machine.device, machine.cpu_model, machine.cores
    memory = round((machine.device_memory_bytes or 0) / MEMORY_STEP_BYTES)
    return machine.device, machine.device_name, memory, machine.compute_capability


def _key(workload: Workload | SavedWorkload) -> Key:
    """What of a workload decides how much memory an image costs; the number of classes hardly does."""
    return (
        workload.backbone,
        workload.image_size,
        workload.trainable,
        workload.trainable == "all" and workload.weights == "none",  # then BatchNormalization trains
        workload.precision,
        workload.optimizer,
        workload.hidden_units,
        workload.dropout > 0,
    )


def _candidate(asked: _Asked, profile: MachineProfile, origin: Origin, entry: ProfileEntry) -> _Candidate | None:
    """The entry as a candidate, where it speaks of this workload and has something to say."""
    if not is_known(entry.workload) or _key(entry.workload) != _key(asked.workload):
        return None
    exact = _is_exact(asked, profile, entry) and bool(_fitting(entry))
    if entry.largest_feasible_batch == 0 or not (exact or _gives_a_line(entry)):
        return None
    return _Candidate(entry, origin, exact, abs(entry.memory_limit_bytes - asked.limit.bytes))


def _is_exact(asked: _Asked, profile: MachineProfile, entry: ProfileEntry) -> bool:
    return (
        profile.fingerprint == asked.fingerprint
        and entry.workload.num_classes == asked.workload.num_classes
        and limit_of(entry).is_alike(asked.limit)
        and _covers(entry, asked.max_batch)
    )


def _covers(entry: ProfileEntry, max_batch: int) -> bool:
    """Whether the answer holds for sizes up to `max_batch`: so far was asked then, or less turned out to fit."""
    return entry.max_batch >= max_batch or entry.largest_feasible_batch < entry.max_batch


def _gives_a_line(entry: ProfileEntry) -> bool:
    return len({trial.batch_size for trial in _fitting(entry)}) >= POINTS_OF_A_LINE


def _fitting(entry: ProfileEntry) -> list[Trial]:
    trials = [trial.as_trial() for trial in entry.trials]
    return [trial for trial in trials if trial.verdict is Verdict.FITS and trial.memory_bytes > 0]


def _hint(candidate: _Candidate, max_batch: int) -> ProfileHint:
    """The hint. Under another limit the sizes that failed say nothing: they ran out of what was there then."""
    entry = candidate.entry
    trials = [trial.as_trial() for trial in entry.trials] if candidate.exact else _fitting(entry)
    return ProfileHint(
        trials=tuple(trials),
        expected_batch=min(entry.largest_feasible_batch, max_batch) if candidate.exact else 0,
        non_allocator_bytes=entry.non_allocator_bytes,
        baseline_rss_bytes=entry.baseline_rss_bytes,
        origin=origin_words(entry, candidate.origin),
    )
