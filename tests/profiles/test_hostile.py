"""Tests of hostile files in the folder of profiles: each is one line of warning, and the other files are used."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autofit.profiles.reading import MAX_PROFILE_BYTES
from autofit.profiles.records import MachineProfile, ProfileEntry
from autofit.profiles.store import ProfileStore

GOOD = "a-good-one.json"
Plant = Callable[[Path, dict[str, Any]], None]


def text(content: str | bytes) -> Plant:
    """A file of this content."""

    def plant(path: Path, _: dict[str, Any]) -> None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return plant


def edited(**changes: Any) -> Plant:
    """A good profile with other values at the top."""

    def plant(path: Path, good: dict[str, Any]) -> None:
        path.write_text(json.dumps(good | changes))

    return plant


def entry_edited(**changes: Any) -> Plant:
    """A good profile with other values in its entry."""

    def plant(path: Path, good: dict[str, Any]) -> None:
        path.write_text(json.dumps(good | {"entries": [good["entries"][0] | changes]}))

    return plant


def rewritten(change: Callable[[str], str | bytes]) -> Plant:
    """A good profile's text, changed."""

    def plant(path: Path, good: dict[str, Any]) -> None:
        text(change(json.dumps(good)))(path, good)

    return plant


def enormous(path: Path, _: dict[str, Any]) -> None:
    with path.open("wb") as file:
        file.write(b'{"schema": "autofit/profile/2", "fingerprint": "')
        file.truncate(100 * 10**6)


def a_socket(path: Path, _: dict[str, Any]) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(path.parent)  # the name of a socket is bounded, that of a test's folder is not
        listener.bind(path.name)


def link_to(target: str) -> Plant:
    def plant(path: Path, _: dict[str, Any]) -> None:
        path.symlink_to(target)

    return plant


HOSTILE: dict[str, tuple[Plant, str]] = {
    "empty": (text(""), "no JSON"),
    "binary": (text(bytes(range(256)) * 64), "no JSON: not in UTF-8"),
    "zeros": (text(bytes(4096)), "no JSON"),
    "UTF-16": (rewritten(lambda good: good.encode("utf-16")), "no JSON: not in UTF-8"),
    "truncated": (rewritten(lambda good: good[: len(good) // 2]), "no JSON"),
    "two in one": (rewritten(lambda good: good * 2), "no JSON: Extra data"),
    "100 MB": (enormous, f"100,000,000 bytes, more than the {MAX_PROFILE_BYTES:,} of a profile"),
    "100,000 brackets": (text("[" * 100_000), "nested too deeply"),
    "100,000 braces": (text('{"a":' * 100_000), "nested too deeply"),
    "nested and closed": (text("[" * 100_000 + "]" * 100_000), "nested too deeply"),
    "a list": (text("[]"), '"schema" is not'),
    "no schema": (text("{}"), '"schema" is not'),
    "another schema": (edited(schema="autofit/probe/1"), '"schema" is not'),
    "a schema that is a list": (edited(schema=["autofit/profile/2"]), '"schema" is not'),
    "wrong types": (edited(hardware=[], entries="all"), "hardware: Input should be"),
    "unknown fields": (edited(command="rm -rf /"), "command: unknown; if a newer autofit wrote it"),
    "a path for a name": (edited(fingerprint="../../etc/cron.d/x"), "fingerprint: String should match pattern"),
    "another's name": (edited(fingerprint="0123456789abcdef"), "the fingerprint is not that of the hardware"),
    "a name with a line end": (
        rewritten(lambda good: good.replace('", "hardware"', '\\n", "hardware"')),
        "fingerprint",
    ),
    "digits of another script": (edited(fingerprint="\u0661" * 16), "fingerprint: String should match pattern"),
    "a huge number": (entry_edited(max_batch=10**400), "entries.0.max_batch"),
    "digits without end": (text('{"schema": ' + "9" * 1_000_000 + "}"), "no JSON: Exceeds the limit"),
    "a number beyond floats": (
        rewritten(lambda good: good.replace('"measured_at": 1795478400.0', '"measured_at": 1e999')),
        "entries.0.measured_at",
    ),
    "NaN": (entry_edited(measured_at=float("nan")), "entries.0.measured_at"),
    "a negative batch": (entry_edited(recommended_batch=-1), "entries.0.recommended_batch"),
    "too many entries": (edited(entries=[{}] * 100_000), "entries"),
    "an extraction of no images": (
        edited(extractions=[{"backbone": "MobileNetV2", "micro_batch_size": 0}]),
        "extractions.0.",
    ),
    "too many extractions": (edited(extractions=[{}] * 100_000), "extractions"),
    "a key twice": (rewritten(lambda good: '{"fingerprint": "", ' + good[1:]), "no JSON: a key stands twice"),
    "half a character": (
        rewritten(lambda good: good.replace('"device_name": "', '"device_name": "\\ud800')),
        "Invalid JSON",
    ),
    "a terminal's commands": (edited(**{"\x1b[2J\u202e": 1}), "\\x1b[2J\\u202e: unknown"),
    "a name without end": (edited(**{"a" * 10**6: 1}), "aaa: unknown"),
    "a directory": (lambda path, _: path.mkdir(), "not a regular file"),
    "a dangling link": (link_to("nowhere"), "not a regular file"),
    "a link to itself": (link_to("hostile.json"), "not a regular file"),
    "a link to a device": (link_to("/dev/zero"), "not a regular file"),
    "a link out": (link_to("/etc/passwd"), "not a regular file"),
    "a pipe": (lambda path, _: os.mkfifo(path), "not a regular file"),
    "a socket": (a_socket, "not a regular file"),
}


@pytest.fixture
def good(
    store: ProfileStore, make_profile: Callable[..., MachineProfile], make_entry: Callable[..., ProfileEntry]
) -> dict[str, Any]:
    """The content of a good profile, of which there is one in the store."""
    store.folder.mkdir()
    profile = make_profile(make_entry())
    profile.save(store.folder / GOOD)
    content: dict[str, Any] = json.loads(profile.to_json())
    return content


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("plant", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_one_warning_and_the_rest_is_used(
    store: ProfileStore,
    good: dict[str, Any],
    warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    plant: Plant,
    reason: str,
) -> None:
    """An untrusted file would stop autofit, hang it, fill its memory, write elsewhere or control the terminal."""
    monkeypatch.chdir(store.folder)
    path = store.folder / "hostile.json"
    plant(path, good)
    assert len(store.load()) == 1
    (warning,) = warnings
    assert reason in warning
    assert warning.endswith(f"it is set aside as {path}.damaged")
    assert warning.isprintable()
    assert len(warning) < 300 + 2 * len(str(path))
    assert sorted(entry.name for entry in store.folder.iterdir()) == [".lock", GOOD, "hostile.json.damaged"]
    assert len(store.load()) == 1
    assert len(warnings) == 1


@pytest.mark.parametrize("schema", ["autofit/profile/3", "autofit/profile/999999999"])
def test_a_file_of_a_newer_autofit_is_set_aside_as_newer(
    store: ProfileStore, good: dict[str, Any], warnings: list[str], schema: str
) -> None:
    """After a downgrade, the measurements of the newer version would be called damaged."""
    path = store.folder / "b.json"
    edited(schema=schema, wheels=4)(path, good)
    assert len(store.load()) == 1
    assert warnings == [
        f"profile {path} is not used (written by a newer autofit, as {schema}): it is set aside as {path}.newer"
    ]


def test_a_file_of_an_older_autofit_is_set_aside_as_older(
    store: ProfileStore, good: dict[str, Any], warnings: list[str]
) -> None:
    """After an update, the measurements of the older version would be called damaged."""
    path = store.folder / "b.json"
    schema, aside = "autofit/profile/1", f"it is set aside as {path}.older"
    edited(schema=schema, wheels=4)(path, good)
    assert len(store.load()) == 1
    assert warnings == [
        f"profile {path} is not used (written by an older autofit, as {schema}: it is measured again): {aside}"
    ]


def test_a_hostile_file_name_is_shown_harmless(store: ProfileStore, good: dict[str, Any], warnings: list[str]) -> None:
    """The file name itself could clear the screen or look like another line of output."""
    assert good
    (store.folder / "a\n\x1b[2Jautofit: all is well\u202e.json").write_text("{")
    assert len(store.load()) == 1
    (warning,) = warnings
    assert "a\\n\\x1b[2Jautofit: all is well\\u202e.json.damaged" in warning


def test_twenty_at_once(store: ProfileStore, good: dict[str, Any], warnings: list[str]) -> None:
    """Many hostile files would do more harm than one: hide a good profile, or lose a warning."""
    assert len(HOSTILE) >= 20
    plants = [plant for name, (plant, _) in HOSTILE.items() if name not in {"a socket", "a link to itself"}]
    for number, plant in enumerate(plants):
        plant(store.folder / f"hostile-{number:02d}.json", good)
    assert len(store.load()) == 1
    assert len(warnings) == len(plants)
    assert len(set(warnings)) == len(plants)
