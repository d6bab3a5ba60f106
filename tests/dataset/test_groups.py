"""Images that belong together by a column of a table: found, kept on one side, and told where a split divides them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit.dataset import ImageIndex, asked_of, scan
from autofit.dataset.groups import Grouping, SharedGroups, group_like, value_of_cell
from autofit.dataset.spread import evenly_spread
from autofit.errors import UserError
from tests.support.datasets import csv_file, photos, training, validating

BY_PATIENT = asked_of(None, None, None, group_column="patient")
NAMES = ("cat", "dog")


@pytest.fixture
def wards(tmp_path: Path) -> Path:
    """Twenty images of each class, four of each of ten patients."""
    return photos(tmp_path / "wards", cat=20, dog=20)


def rows(*, patients: int = 5) -> list[tuple[str, str, str]]:
    """Path, class and patient of each image."""
    return [(f"{name}/{number:04}.jpg", name, f"{name}-{number % patients}") for name in NAMES for number in range(20)]


def table(folder: Path, header: str = "path,label,patient", lines: Any = None) -> Path:
    lines = rows() if lines is None else lines
    return csv_file(folder, "\n".join([header, *(",".join(line) for line in lines), ""]))


def patients(paths: list[str]) -> set[str]:
    patient_of = {path: patient for path, _, patient in rows()}
    return {patient_of[path] for path in paths}


def test_no_patient_is_trained_on_and_validated(wards: Path) -> None:
    """The accuracy would be that of images of patients that the network has seen."""
    index = scan(table(wards), asked=BY_PATIENT)
    assert patients(training(index)).isdisjoint(patients(validating(index)))
    assert index.validation_counts() == (4, 4)
    assert "images with the same 'patient' are kept together: 10 values, 2 of them in validation" in index.notes
    assert scan(table(wards), asked=BY_PATIENT) == index
    assert len({tuple(validating(scan(table(wards), asked=BY_PATIENT, seed=seed))) for seed in range(5)}) > 1


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_table_of_any_form_and_a_frame_are_split_alike(
    wards: Path, separator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spreadsheet would keep patients together, and the DataFrame that was read from it would not."""
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(wards)
    by_number = [(path, name, str(10 * NAMES.index(name) + int(patient[-1]))) for path, name, patient in rows()]
    index = scan(table(wards, "path,label,patient", by_number), asked=BY_PATIENT)
    text = "\n".join(["path,label,patient", *(",".join(line) for line in by_number)]).replace(",", separator)
    assert scan(csv_file(wards, text), asked=BY_PATIENT) == index
    frame = pandas.DataFrame([(*line[:2], float(line[2])) for line in by_number], columns=["path", "label", "patient"])
    assert scan(frame, asked=BY_PATIENT) == index


def test_without_the_option_the_split_is_as_ever(wards: Path) -> None:
    """All runs of tables with such a column would be others."""
    plain = scan(table(wards, "path,label", [line[:2] for line in rows()]))
    index = scan(table(wards))
    assert index == plain
    assert index.fingerprint() == plain.fingerprint()


def test_an_image_without_a_value_is_on_its_own(wards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All images of which nothing is known would be on one side, as those of one patient."""
    pandas = pytest.importorskip("pandas")
    lines = [(path, name, patient if int(path[-6:-4]) > 9 else "") for path, name, patient in rows()]
    index = scan(table(wards, lines=lines), asked=BY_PATIENT)
    assert index.notes[-1].endswith("; 20 images without a value are on their own each")
    assert len({index.groups[number] for number, path in enumerate(index.paths) if int(path[-6:-4]) <= 9}) == 20
    monkeypatch.chdir(wards)
    listed = [(path, name, patient or None) for path, name, patient in lines]
    assert scan(pandas.DataFrame(listed, columns=["path", "label", "patient"]), asked=BY_PATIENT) == index


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        *(("P1", "P1"), (" 7 ", "7"), (7.0, "7"), ("7.0", "7"), (7, "7"), (np.float64(3.0), "3"), (1.5, "1.5")),
        *((empty, "") for empty in (None, float("nan"), "NaN", "N/A", "None", " ")),
    ],
)
def test_a_value_is_the_same_in_text_and_numbers(cell: object, value: str) -> None:
    """A patient would be two where one of two tables has a gap and pandas makes floats of its numbers."""
    assert value_of_cell(cell) == value


def test_classes_that_cannot_be_validated_are_named(wards: Path) -> None:
    """Their images would be missing in validation without a word, or a patient be divided for them."""
    lines = [(path, name, "one" if name == "dog" else patient) for path, name, patient in rows()]
    index = scan(table(wards, lines=lines), asked=BY_PATIENT)
    assert index.validation_counts() == (4, 0)
    assert (
        "warning: not validated, for want of values of 'patient': 'dog' (20 images of 1 value); give images of more"
        in index.notes
    )
    assert "10% of the images are for validation in place of 20%: no value of 'patient' is divided" in index.notes
    everything = table(wards, lines=[(path, name, name) for path, name, _ in rows()])
    with pytest.raises(
        UserError, match=r"each value of 'patient' has all images of a class \('cat' \(20 images of 1 va"
    ):
        scan(everything, asked=BY_PATIENT)
    assert scan(everything, asked=BY_PATIENT, validation=0).train_count == 40


def test_nothing_to_keep_together_is_said(wards: Path) -> None:
    """The number of a row, given for that of a patient, would pass for a split by patients."""
    lines = [(path, name, str(number)) for number, (path, name, _) in enumerate(rows())]
    notes = scan(table(wards, lines=lines), asked=BY_PATIENT).notes
    assert "warning: no two images have the same 'patient': there is nothing to keep together" in notes


def test_a_column_that_is_not_there_or_holds_something_else_is_refused(wards: Path) -> None:
    """Nothing would be kept together, or all images of a class be on one side."""

    def by(column: Any) -> Any:
        return asked_of(None, None, None, group_column=column)

    path = table(wards, "path,label,Patient ID")
    with pytest.raises(
        UserError, match=r"list\.csv has not one column 'patient_id': did you mean 'Patient ID'\? Its col"
    ):
        scan(path, asked=by("patient_id"))
    for column in ("label", "path"):
        with pytest.raises(UserError, match=f"'{column}' cannot be group_column, as it holds the paths or labels"):
            scan(path, asked=by(column))
    with pytest.raises(UserError, match="'what' cannot be group_column"):
        asked_of(None, "what", None, group_column="what")
    with pytest.raises(UserError, match="group_column has 7, which is no name"):
        by(7)
    with pytest.raises(
        UserError, match="group_column is a column of a table, and the data is a folder: give a CSV file"
    ):
        scan(wards, asked=BY_PATIENT)
    with pytest.raises(UserError, match="and the data is a list: give a CSV file or a DataFrame"):
        scan([str(wards / line[0]) for line in rows()], [line[1] for line in rows()], asked=BY_PATIENT)


def test_an_image_of_two_patients_is_refused(wards: Path) -> None:
    """One of the two would be kept together by chance."""
    lines = [*rows(), ("cat/0000.jpg", "cat", "cat-1")]
    with pytest.raises(UserError, match=r"cat/0000\.jpg has the patient 'cat-0' and, line 42, 'cat-1': keep one"):
        scan(table(wards, lines=lines), asked=BY_PATIENT)
    assert scan(table(wards, lines=lines)).train_count == 32


@pytest.mark.parametrize("header", ["patient", "Patient ID", "lesion_id", "subject", "AnimalName", "StudyInstanceUID"])
def test_a_column_that_is_called_so_is_told(wards: Path, header: str) -> None:
    """Someone who has not thought of it would take the accuracy for that on other patients."""
    (warning,) = scan(table(wards, f"path,label,{header}")).notes
    assert warning.startswith(("warning: 6 values of ", "warning: 7 values of "))
    assert warning.endswith(
        f"may look better than it is: group_column={header!r} keeps images of one value on one side"
    )


def test_no_warning_where_nothing_is_divided(wards: Path) -> None:
    """A warning at every table with a column of numbers would be read by nobody."""
    numbered = [(path, name, str(number)) for number, (path, name, _) in enumerate(rows())]
    sides = [(path, name, "left" if number % 2 else "right") for number, (path, name, _) in enumerate(rows())]
    assert scan(table(wards, lines=numbered)).notes == ()
    assert scan(table(wards, lines=sides)).notes == ()
    assert scan(table(wards, "path,label,height")).notes == ()
    assert scan(table(wards), validation=0).notes == ()
    assert not any("warning" in note for note in scan(table(wards), asked=BY_PATIENT).notes)
    names = asked_of(None, "individual", None)
    assert not any("warning" in note for note in scan(table(wards, "path,individual,x"), asked=names).notes)


def test_a_split_of_the_table_that_divides_patients_is_told(wards: Path) -> None:
    """The data's own split would be trusted, and its figures be those on known patients."""
    sides = ["train"] * 14 + ["val"] * 4 + ["test"] * 2
    lines = [(*line, sides[number % 20]) for number, line in enumerate(rows())]
    path = table(wards, "path,label,patient,split", lines)
    assert (
        "images with the same 'patient' belong together: 10 values, 8 of them in validation"
        in scan(path, asked=BY_PATIENT).notes
    )
    for asked in (BY_PATIENT, asked_of(None, None, None)):
        told = [note for note in scan(path, asked=asked).notes if note.startswith("warning")]
        for split, values, note in zip(("validation", "test"), (8, 4), told, strict=True):
            assert note == (
                f"warning: {values} values of 'patient' are in training and in {split} ({values} of its images), which "
                f"may look better than it is: take images of other values for {split}"
            )


def test_patients_that_a_given_split_divides_are_known(wards: Path) -> None:
    """`check --strict` would let them pass; or would refuse what the option makes good."""
    sides = ["train"] * 14 + ["val"] * 4 + ["test"] * 2
    lines = [(*line, sides[number % 20]) for number, line in enumerate(rows())]
    path = table(wards, "path,label,patient,split", lines)
    expected = (SharedGroups("validation", "patient", 8, 8), SharedGroups("test", "patient", 4, 4))
    assert scan(path, asked=BY_PATIENT).shared_groups == expected
    assert scan(path).shared_groups == expected
    split_here = scan(table(wards))
    assert any("keeps images of one value on one side" in note for note in split_here.notes)
    assert split_here.shared_groups == ()


def test_images_that_are_given_for_validation_are_compared(wards: Path, tmp_path: Path) -> None:
    """A second table would be trusted that has images of the same patients, perhaps under another spelling."""
    lines = rows()
    held = csv_file(
        wards.parent, "\n".join(["path,label,Patient-ID", *(f"wards/{a},{b},{c}" for a, b, c in lines[17:20]), ""])
    )
    path = table(wards, lines=[line for line in lines if line not in lines[17:20]])
    index = scan(path, asked=BY_PATIENT, validation=held)
    assert any(
        note.startswith("warning: 3 values of 'patient' are in training and in validation") for note in index.notes
    )
    photos(tmp_path / "held", cat=2)
    notes = scan(path, asked=BY_PATIENT, validation=tmp_path / "held").notes
    assert (
        "the validation images have no 'patient': whether some belong to images of the training is not known" in notes
    )


def test_a_table_for_validation_says_nothing_of_training_images(wards: Path) -> None:
    """A table of all images, with other values, would change which images of the training belong together."""
    lines = [line for number, line in enumerate(rows()) if number % 5]
    path = table(wards, lines=lines)
    held = wards / "all.csv"
    splits = [",".join((*row, "val" if row not in lines else "train")) for row in rows()]
    held.write_text("\n".join(["path,label,patient,split", *(row.replace("cat-1,train", "0,train") for row in splits)]))
    index = scan(path, asked=BY_PATIENT, validation=held)
    assert len(set(index.groups[: index.train_count])) == len({patient for _, _, patient in lines}) == 8
    assert patients(validating(index)) == {"cat-0", "dog-0"}


def test_an_image_may_have_several_labels(wards: Path) -> None:
    """Patients would be divided where images have several labels."""
    asked = asked_of(None, None, None, multi_label=True, group_column="patient")
    lines = [
        (path, f"{name};{'old' if number % 5 > 2 else 'young'}", p) for number, (path, name, p) in enumerate(rows())
    ]
    index = scan(table(wards, lines=lines), asked=asked)
    assert patients(training(index)).isdisjoint(patients(validating(index)))
    assert index.validation_count == 8
    marks = [(path, str(int(name == "cat")), str(int(name == "dog")), patient) for path, name, patient in rows()]
    marked = scan(table(wards, "path,cat,dog,patient", marks), asked=asked)
    assert marked.class_names == NAMES
    assert patients(training(marked)).isdisjoint(patients(validating(marked)))


def test_the_groups_are_kept_with_the_list_of_images(wards: Path, tmp_path: Path) -> None:
    """A resumed run, and its worker, would not know which images belong together."""
    lines = [(*line, "test" if number % 20 > 17 else "train") for number, line in enumerate(rows())]
    index = scan(table(wards, "path,label,patient,split", lines), asked=BY_PATIENT)
    assert len(index.test_groups) == 4
    path = tmp_path / "samples.csv"
    index.write_csv(path)
    assert path.read_text().startswith("index,path,label,split,group\n")
    assert ImageIndex.read_csv(path, index.root, index.class_names) == index
    path.write_text(path.read_text().replace('train",0', 'train",-1'))
    with pytest.raises(UserError, match=r"line 2: the group '-1' is no number of one"):
        ImageIndex.read_csv(path, index.root, index.class_names)


def test_other_groups_are_another_run(wards: Path) -> None:
    """A run would be taken for done though its head was chosen with patients on both sides of a fold."""
    whole = scan(table(wards), asked=BY_PATIENT, validation=0)
    assert whole.fingerprint() != scan(table(wards), validation=0).fingerprint()
    renamed = [(path, name, f"x{patient}") for path, name, patient in rows()]
    assert whole.fingerprint() == scan(table(wards, lines=renamed), asked=BY_PATIENT, validation=0).fingerprint()
    other = scan(table(wards, lines=rows(patients=4)), asked=BY_PATIENT, validation=0)
    assert whole.fingerprint() != other.fingerprint()


def test_an_index_in_another_order_keeps_its_groups(wards: Path) -> None:
    """With a time budget the images would change patients."""
    index = scan(table(wards), asked=BY_PATIENT)
    spread = evenly_spread(index, 0)
    before, after = (dict(zip(each.paths, each.groups, strict=True)) for each in (index, spread))
    assert before == after
    assert spread.paths != index.paths


def test_groups_have_numbers_and_names_of_columns_a_meaning() -> None:
    """Two images that are alone would be one group; or a column of heights be taken for one of patients."""
    grouping = Grouping("patient", {"a": "x", "c": "x", "e": "y"}, is_asked=True)
    assert [list(numbers) for numbers in grouping.numbers(["a", "b", "c", "d"], ["e", "f"])] == [[0, 1, 0, 2], [3, 4]]
    assert group_like(["image", "lesion_id", "Patient No."], {}) == "Patient No."
    assert group_like(["case", "video"], {"case": [1, 2, 3], "video": ["a", "b", "a"]}) == "video"
    assert group_like(["group", "Group ID"], {}) == "Group ID"
    assert group_like(["id", "name", "height", "age", "sex", "age group", "group"], {}) is None
