"""`autofit cache`: what is typed, and what comes of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from autofit.cache.entry import Entry
from autofit.cache.store import CacheList, CacheStore
from autofit.cli import run_command_line

Keep = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache that the commands use."""
    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AUTOFIT_CACHE_LIMIT", "3GB")
    return tmp_path / "cache"


@pytest.fixture
def keep(folder: Path, known: ModuleType) -> Keep:
    """Keep the features of some images of a backbone."""

    def keep(backbone: str, count: int = 8) -> Path:
        record = known.record().model_copy(update={"about": {"backbone": backbone, "image_size": "160x160"}})
        with CacheStore(folder, 10**9).writer(record, None, 0) as writer:
            known.append(writer, range(count))
        return writer.folder

    return keep


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """A user who does not know the commands would get an error instead of their names."""
    assert run_command_line(["cache"]) == 0
    assert {"list", "clear", "path"} <= set(capsys.readouterr().out.split())


def test_the_entries_are_listed(keep: Keep, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The user could not see what fills the disk."""
    keep("ResNet50")
    keep("VGG16", count=3)
    assert run_command_line(["cache", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:3]] == [
        ["features", "VGG16", "160x160", "3"],
        ["features", "ResNet50", "160x160", "8"],
    ]
    assert lines[-2].startswith("2 entries, ")
    assert lines[-2].endswith(" of the 3 GB limit")
    assert lines[-1] == f"Folder: {folder}"


def test_the_list_can_be_json(keep: Keep, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another program would have to read a table."""
    kept = keep("ResNet50")
    assert run_command_line(["cache", "list", "--json", "-"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed["schema"], listed["folder"], listed["limit_bytes"]) == ("autofit/cache/1", str(folder), 3 * 10**9)
    assert [(entry["name"], entry["images"]) for entry in listed["entries"]] == [(kept.name, 8)]
    assert run_command_line(["cache", "list", "--json", str(tmp_path / "list.json")]) == 0
    assert CacheList.load(tmp_path / "list.json") == CacheStore(folder, 3 * 10**9).listing()
    assert "ResNet50" in capsys.readouterr().out


def test_an_empty_cache_is_no_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first run the commands would fail, or make folders."""
    assert run_command_line(["cache", "list"]) == 0
    assert capsys.readouterr().out.startswith("The cache is empty")
    assert run_command_line(["cache", "clear"]) == 0
    assert capsys.readouterr().out == "Nothing was removed.\n"
    assert not folder.exists()


def test_all_but_entries_in_use_are_removed(keep: Keep, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run in another process would lose its rows, or the user would not learn why the disk is still full."""
    used, idle = keep("ResNet50"), keep("VGG16")
    reader = Entry(used)
    assert run_command_line(["cache", "clear"]) == 0
    said = capsys.readouterr().out
    reader.close()
    assert said == ("1 entry removed, 8.7 KB.\n1 entry remains, 8.7 KB: it is in use or cannot be removed.\n")
    assert (used.exists(), idle.exists()) == (True, False)
    assert run_command_line(["cache", "clear"]) == 0
    assert capsys.readouterr().out == "1 entry removed, 8.7 KB.\n"
    assert [path.name for path in folder.iterdir()] == [".key"]


def test_only_the_folder_is_on_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that asks for the folder would get a sentence; or a user would not learn how to choose another one."""
    assert run_command_line(["cache", "path"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{folder}\n"
    assert err == "autofit: AUTOFIT_CACHE sets another folder, AUTOFIT_CACHE_LIMIT the size limit (now 3 GB)\n"


@pytest.mark.parametrize("command", ["list", "clear", "path"])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AUTOFIT_CACHE_LIMIT", "lots", "AUTOFIT_CACHE_LIMIT: the size 'lots' is not understood"),
        ("AUTOFIT_CACHE", "~nobody-of-this-name/x", "AUTOFIT_CACHE '~nobody-of-this-name/x' cannot be used as a path"),
    ],
)
def test_a_wrong_variable_is_bad_input(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    name: str,
    value: str,
    words: str,
) -> None:
    """It would look like a defect of autofit, or another cache than the intended one would be cleared."""
    monkeypatch.setenv(name, value)
    assert run_command_line(["cache", command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"autofit: {words}")
    assert not folder.exists()


@pytest.mark.parametrize("command", ["list", "clear"])
def test_a_cache_that_cannot_be_listed_is_not_empty(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """20 GB that nobody may look at would be shown as no entries, and cleared without a word."""
    folder.mkdir(parents=True, exist_ok=True)

    def refuse(path: object) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    assert run_command_line(["cache", command]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    what = f"autofit: a part of the cache in {folder} cannot be used"
    assert line.startswith(f"{what} (Permission denied): give this user")
