"""How much each image counts: read from a column of a table or from a dataset, kept in the index, and checked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit.dataset import ImageIndex, asked_of, images_in_files, scan
from autofit.dataset.asked import Asked
from autofit.dataset.listing import from_csv
from autofit.dataset.sample_weights import weight_of_cell
from autofit.dataset.spread import evenly_spread
from autofit.errors import UserError
from tests.support.datasets import DatasetV2, csv_file, photos

BY_QUALITY = asked_of(None, None, None, weight_column="quality")
NAMES = ("cat", "dog")
EACH = 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return photos(tmp_path / "pets", cat=EACH, dog=EACH)


def rows() -> list[tuple[str, str, float]]:
    """Path, class and weight of each image; no two weights are the same."""
    names = [(f"{name}/{number:04}.jpg", name) for name in NAMES for number in range(EACH)]
    return [(path, name, 0.25 + place / 8) for place, (path, name) in enumerate(names)]


WEIGHT_OF = {path: weight for path, _, weight in rows()}


def table(folder: Path, lines: Any = None, header: str = "path,label,quality") -> Path:
    return csv_file(folder, "\n".join([header, *(",".join(map(str, line)) for line in lines or rows()), ""]))


def weighs_right(index: ImageIndex) -> bool:
    return len(index.weights) == len(index.paths) and all(
        WEIGHT_OF[path] == weight for path, weight in zip(index.paths, index.weights, strict=True)
    )


def test_each_image_has_the_weight_of_its_row(folder: Path) -> None:
    """Images would count by the weights of others, once they are split and sorted."""
    index = scan(table(folder), asked=BY_QUALITY)
    assert weighs_right(index)
    assert any(note.startswith("training images count by 'quality', from 0.") for note in index.notes)
    assert weighs_right(evenly_spread(index, seed=1))
    assert scan(table(folder)).weights.tolist() == []


@pytest.mark.parametrize("kind", ["semicolons", "json", "frame", "with groups"])
def test_tables_of_all_kinds_have_weights(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table would be understood, and its weights not be used, or the groups be taken for them."""
    monkeypatch.chdir(folder)
    given: Any = csv_file(folder, "\n".join(["path;label;quality", *(";".join(map(str, row)) for row in rows())]))
    asked = BY_QUALITY
    if kind == "json":
        given = folder / "list.json"
        given.write_text(json.dumps([dict(zip(("path", "label", "quality"), row, strict=True)) for row in rows()]))
    if kind == "frame":
        given = pytest.importorskip("pandas").DataFrame(rows(), columns=["path", "label", "quality"])
    if kind == "with groups":
        lines = [(path, label, 7 + place // 2, weight) for place, (path, label, weight) in enumerate(rows())]
        given = table(folder, lines, "path,label,who,quality")
        asked = replace(BY_QUALITY, group_column="who")
    index = scan(given, asked=asked)
    assert weighs_right(index)
    assert bool(index.groups) == (kind == "with groups")


@pytest.mark.parametrize("group_column", [None, "who"])
@pytest.mark.parametrize("tested", [False, True])
def test_the_list_of_a_run_keeps_the_weights(folder: Path, group_column: str | None, *, tested: bool) -> None:
    """A resumed run would train with other weights, or not read its own list."""
    roles = ["test" if tested and place % 5 == 0 else "train" for place in range(2 * EACH)]
    lines = [
        (path, label, place, weight, role)
        for place, ((path, label, weight), role) in enumerate(zip(rows(), roles, strict=True))
    ]
    asked = replace(BY_QUALITY, group_column=group_column)
    index = scan(table(folder, lines, "path,label,who,quality,split"), asked=asked)
    assert index.test_count == (4 if tested else 0)
    file = folder / "samples.csv"
    index.write_csv(file)
    read = ImageIndex.read_csv(file, index.root, index.class_names)
    assert read == index
    assert read.fingerprint() == index.fingerprint()
    assert weighs_right(read)


def test_other_weights_are_other_data(folder: Path) -> None:
    """A call with other weights would be answered with the model of the former ones."""
    index = scan(table(folder), asked=BY_QUALITY)
    changed = [(path, name, weight + (place == 3)) for place, (path, name, weight) in enumerate(rows())]
    assert scan(table(folder, changed), asked=BY_QUALITY).fingerprint() != index.fingerprint()
    assert scan(table(folder)).fingerprint() != index.fingerprint()


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("-1", "line 5: the quality is '-1', and a weight is a number of 0 or more, such as 0.5; correct"),
        ("nan", "line 5: the quality is 'nan', and a weight"),
        ("inf", "line 5: the quality is 'inf', and a weight"),
        ("high", "line 5: the quality is 'high', and a weight"),
        ("", "line 5: the quality is empty, and a weight"),
        ("9" * 400, "line 5: the quality is '9999"),
    ],
)
def test_what_is_no_weight_is_named_with_its_line(folder: Path, cell: str, said: str) -> None:
    """An image without a weight would count like others, or the loss be no number from the first step on."""
    lines = [(path, name, cell if place == 3 else weight) for place, (path, name, weight) in enumerate(rows())]
    with pytest.raises(UserError, match=said):
        scan(table(folder, lines), asked=BY_QUALITY)


def test_a_frame_names_the_item_without_a_weight(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing value of pandas would be a weight of not a number."""
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(folder)
    frame = pandas.DataFrame(rows(), columns=["path", "label", "quality"])
    frame.loc[3, "quality"] = float("nan")
    with pytest.raises(UserError, match="item 3: the quality is nan, and a weight is a number"):
        scan(frame, asked=BY_QUALITY)
    with pytest.raises(ValueError, match="the quality is 1000"):
        weight_of_cell(10**400, "quality")


@pytest.mark.parametrize("cell", [True, 1, 0.0, "2", " 0.5 ", np.float32(3), "1e-3"])
def test_numbers_are_weights(cell: object) -> None:
    """A column of whole numbers or of true and false would be refused."""
    assert weight_of_cell(cell, "quality") == float(cell)  # type: ignore[arg-type]


def test_weights_that_can_teach_nothing_are_refused_and_equal_ones_named(folder: Path) -> None:
    """A run would train on nothing, or a user believe that a constant column does something."""
    zero = [(path, name, 0) for path, name, _ in rows()]
    with pytest.raises(UserError, match="all training images have the weight 0 in 'quality': give some of them more"):
        scan(table(folder, zero), asked=BY_QUALITY)
    equal = [(path, name, 2) for path, name, _ in rows()]
    notes = scan(table(folder, equal), asked=BY_QUALITY).notes
    assert "warning: all training images have the same weight in 'quality', which changes nothing" in notes


def test_an_image_has_one_weight(folder: Path) -> None:
    """One of two weights would be taken without a word."""
    with pytest.raises(UserError, match=r"has the weights 0\.25 and, line 22, 9: keep one of them"):
        scan(table(folder, [*rows(), (*rows()[0][:2], 9)]), asked=BY_QUALITY)


def test_data_without_columns_and_columns_of_other_things_are_refused(folder: Path) -> None:
    """The option would be ignored, or labels be taken for weights."""
    with pytest.raises(UserError, match="weight_column is a column of a table, and the data is a folder"):
        scan(folder, asked=BY_QUALITY)
    with pytest.raises(UserError, match=r"has not one column 'qualty': did you mean 'quality'\?"):
        scan(table(folder), asked=Asked(weight_column="qualty"))
    for names in [{"path_column": "x"}, {"label_column": "x"}, {"group_column": "x"}]:
        arguments: dict[str, Any] = {"path_column": None, "label_column": None, "images_in": None} | names
        with pytest.raises(UserError, match="'x' cannot be weight_column"):
            asked_of(**arguments, weight_column="x")


def test_validation_images_of_a_table_of_their_own_may_have_weights(folder: Path) -> None:
    """Such a table without the column would be refused, or its weights be lost."""
    training, held = table(folder, rows()[2:]), folder / "held.csv"
    held.write_text("path,label,quality\n" + "\n".join(",".join(map(str, row)) for row in rows()[:2]))
    assert weighs_right(scan(training, validation=held, asked=BY_QUALITY))
    held.write_text("path,label\n" + "\n".join(",".join(row[:2]) for row in rows()[:2]))
    index = scan(training, validation=held, asked=BY_QUALITY)
    mean = sum(index.weights[: index.train_count]) / index.train_count
    assert index.weights[index.train_count :].tolist() == pytest.approx([mean, mean])
    told = "no weights are known of the validation images: each counts like the mean training image"
    assert told in index.notes
    larger = scan(
        table(folder, [(path, name, 100 * weight) for path, name, weight in rows()[2:]]),
        validation=held,
        asked=BY_QUALITY,
    )
    assert np.allclose(np.array(larger.weights) / np.array(index.weights), 100)


def test_other_rows_of_the_validation_table_do_not_weigh_training_images(folder: Path) -> None:
    """The weights of the data would be replaced by those that a table for validation has of the same images."""
    held = folder / "held.csv"
    lines = [(path, name, WEIGHT_OF[path] if place < 2 else 99) for place, (path, name, _) in enumerate(rows())]
    splits = ["validation" if place < 2 else "train" for place in range(2 * EACH)]
    text = [",".join(map(str, (*line, split))) for line, split in zip(lines, splits, strict=True)]
    held.write_text("path,label,quality,split\n" + "\n".join(text))
    assert weighs_right(scan(table(folder, rows()[2:]), validation=held, asked=BY_QUALITY))


def given_as(kind: str, folder: Path, lines: list[tuple[object, ...]], header: str) -> Any:
    """The same table as a CSV file, in JSON or as a DataFrame."""
    if kind == "csv":
        return table(folder, lines, header)
    rows_of = [dict(zip(header.split(","), line, strict=True)) for line in lines]
    if kind == "frame":
        return pytest.importorskip("pandas").DataFrame(rows_of)
    file = folder / "list.json"
    file.write_text(json.dumps(rows_of))
    return file


@pytest.mark.parametrize("kind", ["csv", "json", "frame"])
def test_test_images_need_no_weights(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table, such as the list of a run, would be refused for cells that are not used."""
    monkeypatch.chdir(folder)
    lines: list[tuple[object, ...]] = [
        (*row[:2], "" if place % 5 == 0 else row[2], "test" if place % 5 == 0 else "train")
        for place, row in enumerate(rows())
    ]
    index = scan(given_as(kind, folder, lines, "path,label,quality,split"), asked=BY_QUALITY)
    assert index.test_count == 4
    assert weighs_right(index)
    training = table(folder, rows()[4:])
    test = given_as(
        kind if kind != "csv" else "json", folder, [(*row[:2], "") for row in rows()[:4]], "path,label,quality"
    )
    assert scan(training, test=test, asked=BY_QUALITY).test_count == 4


def test_the_list_of_a_run_can_be_given_as_data(folder: Path) -> None:
    """The weights of a run, which are empty for its test, could not be used again."""
    lines = [(*row, "test" if place % 5 == 0 else "train") for place, row in enumerate(rows())]
    index = scan(table(folder, lines, "path,label,quality,split"), asked=BY_QUALITY)
    own = folder / "samples.csv"
    index.write_csv(own)
    assert scan(own, asked=Asked(weight_column="weight")).fingerprint() == index.fingerprint()


def test_a_column_of_weights_is_no_label_where_images_are_judged(folder: Path) -> None:
    """Weights of 0 and 1 would be a class that the model lacks."""
    lines = [(path, int(name == "cat"), int(name == "dog"), place % 2) for place, (path, name, _) in enumerate(rows())]
    listed = from_csv(
        table(folder, lines, "path,cat,dog,quality"),
        replace(BY_QUALITY, multi_label=True, is_held_out=True, reads_weights=False),
    )
    assert listed.marks == NAMES
    assert listed.weight is None


def test_what_only_the_validation_images_differ_in_is_said(folder: Path) -> None:
    """Weights that choose the penalty would be said to change nothing, or ones of 0 go unmentioned."""
    training, held = table(folder, [(*row[:2], 2) for row in rows()[2:]]), folder / "held.csv"
    for cells, said in {
        (0.5, 2): "validation images count by 'quality', from 0.5 to 2; training images alike",
        (
            0,
            0,
        ): "warning: all validation images have the weight 0 in 'quality': they do not choose the head's penalty, and "
        "fine-tuning compares its epochs as if they counted alike",
    }.items():
        held.write_text(
            "path,label,quality\n"
            + "".join(f"{path},{name},{cell}\n" for (path, name, _), cell in zip(rows()[:2], cells, strict=True))
        )
        assert said in scan(training, validation=held, asked=BY_QUALITY).notes


def test_a_column_that_is_called_so_is_named(folder: Path) -> None:
    """Keras's word for it would be ignored without a word."""
    index = scan(table(folder, header="path,label,sample_weight"))
    assert "'sample_weight' is not used: weight_column='sample_weight' lets images count by it" in " ".join(index.notes)
    assert not any("weight" in note for note in scan(table(folder, header="path,label,weight")).notes)


def dataset(weights: Any) -> DatasetV2:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
    return DatasetV2([(pixels[part], np.arange(6)[part] % 2, weights[part]) for part in (slice(0, 4), slice(4, 6))])


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_dataset_of_triples_has_its_weights(tmp_path: Path, *, multi_label: bool) -> None:
    """The triples that Keras takes would be refused, or their weights be taken for labels."""
    data = dataset(np.array([[3.0], [1.0], [0.5], [2.0], [4.0], [5.0]]))
    if multi_label:
        batches = data.as_numpy_iterator()
        data = DatasetV2([(images, np.eye(2, dtype=int)[labels], weights) for images, labels, weights in batches])
    write: dict[str, Any] = {"folder": tmp_path, "say": print, "on_progress": lambda _: None}
    found = images_in_files("train", (data, None), **write, multi_label=multi_label)
    asked = Asked(multi_label=multi_label)
    index = scan(found, validation=0, asked=asked)
    assert sorted(index.weights) == [0.5, 1, 2, 3, 4, 5]
    again = scan(images_in_files("train", (data, None), **write, multi_label=multi_label), validation=0, asked=asked)
    assert again.fingerprint() == index.fingerprint()
    ones = images_in_files("train", (dataset(np.ones(6)), None), **write)
    assert not scan(ones, validation=0).weights
