"""Tests of the exchange between machines, through a file from an untrusted source."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.errors import StorageError, UserError
from autofit.machine.hardware import Hardware
from autofit.probing.records import ProbeReport
from autofit.profiles import store as store_module
from autofit.profiles.exchange import Imported, export_profile, find_profile, import_profile, listing_of
from autofit.profiles.merge import with_imported, with_imported_extractions
from autofit.profiles.records import MAX_ENTRIES, MAX_EXTRACTIONS, MachineProfile, Origin, ProfileEntry, SavedExtraction
from autofit.profiles.store import ProfileStore

MakeReport = Callable[..., ProbeReport]
MakeEntry = Callable[..., ProfileEntry]
MakeProfile = Callable[..., MachineProfile]
MakeExtraction = Callable[..., SavedExtraction]


def test_a_profile_goes_from_one_user_to_another(
    store: ProfileStore, tmp_path: Path, make_report: MakeReport, cpu: Hardware
) -> None:
    """The next notebook would repeat the measurements of this one."""
    store.save(make_report(), cpu, 7.0, limit_is_given=True)
    ((profile, _),) = store.load()
    export_profile(profile, tmp_path / "mine.json")
    other = ProfileStore(tmp_path / "other", None, pytest.fail)
    entry = profile.entries[0].model_copy(update={"imported": True})
    theirs = profile.model_copy(update={"entries": [entry]})
    for added in (1, 0):
        found = import_profile(other, tmp_path / "mine.json")
        assert found == Imported(profile.fingerprint, added=added, others=1 - added)
        assert other.load() == [(theirs, Origin.OWN)]


def test_an_import_replaces_nothing(
    store: ProfileStore, tmp_path: Path, make_report: MakeReport, make_entry: MakeEntry, make_profile: MakeProfile
) -> None:
    """An untrusted answer, dated to the year 6000, would replace one that was measured here."""
    profile = make_profile(
        make_entry(largest_feasible_batch=4000, measured_at=1.3e11),
        make_entry(num_classes=6, measured_at=1.3e11),
        make_entry(backbone="my.module:network"),
    )
    export_profile(profile, tmp_path / "theirs.json")
    store.save(make_report(), _machine(profile), 7.0, limit_is_given=True)
    assert import_profile(store, tmp_path / "theirs.json").added == 1
    ((own, _),) = store.load()
    facts = {entry.workload.num_classes: entry.largest_feasible_batch for entry in own.entries}
    assert facts == {5: 200, 6: 200}


def test_extractions_go_from_one_user_to_another(
    store: ProfileStore, tmp_path: Path, make_profile: MakeProfile, make_extraction: MakeExtraction
) -> None:
    """The next notebook would repeat the measurement; or an untrusted size would replace one measured here."""
    assert store.add(make_profile(extractions=[make_extraction(32, measured_at=7.0)])) == (0, 1)
    theirs = [
        make_extraction(64, measured_at=1.3e11),
        make_extraction(16, image_size=(96, 96)),
        make_extraction(8, backbone="my.module:network"),
    ]
    export_profile(make_profile(extractions=theirs), tmp_path / "theirs.json")
    imported = import_profile(store, tmp_path / "theirs.json")
    assert (imported.added, imported.extractions, imported.others) == (0, 1, 2)
    ((own, _),) = store.load()
    assert {one.image_size[0]: one.micro_batch_size for one in own.extractions} == {160: 32, 96: 16}


def test_imported_extractions_push_nothing_out(make_profile: MakeProfile, make_extraction: MakeExtraction) -> None:
    """A full file from elsewhere would replace all the measurements of this machine."""
    own = make_extraction(measured_at=1.0)
    theirs = [make_extraction(image_size=(1, 1 + number), measured_at=1e11) for number in range(MAX_EXTRACTIONS)]
    merged = with_imported_extractions(make_profile(extractions=[own]), theirs).extractions
    assert len(merged) == MAX_EXTRACTIONS
    assert merged[0] == own


def _machine(profile: MachineProfile) -> Hardware:
    return Hardware(
        **profile.hardware.model_dump(),
        device_free_bytes=None,
        other_gpu_processes=[],
        host_available_bytes=0,
        limited_by="",
    )


def test_an_import_pushes_nothing_out(make_entry: MakeEntry, make_profile: MakeProfile) -> None:
    """A full file from elsewhere would replace all the measurements of this machine."""
    entry = make_entry(trials=[])
    theirs = [
        entry.model_copy(
            update={
                "workload": entry.workload.model_copy(update={"num_classes": number}),
                "measured_at": 1e11,
            }
        )
        for number in range(10, 10 + MAX_ENTRIES)
    ]
    merged = with_imported(make_profile(entry), theirs).entries
    assert len(merged) == MAX_ENTRIES
    assert merged[0] == entry


BAD = {
    "no JSON": ("hello", "is no profile (no JSON"),
    "another record": ('{"schema": "autofit/probe/1"}', 'is no profile (its "schema" is not "autofit/profile/2")'),
    "older": (
        '{"schema": "autofit/profile/1"}',
        "is written by an older autofit, as autofit/profile/1: measure and export it there with this autofit",
    ),
    "newer": ('{"schema": "autofit/profile/3"}', "is written by a newer autofit, as autofit/profile/3: update autofit"),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_in_one_line(store: ProfileStore, tmp_path: Path, content: str, reason: str) -> None:
    """The terminal would show a validator's twenty lines; or a file of the user's would be renamed."""
    file = tmp_path / "bad\x1b[2J.json"
    file.write_text(content)
    with pytest.raises(UserError) as caught:
        import_profile(store, file)
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert file.read_text() == content
    assert not store.folder.exists()


def test_anything_but_a_file_is_refused(store: ProfileStore, tmp_path: Path) -> None:
    """An import would wait for ever on a pipe, or end in a traceback."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("pipe", "missing", "loop", "."):
        with pytest.raises(UserError, match="give a file that autofit profiles export wrote"):
            import_profile(store, tmp_path / name)


def test_a_link_that_a_user_names_is_followed(
    store: ProfileStore, tmp_path: Path, make_entry: MakeEntry, make_profile: MakeProfile
) -> None:
    """Downloads are often links, and a link that the user names can be trusted: its import would fail."""
    export_profile(make_profile(make_entry()), tmp_path / "real.json")
    (tmp_path / "link.json").symlink_to("real.json")
    assert import_profile(store, tmp_path / "link.json").added == 1


def test_the_name_in_the_file_is_no_path(
    store: ProfileStore, tmp_path: Path, make_entry: MakeEntry, make_profile: MakeProfile
) -> None:
    """A profile from an untrusted source would be written anywhere."""
    content = json.loads(make_profile(make_entry()).to_json()) | {"fingerprint": "../../outside"}
    (tmp_path / "evil.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="fingerprint"):
        import_profile(store, tmp_path / "evil.json")
    assert [path.name for path in tmp_path.rglob("*")] == ["evil.json"]


def test_a_store_that_cannot_be_written_is_an_error(
    store: ProfileStore,
    tmp_path: Path,
    make_entry: MakeEntry,
    make_profile: MakeProfile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A failed import would look like a successful one."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    export_profile(make_profile(make_entry()), tmp_path / "a.json")
    monkeypatch.setattr(store_module, "write_atomically", full)
    with pytest.raises(StorageError, match="cannot be written \\(No space left on device\\): make room"):
        import_profile(store, tmp_path / "a.json")


def test_an_export_that_cannot_be_written_is_an_error(tmp_path: Path, make_profile: MakeProfile) -> None:
    """The user would get a traceback instead of one line."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        export_profile(make_profile(), tmp_path / "file" / "a.json")


def test_a_machine_is_found_by_its_first_digits(make_entry: MakeEntry, make_profile: MakeProfile) -> None:
    """Sixteen digits would have to be typed; or a shipped profile would be shown though the user has an own one."""
    mine = (make_profile(make_entry()), Origin.OWN)
    shipped = (make_profile(), Origin.SHIPPED)
    other = (make_profile(cores=8), Origin.SHIPPED)
    digits = mine[0].fingerprint
    profiles = [shipped, other, mine]
    assert find_profile(profiles, digits) == mine
    assert find_profile(profiles, digits[:5].upper()) == mine
    for wrong in ("", "zz", digits + "0"):
        with pytest.raises(UserError, match="there is no profile of the machine"):
            find_profile(profiles, wrong)
    twins = [(mine[0].model_copy(update={"fingerprint": f"ab{n}"}), Origin.OWN) for n in range(2)]
    with pytest.raises(UserError, match="give more of its digits"):
        find_profile(twins, "ab")


def test_the_list_has_origin_counts_and_dates(
    make_entry: MakeEntry, make_profile: MakeProfile, make_extraction: MakeExtraction
) -> None:
    """The list would hide where profiles are from, or how old they are."""
    mine = make_profile(make_entry(measured_at=1.0), make_entry(measured_at=2.0))
    listing = listing_of([(mine, Origin.OWN), (make_profile(cores=8), Origin.SHIPPED)], Path("/data"))
    assert json.loads(listing.to_json())["schema"] == "autofit/profiles/1"
    facts = [(line.fingerprint, line.entries, line.newest, line.origin) for line in listing.profiles]
    assert facts[0] == (mine.fingerprint, 2, 2.0, Origin.OWN)
    assert facts[1][1:] == (0, None, Origin.SHIPPED)
    trained = make_profile(make_entry(measured_at=1.0), extractions=[make_extraction(measured_at=3.0)])
    (line,) = listing_of([(trained, Origin.OWN)], Path("/data")).profiles
    assert (line.entries, line.extractions, line.newest) == (1, 1, 3.0)
