"""Tests of the store: a file for each machine, never half written, shared by processes, and no probe is lost."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from autofit.machine.hardware import Hardware, fingerprint
from autofit.probing.records import ProbeReport, Workload
from autofit.profiles import store as store_module
from autofit.profiles.merge import to_bytes, with_extracted, with_measured
from autofit.profiles.reading import MAX_PROFILE_BYTES, parse_profile, read_profile
from autofit.profiles.records import MAX_ENTRIES, MAX_EXTRACTIONS, MachineProfile, Origin, ProfileEntry, SavedExtraction
from autofit.profiles.store import NoProfiles, ProfileStore, default_folder, shipped_folder
from autofit.protocol.job import ExtractionSpeed
from autofit.protocol.messages import Trial
from autofit.storage.locks import Lock, open_lock_file, try_lock
from tests.support.paths import CHILDREN, child_environment

SAVER = CHILDREN / "profile_saver.py"
MakeReport = Callable[..., ProbeReport]
MakeEntry = Callable[..., ProfileEntry]
MakeProfile = Callable[..., MachineProfile]
MakeTrial = Callable[..., Trial]
MakeSpeed = Callable[..., ExtractionSpeed]
MakeExtraction = Callable[..., SavedExtraction]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def classes(store: ProfileStore) -> list[int]:
    """The numbers of classes in the entries of the only profile."""
    ((profile, _),) = store.load()
    return [entry.workload.num_classes for entry in profile.entries]


def test_a_saved_probe_is_found_again(
    store: ProfileStore, make_report: MakeReport, make_entry: MakeEntry, cpu: Hardware, warnings: list[str]
) -> None:
    """Every probe would be the first."""
    assert store.load() == []
    store.save(make_report(), cpu, 7.0, limit_is_given=True)
    ((profile, origin),) = store.load()
    assert origin is Origin.OWN
    assert profile.fingerprint == fingerprint(cpu)
    assert profile.entries == [make_entry(measured_at=7.0)]
    assert names(store.folder) == [".lock", f"{fingerprint(cpu)}.json"]
    assert warnings == []


def extractions(store: ProfileStore) -> list[SavedExtraction]:
    """The extractions of the only profile."""
    ((profile, _),) = store.load()
    return profile.extractions


def test_a_saved_extraction_is_found_again(
    store: ProfileStore,
    make_speed: MakeSpeed,
    make_extraction: MakeExtraction,
    workload: Workload,
    cpu: Hardware,
    warnings: list[str],
) -> None:
    """Every extraction would be the first."""
    store.save_extraction(make_speed(), workload, cpu, 7.0)
    assert extractions(store) == [make_extraction(measured_at=7.0)]
    assert names(store.folder) == [".lock", f"{fingerprint(cpu)}.json"]
    assert warnings == []


def test_probes_and_extractions_do_not_push_each_other_out(
    store: ProfileStore, make_report: MakeReport, make_speed: MakeSpeed, workload: Workload, cpu: Hardware
) -> None:
    """A training would remove the probe before it, or the next probe would remove the training."""
    store.save(make_report(), cpu, 7.0, limit_is_given=True)
    store.save_extraction(make_speed(), workload, cpu, 8.0)
    store.save(make_report(num_classes=6), cpu, 9.0, limit_is_given=True)
    assert classes(store) == [6, 5]
    assert len(extractions(store)) == 1


def test_a_later_extraction_replaces_an_earlier_one(
    store: ProfileStore, make_speed: MakeSpeed, workload: Workload, cpu: Hardware
) -> None:
    """The file would grow with every run, and an old speed would count as much as a new one."""
    store.save_extraction(make_speed(32), workload, cpu, 7.0)
    store.save_extraction(make_speed(64), workload.model_copy(update={"image_size": (96, 96)}), cpu, 8.0)
    store.save_extraction(make_speed(16), workload.model_copy(update={"num_classes": 99}), cpu, 9.0)
    assert [(one.image_size[0], one.micro_batch_size) for one in extractions(store)] == [(160, 16), (96, 64)]


def test_an_extraction_by_a_users_own_network_is_not_saved(
    store: ProfileStore, make_speed: MakeSpeed, workload: Workload, cpu: Hardware, warnings: list[str]
) -> None:
    """The next version of the function would be taken for this one."""
    store.save_extraction(make_speed(), workload.model_copy(update={"backbone": "my.module:network"}), cpu, 7.0)
    assert not store.folder.exists()
    assert warnings == []


def test_an_extraction_that_cannot_be_saved_only_warns(
    store: ProfileStore,
    make_speed: MakeSpeed,
    workload: Workload,
    cpu: Hardware,
    warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run of a night would end with an error about a file that only saves time."""
    store.save_extraction(make_speed(images_per_second=float("nan")), workload, cpu, 7.0)
    store.save_extraction(make_speed(), workload, cpu.model_copy(update={"cpu_model": "x" * 999}), 7.0)
    monkeypatch.setattr(store_module, "write_atomically", failing(errno.ENOSPC))
    store.save_extraction(make_speed(), workload, cpu, 7.0)
    not_saved = "the speed of this extraction is not saved for the next time"
    assert [warning.partition(" (")[0] for warning in warnings] == [not_saved] * 3
    assert "No space left on device" in warnings[-1]
    assert not any("\n" in warning for warning in warnings)


def test_the_newest_extractions_are_kept(make_profile: MakeProfile, make_extraction: MakeExtraction) -> None:
    """The file would grow until it could not be read, or the newest measurement would not be in it."""
    old = [make_extraction(image_size=(1, 1 + number), measured_at=9.0 + number) for number in range(MAX_EXTRACTIONS)]
    new = make_extraction(measured_at=0.0)
    kept = with_extracted(make_profile(extractions=old), new).extractions
    assert (len(kept), kept[0], kept[1:]) == (MAX_EXTRACTIONS, new, old[:0:-1])


def test_a_file_full_of_extractions_can_be_read(
    make_profile: MakeProfile, make_entry: MakeEntry, make_extraction: MakeExtraction
) -> None:
    """A store that grew past the bound would set its own file aside."""
    large = make_extraction(precision="\x01" * 200)
    profile = make_profile(*[make_entry()] * MAX_ENTRIES, extractions=[large] * MAX_EXTRACTIONS)
    data = to_bytes(profile)
    assert len(data) <= MAX_PROFILE_BYTES
    assert len(parse_profile(data).extractions) == MAX_EXTRACTIONS


def test_machines_have_a_file_each(store: ProfileStore, make_report: MakeReport, cpu: Hardware, gpu: Hardware) -> None:
    """On a shared drive one machine's profile would replace another's."""
    store.save(make_report(), cpu, 7.0, limit_is_given=True)
    store.save(make_report(), gpu, 8.0, limit_is_given=True)
    assert {profile.hardware.device for profile, _ in store.load()} == {"cpu", "gpu"}


def test_a_users_own_network_is_not_saved(
    store: ProfileStore, make_report: MakeReport, cpu: Hardware, warnings: list[str]
) -> None:
    """The next version of the function would be taken for this one."""
    store.save(make_report(backbone="my.module:network"), cpu, 7.0, limit_is_given=True)
    assert not store.folder.exists()
    assert warnings == []


def test_a_later_probe_replaces_an_earlier_one(store: ProfileStore, make_report: MakeReport, cpu: Hardware) -> None:
    """The file would grow with every probe, and an old answer would count as much as a new one."""
    store.save(make_report(), cpu, 7.0, limit_is_given=True)
    store.save(make_report(num_classes=6), cpu, 8.0, limit_is_given=True)
    store.save(make_report(memory_limit_bytes=5 * 10**9), cpu, 9.0, limit_is_given=True)
    store.save(make_report(memory_limit_bytes=3_010_000_000), cpu, 10.0, limit_is_given=True)
    ((profile, _),) = store.load()
    assert [entry.measured_at for entry in profile.entries] == [10.0, 9.0, 8.0]


def test_a_small_probe_does_not_replace_a_large_one(
    store: ProfileStore, make_report: MakeReport, cpu: Hardware
) -> None:
    """A training on few images, of which 32 at once were enough, would remove the known limit of the machine."""
    small = make_report(max_batch=32, largest_feasible_batch=32, recommended_batch=32)
    store.save(make_report(), cpu, 7.0, limit_is_given=True)
    store.save(small, cpu, 8.0, limit_is_given=True)
    store.save(small, cpu, 9.0, limit_is_given=True)
    ((profile, _),) = store.load()
    assert [entry.largest_feasible_batch for entry in profile.entries] == [32, 200]
    store.save(make_report(max_batch=64, largest_feasible_batch=0, recommended_batch=0), cpu, 9.0, limit_is_given=True)
    ((profile, _),) = store.load()
    assert [entry.largest_feasible_batch for entry in profile.entries] == [0]


def test_the_newest_thousand_are_kept(make_entry: MakeEntry, make_profile: MakeProfile) -> None:
    """The file would grow until it could not be read; or untrusted dates, far ahead, would push out all new ones."""
    entry = make_entry(trials=[])
    workloads = [entry.workload.model_copy(update={"num_classes": number}) for number in range(MAX_ENTRIES)]
    old = [
        entry.model_copy(update={"workload": workload, "measured_at": 1000.0 + number})
        for number, workload in enumerate(workloads)
    ]
    new = make_entry(num_classes=MAX_ENTRIES, measured_at=0.0)
    kept = with_measured(make_profile(*old), new).entries
    assert len(kept) == MAX_ENTRIES
    assert kept[0] == new
    assert min(entry.measured_at for entry in kept[1:]) == 1001.0


@pytest.mark.slow
def test_a_file_is_never_larger_than_one_may_be(
    make_entry: MakeEntry, make_profile: MakeProfile, make_trial: MakeTrial
) -> None:
    """A store that grew past the bound would set its own file aside."""
    large = make_entry(trials=[make_trial(size) for size in range(1, 65)])
    profile = make_profile(*[large] * 600)
    data = to_bytes(profile)
    assert len(data) <= MAX_PROFILE_BYTES < len(profile.to_json())
    assert len(parse_profile(data).entries) > 50


def test_shipped_profiles_come_after_the_users_own(
    tmp_path: Path, make_report: MakeReport, make_profile: MakeProfile, make_entry: MakeEntry, cpu: Hardware
) -> None:
    """The profiles that come with autofit would not be found, or would be taken for measured here."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "README.md").write_text("no profile")
    make_profile(make_entry(), cores=8).save(shipped / "a-small-server.json")
    store = ProfileStore(tmp_path / "own", shipped, pytest.fail)
    assert [origin for _, origin in store.load()] == [Origin.SHIPPED]
    store.save(make_report(), cpu, 7.0, limit_is_given=True)
    assert [(profile.hardware.cores, origin) for profile, origin in store.load()] == [
        (2, Origin.OWN),
        (8, Origin.SHIPPED),
    ]


def test_a_damaged_shipped_profile_is_left_where_it_is(tmp_path: Path, warnings: list[str]) -> None:
    """An installed package would be changed."""
    (tmp_path / "bad.json").write_text("{")
    assert ProfileStore(tmp_path / "own", tmp_path, warnings.append).load() == []
    assert names(tmp_path) == ["bad.json"]
    assert len(warnings) == 1


def test_a_damaged_file_is_replaced_and_set_aside(
    store: ProfileStore, make_report: MakeReport, cpu: Hardware, warnings: list[str]
) -> None:
    """A file with one bad byte would end all saving; or it would be deleted, though a person might repair it."""
    store.folder.mkdir()
    path = store.folder / f"{fingerprint(cpu)}.json"
    for content in ("{", "["):
        path.write_text(content)
        store.save(make_report(), cpu, 7.0, limit_is_given=True)
    assert len(store.load()) == 1
    assert path.with_name(f"{path.name}.damaged").read_text() == "{"
    assert path.with_name(f"{path.name}.damaged-2").read_text() == "["
    assert warnings[0] == (
        f"profile {path} is not used (no JSON: Expecting property name enclosed in double quotes: line 1 column 2 "
        f"(char 1)): it is set aside as {path}.damaged"
    )
    assert len(warnings) == 2


def test_a_file_that_was_replaced_meanwhile_is_not_set_aside(
    store: ProfileStore, make_profile: MakeProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good file that another process wrote between reading and renaming would be set aside."""
    store.folder.mkdir()
    path = store.folder / "a.json"
    path.write_text("{")
    remove_left_over = ProfileStore._remove_left_over

    def another_process_was_here(self: ProfileStore, least_age_seconds: float) -> None:
        make_profile().save(path)
        remove_left_over(self, least_age_seconds)

    monkeypatch.setattr(ProfileStore, "_remove_left_over", another_process_was_here)
    assert len(store.load()) == 1
    assert names(store.folder) == [".lock", "a.json"]


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_cannot_be_written_only_warns(
    store: ProfileStore,
    make_report: MakeReport,
    cpu: Hardware,
    warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """A probe of ten minutes would be lost with its profile."""
    monkeypatch.setattr(store_module, "write_atomically", failing(number))
    store.save(make_report(), cpu, 7.0, limit_is_given=True)
    assert warnings == [f"this probe is not saved for the next time ({os.strerror(number)}); its answer stands"]


def test_a_folder_that_cannot_be_made_only_warns(
    tmp_path: Path, make_report: MakeReport, cpu: Hardware, warnings: list[str]
) -> None:
    """`AUTOFIT_PROFILES` names a file, or a place where nobody may write."""
    (tmp_path / "file").touch()
    store = ProfileStore(tmp_path / "file" / "profiles", None, warnings.append)
    assert store.load() == []
    store.save(make_report(), cpu, 7.0, limit_is_given=True)
    assert len(warnings) == 2
    assert all("Not a directory" in warning for warning in warnings)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_read(
    store: ProfileStore, make_profile: MakeProfile, make_report: MakeReport, cpu: Hardware, warnings: list[str]
) -> None:
    """Profiles on a read-only drive would be of no use, or a damaged one among them would be an error."""
    store.folder.mkdir()
    make_profile().save(store.folder / "a.json")
    (store.folder / "b.json").write_text("{")
    store.folder.chmod(0o555)
    try:
        assert len(store.load()) == 1
        store.save(make_report(), cpu, 7.0, limit_is_given=True)
    finally:
        store.folder.chmod(0o755)
    assert len(warnings) == 2
    assert names(store.folder) == ["a.json", "b.json"]


def test_a_file_that_cannot_be_renamed_is_skipped(
    store: ProfileStore, make_profile: MakeProfile, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad file on a read-only drive would hide the good ones."""
    store.folder.mkdir()
    make_profile().save(store.folder / "a.json")
    (store.folder / "b.json").write_text("{")
    monkeypatch.setattr(Path, "rename", failing(errno.EROFS))
    assert len(store.load()) == 1
    assert len(warnings) == 1
    assert names(store.folder) == [".lock", "a.json", "b.json"]


def test_a_file_that_cannot_be_read_is_not_replaced(
    store: ProfileStore, make_report: MakeReport, cpu: Hardware, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's file, or one behind an I/O error, may be good: it would be lost."""
    store.save(make_report(), cpu, 7.0, limit_is_given=True)
    monkeypatch.setattr(store_module, "read_profile", failing(errno.EACCES))
    assert store.load() == []
    store.save(make_report(num_classes=6), cpu, 8.0, limit_is_given=True)
    monkeypatch.undo()
    assert classes(store) == [5]
    assert len(warnings) == 2


def test_a_lock_that_is_never_released_only_warns(
    tmp_path: Path, make_report: MakeReport, cpu: Hardware, warnings: list[str]
) -> None:
    """A process that hangs while it saves would hang every later probe."""
    store = ProfileStore(tmp_path, None, warnings.append, lock_patience_seconds=0.1)
    holder = open_lock_file(tmp_path / ".lock")
    assert try_lock(holder) is Lock.HELD
    store.save(make_report(), cpu, 7.0, limit_is_given=True)
    os.close(holder)
    assert warnings == ["this probe is not saved for the next time (another process holds the lock); its answer stands"]


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_drive_without_locks_is_used_too(
    store: ProfileStore,
    make_report: MakeReport,
    cpu: Hardware,
    warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """On a mounted drive of a notebook service no profile would ever be saved, and what a killed save left stay."""

    def no_locks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    left, written = (store.folder / f".0123456789abcdef.json.{ending}" for ending in ("left", "written"))
    store.folder.mkdir()
    left.touch()
    written.touch()  # by another process, just now
    os.utime(left, (1e9, 1e9))
    store.save(make_report(), cpu, 7.0, limit_is_given=True)
    assert classes(store) == [5]
    assert not left.exists()
    assert written.exists()
    assert warnings == []


def test_a_probe_out_of_bounds_only_warns(
    store: ProfileStore, make_report: MakeReport, cpu: Hardware, warnings: list[str]
) -> None:
    """A clock before 1970, or a machine with an odd name, would lose the probe's answer."""
    store.save(make_report(), cpu, -5.0, limit_is_given=True)
    store.save(make_report(), cpu.model_copy(update={"cpu_model": "x" * 999}), 7.0, limit_is_given=True)
    assert len(warnings) == 2
    assert "measured_at: Input should be greater than or equal to 0" in warnings[0]
    assert "cpu_model" in warnings[1]


class Savers:
    """Real processes that save the same machine's profile."""

    def __init__(self, tmp_path: Path, report: ProbeReport, machine: Hardware) -> None:
        self._files = [tmp_path / "report.json", tmp_path / "machine.json"]
        report.save(self._files[0])
        machine.save(self._files[1])
        self._folder = tmp_path / "profiles"

    def start(self, first: int, count: int) -> subprocess.Popen[str]:
        """Start a process that saves `count` probes, or with 0 saves until it is killed."""
        return subprocess.Popen(
            [sys.executable, str(SAVER), str(self._folder), *map(str, self._files), str(first), str(count)],
            env=child_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def savers(tmp_path: Path, make_report: MakeReport, cpu: Hardware) -> Savers:
    return Savers(tmp_path, make_report(), cpu)


@pytest.mark.slow
def test_several_processes_at_once_lose_nothing(store: ProfileStore, savers: Savers) -> None:
    """Of two probes that end at the same moment one would be lost."""
    processes = [savers.start(first, 5) for first in (100, 200, 300, 400)]
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert said == [""] * 4
    assert sorted(classes(store)) == [first + number for first in (100, 200, 300, 400) for number in range(5)]


@pytest.mark.slow
def test_a_store_can_be_read_after_a_kill(
    store: ProfileStore, savers: Savers, make_report: MakeReport, cpu: Hardware, warnings: list[str]
) -> None:
    """Half a file would be set aside with all its entries; and a temporary file of each kill would remain for ever."""
    for delay in (0.01, 0.05, 0.1):
        with savers.start(1000, 0) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(delay)
            process.kill()
        assert len(store.load()) <= 1
    (store.folder / ".0123456789abcdef.json.left").touch()
    store.save(make_report(), cpu, 1e9, limit_is_given=True)
    assert 5 in classes(store)
    assert names(store.folder) == [".lock", f"{fingerprint(cpu)}.json"]
    assert warnings == []


def test_the_default_folder_of_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook whose disk is wiped at its end could not keep its profiles on a drive."""
    monkeypatch.setenv("AUTOFIT_PROFILES", "~/drive/profiles")
    assert default_folder() == Path.home() / "drive" / "profiles"
    for nothing in ("", " "):
        monkeypatch.setenv("AUTOFIT_PROFILES", nothing)
        assert default_folder() == platformdirs.user_data_path("autofit") / "profiles"


def test_the_folder_of_shipped_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The profiles that come with autofit would be found in a checkout and not in a wheel, or the other way round."""
    package = tmp_path / "autofit"
    package.mkdir()
    monkeypatch.setattr(store_module, "PACKAGE", package)
    (tmp_path / "profiles").mkdir()
    assert shipped_folder() is None  # a folder `profiles` beside an installed package may be anybody's
    (tmp_path / "pyproject.toml").touch()
    assert shipped_folder() == tmp_path / "profiles"
    (package / "_profiles").mkdir()
    assert shipped_folder() == package / "_profiles"


def test_every_shipped_profile_is_good() -> None:
    """A profile would be packaged that no autofit can read."""
    folder = shipped_folder()
    assert folder is not None
    for path in folder.glob("*.json"):
        assert read_profile(path).entries


def test_a_store_of_no_profiles_touches_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_report: MakeReport, make_profile: MakeProfile, cpu: Hardware
) -> None:
    """`--no-profile` would be answered by an earlier measurement, or leave one behind."""
    monkeypatch.setenv("AUTOFIT_PROFILES", str(tmp_path / "profiles"))
    none = NoProfiles()
    none.save(make_report(), cpu, 0.0, limit_is_given=False)
    none.save_extraction(
        ExtractionSpeed(micro_batch_size=8, images_per_second=1.0, peak_bytes=1), make_report().workload, cpu, 0.0
    )
    assert none.add(make_profile()) == (0, 0)
    assert none.load() == []
    assert list(tmp_path.iterdir()) == []
