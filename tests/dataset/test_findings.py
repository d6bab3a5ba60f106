"""What is found in the data is put in words: classes without images, with the kinds of what they hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autofit.dataset import scan
from autofit.dataset.findings import classes_text
from autofit.dataset.found import kinds_text
from tests.support.datasets import touch


def test_classes_without_images_are_named_all_at_once(pets: Path) -> None:
    """A class of photos in another format would vanish without a word."""
    touch(
        pets,
        *(f"hen/{n}.cr2" for n in range(3)),
        "hen/a.txt",
        "eel/a.tfrecord",
        "eel/b.PARQUET",
        "newt/a.xyz1234",
        "owl/1.5",
        "owl/Thumbs.db",
    )
    (pets / "yak").mkdir()
    index = scan(pets)
    assert index.class_names == ("cat", "dog")
    assert index.notes == (
        (
            "without images: 'eel' (1 .parquet, 1 .tfrecord), 'hen' (3 .cr2, 1 .txt), 'newt' (1 without suffix), "
            "'owl' (1 .db, 1 without suffix), 'yak' (empty)"
        ),
    )
    assert index.skipped_kinds == {".tfrecord": 1, ".parquet": 1, ".cr2": 3, ".txt": 1, "without suffix": 2, ".db": 1}


@pytest.mark.parametrize(
    ("names", "is_said"),
    [
        ("a7f x9k b3c q1z", True),
        ("20240131120000 20240131120100 20240131120200 20240131120300", True),
        ("IMG_0001 IMG_0002 IMG_0003 IMG_0004", False),
        ("1 2 3 4", False),
        ("a7f x9k b3c", False),
    ],
)
def test_versions_of_the_same_images_are_named(tmp_path: Path, names: str, is_said: bool) -> None:  # noqa: FBT001 - a case
    """A network would learn to tell the photos of one camera, or of one size, from those of another."""
    touch(tmp_path, *(f"rgb/{name}.jpg" for name in names.split()), *(f"thermal/{n}.png" for n in names.split()))
    notes = scan(tmp_path).notes
    assert is_said == any("versions of the same images, the folders are no classes" in note for note in notes)
    touch(tmp_path, *(f"rgb/other{name}.jpg" for name in "abcdefgh"), *(f"thermal/some{n}.png" for n in "abcdefgh"))
    assert scan(tmp_path).notes == ()


def test_a_class_of_images_without_one_is_named(pets: Path) -> None:
    """What a labelling tool has not got to would be learnt as a class."""
    touch(pets, *(f"no_label/{n}.jpg" for n in "123"), "unknown/1.jpg", "unknown/2.jpg")
    (note,) = scan(pets).notes
    assert note == "warning: 'no_label' is trained on as a class: leave these images out if they have none"


@pytest.mark.parametrize(
    ("others", "named"),
    [
        (
            "sun rain alien_test",
            "'alien_test' is trained on as a class: if its images are for the test, move it elsewhere",
        ),
        (
            "sun rain hold-out",
            "'hold-out' is trained on as a class: if its images are for the test, move it elsewhere, or",
        ),
        (
            "sun rain my_val",
            "if its images are for the validation, .* or give it with validation= if it has class folders",
        ),
        ("sun test_cup", ""),
        ("sun alien_test test_cup", ""),
        ("unclear valid invalid", ""),
        ("sun rain train_station", ""),
        ("train/sun train/rain train/test_cup test/sun test/rain test/test_cup", ""),
    ],
)
def test_a_class_folder_called_as_of_images_held_out_is_named(tmp_path: Path, others: str, named: str) -> None:
    """The images on which the model is to be tested would be a class of the training, without a word."""
    touch(tmp_path, *(f"{name}/{name.rpartition('/')[2]}{number}.jpg" for name in others.split() for number in "12345"))
    notes = [note for note in scan(tmp_path).notes if note.startswith("warning:")]
    assert len(notes) == bool(named)
    assert re.search(named, "".join(notes))


def test_images_beside_the_class_folders_are_named(pets: Path) -> None:
    """A folder of 10,000 photos with two of crops in it would be skipped without a word, and crops be classes."""
    touch(pets, "overview.png")
    assert scan(pets).notes == ()
    touch(pets, "1.jpg", "2.jpg")
    (note,) = scan(pets).notes
    assert note.startswith(f"warning: 3 images lie in {pets} beside the class folders and are skipped: move those of")


def test_masks_among_the_images_are_named(pets: Path) -> None:
    """The masks of an archive lie beside its scans, and a network would train on them without a word."""
    touch(pets, "cat/s (1).png", "cat/s (1)_mask.png", "cat/s (1)_mask_1.png", "dog/a.jpg", "dog/a_segmentation.png")
    touch(pets, "dog/man_mask.jpg", "dog/unmasked.jpg")
    (note,) = scan(pets).notes
    assert note == (
        "warning: 3 images are named as masks of others (cat/s (1)_mask.png beside cat/s (1).png) and are trained on "
        "like these: move them elsewhere if they are masks"
    )


@pytest.mark.parametrize("mask", ["{}.mask", "{}_GT", "mask_{}", "gt-{}", "{}-mask"])
def test_masks_are_known_by_what_is_before_or_behind_the_name(pets: Path, mask: str) -> None:
    """Half of the tools that draw masks put the word before the name, or behind a dot."""
    touch(pets, *(f"cat/{name}.png" for number in "12" for name in (f"eye{number}", mask.format(f"eye{number}"))))
    touch(pets, "dog/gt_sport.jpg", "dog/mask_man.jpg", "dog/bright_1.jpg")
    (note,) = scan(pets).notes
    assert note.startswith(f"warning: 2 images are named as masks of others (cat/{mask.format('eye1')}.png beside")


@pytest.mark.parametrize(
    ("images", "below", "is_said"),
    [
        ("cat/{}.jpg", "cat/masks/{}.png", True),
        ("cat/{}.jpg", "cat/thumbs/{}.jpg", True),
        ("cat/images/{}.jpg", "cat/GroundTruth/{}_mask.png", True),
        ("cat/Cat/{}.jpg", "cat/Cat GT/{}.png", True),
        ("cat/tabby/{}.jpg", "cat/tabby_mask/{}.png", True),
        ("cat/tabby/{}.jpg", "cat/Ground Truth tabby/{}.png", True),
        ("cat/bmw/{}.jpg", "cat/gt/{}.jpg", False),
        ("cat/a7f{}.jpg", "cat/augmented/a7f{}.jpg", False),
        ("cat/2024013112000{}123.jpg", "cat/augmented/2024013112000{}123.jpg", True),
        ("cat/{}.jpg", "cat/indoor/{}.jpg", False),
        ("cat/{}.jpg", "cat/masks/other{}.png", False),
    ],
)
def test_masks_and_versions_in_a_folder_within_a_class_are_named(
    tmp_path: Path, images: str, below: str, *, is_said: bool
) -> None:
    """Masks and thumbnails of a class would be trained on as its images, and validated on what they show in small."""
    touch(tmp_path, *(name.format(number) for name in (images, below) for number in range(4)), "dog/x.jpg", "dog/y.jpg")
    said = [note for note in scan(tmp_path).notes if "are named as those beside them" in note]
    assert bool(said) == is_said
    first = f"{below.format(0)} and {images.format(0)}"
    assert not said or said[0].startswith(
        f"warning: 4 images in folders within the classes are named as those beside them ({first})"
    )


@pytest.mark.parametrize(
    ("files", "is_said"),
    [
        ("cat/a cat/b dog/c dog/d all/a all/b all/c all/d", True),
        ("cat/a cat/b dog/c dog/d all/a all/b all/c all/d all/e", True),
        ("cat/1 cat/2 dog/1 dog/2 owl/1 owl/2 owl/3 owl/4", False),
        ("cat/a cat/b dog/c dog/d owl/a owl/b owl/e owl/f", False),
        ("cat/a cat/b cat/c cat/d owl/a owl/b owl/c", False),
    ],
)
def test_a_class_that_holds_all_images_is_named(tmp_path: Path, files: str, *, is_said: bool) -> None:
    """All photos in one folder beside those that are sorted would be a class, of which each image has another, too."""
    touch(tmp_path, *(f"{name}.jpg" for name in files.split()))
    assert is_said == any(
        note.startswith("warning: 'all' has files of the names that") for note in scan(tmp_path).notes
    )


@pytest.mark.parametrize(
    ("folders", "file", "is_said"),
    [
        ([f"{number:05}" for number in range(3)], "{folder}{number:04}", True),
        (["00000", "01000", "02000"], "0{folder[1]}{number:03}", True),
        ([f"{number:02x}" for number in range(0, 256, 8)], "{number}", True),
        ([f"{number:02x}" for number in range(10, 20)], "{number}", False),
        (["001", "002", "003"], "{number:04}", False),
        (["001", "002", "003"], "{folder}_{number}", False),
        (["02691156", "02773838", "02933112"], "{number}", False),
        (["0", "1", "2", "10"], "{number}", False),
    ],
)
def test_folders_that_look_like_parts_of_numbered_images_are_named(
    tmp_path: Path, folders: list[str], file: str, *, is_said: bool
) -> None:
    """The parts in which a download of a million images lies would be classes, without a word."""
    for folder in folders:
        touch(tmp_path / folder, *(f"{file.format(folder=folder, number=number)}.jpg" for number in range(4)))
    said = [note for note in scan(tmp_path).notes if "look like parts of one data set, by the number or the" in note]
    assert bool(said) == is_said


@pytest.mark.parametrize(
    ("lower", "count"),
    [
        ("colon/aca colon/n lung/aca lung/scc", 4),
        ("raw/0 raw/1 more/0 more/1", 4),
        ("set/a/images set/b/2024-01 other", 3),
    ],
)
def test_classes_a_level_below_are_named(tmp_path: Path, lower: str, count: int) -> None:
    """Four kinds of cells would be taken for two organs, or digits for what was made of them, without a word."""
    folders = lower.replace("other", "other/other").split()
    touch(tmp_path, *(f"{name}/{n}.jpg" for name in folders for n in "123"))
    index = scan(tmp_path)
    assert len(index.class_names) == 2
    (note,) = index.notes
    first = min(folders).removesuffix("/images")
    assert note == (
        f"the images lie in {count} folders within the classes, such as {first}, and are of the class above: if these "
        "folders are the classes, give a CSV file with the columns path,label"
    )


def test_folders_that_divide_a_class_are_not_named(tmp_path: Path) -> None:
    """A reader would be asked about years, and about folders that only hold the images."""
    touch(
        tmp_path, *(f"{name}/{n}.jpg" for name in ("cat/2023-01", "cat/2024", "dog/2022", "owl/images") for n in "12")
    )
    assert scan(tmp_path).notes == ()


def test_many_are_counted_and_not_listed() -> None:
    """The opening lines of a data set of a thousand classes would fill the screen."""
    names = [f"class{number:04}" for number in range(1000)]
    assert classes_text(names, range(1000), 1000).endswith("class0011 (11) and 988 more")
    assert kinds_text({f".{mark}": 2 for mark in "abcdef"}) == "2 .a, 2 .b, 2 .c, 2 .d, 4 others"


@pytest.mark.parametrize("columns", [38, 58, 80])
def test_classes_fit_the_line(columns: int) -> None:
    """A log of 80 columns would break a line of twelve classes with long names three times, in the middle of a name."""
    names, counts = ("quite a long name", "leafy vegetables", "a", "b", "c"), (1234, 98, 1, 1, 1)
    said = classes_text(names, counts, columns)
    assert len(said) <= columns
    assert said.startswith("quite a long name (1,234)")
    left = said.rpartition(" and ")[2].partition(" ")[0]
    assert said.count("(") + (int(left) if left.isdigit() else 0) == len(names)
    assert classes_text(("a class with a name that fits nowhere", "b"), (2, 1), 20).endswith("nowhere (2) and 1 more")
