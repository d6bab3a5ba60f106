"""A CSV file is read line by line; a damaged line is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autofit.dataset import scan
from autofit.errors import UserError
from tests.support.datasets import WEIRD_NAMES, csv_file, images, labelled, touch


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_csv_may_have_a_mark_other_columns_and_blank_lines(pets: Path, mark: bytes, ending: str) -> None:
    """Files from a spreadsheet would be refused."""
    lines = ["label,width,path", "cat,3,cat/0000.jpg", '"cat",,cat/0001.jpg', "", "dog,1,dog/0000.jpg"]
    index = scan(csv_file(pets, mark + ending.join([*lines, "dog,,dog/0001.jpg"]).encode()), validation=0)
    assert labelled(index) == {f"{name}/{file}": name for name in ("cat", "dog") for file in images(2)}


def test_weird_file_names_come_through_a_csv(tmp_path: Path) -> None:
    """A quoted line break or a byte that is no UTF-8 would end in a missing file."""
    touch(tmp_path, *WEIRD_NAMES)
    cells = "".join('"{}",{}\n'.format(name.replace('"', '""'), i % 2) for i, name in enumerate(WEIRD_NAMES))
    index = scan(csv_file(tmp_path, b"path,label\n" + os.fsencode(cells)), validation=0)
    assert index.paths == sorted(WEIRD_NAMES)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("cat/0001.jpg", "1 cells where the header has 2"),
        ("cat/0001.jpg,cat,", "3 cells where the header has 2"),
        (",cat", "the path is empty"),
        ("cat/0001.jpg,", "the label is empty"),
        ('"cat/0001.jpg,cat', "unexpected end of data"),
        ('"cat"/0001.jpg,cat', "expected after"),
    ],
)
def test_a_damaged_line_of_a_csv_is_named(pets: Path, line: str, problem: str) -> None:
    """A user with a million lines would have to look for the bad one, or lose images without a word."""
    path = csv_file(pets, f'path,label\n\n"cat/\n0.jpg",cat\n{line}\ndog/0000.jpg,dog\n')
    with pytest.raises(UserError, match=rf"list\.csv, line 5: .*{problem}"):
        scan(path)


def test_the_first_line_below_the_header_is_line_two(pets: Path) -> None:
    """Line numbers would be off by one against those of an editor."""
    with pytest.raises(UserError, match=r"list\.csv, line 2: the path is empty"):
        scan(csv_file(pets, "path,label\n,cat\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no CSV file with the columns path,label: its first line is '"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "is no text"),
        (b"7,a.jpg,cat\n", "begins with '7,a.jpg,cat' and not with the names of its columns"),
        (b'"a"b', "is no CSV file with the columns path,label"),
    ],
)
def test_a_file_that_is_no_such_csv_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """A photo, or a CSV without a header, would end in a traceback or in nonsense classes."""
    with pytest.raises(UserError, match=rf"list\.csv {message}"):
        scan(csv_file(tmp_path, content))


@pytest.mark.parametrize("name", ["list.csv", "list.txt", "list.jsonl"])
@pytest.mark.parametrize("end", [b"\x00", b"\x00\xd8a\x00"], ids=["cut off", "half a letter"])
def test_a_table_in_utf_16_that_is_damaged_is_named(pets: Path, name: str, end: bytes) -> None:
    """What lies behind the first thousand lines of an export ended in a traceback about a codec."""
    form = {"list.csv": "{},{}", "list.txt": "{} {}", "list.jsonl": '{{"path": "{}", "label": "{}"}}'}[name]
    lines = [form.format(f"{label}/{file}", label) for label in ("cat", "dog") for file in images(5)] * 150
    path = pets / name
    path.write_bytes("\n".join(["path,label"] * (name == "list.csv") + lines + [""]).encode("utf-16") + end)
    with pytest.raises(UserError, match=rf"{name} is no text \(.*\): save it as UTF-8"):
        scan(path)
