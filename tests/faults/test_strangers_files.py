"""The files of a run with bytes changed, cut or put in: each reader uses them, or refuses them in one line."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autofit import api
from autofit.api.existing_run import require_run
from autofit.errors import AutofitError
from autofit.runs.collect_result import collect_result
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.given_run import given_run

INSERTED = (
    b"1e999",
    b"9" * 5000,
    b"NaN",
    b"[" * 500,
    b"\x00",
    b"\xff\xfe",
    b'{"a":' * 300,
    b"-1",
    b'"',
    b"\n",
    b"../..",
)
MOST_SECONDS, MOST_KIB = 10.0, 400 * 1024


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The bytes of a file with one to three changes."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(changed) + 1)
        kind = chance.randrange(4)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del changed[place:]
        elif kind == 2:
            changed[place:place] = chance.choice(INSERTED)
        else:
            changed[place : place + chance.randint(1, 20)] = b""
    return bytes(changed)


def read_all(files: RunDirectory, *, with_page: bool) -> None:
    """Read a run directory as a report, a resume and a worker do."""
    collect_result(files, "interrupted", "", 0.0)
    store = CheckpointStore(files.checkpoints)
    store.latest_group("callbacks", 10**6)
    store.manifests()
    require_run(files)
    if with_page:
        api.write_report(files.path)


@pytest.mark.slow
def test_a_damaged_run_is_used_or_refused_in_one_line(
    tmp_path: Path, count: Callable[..., None], *, whole: bool
) -> None:
    """Opening a run from a stranger would end in a traceback, hang, or fill the memory."""
    files = given_run(tmp_path / "run")
    paths = [path for path in sorted(files.path.rglob("*")) if path.is_file() and path.stat().st_size]
    said: list[str] = []
    taken_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(10_000 if whole else 60):
        chance = random.Random(number)
        path = paths[number % len(paths)]
        original = path.read_bytes()
        path.write_bytes(mutated(original, chance))
        count(promise=12)
        started = time.monotonic()
        try:
            read_all(files, with_page=number % 20 == 0)
        except AutofitError as error:
            said.append(str(error))
        assert time.monotonic() - started < MOST_SECONDS, number
        path.unlink(missing_ok=True)
        path.write_bytes(original)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - taken_before < MOST_KIB
    assert said
    assert not [line for line in said if "\n" in line]
