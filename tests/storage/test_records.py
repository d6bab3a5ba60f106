"""Records on disk: whole or not at all, and refused in one line."""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from autofit.protocol.job import Job, Outcome
from autofit.protocol.messages import Phase, Progress, Request
from autofit.storage.records import MAX_RECORD_BYTES, Record
from autofit.storage.safe_files import fsync_folder, write_atomically


class Note(Record):
    """A record of the tests' own."""

    schema_: Literal["autofit/note/1"] = Field("autofit/note/1", alias="schema")
    text: str = Field(max_length=10)
    numbers: list[int] = Field(default_factory=list)


def test_a_record_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """A field that is written under another name than it is read by is lost with every restart."""
    note = Note(text="é\n\0", numbers=[1, 2])
    note.save(tmp_path / "note.json")
    assert Note.load(tmp_path / "note.json") == note
    assert '"schema": "autofit/note/1"' in (tmp_path / "note.json").read_text()


def test_a_record_that_is_missing_or_damaged_is_none_where_there_may_be_none(tmp_path: Path) -> None:
    """A worker that was killed while it wrote would end the run that it belongs to."""
    file = tmp_path / "note.json"
    assert Note.load_or_none(file) is None
    file.write_text('{"schema": "autofit/note/1", "te')
    assert Note.load_or_none(file) is None
    Note(text="there").save(file)
    (tmp_path / "link").symlink_to(file)
    assert Note.load_or_none(file) == Note.load_or_none(tmp_path / "link") == Note(text="there")
    assert Note.load_or_none(tmp_path / "link", follow_links=False) is None


def test_a_record_does_not_change() -> None:
    """A record that is changed after it was saved says other things than its file."""
    with pytest.raises(ValueError, match="frozen"):
        Note(text="a").text = "b"  # type: ignore[misc]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_diverged_loss_crosses_the_boundary(value: float) -> None:
    """A loss of NaN in a heartbeat that cannot be read back would be silence, and silence is taken for a hang."""
    line = Progress(time=1.0, phase=Phase.TRAIN, metrics={"loss": value}).model_dump_json()
    read = Progress.model_validate_json(line).metrics["loss"]
    assert read == value or (math.isnan(read) and math.isnan(value))


REFUSED = {
    "empty": ("", "note.json is not a valid Note: Invalid JSON: EOF while parsing a value at line 1 column 0"),
    "cut off": ('{"text": "a', "Invalid JSON: EOF while parsing a string"),
    "another kind": ("[]", "Input should be an object"),
    "another schema": (
        '{"schema": "autofit/note/2", "text": "a"}',
        "by a newer autofit, as autofit/note/2, than",
    ),
    "unknown field": (
        '{"text": "a", "colour": 1}',
        "colour: unknown; if a newer autofit wrote it",
    ),
    "missing field": ("{}", "text: Field required"),
    "out of bounds": ('{"text": "aaaaaaaaaaaaaa"}', "text: String should have at most 10 characters"),
    "deep down": ('{"text": "a", "numbers": [1, "x"]}', "numbers.1: Input should be a valid integer"),
    "nested without end": ('{"numbers": ' + "[" * 100_000, "recursion limit exceeded"),
    "not UTF-8": (b'{"text": "\xff"}', "Invalid JSON"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_such_record_is_refused_in_one_line(tmp_path: Path, content: str | bytes, reason: str) -> None:
    """Half a file that is taken for a record, or twenty lines of a validator's message on a user's terminal."""
    path = tmp_path / "note.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"^note\.json (is not a valid Note|was written by a newer)") as caught:
        Note.load(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """A gigabyte in the place of a record would take the parent's memory."""
    path = tmp_path / "note.json"
    with path.open("wb") as file:
        file.truncate(MAX_RECORD_BYTES + 1)
    with pytest.raises(ValueError, match=f"note.json has {MAX_RECORD_BYTES + 1:,} bytes, more than the"):
        Note.load(path)


@pytest.mark.parametrize("kind", [Job, Outcome, Progress, Request])
def test_what_crosses_the_boundary_has_no_unknown_fields(kind: type[Record]) -> None:
    """A worker of another version would be half understood."""
    assert kind.model_config["extra"] == "forbid"
    assert kind.model_config["frozen"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in the middle of a write would leave half a record, or a folder full of temporary files."""
    path = tmp_path / "note.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        write_atomically(path, b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("note.json", b"old")]


def test_ctrl_c_in_a_write_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every interrupted run would leave a file behind."""

    def interrupted(_: object, __: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "note.json", b"new")
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    """A report that only its writer can read is no report on a shared machine."""
    write_atomically(tmp_path / "note.json", b"")
    assert stat.S_IMODE((tmp_path / "note.json").stat().st_mode) == 0o644


def failing_fsync(number: int) -> Callable[[int], None]:
    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    return fsync


def test_a_drive_that_cannot_fsync_a_folder_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing could be saved on a mounted drive without this call; yet the error of a broken disk must be raised."""
    monkeypatch.setattr(os, "fsync", failing_fsync(errno.EINVAL))
    fsync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", failing_fsync(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        fsync_folder(tmp_path)
