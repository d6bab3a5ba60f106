"""Pieces of the parent's work, without TensorFlow, each short enough to be done a thousand times with another error."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit import api, dataset
from autofit.api.existing_run import require_run
from autofit.api.predictions import Predictions
from autofit.api.predictions_csv import CsvFile
from autofit.cache.store import CacheStore, NoRoomError
from autofit.cli.app import run_command_line
from autofit.mirror.mirror import Mirror
from autofit.mirror.patience import MirrorPatience
from autofit.process.launch import Exit
from autofit.profiles.merge import to_bytes
from autofit.profiles.records import MachineProfile, entry_of, machine_profile
from autofit.profiles.store import ProfileStore
from autofit.runs.collect_result import collect_result
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory, writing_in
from autofit.storage.run_lock import RunLock
from tests.support.machines import make_hardware
from tests.support.paths import load_child
from tests.support.records import make_probe_report
from tests.support.views import RecordingView

known = load_child("row_writer")
MACHINE = make_hardware()
PLENTY_BYTES = 10**9
IN_A_MOMENT = MirrorPatience(look=0.001, retry=0.001, answer=20.0, silence=20.0, lock=0.0, last=20.0, leave=0.5)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of work in a folder.

    Attributes:
        name: what is done, for the table.
        prepare: makes the folder ready, once; each case has a copy.
        do: does it, adds the lines that a person is shown, and returns what came of it, to be compared.
        assert_whole: fails if something is damaged that was complete before, or is said to be now.
        may_be: whether something else may come of it without a word, such as work that is done again.
    """

    name: str
    prepare: Callable[[Path], None]
    do: Callable[[Path, list[str]], object]
    assert_whole: Callable[[Path], object] = lambda _: None
    may_be: Callable[[Any], bool] = lambda _: False


def _anything(_: Any) -> bool:
    """A store that only saves time: without it the work is done again."""
    return True


# Run directory --------------------------------------------------------------------------------------------------------


def _empty(folder: Path) -> None:
    folder.mkdir(exist_ok=True)


def _begin_run(folder: Path, said: list[str]) -> object:
    files = RunDirectory(folder / "runs" / "run")
    files.create()
    with RunLock(files).acquire(0.0) as lock:
        number, attempt = files.new_attempt()
        record = load_child("stub_parent").run_record()
        with writing_in(files.path):
            record.save(files.run)
        if not lock.has_flock:
            said.append("this drive cannot lock files")
        return number, attempt.path.is_dir(), require_run(files) == record


def _record_is_whole(folder: Path) -> None:
    files = RunDirectory(folder / "runs" / "run")
    if files.run.exists():
        require_run(files)


ARRAYS = {"model": {"w": np.arange(64.0)}, "optimizer": {"m": np.ones(9)}}


def _two_checkpoints(folder: Path) -> None:
    for epoch in (1, 2):
        CheckpointStore(folder / "checkpoints").save(ARRAYS, {"epoch": epoch, "position": 0})


def _save_checkpoint(folder: Path, said: list[str]) -> object:
    del said
    return CheckpointStore(folder / "checkpoints").save(ARRAYS, {"epoch": 3, "position": 0}, unchanged=["optimizer"])


def _read_checkpoint(folder: Path, said: list[str]) -> object:
    del said
    store = CheckpointStore(folder / "checkpoints")
    found = store.latest(10**6)
    state, arrays = store.latest_group("model") or ({}, {})
    assert found is not None
    store.manifests()
    return found.state, found.set_aside, state, sorted(arrays), store.latest_state()


def _is_from_before(came: Any) -> bool:
    """The newest could not be read: it is set aside by name, and the one before is taken."""
    return bool(came[1]) or 1 in {came[2]["epoch"], came[4]["epoch"]}


def _checkpoint_is_whole(folder: Path) -> None:
    found = CheckpointStore(folder / "checkpoints").latest()
    assert found is not None
    assert found.set_aside == ()
    assert found.state["epoch"] == 2 + (found.generation == 3) - (found.generation == 1)
    np.testing.assert_array_equal(found.groups["model"]["w"], ARRAYS["model"]["w"])


# Cache and profiles ---------------------------------------------------------------------------------------------------


def _cache_entry(folder: Path) -> None:
    with CacheStore(folder / "cache", PLENTY_BYTES).writer(known.record(width=3), None, 0) as writer:
        known.append(writer, range(5))


def _write_cache(folder: Path, said: list[str]) -> object:
    store = CacheStore(folder / "cache", PLENTY_BYTES)
    try:
        with store.writer(known.record(width=3), None, 10) as writer:
            known.append(writer, range(5, 9))
            writer.sync()
            writer.share()
    except (NoRoomError, OSError) as error:
        said.append(str(error))
        return "no room"
    return "written"


def _read_cache(folder: Path, said: list[str]) -> object:
    store = CacheStore(folder / "cache", PLENTY_BYTES)
    rows = []
    for entry in store.open_entries(known.KEY):
        found = entry.find(known.images(range(9)))
        rows += entry.rows(found[found >= 0])[:, 0].tolist()
        entry.used()
        entry.close()
    said.append(store.others_words())
    return rows


def _cache_is_whole(folder: Path) -> None:
    found: set[float] = set()
    for entry in CacheStore(folder / "cache", PLENTY_BYTES).open_entries(known.KEY):
        places = entry.find(known.images(range(9)))
        has = np.flatnonzero(places >= 0)
        assert np.array_equal(entry.rows(places[has]), known.rows(has, 3))
        found |= set(has.tolist())
        entry.close()
    assert found >= set(range(5))


def _profile(batch: int) -> MachineProfile:
    report = make_probe_report(batch)
    return machine_profile(MACHINE, [entry_of(report, 1.8e9, limit_is_given=True)])


def _profiles(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    ProfileStore(folder / "profiles", None, print).add(_profile(8))
    (folder / "given.json").write_bytes(to_bytes(_profile(16)))


def _save_profile(folder: Path, said: list[str]) -> object:
    store = ProfileStore(folder / "profiles", None, said.append, lock_patience_seconds=0.0)
    store.save(make_probe_report(32), MACHINE, 1.8e9, limit_is_given=False)
    return [len(profile.entries) for profile, _ in store.load()]


def _profiles_are_whole(folder: Path) -> None:
    said: list[str] = []
    ((profile, _),) = ProfileStore(folder / "profiles", None, said.append).load()
    assert said == []
    assert profile.entries


# Mirror ---------------------------------------------------------------------------------------------------------------


def _run_and_mirror(folder: Path) -> None:
    _given(folder)
    (folder / "drive").mkdir()


def _copy_to_mirror(folder: Path, said: list[str]) -> object:
    with Mirror(RunDirectory(folder / "run"), folder / "drive" / "run", said.append, patience=IN_A_MOMENT) as mirror:
        mirror.start()
    return sorted(path.name for path in (folder / "drive" / "run").glob("*.json"))


# A whole run ----------------------------------------------------------------------------------------------------------

GIVEN = "given"
"""A finished run of the stub, beside each piece's folder."""


def _given(folder: Path) -> None:
    shutil.copytree(folder.parent / GIVEN, folder / "run")


def _given_is_whole(folder: Path) -> None:
    files = RunDirectory(folder / "run")
    require_run(files)
    assert CheckpointStore(files.checkpoints).latest() is not None
    assert collect_result(files, "completed", "", 1.0).weights_sha256


def _resumed_is_whole(folder: Path) -> None:
    files = RunDirectory(folder / "run")
    require_run(files)
    assert CheckpointStore(files.checkpoints).latest() is not None


def _report(folder: Path, said: list[str]) -> object:
    del said
    result = api.write_report(folder / "run")
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    return result.status, len(result.history), page.endswith("</html>\n")


def _read_run(folder: Path, said: list[str]) -> object:
    del said
    files = RunDirectory(folder / "run")
    record = require_run(files)
    result = collect_result(files, "interrupted", "", 0.0)
    return record.started, len(result.attempts), result.history, result.weights_sha256


class _Ended:
    """A worker that has done everything already: its files are those of the stub's."""

    def poll(self) -> Exit:
        """Say that it has ended."""
        return Exit(0)

    def send(self, request: object) -> None:
        """Hear nothing."""

    def kill(self) -> None:
        """Be gone."""

    def close(self) -> None:
        """Have nothing to release."""


class _Launcher:
    isolated = True

    def __init__(self, given: Path) -> None:
        self._given = RunDirectory(given)

    def launch(self, attempt: Any, payload: object, lock_fd: object) -> _Ended:
        """Put in place what the stub's last worker has written."""
        del payload, lock_fd
        run_dir = attempt.path.parent.parent
        shutil.copytree(self._given.checkpoints, run_dir / "checkpoints", dirs_exist_ok=True)
        for name in ("outcome.json", "progress.jsonl", "events.jsonl", "memory"):
            source = self._given.attempts()[-1].path / name
            if source.exists():
                shutil.copyfile(source, attempt.path / name)
        return _Ended()


def _photos(folder: Path) -> None:
    for label in ("cat", "dog"):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(4):
            (folder / "photos" / label / f"{number}.jpg").write_bytes(b"x")
    lines = [f"{label}/{number}.jpg,{label}" for label in ("cat", "dog") for number in range(4)]
    (folder / "photos" / "list.csv").write_text("\n".join(["path,label", *lines]) + "\n")


@contextlib.contextmanager
def _supervising(folder: Path, said: list[str]) -> Iterator[RecordingView]:
    """A stand-in for the workers of a run in the folder, and a cache and profiles of its own; `said` gets its words."""
    view = RecordingView()
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("autofit.api.supervision.launcher_for", lambda *_: _Launcher(folder.parent / GIVEN))
            patched.setenv("AUTOFIT_CACHE", str(folder / "cache"))
            patched.setenv("AUTOFIT_PROFILES", str(folder / "profiles"))
            yield view
    finally:
        said += view.messages


def _train(folder: Path, said: list[str]) -> object:
    with _supervising(folder, said) as view:
        result = api.run(folder / "photos", run_dir=folder / "run", batch_size=4, epochs=2, weights="none", view=view)
    return result.status, len(result.history)


def _interrupted(folder: Path) -> None:
    """A run of the photos that was killed after its last checkpoint, before its result."""
    _photos(folder)
    _train(folder, [])
    for name in ("result.json", "report.html", "history.csv"):
        (folder / "run" / name).unlink(missing_ok=True)


def _resume(folder: Path, said: list[str]) -> object:
    with _supervising(folder, said) as view:
        result = api.resume(folder / "run", view=view)
    return result.status, len(result.history)


def _listed(folder: Path) -> list[tuple[str, str]]:
    """Photos without class folders, each with its label."""
    (folder / "photos" / "images").mkdir(parents=True)
    listed = [(f"00{number}", "cat" if number < 4 else "dog") for number in range(8)]
    for name, _ in listed:
        (folder / "photos" / "images" / f"{name}.jpg").write_bytes(b"x")
    return listed


def _photos_in_json(folder: Path) -> None:
    rows = [{"file_name": f"images/{name}.jpg", "label": label} for name, label in _listed(folder)]
    (folder / "photos" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _photos_of_an_object(folder: Path) -> None:
    (folder / "photos" / "labels.json").write_text(
        json.dumps({f"{name}.jpg": label for name, label in _listed(folder)})
    )


def _photos_by_name(folder: Path) -> None:
    lines = [f"{name} {label}\n" for name, label in _listed(folder)]
    (folder / "photos" / "list.txt").write_text("".join(lines))


def _photos_in_joined_lists(folder: Path) -> None:
    numbered = list(enumerate(_listed(folder), 1))
    said = {
        "images": [f"{number} {name}.jpg" for number, (name, _) in numbered],
        "image_class_labels": [f"{number} {1 + (label == 'dog')}" for number, (_, label) in numbered],
        "train_test_split": [f"{number} {int(number % 4 > 0)}" for number, _ in numbered],
        "classes": ["1 001.cat", "2 002.dog"],
    }
    for name, lines in said.items():
        (folder / "photos" / f"{name}.txt").write_text("\n".join(lines) + "\n")


def _scan(name: str = "") -> Callable[[Path, list[str]], object]:
    """Find the images of the photos' folder, or of a table in it."""

    def do(folder: Path, said: list[str]) -> object:
        index = dataset.scan(folder / "photos" / name)
        said += index.notes
        return index.train_count, index.validation_count, index.test_count

    return do


# Predictions ----------------------------------------------------------------------------------------------------------


def _table_of_yesterday(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "all.csv").write_text("of yesterday\n")


def _write_predictions(folder: Path, said: list[str]) -> object:
    del said
    rows = np.tile(np.array([[0.25, 0.75]], np.float32), (3, 1))
    with CsvFile(folder / "all.csv") as file:
        for first in (0, 3):
            if not first:
                file.go_on("key")
            paths = [f"{first + number}.jpg" for number in range(3)]
            file.add(Predictions.of(rows, ("cat", "dog"), paths, []))
    return (folder / "all.csv").read_text()


def _predictions_are_whole(folder: Path) -> None:
    text = (folder / "all.csv").read_text()
    assert text == "of yesterday\n" or len(text.splitlines()) == 7


# Commands -------------------------------------------------------------------------------------------------------------


def _command(*words: str, is_shown: Callable[[str], object] = len) -> Callable[[Path, list[str]], object]:
    def do(folder: Path, said: list[str]) -> object:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("AUTOFIT_CACHE", str(folder / "cache"))
            patched.setenv("AUTOFIT_PROFILES", str(folder / "profiles"))
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run_command_line([word.format(folder) for word in words])
        said += err.getvalue().splitlines()
        return code, is_shown(out.getvalue())

    return do


def _keys(text: str) -> object:
    return sorted(json.loads(text)) if text else None


def _lines(text: str) -> int:
    return len(text.splitlines())


PIECES = (
    Piece("a run directory is begun", _empty, _begin_run, _record_is_whole),
    Piece("images of a folder are found", _photos, _scan()),
    Piece("images of a table are found", _photos, _scan("list.csv")),
    Piece("images of lines of JSON are found", _photos_in_json, _scan("metadata.jsonl")),
    Piece("images of an object in JSON are found", _photos_of_an_object, _scan("labels.json")),
    Piece("images of joined lists are found", _photos_in_joined_lists, _scan("images.txt")),
    Piece("images of a list of names are found", _photos_by_name, _scan("list.txt")),
    Piece("a run, from the images to its result", _photos, _train),
    Piece("a run is resumed, to its result", _interrupted, _resume, _resumed_is_whole),
    Piece("a checkpoint is saved", _two_checkpoints, _save_checkpoint, _checkpoint_is_whole),
    Piece("a checkpoint is read", _two_checkpoints, _read_checkpoint, _checkpoint_is_whole, may_be=_is_from_before),
    Piece("a run is read, to go on with it", _given, _read_run, _given_is_whole),
    Piece("a run's page is written", _given, _report, _given_is_whole),
    Piece("a run is copied to its mirror", _run_and_mirror, _copy_to_mirror, _given_is_whole),
    Piece("features are cached", _cache_entry, _write_cache, _cache_is_whole, may_be=_anything),
    Piece("features are read", _cache_entry, _read_cache, _cache_is_whole, may_be=_anything),
    Piece("autofit cache list", _cache_entry, _command("cache", "list", is_shown=_lines), _cache_is_whole),
    Piece("autofit cache clear", _cache_entry, _command("cache", "clear")),
    Piece("a profile is saved and read", _profiles, _save_profile, _profiles_are_whole, may_be=_anything),
    Piece("autofit profiles list", _profiles, _command("profiles", "list", is_shown=_lines), _profiles_are_whole),
    Piece(
        "autofit profiles import",
        _profiles,
        _command("profiles", "import", "{}/given.json", is_shown=_lines),
        _profiles_are_whole,
    ),
    Piece("predictions are written", _table_of_yesterday, _write_predictions, _predictions_are_whole),
    Piece("autofit report", _given, _command("report", "{}/run", is_shown=_lines), _given_is_whole),
    Piece("autofit doctor", _empty, _command("doctor", "--json", "-", is_shown=_keys)),
)
