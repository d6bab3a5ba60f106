"""Tables of images in JSON are understood by the rules of a CSV file, or refused in one line that names the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autofit.dataset import asked_of, json_table, scan
from autofit.dataset.asked import Asked
from autofit.dataset.index import ImageIndex
from autofit.dataset.json_table import read_objects
from autofit.dataset.table_files import from_file
from autofit.errors import UserError
from tests.support.datasets import images, labelled, touch, traced

FILES = [(f"{name}/{file}", name) for name in ("cat", "dog") for file in images(5)]
ROWS = [{"file_name": path, "label": name} for path, name in FILES]
MULTI_LABEL = asked_of(None, None, None, multi_label=True)
NOTE = "paths are those of the column 'file_name', labels those of 'label'"


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(folder: Path, text: str | bytes, name: str = "metadata.jsonl", **options: Any) -> ImageIndex:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return scan(path, **options)


@pytest.mark.parametrize("name", ["metadata.jsonl", "train.ndjson", "TABLE.JSON"])
@pytest.mark.parametrize(
    "text",
    [
        lines(ROWS),
        "\n\n" + lines(ROWS).replace("\n", "\r\n\r\n").rstrip(),
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\ufeff" + json.dumps(ROWS),
        json.dumps(ROWS).encode("utf-16"),
    ],
)
def test_objects_with_a_path_and_a_label_are_a_table(pets: Path, name: str, text: str | bytes) -> None:
    """The table of a Hugging Face imagefolder would have to be written as CSV."""
    index = read(pets, text, name)
    assert labelled(index) == dict(FILES)
    assert index.notes == (NOTE,)


@pytest.mark.parametrize("indent", [None, 1])
def test_an_object_from_path_to_label_is_a_table(pets: Path, indent: int | None) -> None:
    """Such a file would have to be written as CSV, or its paths be taken for names of columns."""
    index = read(pets, json.dumps(dict(FILES), indent=indent), "labels.json")
    assert labelled(index) == dict(FILES)
    assert index.notes == ()
    assert labelled(read(pets, json.dumps(dict(FILES[:1] + FILES[5:7]))))["cat/0000.jpg"] == "cat"


def test_paths_and_labels_may_be_numbers(pets: Path) -> None:
    """Ids would be refused that a CSV file may have, and class 10 come before class 2."""
    touch(pets, *(f"{number}.jpg" for number in range(6)))
    rows = [{"id": number, "y": 2 + 8 * (number % 2)} for number in range(6)]
    index = read(pets, lines(rows))
    assert index.class_names == ("2", "10")
    assert sorted(index.paths) == [f"{number}.jpg" for number in range(6)]
    assert read(pets, lines([{**row, "y": row["y"] > 2} for row in rows])).class_names == ("0", "1")


def test_columns_that_are_asked_for_are_read(pets: Path) -> None:
    """The options of a CSV file would do nothing."""
    rows = [{"where": path, "what": name, "label": "x"} for path, name in FILES]
    assert labelled(read(pets, lines(rows), asked=asked_of("where", "what", None))) == dict(FILES)
    with pytest.raises(UserError, match=r"metadata\.jsonl has not one column 'wat': did you mean 'what'"):
        read(pets, lines(rows), asked=asked_of("where", "wat", None))


def test_splits_and_groups_are_read(pets: Path) -> None:
    """Images for the test would be trained on, and those of one patient be on both sides."""
    splits = ["train", "train", "train", "validation", "test"] * 2
    index = read(pets, lines([{**row, "split": split} for row, split in zip(ROWS, splits, strict=True)]))
    assert (index.train_count, index.validation_count, len(index.test_paths)) == (6, 2, 2)
    rows = [{**row, "patient": number // 2 if number else None} for number, row in enumerate(ROWS)]
    grouped = read(pets, lines(rows), asked=asked_of(None, None, None, group_column="patient"))
    assert len({*grouped.groups}) == 6


def test_a_table_may_be_that_of_another_split(pets: Path) -> None:
    """The validation of a Hugging Face data set would have to be written as CSV."""
    held = pets / "held.jsonl"
    held.write_text(lines(ROWS[::5]))
    index = read(pets, lines([row for row in ROWS if row not in ROWS[::5]]), validation=held)
    assert (index.train_count, index.validation_count) == (8, 2)


def test_several_labels_are_a_list_a_text_or_columns(pets: Path) -> None:
    """An image with several labels would have none, or one class of its own."""
    names = ["small", "big"]
    rows = [{"path": path, "label": [name, names[number % 2]]} for number, (path, name) in enumerate(FILES)]
    index = read(pets, lines(rows), asked=MULTI_LABEL)
    assert index.class_names == ("big", "cat", "dog", "small")
    assert read(pets, lines([{**row, "label": ";".join(row["label"])} for row in rows]), asked=MULTI_LABEL) is not None
    held = [{**row, "label": {"choices": row["label"]}} for row in rows]
    assert read(pets, lines(held), asked=MULTI_LABEL).label_sets == index.label_sets
    marks = [{"path": row["path"], **{name: name in row["label"] for name in index.class_names}} for row in rows]
    assert read(pets, lines(marks), asked=MULTI_LABEL).label_sets == index.label_sets
    without = [{**rows[0], "label": []}, {**rows[1], "label": None}, *rows[2:]]
    assert () in read(pets, lines(without), asked=MULTI_LABEL).label_sets
    with pytest.raises(UserError, match=r"line 1: the label \['cat', 'small'\] is a list: give multi_label=True"):
        read(pets, lines(rows))


def test_what_no_column_is_read_of_may_hold_anything(pets: Path) -> None:
    """The boxes or a missing age beside the labels would end the training."""
    rows = [{**row, "objects": {"bbox": [[1, 2, 3, 4]]}, "age": float("nan"), "note": None} for row in ROWS]
    assert labelled(read(pets, lines(rows))) == dict(FILES)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"label": "cat"}', "the file_name is missing"),
        ('{"file_name": null, "label": "cat"}', "the file_name is missing"),
        ('{"file_name": "", "label": "cat"}', "the file_name is empty"),
        ('{"file_name": true, "label": "cat"}', "the file_name is True: give a path"),
        ('{"file_name": {"path": "a.jpg"}, "label": "cat"}', "the file_name holds an object where a single value"),
        ('{"file_name": "cat/0001.jpg"}', "the label is missing"),
        ('{"file_name": "cat/0001.jpg", "label": null}', "the label is missing"),
        ('{"file_name": "cat/0001.jpg", "label": NaN}', "the label is missing"),
        ('{"file_name": "cat/0001.jpg", "label": 1.5}', "the label is 1.5: give text or a whole number"),
        (
            '{"file_name": "cat/0001.jpg", "label": {"name": "cat"}}',
            "the label {'name': 'cat'} is an object: give its name",
        ),
        ('{"file_name": "cat/0001.jpg", "label": [["cat"]]}', "the label holds a list where a single value"),
        ('{"file_name": "cat/0001.jpg", "label": "\\ud800"}', "holds half a letter"),
        ('{"file_name": "cat/0001.jpg", "label": "cat", "label": "dog"}', "'label' is there twice in one object"),
        ('{"file_name": "cat/0001.jpg", "lab', r"it is no JSON \(invalid control character"),
        ('{"file_name": "cat/0001.jpg" "label": "cat"}', r"it is no JSON \(expecting ',' delimiter"),
        ('{"file_name": "cat/0001.jpg", "label": ' + "9" * 5000 + "}", "Exceeds the limit .* conversion: .* digits"),
        ('{"file_name": "cat/0001.jpg", "label": ' + "[" * 20000 + "}", "it is nested too deeply"),
        ('["cat/0001.jpg", "cat"]', "an array is no object with a path and a label"),
        ("cat/0001.jpg,cat", "it is no JSON"),
    ],
)
def test_a_damaged_line_is_named(pets: Path, line: str, problem: str) -> None:
    """A user with a million lines would have to look for the bad one, or lose images without a word."""
    with pytest.raises(UserError, match=rf"metadata\.jsonl, line 4: .*{problem}.*; correct this line") as caught:
        read(pets, "".join([*lines(ROWS[:2]), "\n", line, "\n", *lines(ROWS[2:])]))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (lines(ROWS)[:-10], "line 10: the file ends here, before its JSON is complete"),
        (json.dumps(ROWS, indent=0)[:-20], "line 39: the file ends here, before its JSON is complete"),
        (json.dumps(ROWS, indent=0)[:-1], "line 42: the file ends here, before its JSON is complete"),
        (json.dumps(dict(FILES), indent=0)[:-1], "line 12: the file ends here, before its JSON is complete"),
        (json.dumps(ROWS) + "\n]", "line 2: ']' follows the end of the JSON"),
        (lines(ROWS).replace("}\n", "},\n"), r"line 1: a comma follows an object: leave it out, or put brackets"),
        (
            json.dumps(dict(FILES))[:-1] + ', "cat/0000.jpg": "dog"}',
            "has the labels 'cat' and, line 1, 'dog': keep one",
        ),
        (json.dumps({"cat/0000.jpg": {"label": "cat"}}), "line 1: the label {'label': 'cat'} is an object: give"),
        ("", "holds no objects: give one for each image"),
        ("[]", "holds no objects: give one for each image"),
        ("[1, 2]", "line 1: 1 is no object with a path and a label"),
        ("PK\3\4", "line 1: it is no JSON"),
        ('{"cat": 0, "dog": 1}', r"no objects with a path and a label \(its first keys are 'cat', 'dog'\): name them"),
        ('{"path": {"0": "a.jpg"}, "label": {"0": "cat"}}', r"write it row by row, with pandas' to_json\(orient='rec"),
        ('{"images": [], "annotations": []}', r"make a table of the images and classes in it \(of COCO, those"),
        ('{"images": [' + '{"id": 1}, ' * 3 * 10**5, r"line 1: what begins here has more than .* \(of COCO, those"),
        (lines([dict.fromkeys(map(str, range(30_000)), 0)]), "line 1: .* more than 20,000 different keys"),
    ],
)
def test_what_is_no_such_table_is_refused(pets: Path, text: str, problem: str) -> None:
    """A list that was cut off would be trained on in part, and a file of another kind end in a traceback."""
    with pytest.raises(UserError, match=problem):
        read(pets, text, "list.json")


def test_the_line_of_a_missing_file_is_named(pets: Path) -> None:
    """A user would have to look for it."""
    gone = [{"file_name": f"gone{number}.jpg", "label": "cat"} for number in range(3)]
    with pytest.raises(UserError, match=r"3 of 13 listed files do not exist, the first is .*gone0\.jpg \(line 32\)"):
        read(pets, json.dumps([*ROWS, *gone], indent=1).replace('{\n  "', '{"'), "list.json")


def test_a_table_in_windows_1252_has_its_labels(pets: Path) -> None:
    """Classes would have escapes for letters, as PowerShell writes them."""
    rows = [{**row, "label": f"gr\xfc{row['label']}"} for row in ROWS]
    index = read(pets, json.dumps(rows, ensure_ascii=False).encode("cp1252"))
    assert index.class_names == ("gr\xfccat", "gr\xfcdog")
    assert any("not UTF-8" in note for note in index.notes)


def test_a_long_table_is_never_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's file, or a list of ten million photos, would take all memory, or an object be cut."""
    monkeypatch.setattr(json_table, "MOST_LINE_CHARACTERS", 4096)
    path = tmp_path / "list.json"
    count, note = 3000, "x" * 900
    path.write_text(json.dumps([{"path": f"{n}.jpg", "label": n, "note": note} for n in range(count)], indent=1))
    found, _, peak_bytes = traced(lambda: sum(row["label"] == at for at, (_, row) in enumerate(read_objects(path))))
    assert found == count
    assert peak_bytes < path.stat().st_size / 10
    path.write_text("[" + " " * 10_000 + json.dumps({"path": "a.jpg", "label": "x" * 3000}) + " " * 10_000 + "]")
    assert [line for line, _ in read_objects(path)] == [1]


@pytest.mark.parametrize(
    "start", ["[" * 10**6, '[{"path":"' + "x" * 3 * 10**6, '{"a.jpg":"' + "x" * 3 * 10**6, " " * 10**7]
)
def test_a_file_without_an_end_is_refused_at_once(tmp_path: Path, start: str) -> None:
    """A stranger's file would take the memory of all its brackets."""
    path = tmp_path / "list.json"
    path.write_text(start)
    with pytest.raises(UserError):
        from_file(path, Asked())
