"""The records of a saved profile: the content of `<fingerprint>.json`, with a bound for every value.

A profile may come from an untrusted source. The records of a probe hold what this process measured itself and need no
bounds; the records here are strict copies of the fields worth saving. Causes and paths are not saved: they name
people's files.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from autofit.machine import hardware
from autofit.machine.hardware import Hardware
from autofit.probing.evidence import others_grew_bytes
from autofit.probing.records import ProbeReport, Workload
from autofit.protocol.job import ExtractionSpeed
from autofit.protocol.messages import Trial, Verdict
from autofit.storage.records import Record

SCHEMA: Literal["autofit/profile/2"] = "autofit/profile/2"
MAX_BATCH = 2**24
MAX_BYTES = 2**50
MAX_PIXELS = 2**14
MAX_COUNT = 2**24
MAX_TRIALS = 64
MAX_ENTRIES = 1000
MAX_EXTRACTIONS = 200
MUCH_TAKEN = 0.01
"""If other processes took more than this share of the limit during a probe, its answer is not that of the limit."""

LAST_SECOND = 2**37  # in the year 6325, which `datetime` can still represent

Batch = Annotated[int, Field(ge=0, le=MAX_BATCH)]
Bytes = Annotated[int, Field(ge=0, le=MAX_BYTES)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Pixels = Annotated[int, Field(ge=1, le=MAX_PIXELS)]
Name = Annotated[str, Field(max_length=200)]
Version = Annotated[str, Field(max_length=64)]
Fingerprint = Annotated[str, Field(pattern=r"\A[0-9a-f]{16}\z")]

SAVED_VERDICTS: dict[Verdict, Literal["fits", "device_oom", "host_oom"]] = {
    Verdict.FITS: "fits",
    Verdict.DEVICE_OOM: "device_oom",
    Verdict.HOST_OOM: "host_oom",
}


class Origin(StrEnum):
    """Where a profile was found: in the user's own folder, or among those that come with autofit."""

    OWN = "own"
    SHIPPED = "shipped"


class _Bounded(Record):
    """A record that converts no types (`"12"` is not a number) and refuses NaN and infinity."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class SavedWorkload(_Bounded):
    """A workload without the path of a weights file: any file of weights takes the same memory."""

    backbone: Name
    image_size: tuple[Pixels, Pixels]
    num_classes: Count
    trainable: Literal["head", "all"]
    weights: Literal["imagenet", "preset", "none", "file"]
    hidden_units: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    optimizer: Name
    precision: Name
    cut: Name = ""
    segments: Annotated[int, Field(ge=0, le=1000)] = 0


class SavedTrial(_Bounded):
    """A trial whose result depends on memory; the fields are those of `Trial`."""

    batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH)]
    verdict: Literal["fits", "device_oom", "host_oom"]
    peak_bytes: Bytes = 0
    arena_resident_bytes: Bytes = 0
    spread_bytes: Bytes = 0
    non_allocator_bytes: Bytes = 0
    host_bytes: Bytes = 0
    step_seconds: Annotated[float, Field(ge=0, le=1e7)] = 0.0
    images_per_second: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    fresh: bool = False
    was_building: bool = False
    most_segments: Annotated[int, Field(ge=0, le=10**6)] = 0

    def as_trial(self) -> Trial:
        """The same as a `Trial`, marked as one of an earlier probe."""
        return Trial(**self.model_dump(exclude={"verdict"}), verdict=Verdict(self.verdict), saved=True)


class SavedMemoryModel(_Bounded):
    """The line through the trials, for people to read: a probe fits its own line."""

    base_bytes: Annotated[float, Field(ge=-MAX_BYTES, le=MAX_BYTES)]
    bytes_per_image: Annotated[float, Field(ge=0, le=MAX_BYTES)]
    max_relative_error: Annotated[float, Field(ge=0, le=1e6)]
    headroom_bytes: Annotated[float, Field(ge=0, le=MAX_BYTES)] = 0.0
    fragmentation: Annotated[float, Field(ge=0, le=1e3)] = 1.0


class ProfileEntry(_Bounded):
    """One finished probe.

    Attributes:
        limit_is_given: the user gave the limit; else it is the memory that the machine had free at that moment.
        max_batch: the largest size that the probe looked for, or the answer, if another reason than the limit bound it;
            if the answer equals it, larger sizes may fit.
        largest_feasible_batch: 0 if not even one image fits.
        measured_at: seconds since 1970, UTC.
        imported: whether it came with `autofit profiles import`, so that its answer counts only once it has run here.
    """

    workload: SavedWorkload
    memory_limit_bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)]
    limit_is_given: bool
    max_batch: Batch
    largest_feasible_batch: Batch
    recommended_batch: Batch
    non_allocator_bytes: Bytes
    baseline_rss_bytes: Bytes = 0
    memory_model: SavedMemoryModel | None
    trials: Annotated[list[SavedTrial], Field(max_length=MAX_TRIALS)]
    measured_at: Annotated[float, Field(ge=0, le=LAST_SECOND)]
    autofit_version: Version
    imported: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.recommended_batch <= self.largest_feasible_batch <= self.max_batch:
            raise ValueError("recommended_batch, largest_feasible_batch and max_batch do not rise in this order")
        return self


class SavedExtraction(_Bounded):
    """The fastest micro-batch size of the newest extraction with a frozen backbone.

    It depends on neither the weights nor the head nor the optimizer; the device is that of the profile.

    Attributes:
        micro_batch_size: the number of images that went through the backbone at once.
        peak_bytes: the peak memory of the allocator with this size; 0 if it has no statistics.
        measured_at: seconds since 1970, UTC.
    """

    backbone: Name
    image_size: tuple[Pixels, Pixels]
    precision: Name
    micro_batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH)]
    images_per_second: Annotated[float, Field(gt=0, le=1e9)]
    peak_bytes: Bytes = 0
    measured_at: Annotated[float, Field(ge=0, le=LAST_SECOND)]
    autofit_version: Version


class HardwareFacts(_Bounded):
    """The machine: every field of its fingerprint, and others for people to read."""

    device: Literal["cpu", "gpu"]
    device_name: Name
    device_memory_bytes: Bytes | None
    compute_capability: Version | None
    driver_version: Version | None
    cpu_model: Name
    cores: Annotated[int, Field(ge=1, le=2**16)]
    host_memory_bytes: Bytes
    host_limit_bytes: Bytes
    tensorflow_version: Version | None
    keras_version: Version | None
    python_version: Version

    def fingerprint(self) -> str:
        """The fingerprint of the machines with these facts."""
        return hardware.fingerprint(Hardware.model_construct(**self.model_dump()))


class MachineProfile(_Bounded):
    """All measurements of one machine: the content of its file.

    The fingerprint is checked against the facts, so that no file claims a machine that it does not describe. A
    change of `hardware.fingerprint` is therefore a change of this schema.

    `extractions`, `imported` of an entry, and `cut` and `segments` of a workload, were added without a new schema
    number: files without them are still read, and no released version refuses files with them. After the first release
    a new field needs a new number.
    """

    schema_: Literal["autofit/profile/2"] = Field(alias="schema")
    fingerprint: Fingerprint
    hardware: HardwareFacts
    entries: Annotated[list[ProfileEntry], Field(max_length=MAX_ENTRIES)]
    extractions: Annotated[list[SavedExtraction], Field(max_length=MAX_EXTRACTIONS)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _of_this_machine(self) -> Self:
        if self.fingerprint != self.hardware.fingerprint():
            raise ValueError("the fingerprint is not that of the hardware")
        return self


class ProfileSummary(Record):
    """One line of `autofit profiles list`. `entries` are probes; `newest` is the time of the newest of both."""

    fingerprint: str
    device_name: str
    entries: int
    extractions: int = 0
    newest: float | None
    origin: Origin


class ProfileList(Record):
    """The output of `autofit profiles list --json`."""

    schema_: Literal["autofit/profiles/1"] = Field("autofit/profiles/1", alias="schema")
    folder: str
    profiles: list[ProfileSummary]


def machine_profile(machine: Hardware, entries: list[ProfileEntry]) -> MachineProfile:
    """The profile of a machine.

    Raises:
        ValueError: a fact about the machine is out of bounds.
    """
    facts = HardwareFacts(**machine.model_dump(include=set(HardwareFacts.model_fields)))
    return MachineProfile(schema_=SCHEMA, fingerprint=facts.fingerprint(), hardware=facts, entries=entries)


def entry_of(report: ProbeReport, measured_at: float, *, limit_is_given: bool) -> ProfileEntry:
    """The entry to save for a finished probe.

    Raises:
        ValueError: a measured value is out of bounds.
    """
    return ProfileEntry(
        workload=saved_workload(report.workload),
        memory_limit_bytes=report.memory_limit_bytes,
        limit_is_given=limit_is_given,
        max_batch=_searched_to(report),
        largest_feasible_batch=report.largest_feasible_batch,
        recommended_batch=report.recommended_batch,
        non_allocator_bytes=report.non_allocator_bytes,
        baseline_rss_bytes=report.baseline_rss_bytes,
        memory_model=_saved_model(report),
        trials=_trials_to_save([trial for trial in report.trials if not _ran_out_beside(report, trial)]),
        measured_at=measured_at,
        autofit_version=_autofit_version(),
    )


def extraction_of(speed: ExtractionSpeed, workload: Workload, measured_at: float) -> SavedExtraction:
    """The record to save for a finished extraction.

    Raises:
        ValueError: a measured value is out of bounds.
    """
    return SavedExtraction(
        backbone=workload.backbone,
        image_size=workload.image_size,
        precision=workload.precision,
        **speed.model_dump(),
        measured_at=measured_at,
        autofit_version=_autofit_version(),
    )


def saved_workload(workload: Workload) -> SavedWorkload:
    """The workload without the path of a weights file."""
    weights = workload.weights if workload.weights in {"imagenet", "preset", "none"} else "file"
    return SavedWorkload(**{**workload.model_dump(), "weights": weights})


def _autofit_version() -> str:
    """The version that measured; empty if autofit runs from a folder and is not installed."""
    return hardware.installed_version("autofit-keras") or ""


def _searched_to(report: ProbeReport) -> int:
    """The size up to which the answer tells what the limit holds.

    Not beyond the answer, if a larger size was only too slow, if memory that is not the device's ran out, or if other
    processes took memory meanwhile.
    """
    largest, now = report.largest_feasible_batch, [trial for trial in report.trials if not trial.saved]
    was_another = any(trial.verdict is Verdict.TIMEOUT or _ran_out_beside(report, trial) for trial in now)
    if _is_on_cpu(report):  # there only a trial that ran out has what others took
        taken = max((trial.other_processes_bytes for trial in now), default=0)
    else:
        taken = others_grew_bytes(now)
    was_squeezed = taken > MUCH_TAKEN * report.memory_limit_bytes
    return largest if was_another or was_squeezed else max(report.max_batch, largest)


def _is_on_cpu(report: ProbeReport) -> bool:
    return report.hardware.get("device") == "cpu"


def _ran_out_beside(report: ProbeReport, trial: Trial) -> bool:
    """Whether the host's memory ran out beside a GPU, which says nothing about what the GPU holds."""
    return trial.verdict is Verdict.HOST_OOM and not _is_on_cpu(report)


def _saved_model(report: ProbeReport) -> SavedMemoryModel | None:
    if report.memory_model is None:
        return None
    return SavedMemoryModel(**report.memory_model.model_dump(), headroom_bytes=report.headroom_bytes)


def _trials_to_save(trials: list[Trial]) -> list[SavedTrial]:
    """The trials whose result depends on memory. A trial of an earlier probe is dropped if its size was run again.

    If that run only verified a size that was timed before, the speed stays.
    """
    informative = [trial for trial in trials if _is_about_memory(trial)]
    run_now = {trial.batch_size for trial in trials if not trial.saved}
    current = [trial for trial in informative if not trial.saved or trial.batch_size not in run_now]
    timed_before = {trial.batch_size: trial for trial in informative if trial.saved and trial.images_per_second > 0}
    return [_saved_trial(_with_speed(trial, timed_before)) for trial in current[-MAX_TRIALS:]]


def _with_speed(trial: Trial, timed_before: Mapping[int, Trial]) -> Trial:
    """The trial with the speed of an earlier one of its size, if it fits and was not timed now."""
    earlier = timed_before.get(trial.batch_size)
    if earlier is None or trial.verdict is not Verdict.FITS or trial.images_per_second > 0:
        return trial
    return trial.model_copy(
        update={"images_per_second": earlier.images_per_second, "step_seconds": earlier.step_seconds}
    )


def _is_about_memory(trial: Trial) -> bool:
    return trial.memory_bytes > 0 if trial.verdict is Verdict.FITS else trial.verdict in SAVED_VERDICTS


def _saved_trial(trial: Trial) -> SavedTrial:
    facts = trial.model_dump(include=set(SavedTrial.model_fields) - {"verdict"})
    return SavedTrial(**facts, verdict=SAVED_VERDICTS[trial.verdict])
