"""Checkpoints: whole or not at all, and never wrong. Real kills and disks: `faults/test_checkpoints.py`."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from autofit.errors import StorageError
from autofit.storage import checkpoint_files, checkpoints
from autofit.storage.checkpoint_files import Manifest, read_manifest
from autofit.storage.checkpoints import Checkpoint, CheckpointStore
from autofit.storage.safe_files import open_plain

Groups = dict[str, dict[str, np.ndarray[Any, Any]]]


def groups_of(cursor: int) -> Groups:
    """Arrays that differ in every save."""
    generator = np.random.default_rng(cursor)
    return {
        "model": {"dense/kernel": generator.random((7, 5), np.float32), "dense/bias": generator.random(5, np.float32)},
        "optimizer": {"iterations": np.array(cursor), "momentum": generator.random(35, np.float32)},
    }


def save(store: CheckpointStore, cursor: int) -> int:
    return store.save(groups_of(cursor), {"cursor": cursor, "history": {"loss": [1.5, 0.1]}})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_is(checkpoint: Checkpoint | None, cursor: int) -> None:
    assert checkpoint is not None
    assert checkpoint.state == {"cursor": cursor, "history": {"loss": [1.5, 0.1]}}
    assert_same(groups_of(cursor), checkpoint.groups)


def assert_same(expected: Groups, actual: Groups) -> None:
    assert expected.keys() == actual.keys()
    for group, arrays in expected.items():
        assert arrays.keys() == actual[group].keys()
        for name, array in arrays.items():
            loaded = actual[group][name]
            assert (array.dtype, array.shape) == (loaded.dtype, loaded.shape), name
            assert array.tobytes() == loaded.tobytes(), name


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """A store with two generations."""
    store = CheckpointStore(tmp_path / "checkpoints")
    for cursor in (1, 2):
        save(store, cursor)
    return store


@pytest.mark.parametrize(
    "array",
    [
        *(np.arange(6).reshape(2, 3).astype(dtype) for dtype in ("f4", "f2", "f8", "i4", "i8", "u4", "u8", "u1", "?")),
        *(np.array(value) for value in (1.5, 7, True)),
        np.array([np.nan, -np.nan, np.inf, -0.0, 1e-45], np.float32),
        *(np.zeros(shape, np.float16) for shape in ((0,), (0, 3), (2, 0, 4))),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(24).reshape(4, 6)[::2, ::-1],
        np.broadcast_to(np.float32(3), (2, 3)),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}-{array.strides}",
)
def test_every_array_comes_back_bit_for_bit(tmp_path: Path, array: np.ndarray[Any, Any]) -> None:
    """Else a resumed run would go on from other weights; safetensors itself garbles strided arrays silently."""
    groups = {"model": {"block/conv 1/kernel:0": array}}
    CheckpointStore(tmp_path).save(groups, {})
    checkpoint = CheckpointStore(tmp_path).latest()
    assert checkpoint is not None
    assert_same(groups, checkpoint.groups)


def test_state_and_empty_groups_come_back(tmp_path: Path) -> None:
    """Else a run without an optimizer state, or with a NaN loss or a non-ASCII class, could not be resumed."""
    state = {"cursor": {"epoch": 3, "position": 2**53 + 1}, "history": {"löss": [0.1, float("inf")]}, "none": None}
    store = CheckpointStore(tmp_path / "new" / "checkpoints")
    assert store.save({"metrics": {}}, state) == 1
    assert store.latest() == Checkpoint(1, {"metrics": {}}, state, ())
    assert store.latest_state() == state


@pytest.mark.parametrize("folder_exists", [True, False])
def test_nothing_saved_is_none(tmp_path: Path, *, folder_exists: bool) -> None:
    """Else the first attempt of a run would fail."""
    store = CheckpointStore(tmp_path if folder_exists else tmp_path / "none")
    assert store.latest() is None
    assert store.latest_state() is None


def test_the_newest_generations_are_kept(store: CheckpointStore) -> None:
    """Else the disk would fill, or there would be nothing to fall back to."""
    assert save(store, 3) == 3
    assert names(store.folder) == ["00000002", "00000003"]
    assert_is(store.latest(), 3)
    assert store.latest_state() == {"cursor": 3, "history": {"loss": [1.5, 0.1]}}
    CheckpointStore(store.folder, keep=1).save({}, {})
    assert names(store.folder) == ["00000004"]
    with pytest.raises(ValueError, match="at least one"):
        CheckpointStore(store.folder, keep=0)


def test_others_may_read_a_checkpoint(store: CheckpointStore) -> None:
    """Else a run directory on a shared disk would be closed to everyone but its owner."""
    assert (store.folder / "00000002").stat().st_mode & 0o777 == 0o755


def test_an_unchanged_group_is_linked(store: CheckpointStore) -> None:
    """Else the best weights would be written again with every checkpoint; and a changed one must never be linked."""
    groups = groups_of(3)
    store.save({"model": groups["model"], "optimizer": groups["optimizer"]}, {}, unchanged=["model"])
    former, newest = (store.folder / name / "model.safetensors" for name in ("00000002", "00000003"))
    assert former.samefile(newest)
    assert not former.with_name("optimizer.safetensors").samefile(newest.with_name("optimizer.safetensors"))
    save(store, 4)  # the first owner of the file is removed here
    store.save({}, {}, unchanged=["model", "optimizer"])
    checkpoint = store.latest()
    assert checkpoint is not None
    assert_same(groups_of(4), checkpoint.groups)


def test_an_unchanged_group_is_copied_where_links_are_not_possible(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else no second checkpoint could be written on FAT or on a mounted drive."""
    monkeypatch.setattr("os.link", raiser(errno.EPERM))
    store.save({}, {}, unchanged=["model", "optimizer"])
    checkpoint = store.latest()
    assert checkpoint is not None
    assert_same(groups_of(2), checkpoint.groups)
    assert not (store.folder / "00000002/model.safetensors").samefile(store.folder / "00000003/model.safetensors")


@pytest.mark.parametrize("links", [True, False])
def test_a_damaged_file_is_not_carried_over(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    """Else the damage would spread to the new checkpoint, which then would not load."""
    path = store.folder / "00000002" / "model.safetensors"
    if not links:
        monkeypatch.setattr("os.link", raiser(errno.EPERM))
        path.write_bytes(path.read_bytes()[::-1])
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageError, match="save the group 'model' itself"):
        store.save({}, {}, unchanged=["model"])
    store.save({"model": groups_of(3)["model"]}, {}, unchanged=["model"])
    checkpoint = store.latest()
    assert checkpoint is not None
    assert_same({"model": groups_of(3)["model"]}, checkpoint.groups)


@pytest.mark.parametrize(
    ("groups", "state", "expected"),
    [
        ({"../model": {}}, {}, ValueError),
        ({"Model": {}}, {}, ValueError),
        ({"": {}}, {}, ValueError),
        ({"model": {"a": np.array([object()])}}, {}, TypeError),
        ({"model": {"a": np.zeros(2, np.complex64)}}, {}, TypeError),
        ({"model": {"a": np.zeros(2, np.longdouble)}}, {}, TypeError),
        ({"model": {"__metadata__": np.zeros(2)}}, {}, TypeError),
        ({}, {"model": object()}, TypeError),
    ],
)
def test_what_could_not_be_read_back_is_refused(
    store: CheckpointStore, groups: Groups, state: dict[str, Any], expected: type[Exception]
) -> None:
    """Else a save would seem to succeed and its checkpoint be lost, or a file would land outside the folder."""
    with pytest.raises(expected):
        store.save(groups, state)
    assert names(store.folder) == ["00000001", "00000002"]
    assert_is(store.latest(), 2)


# damage


def test_swapped_and_missing_files_fall_back(store: CheckpointStore) -> None:
    """Else a file of another group or generation, good in itself, would be loaded for the right one."""
    files = ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]
    newest, aside = store.folder / "00000002", store.folder / "00000002.damaged"
    others: list[Path | None] = [
        *(newest / name for name in files),
        *(store.folder / "00000001" / name for name in files),
    ]
    for path in [newest / name for name in files]:
        for other in [None, *others]:
            if other == path:
                continue
            good = path.read_bytes()
            if other:
                path.write_bytes(other.read_bytes())
            else:
                path.unlink()
            assert_is(store.latest(), 1)
            aside.rename(newest)
            path.write_bytes(good)
    assert_is(store.latest(), 2)


def test_swapped_generations_are_both_damaged(store: CheckpointStore) -> None:
    """Else an older state would be taken for the newest."""
    first, second = store.folder / "00000001", store.folder / "00000002"
    first.rename(store.folder / "x")
    second.rename(first)
    (store.folder / "x").rename(second)
    assert store.latest_state() is None
    assert store.latest() is None
    assert names(store.folder) == ["00000001.damaged", "00000002.damaged"]
    assert sorted(store.all_damaged) == names(store.folder)


def test_damaged_generations_are_kept_and_their_numbers_not_used_again(store: CheckpointStore) -> None:
    """Else the evidence would be overwritten, and one number would mean two checkpoints."""
    (store.folder / "00000002" / "manifest.json").unlink()
    (store.folder / "00000002.damaged").mkdir()
    checkpoint = store.latest()
    assert checkpoint is not None
    assert checkpoint.set_aside == ("00000002.damaged-2",)
    assert save(store, 3) == 3


def test_damage_to_the_newest_state_is_not_read(store: CheckpointStore) -> None:
    """Else the supervisor would report progress that the worker cannot resume from; and reading must rename nothing."""
    path = store.folder / "00000002" / "state.json"
    path.write_bytes(path.read_bytes().replace(b"2", b"9"))
    assert store.latest_state() == {"cursor": 1, "history": {"loss": [1.5, 0.1]}}
    assert names(store.folder) == ["00000001", "00000002"]


def test_a_writer_that_overtakes_the_reader_is_followed(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the supervisor would see no checkpoint while the worker is just writing new ones."""
    read = read_manifest

    def slow_read(folder: Path, generation: int) -> Manifest:
        monkeypatch.undo()
        for cursor in (3, 4):
            save(store, cursor)
        shutil.rmtree(store.folder / "00000003")
        return read(folder, generation)

    monkeypatch.setattr(checkpoints, "read_manifest", slow_read)
    assert store.latest_state() == {"cursor": 4, "history": {"loss": [1.5, 0.1]}}


def test_a_file_that_may_not_be_read_is_no_damage(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else good checkpoints would be set aside because there were too many open files, and the run begun anew."""
    monkeypatch.setattr(checkpoint_files, "open_plain", raiser(errno.EMFILE))
    with pytest.raises(
        StorageError, match=r"cannot be read \(Too many open files\): this process may have [\d,]+ files open"
    ):
        store.latest()
    assert names(store.folder) == ["00000001", "00000002"]


def test_an_unreadable_sector_is_damage(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one bad sector in the newest checkpoint would end the run although there is an older one."""

    def open_on_a_bad_disk(path: Path, *, follow_links: bool) -> BinaryIO:
        if path.match("00000002/optimizer.safetensors"):
            raise OSError(errno.EIO, "Input/output error")
        return open_plain(path, follow_links=follow_links)

    monkeypatch.setattr(checkpoint_files, "open_plain", open_on_a_bad_disk)
    assert_is(store.latest(), 1)


def test_a_drive_that_fails_leaves_no_run_without_its_checkpoints(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drive that reads nothing for a minute would set all checkpoints aside, and the run would begin anew."""
    monkeypatch.setattr(checkpoint_files, "open_plain", raiser(errno.EIO))
    for read in (store.latest, store.latest_state, lambda: store.latest_group("model")):
        with pytest.raises(StorageError, match=r"cannot be read \(.+\): the drive fails"):
            read()
    assert names(store.folder) == ["00000001", "00000002"]
    monkeypatch.undo()
    assert_is(store.latest(), 2)


# hostile content: each manifest is right in itself but for one thing


def entry_of(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def rewrite_manifest(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"] |= changes.pop("files", {})
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def lead_to(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = (folder / "model.safetensors").read_bytes()
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        rewrite_manifest(folder, files={name: entry_of(data)})

    return change


def link_file(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere")
    (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere")


def link_folder(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


def pipe(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


def set_state(data: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "state.json").write_bytes(data)
        rewrite_manifest(folder, files={"state.json": entry_of(data)})

    return change


def set_arrays(data: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(data)
        rewrite_manifest(folder, files={"model.safetensors": entry_of(data)})

    return change


def set_manifest(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_bytes(change(path.read_bytes()))

    return apply


BFLOAT16 = json.dumps({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()


@pytest.mark.parametrize(
    "change",
    [
        *map(lead_to, ["../escape.safetensors", "sub/a.safetensors", "a.pickle", "A.safetensors", "a.safetensors\n"]),
        lambda folder: rewrite_manifest(
            folder, files={f"{folder}/model.safetensors": {"bytes": 1, "sha256": "0" * 64}}
        ),
        lambda folder: rewrite_manifest(folder, files={"model.safetensors": {"bytes": 10**30, "sha256": "0" * 64}}),
        lambda folder: rewrite_manifest(folder, files={"model.safetensors": {"bytes": 2**62, "sha256": "0" * 64}}),
        lambda folder: rewrite_manifest(folder, schema="autofit/checkpoint/0"),
        lambda folder: rewrite_manifest(folder, generation=1),
        lambda folder: rewrite_manifest(folder, extra=1),
        set_manifest(lambda data: data.replace(b"schema", b"scheme")),
        set_manifest(lambda data: data.replace(b'  "schema": "autofit/checkpoint/1",\n', b"")),
        set_manifest(lambda data: data.replace(b"state.json", b"stat.safetensors")),
        set_manifest(lambda data: data + b" " * 2**20),
        set_manifest(lambda _: b"[" * 100_000),
        set_manifest(lambda _: b"\xff\xfe"),
        set_state(b"[" * 100_000),
        set_state(b"[1]"),
        set_state(b"9" * 5000),
        set_state(b"\xff"),
        set_arrays(b""),
        set_arrays(b"\xff" * 100),
        set_arrays(len(BFLOAT16).to_bytes(8, "little") + BFLOAT16 + b"\0\0"),
        link_file,
        link_folder,
        pipe,
    ],
)
def test_a_hostile_generation_is_not_loaded(store: CheckpointStore, change: Callable[[Path], None]) -> None:
    """Else a checkpoint from elsewhere could read outside its folder, hang the run, fill the memory or end it."""
    change(store.folder / "00000002")
    assert_is(store.latest(), 1)


# failing disks


def raiser(code: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.ESTALE])
@pytest.mark.parametrize("call", ["os.fsync", "tempfile.mkdtemp", "pathlib.Path.rename"])
def test_a_failing_disk_keeps_the_last_checkpoint(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """Else an error of the disk at some point of a save would take the former checkpoints with it (promise 6)."""
    with monkeypatch.context() as broken:
        broken.setattr(call, raiser(code))
        with pytest.raises(
            StorageError, match=rf"^no checkpoint can be written in .* \({os.strerror(code)}\): [^\n]*$"
        ):
            save(store, 3)
    assert names(store.folder) == ["00000001", "00000002"]
    assert_is(store.latest(), 2)
    assert save(store, 3) == 3


def test_an_old_generation_that_cannot_be_removed_is_no_failure(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run would end although its checkpoint is safe; the next save must make up for it."""
    with monkeypatch.context() as broken:
        broken.setattr(store, "_generations", raiser(errno.EIO))
        assert save(store, 3) == 3
    save(store, 4)
    assert names(store.folder) == ["00000003", "00000004"]


def test_leftovers_of_killed_saves_and_removals_are_swept(store: CheckpointStore) -> None:
    """Else every kill would leave a checkpoint's worth of bytes behind; what is not ours stays."""
    for name in (".saving-abc", ".removed-00000000", ".other", "00000000.damaged"):
        shutil.copytree(store.folder / "00000001", store.folder / name)
    save(store, 3)
    assert names(store.folder) == [".other", "00000000.damaged", "00000002", "00000003"]
