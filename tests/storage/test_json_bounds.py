"""What is counted before a text is parsed, and lines of files that are read one at a time."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from autofit.protocol.messages import Trial
from autofit.runs.result_record import ResultRecord
from autofit.storage.json_bounds import JsonLimits, require_bounded
from autofit.storage.records import Record
from autofit.storage.safe_files import bounded_lines, read_bounded
from autofit.storage.user_key import new_key, read_key


class Listed(Record):
    """A record with a list in a list."""

    trials: list[list[int]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"a":1,"b":2}', "it has 2 fields, more than the 1 it may have"),
        (b"[1,2,3,4]", "it has 4 values, more than the 3 it may have"),
        (b" " * 30, "it has 30 bytes, more than the 20 it may have"),
    ],
)
def test_a_text_beyond_its_limits_is_not_parsed(text: bytes, words: str) -> None:
    """A parser would take gigabytes for some megabytes of small values."""
    with pytest.raises(ValueError, match=words):
        require_bounded(text, "it", JsonLimits(20, 1, 3))


def test_a_long_run_is_within_the_limits(tmp_path: Path) -> None:
    """The result of 200,000 epochs of ten figures could not be opened again."""
    path, figures = tmp_path / "result.json", {f"metric{number}": [0.123] * 200_000 for number in range(10)}
    record = ResultRecord(
        status="completed",
        history=figures,
        attempts=[],
        oom_events=[],
        quarantined=[],
        result_changed=False,
        weights_sha256=None,
        seconds_to_first_step=None,
        wall_seconds=1.0,
    )
    path.write_text(record.model_dump_json(by_alias=True))
    assert ResultRecord.load(path).history == figures


def test_a_list_is_refused_at_its_first_wrong_item() -> None:
    """A million wrong items would make a million errors of a kilobyte each."""
    with pytest.raises(ValueError, match="1 validation error"):
        Listed.model_validate_json('{"trials":[[' + ",".join(['"x"'] * 1000) + "]]}")
    assert Trial.model_validate_json('{"batch_size":1,"verdict":"fits"}').batch_size == 1


def test_lines_are_read_one_at_a_time_within_bounds(tmp_path: Path) -> None:
    """A line without end would be read into memory; the good lines around it would be lost."""
    path = tmp_path / "lines"
    path.write_bytes(b"good\n" + b"x" * 1000 + b"\nalso\nlast, unfinished")
    assert list(bounded_lines(path, 10, 10_000)) == [b"good\n", b"also\n"]
    assert list(bounded_lines(path, 10, 7)) == [b"good\n"]


def test_long_lines_are_read_in_pieces(tmp_path: Path) -> None:
    """A sparse file of 20 GB would take as much memory as a line may have, 512 MiB for that of a solved head."""
    path, long = tmp_path / "lines", b"y" * 3_000_000 + b"\n"
    path.write_bytes(b"good\n" + long + b"one\0two\n" + b"z" * 5_000_000 + b"\nalso\n")
    assert list(bounded_lines(path, 4_000_000, 10**9)) == [b"good\n", long, b"also\n"]
    for content in (b"good\nunfinished", b"good\none\0two\n", b"good\n" + long):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="lines has a line that is too long, or not complete"):
            list(bounded_lines(path, 2_000_000, 10**9, all_of_them=True))
    with path.open("wb") as sparse:
        sparse.truncate(20 * 10**9)
    tracemalloc.start()
    with pytest.raises(ValueError, match="too long"):
        list(bounded_lines(path, 2**28, 10**11, all_of_them=True))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 10 * 2**20


def test_a_pipe_a_link_and_a_large_file_are_not_read(tmp_path: Path) -> None:
    """A reader would wait for ever, or follow a link out of a stranger's folder."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match=name):
            read_bounded(tmp_path / name, 10)
    with pytest.raises(ValueError, match="file has 5 bytes, more than the 4"):
        read_bounded(tmp_path / "file", 4)


def test_a_key_that_others_may_read_is_none(tmp_path: Path) -> None:
    """What a stranger has signed with a key that came along would count as this user's."""
    path = tmp_path / "key"
    assert read_key(path) is None
    key = new_key(path)
    assert key
    assert new_key(path) == key == read_key(path)
    path.chmod(0o644)
    assert read_key(path) is None
