"""What is delivered, and what it asks of others: wheels of the same bytes, and no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.paths import AUTOFIT_PATH, CHILDREN

ROOT = Path(__file__).parents[2]
SOURCES = ("autofit", "profiles", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")


def wheel(folder: Path, mtime: int, umask: int) -> bytes:
    """The wheel of a copy of the sources, whose files have this time and these permissions."""
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for path in folder.rglob("*"):
        os.utime(path, (mtime, mtime))
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    [made] = (folder / "dist").iterdir()
    return made.read_bytes()


@pytest.mark.slow
def test_two_builds_of_a_wheel_are_equal(tmp_path: Path) -> None:
    """Nobody could tell whether a published wheel was made of these sources."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = wheel(tmp_path / "one", 1_500_000_000, 0o022)
    assert len(first) > 100_000
    assert first == wheel(tmp_path / "two", 1_700_000_000, 0o077)


def without_network(photos: Path, folder: Path, *more: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the program where every address is refused; what it printed, and who was watched and what they asked for."""
    log = folder / "network.log"
    path = os.pathsep.join((str(CHILDREN / "no_network"), AUTOFIT_PATH))
    environment = {**os.environ, "PYTHONPATH": path, "AUTOFIT_TEST_NETWORK_LOG": str(log)}
    command = [sys.executable, str(CHILDREN / "without_network.py"), str(photos), str(folder), *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done, log.read_text().splitlines()


@pytest.mark.whole
@pytest.mark.slow
def test_no_network_is_used(photos: Path, tmp_path: Path, count: Callable[..., None]) -> None:
    """A training on a cluster's node would wait for an address, and tell others what is trained."""
    count(promise=22, cases=5)
    done, lines = without_network(photos, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line for line in lines if line.startswith("used")] == []
    assert len([line for line in lines if line.startswith("watched")]) >= 3, (
        "parent, and a worker each to train, predict"
    )


@pytest.mark.slow
def test_a_use_of_the_network_would_be_seen(photos: Path, tmp_path: Path) -> None:
    """The test above could not fail."""
    done, lines = without_network(photos, tmp_path, "ask")
    assert done.returncode == 1
    assert any(line.startswith("used urllib.Request") for line in lines)
