"""Tests of the records of a profile: which fields are saved, and which values are refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

import autofit
from autofit.machine.hardware import Hardware, fingerprint
from autofit.probing.records import ProbeReport, Workload
from autofit.profiles.reading import MAX_PROFILE_BYTES, RefusedProfileError, parse_profile
from autofit.profiles.records import (
    MAX_BATCH,
    MAX_BYTES,
    MAX_EXTRACTIONS,
    MachineProfile,
    ProfileEntry,
    SavedExtraction,
    entry_of,
    extraction_of,
)
from autofit.protocol.messages import Trial, Verdict

MakeReport = Callable[..., ProbeReport]
MakeEntry = Callable[..., ProfileEntry]
MakeProfile = Callable[..., MachineProfile]
MakeTrial = Callable[..., Trial]
MakeExtraction = Callable[..., SavedExtraction]


def test_a_profile_comes_back_as_it_was_saved(
    make_entry: MakeEntry, make_profile: MakeProfile, make_extraction: MakeExtraction
) -> None:
    """A profile that autofit writes and then refuses to read would be set aside at the next probe."""
    nothing_fits = make_entry(largest_feasible_batch=0, recommended_batch=0, trials=[], memory_model=None)
    profile = make_profile(make_entry(), nothing_fits, extractions=[make_extraction(), make_extraction(peak_bytes=0)])
    assert parse_profile(profile.to_json().encode()) == profile


def test_a_profile_from_before_there_were_extractions_is_read(make_entry: MakeEntry, make_profile: MakeProfile) -> None:
    """All measurements so far would be set aside."""
    profile = make_profile(make_entry())
    content = json.loads(profile.to_json())
    del content["extractions"]
    assert parse_profile(json.dumps(content).encode()) == profile


def test_only_the_fields_that_an_extraction_depends_on_are_saved(
    make_extraction: MakeExtraction, workload: Workload
) -> None:
    """The path of a file of weights would go out with an export, or a new head make the machine unknown."""
    other = {"weights": "/home/ada/weights.h5", "num_classes": 9, "hidden_units": 7, "optimizer": "sgd", "dropout": 0.0}
    assert make_extraction(**other) == make_extraction()
    facts = make_extraction().model_dump(include={"backbone", "image_size", "precision"})
    assert facts == workload.model_dump(include=set(facts))


@pytest.mark.parametrize("rate", [math.nan, math.inf, 0.0, -1.0, 1e300])
def test_an_absurd_speed_is_not_saved(make_speed: Callable[..., Any], workload: Workload, rate: float) -> None:
    """A file would be written that the next run sets aside."""
    with pytest.raises(ValueError, match="images_per_second"):
        extraction_of(make_speed(images_per_second=rate), workload, 1.0)


def test_a_gpu_comes_back_too(make_profile: MakeProfile, gpu: Hardware) -> None:
    """The fingerprint of a GPU's facts would differ from the machine's, so that no profile of it could be read."""
    profile = make_profile(machine=gpu)
    assert profile.fingerprint == fingerprint(gpu)
    assert parse_profile(profile.to_json().encode()) == profile


def test_a_saved_trial_has_its_measurements(make_entry: MakeEntry, make_trial: MakeTrial) -> None:
    """A size would be taken for one that was run now, or would have the memory of another."""
    measured = make_trial(64, arena_resident_bytes=9 * 10**8, spread_bytes=3, host_bytes=2 * 10**9, fresh=True)
    (saved,) = make_entry(trials=[measured]).trials
    assert saved.as_trial() == measured.model_copy(update={"saved": True})
    assert saved.as_trial().memory_bytes == measured.memory_bytes > 0


def test_only_trials_that_say_something_about_memory_are_saved(make_entry: MakeEntry, make_trial: MakeTrial) -> None:
    """A trial that was too slow, or whose memory was not measured, would bend the line."""
    trials = [
        make_trial(4),
        make_trial(8, peak_bytes=0, non_allocator_bytes=0),
        make_trial(512, Verdict.TIMEOUT),
        make_trial(256, Verdict.DEVICE_OOM),
        make_trial(128, Verdict.HOST_OOM, peak_bytes=0),
    ]
    saved = make_entry(trials=trials, hardware={"device": "cpu"}).trials
    assert [trial.batch_size for trial in saved] == [4, 256, 128]


def test_a_new_trial_replaces_the_saved_one_of_its_size(make_entry: MakeEntry, make_trial: MakeTrial) -> None:
    """A size that no longer fits would still count as fitting, and each verified probe would lengthen the list."""
    trials = [
        make_trial(32, saved=True),
        make_trial(200, saved=True),
        make_trial(200, Verdict.DEVICE_OOM),
        make_trial(180, Verdict.TIMEOUT),
        make_trial(180, saved=True),
    ]
    saved = make_entry(trials=trials).trials
    assert [(trial.batch_size, trial.verdict) for trial in saved] == [(32, "fits"), (200, "device_oom")]


def test_a_size_that_was_only_verified_keeps_its_speed(make_entry: MakeEntry, make_trial: MakeTrial) -> None:
    """The fastest size of a profile would have no speed after it was confirmed, and a slower one be recommended."""
    untimed = {"images_per_second": 0.0}
    trials = [make_trial(200, saved=True, images_per_second=90.0), make_trial(200, **untimed), make_trial(8, **untimed)]
    saved = make_entry(trials=trials).trials
    assert [(trial.batch_size, trial.images_per_second) for trial in saved] == [(200, 90.0), (8, 0.0)]


def test_no_more_than_64_trials_are_saved(make_entry: MakeEntry, make_trial: MakeTrial) -> None:
    """A profile that grows with every probe would become too large to be read."""
    saved = make_entry(trials=[make_trial(size) for size in range(1, 101)]).trials
    assert [trial.batch_size for trial in saved] == list(range(37, 101))


def test_no_path_of_the_user_is_saved(make_report: MakeReport, make_trial: MakeTrial) -> None:
    """An exported profile would reveal the names of the user's folders."""
    trials = [make_trial(8, Verdict.DEVICE_OOM, cause="in /home/ada/secret.py")]
    report = make_report(weights="/home/ada/weights.h5", trials=trials, limited_by="/home/ada")
    entry = entry_of(report, 1.0, limit_is_given=False)
    assert "/home" not in entry.to_json()
    assert entry.workload.weights == "file"


@pytest.mark.parametrize("largest", [0, 32])
def test_a_size_that_took_too_long_is_no_limit_of_memory(
    make_report: MakeReport, make_trial: MakeTrial, largest: int
) -> None:
    """A machine that swapped once would be said to hold no more for ever, also when it has its memory again."""
    fits = [make_trial(size) for size in (8, largest) if largest]
    slow = make_trial(max(2 * largest, 1), Verdict.TIMEOUT)
    sizes = {"max_batch": 4096, "largest_feasible_batch": largest, "recommended_batch": largest}
    entry = entry_of(make_report(trials=[*fits, slow], **sizes), 1.0, limit_is_given=True)
    assert (entry.largest_feasible_batch, entry.max_batch) == (largest, largest)
    assert entry_of(make_report(trials=fits, **sizes), 1.0, limit_is_given=True).max_batch == 4096


@pytest.mark.parametrize(("held", "is_limit"), [((0, 0), True), ((10**9, 10**9), True), ((0, 10**9), False)], ids=str)
def test_what_another_program_has_left_is_no_answer_for_the_whole(
    make_report: MakeReport, make_trial: MakeTrial, held: tuple[int, int], *, is_limit: bool
) -> None:
    """A neighbour that came during one probe of a GPU would cost every later training its share."""
    trials = [make_trial(size, other_processes_bytes=bytes_) for size, bytes_ in zip((8, 200), held, strict=True)]
    entry = entry_of(make_report(trials=trials), 1.0, limit_is_given=False)
    assert (entry.max_batch > entry.largest_feasible_batch) is is_limit


@pytest.mark.parametrize(("taken", "is_limit"), [((0, 0), True), ((0, 10**9), False), ((10**9, 0), False)], ids=str)
def test_what_another_program_has_left_of_the_host_is_no_answer_either(
    make_report: MakeReport, make_trial: MakeTrial, taken: tuple[int, int], *, is_limit: bool
) -> None:
    """A neighbour that took the host's memory during one probe on a CPU would cost every later training its share."""
    first, second = taken
    ran_out = make_trial(400, Verdict.HOST_OOM, other_processes_bytes=first)
    trials = [ran_out, make_trial(200), make_trial(300, Verdict.HOST_OOM, other_processes_bytes=second)]
    entry = entry_of(make_report(trials=trials, hardware={"device": "cpu"}), 1.0, limit_is_given=False)
    assert (entry.max_batch > entry.largest_feasible_batch) is is_limit


@pytest.mark.parametrize(("device", "is_limit"), [("cpu", True), ("gpu", False)])
def test_what_the_host_lacked_is_not_what_a_gpu_holds(
    make_report: MakeReport, make_trial: MakeTrial, device: str, *, is_limit: bool
) -> None:
    """A session with little RAM would make every later training on its GPU small."""
    trials = [make_trial(200), make_trial(400, Verdict.HOST_OOM)]
    entry = entry_of(make_report(trials=trials, hardware={"device": device}), 1.0, limit_is_given=False)
    assert (entry.max_batch > entry.largest_feasible_batch) is is_limit
    assert ([trial.verdict for trial in entry.trials] == ["fits", "host_oom"]) is is_limit


def test_an_entry_has_the_version_that_measured(make_entry: MakeEntry, make_extraction: MakeExtraction) -> None:
    """Measurements of a version that turns out to measure wrongly could not be told from those of another."""
    assert make_entry().autofit_version == make_extraction(32).autofit_version == autofit.__version__


def test_a_report_without_max_batch_is_saved_with_its_answer(make_entry: MakeEntry) -> None:
    """An answer would be taken for the most that fits, though nothing larger was asked for."""
    assert make_entry(max_batch=0).max_batch == 200


def test_the_saved_workload_has_every_field(make_entry: MakeEntry, workload: Workload) -> None:
    """A new field of a workload would not be saved, and another workload would be taken for the same."""
    assert make_entry().workload.model_dump() == workload.model_dump()


def changed(profile: MachineProfile, path: str, value: Any) -> bytes:
    """The profile's JSON with another value at a path such as `entries.0.max_batch`."""
    content: Any = json.loads(profile.to_json())
    *way, last = path.split(".")
    place = content
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    place[last] = value
    return json.dumps(content).encode()


OUT_OF_BOUNDS = {
    "fingerprint": "../../../../etc",
    "hardware.cores": 0,
    "hardware.cpu_model": "x" * 201,
    "hardware.host_memory_bytes": MAX_BYTES + 1,
    "hardware.device": "tpu",
    "entries.0.max_batch": MAX_BATCH + 1,
    "entries.0.largest_feasible_batch": -1,
    "entries.0.memory_limit_bytes": 0,
    "entries.0.limit_is_given": 1,
    "entries.0.non_allocator_bytes": 1.5,
    "entries.0.recommended_batch": "32",
    "entries.0.measured_at": math.nan,
    "entries.0.autofit_version": "9" * 65,
    "entries.0.workload.image_size": [160, 2**15],
    "entries.0.workload.dropout": 1.0,
    "entries.0.workload.weights": "/etc/passwd",
    "entries.0.workload.backbone": None,
    "entries.0.memory_model.bytes_per_image": math.inf,
    "entries.0.memory_model.base_bytes": -1e300,
    "entries.0.trials.0.batch_size": 0,
    "entries.0.trials.0.verdict": "completed",
    "entries.0.trials.0.images_per_second": 1e300,
    "entries.0.trials.0.peak_bytes": True,
    "entries.0.trials.0.cause": "rm -rf",
    "entries.0.trials": [{"batch_size": 1, "verdict": "fits"}] * 65,
    "entries": {},
    "extractions": None,
    "extractions.0.backbone": "x" * 201,
    "extractions.0.image_size": [0, 160],
    "extractions.0.precision": ["float32"],
    "extractions.0.micro_batch_size": 0,
    "extractions.0.images_per_second": math.inf,
    "extractions.0.peak_bytes": MAX_BYTES + 1,
    "extractions.0.measured_at": -1.0,
    "extractions.0.weights": "/etc/passwd",
}


@pytest.mark.parametrize(("path", "value"), OUT_OF_BOUNDS.items(), ids=OUT_OF_BOUNDS)
def test_a_value_out_of_bounds_is_refused(
    make_entry: MakeEntry, make_profile: MakeProfile, make_extraction: MakeExtraction, path: str, value: Any
) -> None:
    """An untrusted figure would reach the arithmetic of the search, or an untrusted text a path."""
    with pytest.raises(RefusedProfileError) as caught:
        parse_profile(changed(make_profile(make_entry(), extractions=[make_extraction()]), path, value))
    assert path.rpartition(".")[2] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_many_extractions_are_refused(make_profile: MakeProfile, make_extraction: MakeExtraction) -> None:
    """A file could hold any number of them."""
    profile = make_profile(extractions=[make_extraction()] * (MAX_EXTRACTIONS + 1))
    with pytest.raises(RefusedProfileError, match="extractions: List should have at most"):
        parse_profile(profile.to_json().encode())


def test_the_fingerprint_must_be_that_of_the_described_machine(
    make_entry: MakeEntry, make_profile: MakeProfile
) -> None:
    """A file could claim to be of any machine whose fingerprint is known."""
    with pytest.raises(RefusedProfileError, match="the fingerprint is not that of the hardware"):
        parse_profile(changed(make_profile(make_entry()), "hardware.cores", 96))


def test_an_answer_above_max_batch_is_refused(make_entry: MakeEntry, make_profile: MakeProfile) -> None:
    """An answer that contradicts itself would be verified at a size above `max_batch`."""
    with pytest.raises(RefusedProfileError, match="do not rise in this order"):
        parse_profile(changed(make_profile(make_entry()), "entries.0.largest_feasible_batch", 5000))


def test_a_reason_is_short_and_shows_nothing_raw(make_entry: MakeEntry, make_profile: MakeProfile) -> None:
    """A field name of a megabyte, with escapes in it, would flood or control the terminal that shows it."""
    profile = changed(make_profile(make_entry()), "entries.0.\x1b[2J" + "a" * (MAX_PROFILE_BYTES // 4), 1)
    with pytest.raises(RefusedProfileError) as caught:
        parse_profile(profile)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()
