"""What a profile knows of one small size, so that a stage needs no trial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autofit.machine.hardware import Hardware
from autofit.probing.records import ProbeReport, Workload
from autofit.profiles.known import known_report, known_rung
from autofit.profiles.match import Limit, find_hint
from autofit.profiles.merge import with_imported
from autofit.profiles.records import MachineProfile, Origin, ProfileEntry
from autofit.protocol.messages import Trial

MakeEntry = Callable[..., ProfileEntry]
MakeProfile = Callable[..., MachineProfile]
MakeTrial = Callable[..., Trial]

GB = 10**9
SIZE = 32
ANSWER: dict[str, int] = {"max_batch": SIZE, "largest_feasible_batch": SIZE, "recommended_batch": SIZE}


def known(
    profiles: Any, machine: Hardware, workload: Workload, limit: int, *, given: bool = False
) -> ProbeReport | None:
    return known_report(profiles, machine, workload, Limit(limit, given), SIZE, "host memory")


@pytest.mark.parametrize(
    ("limit", "is_known"), [(8 * GB, True), (2 * GB, True), (int(1.12 * GB), False), (GB // 2, False)], ids=str
)
def test_a_size_that_ran_with_room_to_spare_is_known(
    cpu: Hardware,
    workload: Workload,
    make_entry: MakeEntry,
    make_profile: MakeProfile,
    make_trial: MakeTrial,
    limit: int,
    *,
    is_known: bool,
) -> None:
    """Each run would cost a trial, as free memory is never twice the same; or too large a size be believed."""
    entry = make_entry(trials=[make_trial(SIZE, fresh=True)], **ANSWER)  # 1.12 GB
    report = known([(make_profile(entry), Origin.OWN)], cpu, workload, limit)
    assert (report is not None) is is_known
    if report:
        assert report.largest_feasible_batch == SIZE
        assert report.source == "profile"
        assert report.trials[0].step_seconds > 0
        assert report.memory_limit_bytes == limit


def test_a_smaller_answer_is_known_under_the_same_limit_only(
    cpu: Hardware, workload: Workload, make_entry: MakeEntry, make_profile: MakeProfile, make_trial: MakeTrial
) -> None:
    """A machine with more memory than before would go on with the small size."""
    entry = make_entry(
        trials=[make_trial(8, fresh=True)],
        max_batch=SIZE,
        largest_feasible_batch=8,
        recommended_batch=8,
        memory_limit_bytes=GB,
        limit_is_given=True,
    )
    profiles = [(make_profile(entry), Origin.OWN)]
    same = known(profiles, cpu, workload, GB, given=True)
    assert same is not None
    assert same.largest_feasible_batch == 8
    assert known(profiles, cpu, workload, 2 * GB, given=True) is None


def test_only_this_machine_and_this_workload_are_known(
    cpu: Hardware, workload: Workload, make_entry: MakeEntry, make_profile: MakeProfile, make_trial: MakeTrial
) -> None:
    """What another cut takes, another machine, or a file from somebody else says, would be believed without a trial."""
    entry = make_entry(trials=[make_trial(SIZE, fresh=True)], **ANSWER)
    profile = make_profile(entry)
    assert known([(profile, Origin.OWN)], cpu, workload, 8 * GB)
    assert not known([(profile, Origin.SHIPPED)], cpu, workload, 8 * GB)
    assert not known([(profile, Origin.OWN)], cpu, workload.model_copy(update={"cut": "auto"}), 8 * GB)
    assert not known([(profile, Origin.OWN)], cpu.model_copy(update={"cores": 64}), workload, 8 * GB)


def test_what_was_imported_is_not_known_but_a_hint(
    cpu: Hardware, workload: Workload, make_entry: MakeEntry, make_profile: MakeProfile, make_trial: MakeTrial
) -> None:
    """A file from somebody else that claims to be of this machine would decide for it, and no trial contradict."""
    entry = make_entry(trials=[make_trial(SIZE, fresh=True)], memory_limit_bytes=8 * GB, limit_is_given=False, **ANSWER)
    profiles = [(with_imported(make_profile(), [entry]), Origin.OWN)]
    assert not known(profiles, cpu, workload, 8 * GB)
    assert known_rung(profiles, cpu, workload, Limit(8 * GB, is_given=False), SIZE) is None
    hint = find_hint(profiles, cpu, workload, 8 * GB, limit_is_given=False, max_batch=SIZE)
    assert hint is not None
    assert hint.expected_batch == SIZE
    assert hint.origin.startswith("an imported profile of ")


@pytest.mark.parametrize(("classes", "is_known"), [(12, True), (3, True), (10_000, False)])
def test_a_head_of_many_more_classes_is_not_known(
    cpu: Hardware,
    workload: Workload,
    make_entry: MakeEntry,
    make_profile: MakeProfile,
    make_trial: MakeTrial,
    classes: int,
    *,
    is_known: bool,
) -> None:
    """The measurement of ten classes would answer for ten thousand, whose head takes as much as all the rest."""
    entry = make_entry(trials=[make_trial(SIZE, fresh=True)], num_classes=10, **ANSWER)  # 1.12 GB
    asked = workload.model_copy(update={"num_classes": classes})
    assert (known([(make_profile(entry), Origin.OWN)], cpu, asked, 2 * GB) is not None) is is_known


def test_an_answer_that_memory_bound_is_one_for_about_as_many_classes(
    cpu: Hardware, workload: Workload, make_entry: MakeEntry, make_profile: MakeProfile, make_trial: MakeTrial
) -> None:
    """A few images at once would be believed to fit beside a head of gigabytes, or all that fit without one."""
    answer = {"max_batch": SIZE, "largest_feasible_batch": 8, "recommended_batch": 8}
    limit: dict[str, Any] = {"memory_limit_bytes": GB, "limit_is_given": True}
    entry = make_entry(trials=[make_trial(8, fresh=True)], num_classes=10_000, **answer, **limit)
    own = [(make_profile(entry), Origin.OWN)]
    for classes, is_known in [(10_000, True), (10_020, True), (10, False), (20_000, False)]:
        asked = workload.model_copy(update={"num_classes": classes})
        assert (known(own, cpu, asked, GB, given=True) is not None) is is_known


def test_a_size_that_ran_beside_others_is_not_known(
    cpu: Hardware, workload: Workload, make_entry: MakeEntry, make_profile: MakeProfile, make_trial: MakeTrial
) -> None:
    """Memory that an earlier trial had touched would count as free."""
    entry = make_entry(trials=[make_trial(SIZE, fresh=False)], **ANSWER)
    assert not known([(make_profile(entry), Origin.OWN)], cpu, workload, 8 * GB)


def test_a_rung_on_which_nothing_fits_is_known_under_that_limit_only(
    cpu: Hardware, workload: Workload, make_entry: MakeEntry, make_profile: MakeProfile
) -> None:
    """Each run would try again what does not fit; or never again, though memory was freed or another machine has it."""
    nothing = {"max_batch": SIZE, "largest_feasible_batch": 0, "recommended_batch": 0, "limit_is_given": True}
    profile = make_profile(make_entry(trials=[], memory_limit_bytes=GB, **nothing))
    own = [(profile, Origin.OWN)]
    found = known_rung(own, cpu, workload, Limit(GB, is_given=True), SIZE)
    assert found is not None
    assert (found.largest_feasible_batch, found.rung.segments, found.saved) == (0, 0, True)
    assert known_rung(own, cpu, workload, Limit(2 * GB, is_given=True), SIZE) is None
    assert known_rung([(profile, Origin.SHIPPED)], cpu, workload, Limit(GB, is_given=True), SIZE) is None
    assert known_rung(own, cpu.model_copy(update={"cores": 64}), workload, Limit(GB, is_given=True), SIZE) is None
    in_segments = workload.model_copy(update={"segments": 4})
    assert known_rung(own, cpu, in_segments, Limit(GB, is_given=True), SIZE) is None


def test_what_is_known_of_a_rung_is_what_its_probe_found(
    cpu: Hardware, workload: Workload, make_entry: MakeEntry, make_profile: MakeProfile, make_trial: MakeTrial
) -> None:
    """The rung would be chosen by other figures than it had when it was measured."""
    trial = make_trial(SIZE, fresh=True)
    own = [(make_profile(make_entry(trials=[trial], memory_limit_bytes=GB, limit_is_given=True, **ANSWER)), Origin.OWN)]
    found = known_rung(own, cpu, workload, Limit(GB, is_given=True), SIZE)
    assert found is not None
    assert found.largest_feasible_batch == found.recommended_batch == SIZE
    assert found.images_per_second == trial.images_per_second
