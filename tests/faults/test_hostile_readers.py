"""Hypothesis on every reader of a stranger's files: a value within bounds, or a line; bounded memory and time."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autofit import api
from autofit.api.existing_run import require_run
from autofit.errors import AutofitError
from autofit.runs.collect_result import collect_result
from autofit.storage.checkpoint_files import DamagedError
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.records import Record
from autofit.storage.run_directory import RunDirectory
from tests.support.given_run import given_run
from tests.support.hostile import BOUNDED, forged_json, torn
from tests.support.readers import Reader, readers
from tests.support.shared import made_once

MOST_SECONDS, MOST_KIB = 5.0, 300 * 1024
READERS = {f"{number}-{reader.name.replace('*', 'N')}": reader for number, reader in enumerate(readers())}


@pytest.fixture(scope="module")
def given_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole run of the stub."""
    return made_once(tmp_path_factory, "hostile-readers-run", lambda folder: given_run(folder / "run"))


def taken_kib() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def outcome(read: Callable[[Path], object], path: Path) -> str:
    """What a reader says of a file; empty if it reads it. Anything but its own errors is a failure."""
    started = time.monotonic()
    try:
        value = read(path)
    except (AutofitError, DamagedError, OSError, ValueError) as error:
        said = f"{type(error).__name__}: {error}"
    else:
        said = ""
        if isinstance(value, Record):
            again = type(value).model_validate_json(value.to_json())
            assert again.to_json() == value.to_json()
    assert time.monotonic() - started < MOST_SECONDS
    return said


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_forged_file_is_read_or_refused(
    tmp_path: Path, given_files: Path, count: Callable[..., None], name: str, *, whole: bool
) -> None:
    """A value that no run writes would end in a traceback, fill the memory, or be saved where nobody can read it."""
    reader: Reader = READERS[name]
    (tmp_path / "run").symlink_to(given_files / "run")
    valid = reader.valid(tmp_path)
    path = tmp_path / Path(reader.name).name
    path.write_bytes(valid)
    assert outcome(reader.read, path) == ""
    before = taken_kib()
    said: set[str] = set()

    @settings(BOUNDED, max_examples=400 if whole else 30)
    @given(data=st.one_of(reader.forge(valid), torn(valid)))
    def check(data: bytes) -> None:
        count(promise=12)
        path.write_bytes(data)
        said.add(outcome(reader.read, path))

    check()
    assert taken_kib() - before < MOST_KIB
    for line in said:
        if line.partition(":")[0] in {"UserError", "StorageError"}:
            assert line.isprintable()
            assert path.name in line


JSON_OF_A_RUN = (
    "run.json",
    "result.json",
    "attempts/0001/*.json*",
    "attempts/0006/*.json*",
    "checkpoints/*7/state.json",
)


def with_manifest(state: Path) -> None:
    """Let the manifest of a checkpoint vouch for its state."""
    path = state.with_name("manifest.json")
    manifest = json.loads(path.read_text())
    data = state.read_bytes()
    manifest["files"]["state.json"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(manifest))


def opened(files: RunDirectory) -> None:
    """All that a report, a resume and a result read of a run, and the page."""
    require_run(files)
    collect_result(files, "interrupted", "", 0.0).save(files.path / "again.json")
    CheckpointStore(files.checkpoints).manifests()
    api.write_report(files.path)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", JSON_OF_A_RUN, ids=range(len(JSON_OF_A_RUN)))
def test_a_run_with_a_forged_value_is_shown_or_refused(
    tmp_path: Path, given_files: Path, count: Callable[..., None], pattern: str, *, whole: bool
) -> None:
    """A number that its reader lets through would end the page that shows it in a traceback."""
    shutil.copytree(given_files / "run", tmp_path / "run")
    files = RunDirectory(tmp_path / "run")
    paths = {path: path.read_bytes() for path in sorted(files.path.glob(pattern))}
    before = taken_kib()
    cases = [forged_json(data.split(b"\n")[0] if path.suffix == ".jsonl" else data) for path, data in paths.items()]
    chosen = st.one_of(*[st.tuples(st.just(path), case) for path, case in zip(paths, cases, strict=True)])

    @settings(BOUNDED, max_examples=300 if whole else 4)
    @given(case=chosen)
    def check(case: tuple[Path, bytes]) -> None:
        count(promise=12)
        path, data = case
        path.write_bytes(data + b"\n")
        if path.name == "state.json":
            with_manifest(path)
        started = time.monotonic()
        try:
            opened(files)
        except AutofitError as error:
            assert str(error).isprintable(), error  # noqa: PT017 - the other outcome is as good
        assert time.monotonic() - started < 2 * MOST_SECONDS
        path.write_bytes(paths[path])

    check()
    assert taken_kib() - before < MOST_KIB
