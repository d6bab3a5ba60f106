"""Tests of the selection of the saved entry that matches a planned probe or extraction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autofit.machine.hardware import Hardware
from autofit.probing.hint import ProfileHint
from autofit.probing.records import ProbeReport, Workload
from autofit.profiles.match import find_extraction, find_hint
from autofit.profiles.records import MachineProfile, Origin, ProfileEntry, SavedExtraction
from autofit.protocol.messages import Trial, Verdict

MakeEntry = Callable[..., ProfileEntry]
MakeProfile = Callable[..., MachineProfile]
MakeTrial = Callable[..., Trial]
Profiles = list[tuple[MachineProfile, Origin]]
FindHint = Callable[..., ProfileHint | None]
GB = 10**9
DAY = 24 * 3600.0


@pytest.fixture
def ask(cpu: Hardware, workload: Workload) -> FindHint:
    """Find a hint for the probe of `make_report`, with the given changes."""

    def _ask(profiles: Profiles | MachineProfile, machine: Hardware = cpu, **changes: Any) -> ProfileHint | None:
        found = [(profiles, Origin.OWN)] if isinstance(profiles, MachineProfile) else profiles
        limit_bytes = changes.pop("limit_bytes", 3 * GB)
        limit_is_given = changes.pop("limit_is_given", True)
        max_batch = changes.pop("max_batch", 4096)
        asked = workload.model_copy(update=changes)
        return find_hint(found, machine, asked, limit_bytes, limit_is_given=limit_is_given, max_batch=max_batch)

    return _ask


def test_an_exact_match_names_the_answer(ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile) -> None:
    """A known machine would be probed from nothing."""
    hint = ask(make_profile(make_entry()))
    assert hint is not None
    assert hint.expected_batch == 200
    assert hint.non_allocator_bytes == 6 * 10**8
    assert hint.origin == "your profile of 24 November 2026"
    assert [(trial.batch_size, trial.verdict) for trial in hint.trials] == [
        (32, Verdict.FITS),
        (128, Verdict.FITS),
        (256, Verdict.DEVICE_OOM),
        (200, Verdict.FITS),
    ]
    assert all(trial.saved for trial in hint.trials)


def test_a_near_match_gives_points_and_no_answer(
    ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile
) -> None:
    """Under another limit the old answer is wrong, and a size that failed then may fit now."""
    hint = ask(make_profile(make_entry()), limit_bytes=4 * GB)
    assert hint is not None
    assert hint.expected_batch == 0
    assert [trial.batch_size for trial in hint.trials] == [32, 128, 200]
    assert {trial.verdict for trial in hint.trials} == {Verdict.FITS}


EXACT, NEAR, NONE = "exact", "near", "none"


def kind_of(hint: ProfileHint | None) -> str:
    """The kind of a hint: exact, near or none."""
    if hint is None:
        return NONE
    return EXACT if hint.expected_batch else NEAR


ASKED = [
    ({"limit_bytes": round(3.02 * GB)}, EXACT),
    ({"limit_bytes": round(2.98 * GB)}, EXACT),
    ({"limit_bytes": round(3.1 * GB)}, NEAR),
    ({"weights": "/data/weights.h5"}, EXACT),
    ({"dropout": 0.5}, EXACT),
    ({"num_classes": 6}, NEAR),
    ({"dropout": 0.0}, NONE),
    ({"backbone": "ResNet50"}, NONE),
    ({"image_size": (160, 161)}, NONE),
    ({"trainable": "all"}, NONE),
    ({"hidden_units": 1}, NONE),
    ({"optimizer": "sgd"}, NONE),
    ({"precision": "mixed_float16"}, NONE),
]


@pytest.mark.parametrize(("changes", "expected"), ASKED, ids=str)
def test_which_workloads_and_limits_match(
    ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile, changes: dict[str, Any], expected: str
) -> None:
    """The memory line of one network would be used for another, or a known one would not be recognised."""
    assert kind_of(ask(make_profile(make_entry()), **changes)) == expected


def test_training_batch_normalization_is_another_workload(
    ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile
) -> None:
    """From scratch every BatchNormalization keeps more for the backward pass than with frozen statistics."""
    fine_tuned = make_profile(make_entry(trainable="all", weights="imagenet"))
    assert kind_of(ask(fine_tuned, trainable="all", weights="/data/w.h5")) == EXACT
    assert kind_of(ask(fine_tuned, trainable="all", weights="none")) == NONE


MACHINES = [
    ("cpu", {}, EXACT),
    ("cpu", {"python_version": "3.12.0", "host_available_bytes": 1}, EXACT),
    ("cpu", {"tensorflow_version": "2.21.0"}, NEAR),
    ("cpu", {"host_limit_bytes": 24 * 2**30}, NEAR),
    ("cpu", {"cores": 4}, NONE),
    ("cpu", {"cpu_model": "Another CPU"}, NONE),
    ("gpu", {}, EXACT),
    ("gpu", {"device_memory_bytes": 15 * 2**30 - 2**20}, EXACT),
    ("gpu", {"driver_version": "999.0"}, NEAR),
    ("gpu", {"cpu_model": "Another CPU", "cores": 96}, NEAR),
    ("gpu", {"device_memory_bytes": 16 * 2**30}, NONE),
    ("gpu", {"device_name": "Tesla V100"}, NONE),
    ("gpu", {"compute_capability": "8.0"}, NONE),
]


@pytest.mark.parametrize(("device", "changes", "expected"), MACHINES, ids=str)
def test_which_machines_match(
    ask: FindHint,
    make_entry: MakeEntry,
    make_profile: MakeProfile,
    request: pytest.FixtureRequest,
    device: str,
    changes: dict[str, Any],
    expected: str,
) -> None:
    """A new driver would cost a whole probe, or another GPU's memory would be taken for this one's."""
    machine: Hardware = request.getfixturevalue(device)
    profile = make_profile(make_entry(), machine=machine)
    assert kind_of(ask(profile, machine.model_copy(update=changes))) == expected


def test_a_cpu_says_nothing_of_a_gpu_beside_it(
    ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile, gpu: Hardware
) -> None:
    """Resident memory would be taken for device memory."""
    assert ask(make_profile(make_entry()), gpu) is None


@pytest.mark.parametrize(
    ("saved_is_given", "planned_is_given", "expected"),
    [(False, False, EXACT), (True, False, NEAR), (False, True, NEAR), (True, True, NEAR)],
)
def test_free_memory_may_differ_more(
    *,
    ask: FindHint,
    make_entry: MakeEntry,
    make_profile: MakeProfile,
    saved_is_given: bool,
    planned_is_given: bool,
    expected: str,
) -> None:
    """The free memory of a machine is never twice the same: no profile without a limit would ever match."""
    profile = make_profile(make_entry(limit_is_given=saved_is_given))
    assert kind_of(ask(profile, limit_bytes=round(3.12 * GB), limit_is_given=planned_is_given)) == expected


def test_an_answer_holds_only_up_to_its_max_batch(
    ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile
) -> None:
    """A training on few images would cap the batch of every later one."""
    capped = make_profile(make_entry(max_batch=200))
    assert kind_of(ask(capped, max_batch=200)) == EXACT
    assert kind_of(ask(capped, max_batch=201)) == NEAR
    assert kind_of(ask(make_profile(make_entry(max_batch=201)), max_batch=4096)) == EXACT


def test_no_size_above_max_batch_is_expected(ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile) -> None:
    """A trial would run a size that the training cannot use."""
    hint = ask(make_profile(make_entry()), max_batch=64)
    assert hint is not None
    assert hint.expected_batch == 64


def test_a_users_own_network_is_never_matched(ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile) -> None:
    """`my.module:network` is another network after every edit."""
    assert ask(make_profile(make_entry(backbone="my.module:network")), backbone="my.module:network") is None


def test_nothing_fits_is_no_hint(ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile) -> None:
    """A machine whose memory was full once would never be probed again."""
    nothing = make_entry(largest_feasible_batch=0, recommended_batch=0)
    assert ask(make_profile(nothing)) is None
    assert ask(make_profile(nothing), limit_bytes=8 * GB) is None


def test_one_size_is_no_line(
    ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile, make_trial: MakeTrial
) -> None:
    """A line through one point says nothing of another size, yet the answer of an exact match can be verified."""
    profile = make_profile(make_entry(trials=[make_trial(200), make_trial(200, fresh=True)]))
    assert kind_of(ask(profile)) == EXACT
    assert ask(profile, limit_bytes=4 * GB) is None


def test_the_best_of_several(ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile) -> None:
    """An untrusted or old figure would be verified although there is a better one."""
    shipped = (make_profile(make_entry(largest_feasible_batch=201)), Origin.SHIPPED)
    near = make_profile(make_entry(largest_feasible_batch=202, memory_limit_bytes=4 * GB))
    old = make_profile(make_entry(largest_feasible_batch=203))
    new = make_profile(make_entry(largest_feasible_batch=204, measured_at=1_795_478_400.0 + DAY))
    off = make_profile(make_entry(memory_limit_bytes=3 * GB + GB // 100, measured_at=1_795_478_400.0 + 2 * DAY))

    def answer(*profiles: MachineProfile) -> int:
        hint = ask([*((profile, Origin.OWN) for profile in profiles), shipped])
        return hint.expected_batch if hint else 0

    assert answer(near) == 201
    assert answer(near, old) == 203
    assert answer(near, old, new) == 204
    assert answer(off, old) == 203


def test_near_matches_are_ranked_too(ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile) -> None:
    """The points nearest to the limit make the best line; those of the user's own machine come before others."""
    far = make_profile(make_entry(memory_limit_bytes=2 * GB, non_allocator_bytes=2))
    near = make_profile(make_entry(memory_limit_bytes=5 * GB, non_allocator_bytes=5))
    shipped = (make_profile(make_entry(memory_limit_bytes=6 * GB, non_allocator_bytes=6)), Origin.SHIPPED)
    hint = ask([(far, Origin.OWN), (near, Origin.OWN), shipped], limit_bytes=6 * GB, num_classes=7)
    assert hint is not None
    assert hint.non_allocator_bytes == 5
    hint = ask([shipped], limit_bytes=6 * GB)
    assert hint is not None
    assert hint.origin == "a profile that comes with autofit"


def test_strange_workloads_are_no_error(
    ask: FindHint, make_entry: MakeEntry, make_profile: MakeProfile, make_report: Callable[..., ProbeReport]
) -> None:
    """A workload that could not be saved would end a probe before it began."""
    assert make_report(optimizer="x" * 999).workload.optimizer == "x" * 999
    assert ask(make_profile(make_entry()), optimizer="x" * 999) is None
    assert ask([]) is None


# Extractions ----------------------------------------------------------------------------------------------------------

MakeExtraction = Callable[..., SavedExtraction]

SAME_EXTRACTION = [
    ({}, True),
    ({"weights": "/data/weights.h5"}, True),
    ({"num_classes": 9, "hidden_units": 4, "dropout": 0.0, "optimizer": "sgd"}, True),
    ({"backbone": "ResNet50"}, False),
    ({"image_size": (160, 161)}, False),
    ({"precision": "mixed_float16"}, False),
]


@pytest.mark.parametrize(("changes", "found"), SAME_EXTRACTION, ids=str)
def test_which_extractions_match(
    *,
    make_profile: MakeProfile,
    make_extraction: MakeExtraction,
    cpu: Hardware,
    workload: Workload,
    changes: dict[str, Any],
    found: bool,
) -> None:
    """A network would start with the size of another, or a known one from nothing because its head is new."""
    saved = make_extraction()
    asked = workload.model_copy(update=changes)
    profiles = [(make_profile(extractions=[saved]), Origin.OWN)]
    assert find_extraction(profiles, cpu, asked) == (saved if found else None)


@pytest.mark.parametrize(("device", "changes", "expected"), MACHINES, ids=str)
def test_an_extraction_is_known_on_the_same_device(
    make_profile: MakeProfile,
    make_extraction: MakeExtraction,
    workload: Workload,
    request: pytest.FixtureRequest,
    device: str,
    changes: dict[str, Any],
    expected: str,
) -> None:
    """A new driver would make a known machine unknown, or another GPU's size be taken for this one's."""
    machine: Hardware = request.getfixturevalue(device)
    profiles = [(make_profile(machine=machine, extractions=[make_extraction()]), Origin.OWN)]
    found = find_extraction(profiles, machine.model_copy(update=changes), workload)
    assert (found is not None) == (expected != NONE)


def test_the_best_of_several_extractions(
    make_profile: MakeProfile, make_extraction: MakeExtraction, cpu: Hardware, workload: Workload
) -> None:
    """An untrusted size, or that of another version, would be the first although this machine's own is known."""
    own = make_profile(extractions=[make_extraction(1, measured_at=5.0), make_extraction(2, measured_at=6.0)])
    shipped = (make_profile(extractions=[make_extraction(3, measured_at=9.0)]), Origin.SHIPPED)
    near = make_profile(tensorflow_version="2.21.0", extractions=[make_extraction(4, measured_at=8.0)])

    def size(*profiles: tuple[MachineProfile, Origin]) -> int:
        found = find_extraction(profiles, cpu, workload)
        return found.micro_batch_size if found else 0

    assert size((near, Origin.OWN), shipped, (own, Origin.OWN)) == 2
    assert size((near, Origin.OWN), shipped) == 3
    assert size((near, Origin.OWN)) == 4
    assert size((make_profile(), Origin.OWN)) == 0


def test_an_extraction_of_a_users_own_network_is_never_matched(
    make_profile: MakeProfile, make_extraction: MakeExtraction, cpu: Hardware, workload: Workload
) -> None:
    """`my.module:network` is another network after every edit."""
    asked = workload.model_copy(update={"backbone": "my.module:network"})
    profiles = [(make_profile(extractions=[make_extraction(backbone="my.module:network")]), Origin.OWN)]
    assert find_extraction(profiles, cpu, asked) is None
