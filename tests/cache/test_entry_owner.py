"""Entries of the cache that this user has not written, or that others may write: none of their rows is used."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.cache.entry import KEY_FILE, Entry, OthersError
from autofit.cache.entry_format import EntryRecord
from autofit.cache.store import CacheStore
from autofit.storage.user_key import forces_modes, new_key
from tests.support.paths import AUTOFIT_PATH

MakeEntry = Callable[..., Path]


@pytest.mark.parametrize("name", [".", "entry.json", "index.bin", "rows.bin"])
def test_what_others_may_write_is_not_used(make: MakeEntry, found_in: Callable[..., set[int]], name: str) -> None:
    """Another user of the machine could put rows of his own among the features that are trained on."""
    folder = make()
    assert found_in(folder) == set(range(8))
    (folder / name).chmod(0o777)
    assert found_in(folder) == set()
    with pytest.raises(OthersError):
        Entry(folder)


def test_a_store_says_what_it_did_not_use(tmp_path: Path, make: MakeEntry, small: EntryRecord) -> None:
    """All features would be extracted again in each run, and nobody would know why."""
    folder = make(at=tmp_path / f"{small.key[:16]}-1-00000000")
    store = CacheStore(tmp_path, 10**9)
    [entry] = store.open_entries(small.key)
    entry.close()
    assert store.others_words() == ""
    (folder / "rows.bin").chmod(0o666)
    assert store.open_entries(small.key) == []
    assert store.others_words().endswith("belong to another user, or others may write them: not used")


def test_rows_that_another_has_made_do_not_verify(make: MakeEntry, found_in: Callable[..., set[int]]) -> None:
    """An unpacked archive with forged rows and right checksums would be trained on."""
    folder = make()
    (folder.parent / KEY_FILE).unlink()
    new_key(folder.parent / KEY_FILE)
    assert found_in(folder) == set()


def test_a_drive_that_gives_all_files_to_everybody_is_used_and_named(
    tmp_path: Path, make: MakeEntry, small: EntryRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On FAT, SMB and some FUSE drives all features would be extracted again in each run, or taken without a word."""
    folder = make(at=tmp_path / f"{small.key[:16]}-1-00000000")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o777)
    monkeypatch.setattr("autofit.cache.store.forces_modes", lambda _: True)
    store = CacheStore(tmp_path, 10**9)
    [entry] = store.open_entries(small.key)
    entry.close()
    assert (store.others, store.open_to_all) == (0, 1)
    assert "lets everybody write: its entries are used; if you share it, set AUTOFIT_CACHE" in store.others_words()


def test_an_ordinary_drive_forces_no_modes(tmp_path: Path) -> None:
    """Whatever others may write would be used everywhere."""
    assert not forces_modes(tmp_path)
    assert not forces_modes(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("forced", [False, True], ids=["ordinary drive", "modes are forced"])
@pytest.mark.parametrize("name", [".", "entry.json", "index.bin", "rows.bin"])
def test_what_another_user_owns_is_not_used(
    tmp_path: Path, make: MakeEntry, small: EntryRecord, monkeypatch: pytest.MonkeyPatch, name: str, *, forced: bool
) -> None:
    """Another user's rows, with checksums that are right, would be trained on."""
    folder = make(at=tmp_path / f"{small.key[:16]}-1-00000000")
    os.chown(folder / name, 65534, 65534)
    monkeypatch.setattr("autofit.cache.store.forces_modes", lambda _: forced)
    store = CacheStore(tmp_path, 10**9)
    assert store.open_entries(small.key) == []
    assert store.others_words().endswith("not used")


AS_ANOTHER = """
import os, sys
from pathlib import Path
from autofit.cache.store import CacheStore
from autofit.storage.user_key import read_key
os.setgroups([]); os.setgid(65534); os.setuid(65534)
store = CacheStore(Path(sys.argv[1]), 10**9)
print((store.folder / ".key").exists(), len(store.open_entries(sys.argv[2])), store.others, store.clear()[0])
print(read_key(store.folder / ".key"))
try:
    (store.folder / ".key").read_bytes()
except PermissionError:
    print("closed")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_cannot_use_or_spoil_the_cache(make: MakeEntry, small: EntryRecord) -> None:
    """A second person at the machine would read the key, or remove another's rows."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        make(at=Path(name) / f"{small.key[:16]}-1-00000000")
        command = [sys.executable, "-c", AS_ANOTHER, name, small.key]
        environment = {**os.environ, "PYTHONPATH": AUTOFIT_PATH}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["True", "0", "1", "0", "None", "closed"], done.stderr
        [entry] = CacheStore(Path(name), 10**9).open_entries(small.key)
        entry.close()
