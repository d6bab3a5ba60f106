"""Files that once took gigabytes, or for ever: each is refused or used within 400 MiB and some seconds."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autofit import api
from autofit.cache.entry_format import EntryRecord
from autofit.storage.run_directory import RunDirectory
from tests.support.given_run import given_run
from tests.support.paths import CHILDREN, child_environment
from tests.support.shared import made_once

pytestmark = pytest.mark.slow  # writes files of many megabytes

MOST_MIB, MOST_SECONDS = 400, 60.0


def many_keys(path: Path) -> None:
    """Add 4.5 million fields that nobody knows."""
    text = path.read_text().rstrip().rstrip("}").rstrip()
    with path.open("w") as file:
        file.write(text)
        file.writelines(f',"x{number}":1' for number in range(4_500_000))
        file.write("}")


def sparse(size_bytes: int) -> Callable[[Path], None]:
    """Make a file of so many zeros, which take no room."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size_bytes)

    return make


def big_weights(files: RunDirectory) -> None:
    """A model of 14 GB, with a manifest to match but for the hash, which nobody has time for."""
    generation = max(files.checkpoints.iterdir())
    sparse(14 * 10**9)(generation / "model.safetensors")
    manifest = json.loads((generation / "manifest.json").read_text())
    manifest["files"]["model.safetensors"] = {"bytes": 14 * 10**9, "sha256": hashlib.sha256(b"").hexdigest()}
    (generation / "manifest.json").write_text(json.dumps(manifest))


def piped(path: Path) -> None:
    """Put a named pipe, to which nobody writes, in the place of a file."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def linked_attempt(files: RunDirectory) -> None:
    """A link where the next attempt would make its folder."""
    (files.path / "attempts" / "0009").symlink_to(files.path)


def hard_linked(path: Path) -> None:
    """A second name for a file elsewhere."""
    elsewhere = path.parent.parent / f"elsewhere-{path.name}"
    elsewhere.write_text("ours")
    path.unlink(missing_ok=True)
    os.link(elsewhere, path)


def big_entry(files: RunDirectory) -> None:
    """A cache whose only entry has four million fields."""
    entry = files.path / f"{'a' * 16}-1-{'b' * 8}"
    entry.mkdir()
    record = EntryRecord(kind="features", key="a" * 64, about={}, dtype="float32", row_shape=(3,), created=0.0)
    record.save(entry / "entry.json")
    many_keys(entry / "entry.json")


SAMPLES: dict[str, tuple[Callable[[RunDirectory], object], str, str]] = {
    "53 MB of fields, report": (lambda files: many_keys(files.run), "report", "fields, more than the"),
    "53 MB of fields, resume": (lambda files: many_keys(files.run), "resume", "fields, more than the"),
    "60 MB of empty events": (
        lambda files: files.attempts()[0].events.write_bytes(b"{}\n" * 20_000_000),
        "collect",
        "",
    ),
    "20 GB without a line end": (lambda files: sparse(20 * 10**9)(files.samples), "report", ""),
    "20 GB of a log without a line end": (lambda files: sparse(20 * 10**9)(files.audit), "replay", "is damaged"),
    "14 GB of weights": (big_weights, "checkpoint", "more than the .* that this model's can have: remove"),
    "an entry of 4.5 million fields": (big_entry, "cache", ""),
    "a pipe as report.html": (lambda files: piped(files.report), "report", "is a pipe, .*: remove it"),
    "a pipe as samples.csv": (lambda files: piped(files.samples), "resume", "is a pipe, .*: remove it"),
    "report.html, hard-linked": (lambda files: hard_linked(files.report), "report", ""),
    "audit.jsonl, hard-linked": (lambda files: hard_linked(files.audit), "resume", "is a hard link, .*: put a copy"),
    "a link as an attempt": (linked_attempt, "resume", "is a link where an attempt has a folder: remove it"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int, float]]:
    """What each sample led to: the message, MiB and seconds."""
    told = json.loads((made_once(tmp_path_factory, "strangers-samples", open_samples) / "told.json").read_text())
    return {name: tuple(answer) for name, answer in zip(SAMPLES, told, strict=True)}


def open_samples(folder: Path) -> None:
    """Make the samples in a folder, open them, and leave there what was told, as `told.json`."""
    given, asked = given_run(folder / "given"), []
    for number, (plant, action, _) in enumerate(SAMPLES.values()):
        copy = RunDirectory(folder / "samples" / str(number))
        shutil.copytree(given.path, copy.path)
        copy.result.write_text(copy.result.read_text().replace('"completed"', '"interrupted"', 1))
        plant(copy)
        asked.append(f"{action}={copy.path}")
    done = subprocess.run(
        [sys.executable, CHILDREN / "open_stranger.py", *asked],
        env=child_environment(OPENBLAS_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        check=True,
        timeout=300,
    )
    (folder / "told.json").write_bytes(done.stdout.splitlines()[-1])
    shutil.rmtree(folder / "samples")


@pytest.mark.whole
@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_costs_little_and_is_named(name: str, answers: dict[str, tuple[str, int, float]]) -> None:
    """Opening a run that somebody has sent would fill the memory, hang, or write to a file elsewhere."""
    said, mib, seconds = answers[name]
    assert "TRACEBACK" not in said
    assert said != "KILLED"
    assert "\n" not in said
    assert mib < MOST_MIB
    assert seconds < MOST_SECONDS
    if words := SAMPLES[name][2]:
        assert re.search(words, said)


def test_a_page_is_never_written_through_its_name(tmp_path: Path) -> None:
    """A page that is a hard link of another file would overwrite that."""
    files = given_run(tmp_path / "run")
    hard_linked(files.report)
    api.write_report(files.path)
    assert (tmp_path / "elsewhere-report.html").read_text() == "ours"
