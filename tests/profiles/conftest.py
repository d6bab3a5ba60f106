"""Fixtures: a small machine, and probes, extractions and profiles of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from autofit.machine.hardware import Hardware
from autofit.probing.records import MemoryModelRecord, ProbeReport, Workload
from autofit.profiles.records import (
    MachineProfile,
    ProfileEntry,
    SavedExtraction,
    entry_of,
    extraction_of,
    machine_profile,
)
from autofit.profiles.store import ProfileStore
from autofit.protocol.job import ExtractionSpeed
from autofit.protocol.messages import Trial, Verdict
from tests.support.machines import make_hardware
from tests.support.records import make_workload

WORKLOAD = make_workload()
CPU = make_hardware(
    device_name="Some CPU @ 2.20GHz",
    cpu_model="Some CPU @ 2.20GHz",
    host_memory_bytes=13 * 2**30,
    host_limit_bytes=12 * 2**30,
    host_available_bytes=11 * 2**30,
    limited_by="cgroup limit /",
    tensorflow_version="2.20.0",
    keras_version="3.13.2",
)
GPU = CPU.model_copy(
    update={
        "device": "gpu",
        "device_name": "Tesla T4",
        "device_memory_bytes": 15 * 2**30,
        "device_free_bytes": 14 * 2**30,
        "driver_version": "550.54.15",
        "compute_capability": "7.5",
    }
)
DAY = 24 * 3600
MEASURED_AT = 1_795_478_400.0  # 24 November 2026


def trial(batch_size: int, verdict: Verdict = Verdict.FITS, **changes: Any) -> Trial:
    """A trial on a machine where an image takes 10 MB, tensors 100 MB besides, and the rest of the process 700 MB."""
    facts: dict[str, Any] = {
        "batch_size": batch_size,
        "verdict": verdict,
        "peak_bytes": 10**8 + 10**7 * batch_size,
        "non_allocator_bytes": 7 * 10**8,
        "step_seconds": batch_size / 140,
        "images_per_second": 140.0,
    }
    return Trial(**facts | changes)


def _report(**changes: Any) -> ProbeReport:
    workload = {name: changes.pop(name) for name in list(changes) if name in Workload.model_fields}
    facts: dict[str, Any] = {
        "workload": WORKLOAD.model_copy(update=workload),
        "hardware": {},
        "memory_limit_bytes": 3 * 10**9,
        "limited_by": "--memory-limit",
        "max_batch": 4096,
        "largest_feasible_batch": 200,
        "recommended_batch": 32,
        "non_allocator_bytes": 6 * 10**8,
        "memory_model": MemoryModelRecord(base_bytes=8e8, bytes_per_image=1e7, max_relative_error=0.01),
        "trials": [trial(32), trial(128), trial(256, Verdict.DEVICE_OOM), trial(200, fresh=True)],
        "wall_seconds": 40.0,
    }
    return ProbeReport(**facts | changes)


def _entry(*, measured_at: float = MEASURED_AT, limit_is_given: bool = True, **changes: Any) -> ProfileEntry:
    return entry_of(_report(**changes), measured_at, limit_is_given=limit_is_given)


def _speed(micro_batch_size: int = 32, **changes: Any) -> ExtractionSpeed:
    facts: dict[str, Any] = {"images_per_second": 230.0, "peak_bytes": 4 * 10**8}
    return ExtractionSpeed(micro_batch_size=micro_batch_size, **facts | changes)


def _extraction(micro_batch_size: int = 32, *, measured_at: float = MEASURED_AT, **changes: Any) -> SavedExtraction:
    workload = {name: changes.pop(name) for name in list(changes) if name in Workload.model_fields}
    return extraction_of(_speed(micro_batch_size, **changes), WORKLOAD.model_copy(update=workload), measured_at)


def _profile(
    *entries: ProfileEntry, machine: Hardware = CPU, extractions: Sequence[SavedExtraction] = (), **changes: Any
) -> MachineProfile:
    profile = machine_profile(machine.model_copy(update=changes), list(entries))
    return profile.model_copy(update={"extractions": list(extractions)})


@pytest.fixture
def cpu() -> Hardware:
    return CPU


@pytest.fixture
def gpu() -> Hardware:
    return GPU


@pytest.fixture
def workload() -> Workload:
    return WORKLOAD


@pytest.fixture
def make_trial() -> Callable[..., Trial]:
    return trial


@pytest.fixture
def make_report() -> Callable[..., ProbeReport]:
    """Make a report; fields of the workload may be given beside its own."""
    return _report


@pytest.fixture
def make_entry() -> Callable[..., ProfileEntry]:
    """Make an entry of a report; takes the arguments of `make_report` as well."""
    return _entry


@pytest.fixture
def make_speed() -> Callable[..., ExtractionSpeed]:
    """Make the measured speed of an extraction."""
    return _speed


@pytest.fixture
def make_extraction() -> Callable[..., SavedExtraction]:
    """Make a saved extraction; fields of the workload may be given beside its own."""
    return _extraction


@pytest.fixture
def make_profile() -> Callable[..., MachineProfile]:
    """Make a profile of entries, of the CPU machine or of another, or of one changed in some fields."""
    return _profile


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> ProfileStore:
    """An empty store; its warnings are in `warnings`."""
    return ProfileStore(tmp_path / "profiles", None, warnings.append, lock_patience_seconds=5.0)
