"""Merges new entries and extractions into a machine's profile, and drops the superseded and the oldest. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from autofit.profiles.match import Case, case_of, extraction_case, is_known, limit_of
from autofit.profiles.reading import MAX_PROFILE_BYTES
from autofit.profiles.records import MAX_ENTRIES, MAX_EXTRACTIONS, MachineProfile, ProfileEntry, SavedExtraction

M = TypeVar("M", ProfileEntry, SavedExtraction)


def with_measured(profile: MachineProfile, entry: ProfileEntry) -> MachineProfile:
    """The profile with an entry that was just measured, without the entries that it supersedes."""
    others = [old for old in profile.entries if case_of(old) != case_of(entry) or not _supersedes(entry, old)]
    return _with_entries(profile, [entry, *_newest_first(others)])


def with_imported(profile: MachineProfile, entries: Sequence[ProfileEntry]) -> MachineProfile:
    """The profile with imported entries. Its own entries stay, whatever dates the imported ones claim."""
    merged = _newest_first(profile.entries)
    cases: defaultdict[Case, list[ProfileEntry]] = defaultdict(list)
    for entry in merged:
        cases[case_of(entry)].append(entry)
    for entry in _newest_first(entries):
        case = cases[case_of(entry)]
        if is_known(entry.workload) and not any(_supersedes(other, entry) for other in case):
            case.append(entry)
            merged.append(entry.model_copy(update={"imported": True}))
    return _with_entries(profile, merged)


def with_extracted(profile: MachineProfile, extraction: SavedExtraction) -> MachineProfile:
    """The profile with an extraction that was just measured, in the place of the earlier one of the same case."""
    others = [old for old in profile.extractions if extraction_case(old) != extraction_case(extraction)]
    return _with_extractions(profile, [extraction, *_newest_first(others)])


def with_imported_extractions(profile: MachineProfile, extractions: Sequence[SavedExtraction]) -> MachineProfile:
    """The profile with imported extractions, except of the cases of which it has its own."""
    merged = {extraction_case(own): own for own in _newest_first(profile.extractions)}
    for imported in _newest_first(extractions):
        if is_known(imported):
            merged.setdefault(extraction_case(imported), imported)
    return _with_extractions(profile, list(merged.values()))


def to_bytes(profile: MachineProfile) -> bytes:
    """The content of the profile's file, without the last entries if it would exceed `MAX_PROFILE_BYTES` with them."""
    data = profile.to_json().encode()
    while len(data) > MAX_PROFILE_BYTES:
        profile = _with_entries(profile, profile.entries[: len(profile.entries) * 9 // 10])
        data = profile.to_json().encode()
    return data


def _supersedes(new: ProfileEntry, old: ProfileEntry) -> bool:
    """Whether the new entry says everything that the old one of the same case said.

    A probe that asked for at most 32 images and found that 32 fit does not replace an older answer of 500.
    """
    found_the_limit = new.largest_feasible_batch < new.max_batch
    return limit_of(new).is_alike(limit_of(old)) and (found_the_limit or old.max_batch <= new.max_batch)


def _newest_first(measured: Sequence[M]) -> list[M]:
    return sorted(measured, key=lambda one: one.measured_at, reverse=True)


def _with_entries(profile: MachineProfile, entries: list[ProfileEntry]) -> MachineProfile:
    return profile.model_copy(update={"entries": entries[:MAX_ENTRIES]})


def _with_extractions(profile: MachineProfile, extractions: list[SavedExtraction]) -> MachineProfile:
    return profile.model_copy(update={"extractions": extractions[:MAX_EXTRACTIONS]})
