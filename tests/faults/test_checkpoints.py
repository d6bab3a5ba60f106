"""Checkpoints under real faults: `children/saver.py`, killed and failed by the kernel, and files that were damaged."""

from __future__ import annotations

import errno
import functools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from autofit.storage.checkpoints import CheckpointStore
from tests.support.paths import CHILDREN, load_child

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("autofit_is_found")]

SAVER = CHILDREN / "saver.py"
CALLS = "/^((mkdir|open|rename|link|unlink|f?chmod)(at|at2|2)?|write|fsync|close|rmdir|chdir)$"
"""System calls with which a save changes the disk, as several architectures name them; `chdir` marks its beginning."""

MOST_TRIES = 25

Count = Callable[..., None]
Mutation = Callable[[bytes, bytes, random.Random], bytes]


@pytest.fixture(scope="module")
def saver() -> ModuleType:
    return load_child("saver")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def generations_in(folder: Path) -> int:
    """How many generations there are to fall back to."""
    return sum(name.isdecimal() for name in names(folder)) if folder.exists() else 0


def store_with(saver: ModuleType, folder: Path, generations: int) -> CheckpointStore:
    """A store after so many saves, in which the next save was killed."""
    store = CheckpointStore(folder)
    for cursor in range(1, generations + 1):
        saver.save(store, cursor)
    if generations:
        shutil.copytree(folder / f"{generations:08d}", folder / ".saving-killed")
    return store


def cursor_of(saver: ModuleType, store: CheckpointStore) -> int:
    """The cursor of the latest checkpoint or 0; asserts that it is of one save, and that none was set aside."""
    state, latest = store.latest_state(), store.latest()
    if latest is None:
        assert state is None
        return 0
    assert latest.state == state
    assert latest.set_aside == ()
    cursor = int(latest.state["cursor"])
    assert_holds(saver, latest.groups, cursor)
    return cursor


def assert_holds(saver: ModuleType, groups: dict[str, dict[str, Any]], cursor: int) -> None:
    expected = saver.contents(cursor)
    assert groups.keys() == expected.keys()
    for group, arrays in expected.items():
        assert groups[group].keys() == arrays.keys()
        for name, array in arrays.items():
            loaded = groups[group][name]
            assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
            assert loaded.tobytes() == array.tobytes()


def assert_goes_on(saver: ModuleType, store: CheckpointStore, cursor: int) -> None:
    """Assert that the next save succeeds, and removes the leftovers of the fault."""
    saver.save(store, cursor)
    assert cursor_of(saver, store) == cursor
    assert all(name.isdecimal() for name in names(store.folder))
    assert len(names(store.folder)) <= store.keep


# every system call of a save ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """A system call of a save: its name, which of that name it is in its process, and its line in the trace."""

    name: str
    number: int
    line: str


class TracedSaver:
    """Saves once, in a process of its own whose system calls are traced and may be made to fail."""

    def __init__(self, strace: list[str], log: Path) -> None:
        self._strace, self._log = strace, log

    def save(self, folder: Path, cursor: int, faults: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Save under these faults, given as `strace --inject` takes them."""
        sooner = [] if any("signal=" in fault for fault in faults) else ["--seccomp-bpf"]  # it sends no signals
        options = [*sooner, "-y", "-o", str(self._log), "-e", f"trace={CALLS}"]
        injected = [part for fault in faults for part in ("-e", f"inject={fault}")]
        program = [sys.executable, "-B", str(SAVER), "once", str(folder), str(cursor)]
        command = [*self._strace, *options, *injected, *program]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def save_hit_at(
        self, make_store: Callable[[], CheckpointStore], cursor: int, faults: Sequence[str], place: int
    ) -> tuple[CheckpointStore, subprocess.CompletedProcess[str]]:
        """Save in a new store until the first fault strikes the call at this place.

        Faults count calls from the start of the process, and while Python imports it makes one more or less now and
        then: such a save was hit elsewhere, and proves nothing about this place.
        """
        for _ in range(MOST_TRIES):
            store = make_store()
            done = self.save(store.folder, cursor, faults)
            lines = [call.line for call in self.calls()]
            struck = [number for number, line in enumerate(lines) if "(INJECTED)" in line or line.endswith("= ?")]
            if struck[:1] == [place]:
                return store, done
            shutil.rmtree(store.folder, ignore_errors=True)
        pytest.fail(f"no fault struck at {place} in {MOST_TRIES} saves")

    def calls(self) -> list[Call]:
        """The calls of the last save, without those before it."""
        numbers = Counter[str]()
        calls: list[Call] = []
        for name, rest in re.findall(r"^\d+ +(\w+)(\(.*)$", self._log.read_text(errors="replace"), re.MULTILINE):
            numbers[name] += 1
            calls.append(Call(name, numbers[name], name + rest))
        begin = [call.name for call in calls].index("chdir") if any(call.name == "chdir" for call in calls) else -1
        return calls[1 + begin :]


@pytest.fixture
def traced(strace: list[str], tmp_path: Path) -> TracedSaver:
    return TracedSaver(strace, tmp_path / "trace")


def calls_of_a_save(traced: TracedSaver, saver: ModuleType, folder: Path, generations: int) -> list[Call]:
    store_with(saver, folder, generations)
    assert traced.save(folder, generations + 1).stdout == "saved"
    calls = traced.calls()
    assert Counter(call.name for call in calls)["fsync"] >= 6, "the trace shows no save"
    return calls


@pytest.mark.parametrize("generations", [0, 2])
def test_a_kill_at_every_system_call_leaves_the_last_checkpoint_or_the_new_one(
    traced: TracedSaver, saver: ModuleType, tmp_path: Path, count: Count, *, whole: bool, generations: int
) -> None:
    """A SIGKILL between two writes would leave a checkpoint that is neither, or none at all."""
    calls = calls_of_a_save(traced, saver, tmp_path / "undisturbed", generations)
    found = set()
    for place, call in list(enumerate(calls))[:: -1 if whole else -19]:  # the last one is after the renaming
        count(promise=2)
        store, done = traced.save_hit_at(
            functools.partial(store_with, saver, tmp_path / str(place), generations),
            generations + 1,
            [f"{call.name}:signal=KILL:when={call.number}"],
            place,
        )
        assert done.returncode == -signal.SIGKILL, call
        assert generations_in(store.folder) >= generations, call
        found.add(cursor_of(saver, store))
        assert_goes_on(saver, store, generations + 2)
        shutil.rmtree(store.folder)
    assert found == {generations, generations + 1}


def broken_once(error: str, calls: Sequence[Call], place: int) -> list[str]:
    """Make that call fail, and all others succeed."""
    return [f"{calls[place].name}:error={error}:when={calls[place].number}"]


def broken_for_good(error: str, calls: Sequence[Call], place: int) -> list[str]:
    """Make that call and all later ones fail, those of the cleaning up too."""
    first = {call.name: call.number + 1 for call in calls[:place]}
    later = {call.name: call.number for call in reversed(calls)}
    return [f"{name}:error={error}:when={first.get(name, number)}+" for name, number in later.items()]


BREAKS = {
    "once": (broken_once, ["ENOSPC", "EIO", "EROFS"]),
    "for good": (broken_for_good, ["EIO", "EROFS"]),
}


@pytest.mark.parametrize(("break_at", "errors"), BREAKS.values(), ids=BREAKS)
@pytest.mark.parametrize("generations", [0, 2])
def test_an_error_of_every_system_call_keeps_the_last_checkpoint(
    traced: TracedSaver,
    saver: ModuleType,
    tmp_path: Path,
    count: Count,
    *,
    whole: bool,
    generations: int,
    break_at: Callable[[str, Sequence[Call], int], list[str]],
    errors: Sequence[str],
) -> None:
    """A full or failing disk would destroy the former checkpoint, or end the run with a traceback."""
    calls = calls_of_a_save(traced, saver, tmp_path / "undisturbed", generations)
    cases = [(error, place) for place in range(len(calls)) for error in errors]
    for error, place in cases[:: -1 if whole else -41]:
        count(promise=6)
        store, done = traced.save_hit_at(
            functools.partial(store_with, saver, tmp_path / f"{error}-{place}", generations),
            generations + 1,
            break_at(error, calls, place),
            place,
        )
        words = os.strerror(getattr(errno, error))
        assert (done.returncode, done.stderr) == (0, ""), (error, calls[place])
        assert generations_in(store.folder) >= generations, (error, calls[place])
        found = cursor_of(saver, store)
        if done.stdout == "saved":
            assert found == generations + 1, (error, calls[place])
        else:
            assert found in {generations, generations + 1}, (error, calls[place])
            what = rf"(no checkpoint can be written in {store.folder}|{store.folder} cannot be read)"
            clear = rf"{what} \({words}\): [^\n]+"
            assert re.fullmatch(clear, done.stdout), (error, calls[place])
        assert_goes_on(saver, store, generations + 2)
        shutil.rmtree(store.folder)


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(
    traced: TracedSaver, saver: ModuleType, tmp_path: Path, count: Count
) -> None:
    """After a power cut a checkpoint would have its name without its bytes, and the one before it would be gone."""
    count(promise=2)
    lines = [call.line for call in calls_of_a_save(traced, saver, tmp_path / "store", 2)]

    def first(pattern: str) -> int:
        return next(place for place, line in enumerate(lines) if re.match(pattern, line))

    named = first(r"rename.*/\.saving-\w+\".*/00000003\"")
    written = {match[1] for line in lines[:named] if (match := re.match(r"write\(\d+<(.+?)>", line))}
    assert {Path(path).name for path in written} == {
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
        "manifest.json",
    }
    synced = [first(rf"fsync\(\d+<{re.escape(path)}>") for path in written]
    folder_synced = first(r"fsync\(\d+<[^>]*/\.saving-\w+>\)")
    store_synced = first(rf"fsync\(\d+<{re.escape(str(tmp_path / 'store'))}>\)")
    removed = first(r"rename.*/00000001\"")
    assert max(synced) < folder_synced < named < store_synced < removed


# kills at any moment, and disks that are really full ----------------------------------------------------------------


def test_a_kill_at_any_moment_leaves_the_last_checkpoint(
    saver: ModuleType, tmp_path: Path, count: Count, *, whole: bool
) -> None:
    """A SIGKILL during a save would cost the run (promise 2), or its leftovers would fill the disk."""
    store = CheckpointStore(tmp_path)
    chance = random.Random(0)
    cursor = leftovers = 0
    command = [sys.executable, str(SAVER), "forks", str(tmp_path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as savers:
        assert savers.stdin
        assert savers.stdout
        for turn in range(500):
            if turn >= 30 and cursor and leftovers and not whole:  # seldom are thirty not enough to hit one
                break
            count(promise=2)
            savers.stdin.write("\n")
            savers.stdin.flush()
            child = int(savers.stdout.readline())
            time.sleep(chance.uniform(0.002, 0.06))
            os.kill(child, signal.SIGKILL)
            assert savers.stdout.readline() == "ended\n"
            leftovers += any(name.startswith(".") for name in names(tmp_path))
            found = cursor_of(saver, store)
            assert found >= cursor
            cursor = found
        savers.stdin.close()
    assert cursor > 0, "nothing was ever saved"
    assert leftovers > 0, "no save was ever hit"
    assert_goes_on(saver, store, cursor + 1)


def overflow(folder: Path, limit_bytes: int, *prefix: str) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, str(SAVER), "overflow", str(folder), str(limit_bytes)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def assert_last_is_safe(done: subprocess.CompletedProcess[str], folder: Path, reason: str) -> None:
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told.pop("message").startswith(f"no checkpoint can be written in {folder} ({reason}): ")
    assert told == {"state": {"cursor": 1}, "names": ["00000001"]}


def test_a_file_size_limit_keeps_the_last_checkpoint(tmp_path: Path, count: Count) -> None:
    """A write that is cut short would be loaded as a checkpoint, or remain on the disk in part (promise 6)."""
    count(promise=6)
    assert_last_is_safe(overflow(tmp_path, 2**18), tmp_path, "File too large")


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, count: Count) -> None:
    """A full disk would cost the run, or end it with a traceback (promise 6)."""
    in_tiny_disk = 'mount -t tmpfs -o size=1m tmpfs "$0" || exit 77; exec "$@"'
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", in_tiny_disk, str(tmp_path)]
    if not shutil.which("unshare") or overflow(tmp_path, 0, *prefix[:4], "true").returncode:
        pytest.skip("no user namespaces here")
    done = overflow(tmp_path, 0, *prefix)
    if done.returncode == 77:
        pytest.skip("no small filesystem can be mounted here")
    count(promise=6)
    assert_last_is_safe(done, tmp_path, "No space left on device")


# damaged files ------------------------------------------------------------------------------------------------------


def flip(data: bytes, other: bytes, chance: random.Random) -> bytes:
    del other
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :]


def truncate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    del other
    return data[: chance.randrange(len(data))]


def zero(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Zero a block, as a file system does that allocated and never wrote it."""
    del other
    at = chance.randrange(len(data))
    end = chance.randrange(at, len(data)) + 1
    return data[:at] + bytes(end - at) + data[end:]


def extend(data: bytes, other: bytes, chance: random.Random) -> bytes:
    del other
    return data + chance.randbytes(chance.randrange(1, 20))


def rotate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    del other
    at = chance.randrange(len(data))
    return data[at:] + data[:at]


def swap(data: bytes, other: bytes, chance: random.Random) -> bytes:
    del data, chance
    return other


def splice(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Join the start of one file and the rest of another at the same offset: mixed-up blocks of a disk."""
    at = chance.randrange(len(data))
    return data[:at] + other[at:]


MUTATIONS = [flip, truncate, zero, extend, rotate, swap, splice]


def is_harmless(path: Path, good: bytes, bad: bytes) -> bool:
    """Whether a manifest still has the same content as JSON."""
    try:
        return path.name == "manifest.json" and bool(json.loads(bad) == json.loads(good))
    except ValueError:
        return False


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_any_damage_falls_back(
    saver: ModuleType, tmp_path: Path, count: Count, *, whole: bool, mutate: Mutation
) -> None:
    """A flipped bit on the disk would be loaded as weights, or end the run with a traceback (promise 5)."""
    chance = random.Random(mutate.__name__)
    store = CheckpointStore(tmp_path)
    for cursor in (1, 2):
        saver.save(store, cursor)
    newest, aside = tmp_path / "00000002", tmp_path / "00000002.damaged"
    others = [path.read_bytes() for path in sorted(tmp_path.rglob("*.*"))]
    for turn in range(1000 if whole else 50):
        count(promise=5)
        path = sorted(newest.iterdir())[turn % 5]
        good = path.read_bytes()
        bad = mutate(good, chance.choice(others), chance)
        path.unlink()  # a file that does not change is the same one in both generations
        path.write_bytes(bad)
        latest = store.latest()
        assert latest is not None
        assert latest.generation == (2 if bad == good or is_harmless(path, good, bad) else 1)
        assert latest.state == {"cursor": latest.generation}
        assert_holds(saver, latest.groups, latest.generation)
        if aside.exists():
            aside.rename(newest)
        path.write_bytes(good)
    assert cursor_of(saver, store) == 2


def test_damage_all_over_never_loads_what_was_not_saved(
    saver: ModuleType, tmp_path: Path, count: Count, *, whole: bool
) -> None:
    """Two damaged generations would together look like a good one, or a damaged one would hide a good one."""
    chance = random.Random(0)
    store = CheckpointStore(tmp_path / "store", keep=3)
    for cursor in (1, 2, 3):
        saver.save(store, cursor)
    good = tmp_path / "good"
    store.folder.rename(good)
    for _ in range(1000 if whole else 50):
        count(promise=5)
        shutil.copytree(good, store.folder)
        files = sorted(store.folder.rglob("*.*"))
        damaged = set()
        for path in chance.sample(files, chance.randrange(2, 7)):
            before = path.read_bytes()
            bad = chance.choice(MUTATIONS)(before, chance.choice(files).read_bytes(), chance)
            path.write_bytes(bad)
            if bad != before and not is_harmless(path, before, bad):
                damaged.add(int(path.parent.name))
        latest = store.latest()
        assert (latest.generation if latest else 0) == max({0, 1, 2, 3} - damaged)
        if latest:
            assert_holds(saver, latest.groups, latest.generation)
        shutil.rmtree(store.folder)
