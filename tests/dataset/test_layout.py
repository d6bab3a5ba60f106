"""Layouts of folders, as data sets come: each is understood, or refused in a line that names both readings."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.dataset import ImageIndex, scan
from autofit.errors import UserError
from tests.support.datasets import csv_file, labelled, touch

Counts = tuple[int, int, int]
LONGEST_MESSAGE = 500


def lay(root: Path, *folders: str, images: int = 4) -> Path:
    """Make folders with so many images, each of its own name; a folder that ends in `!` has text files."""
    for place, folder in enumerate(folders):
        suffix = "txt" if folder.endswith("!") else "jpg"
        touch(root / folder.strip("!"), *(f"{place:02}_{number:02}.{suffix}" for number in range(images)))
    return root


def under(splits: str, classes: str = "cat dog") -> list[str]:
    return [f"{split}/{name}" for split in splits.split() for name in classes.split()]


TESTED = "path,label\n" + "".join(
    f"other/{n}/{p:02}_{i:02}.jpg,{n}\n" for p, n in enumerate(("cat", "dog")) for i in range(4)
)


def counts(index: ImageIndex) -> Counts:
    return index.train_count, index.validation_count, index.test_count


UNDERSTOOD: list[tuple[str, list[str], Counts]] = [
    ("plain", ["cat", "dog"], (6, 2, 0)),
    ("train val", under("train val"), (8, 8, 0)),
    ("in any case", under("TRAIN VAL"), (8, 8, 0)),
    ("Train Test", under("Train Test"), (6, 2, 8)),
    ("Training Testing", under("Training Testing"), (6, 2, 8)),
    ("training_set", under("training_set test_set"), (6, 2, 8)),
    ("TrainSet", under("TrainSet ValSet"), (8, 8, 0)),
    ("train dev", under("train dev"), (8, 8, 0)),
    ("with years", under("train2017 val2017"), (8, 8, 0)),
    ("train_images", under("train_images test_images"), (6, 2, 8)),
    ("trainval test", under("trainval test"), (6, 2, 8)),
    ("all three", under("train valid test"), (8, 8, 8)),
    ("seg, each in a wrapper", [*under("seg_train/seg_train seg_test/seg_test"), "seg_pred/seg_pred"], (6, 2, 8)),
    ("a test without classes", [*under("train val"), "test"], (8, 8, 0)),
    ("one in a folder of its name", [*under("ab_train/ab_train"), "ab_test/ab_test"], (6, 2, 0)),
    ("one in a folder of images", [*under("Final_Training/Images"), "Final_Test/Images"], (6, 2, 0)),
    ("a test of one class, with years", [*under("train"), *under("test/cat", "2019 2020")], (6, 2, 8)),
    ("one of unknown classes", [*under("train val"), "test/unknown"], (8, 8, 0)),
    ("annotations beside", [*under("train val"), "annotations!"], (8, 8, 0)),
    ("a copy of the whole beside", [*under("train val"), *under("data/train data/val")], (8, 8, 0)),
    ("a wrapper", under("flowers"), (6, 2, 0)),
    ("two wrappers around splits", under("a/b/train a/b/test"), (6, 2, 8)),
    ("images beside annotations", [*under("images"), "annotations!"], (6, 2, 0)),
    ("images beside other folders", [*under("birds/images"), "birds/parts!", *under("masks")], (6, 2, 0)),
    ("class folders of text beside", [*under("photos_a"), *under("Annotations", "cat! dog!")], (6, 2, 0)),
    ("a copy as masks beside", [*under("a/photos"), *under("segmentations")], (6, 2, 0)),
    ("years inside classes", under("cat dog", "2023 2024"), (12, 4, 0)),
    ("photos by year", ["1990", "2000"], (6, 2, 0)),
    ("dates inside classes", under("cat dog", "2023-01-31 2023-02-01"), (12, 4, 0)),
    ("one folder inside each class", under("cat dog", "images"), (6, 2, 0)),
    ("photos of trains", ["train", "car"], (6, 2, 0)),
    ("valid and invalid", ["valid", "invalid", "unclear"], (9, 3, 0)),
    ("a class with folders beside others", [*under("photo"), "sketch"], (9, 3, 0)),
    ("trains of two kinds", [*under("train", "steam electric"), *under("car", "suv van")], (12, 4, 0)),
    ("trains and tests by name only", ["train_station", "test_tube"], (6, 2, 0)),
    ("the name of another class inside", ["pen", "cup", "both/cup", "both/mug"], (12, 4, 0)),
    ("numbered classes", ["class_1", "class_2"], (6, 2, 0)),
    ("classes with a word for images", ["images of cats", "images of dogs"], (6, 2, 0)),
    ("numbered classes with parts of their own", under("class_1", "a b") + under("class_2", "c d"), (12, 4, 0)),
    ("with masks on faces", ["masks", "no_masks"], (6, 2, 0)),
    ("a part to predict", [*under("seg_train seg_test"), "seg_pred"], (6, 2, 8)),
    ("what systems add", ["cat", "dog", "@eaDir/cat", "__MACOSX/cat", ".ipynb_checkpoints"], (6, 2, 0)),
    ("tubes beside a class with folders and images", ["test_tube", "cup", *under("cup", "a b")], (13, 3, 0)),
    ("a set beside a class two levels deep", [*under("train"), "mask/owl/a"], (9, 3, 0)),
    ("what programs add", ["cat", "dog", "venv/lib/mpl-data/images", "__pycache__!", "wandb/media"], (6, 2, 0)),
    ("classes with boxes", [*under("set_a set_b", "images annotations!")], (6, 2, 0)),
]


@pytest.mark.parametrize(
    ("folders", "expected"), [case[1:] for case in UNDERSTOOD], ids=[case[0] for case in UNDERSTOOD]
)
def test_a_layout_is_understood(tmp_path: Path, folders: list[str], expected: Counts) -> None:
    """Splits would be classes, a wrapper the only class, or images for the test be trained on."""
    index = scan(lay(tmp_path, *folders))
    assert counts(index) == expected
    assert {Path(path).parts[0].lower() for path in index.test_paths} <= {
        "test",
        "testing",
        "test_set",
        "test_images",
        "seg_test",
        "a",
    }
    if "cat" in index.class_names:
        assert index.class_names == ("cat", "dog")
        assert all(f"{name}/" in path for path, name in labelled(index).items())


REFUSED: list[tuple[str, list[str], str]] = [
    ("a small one to train on", [*under("train_mini"), "public_test"], "beside public_test, in which are images: if"),
    (
        "a set beside flat copies",
        [*under("images/images"), "resized/resized"],
        "if those are the classes, give .*/images;",
    ),
    (
        "a small one to train on and one to validate",
        under("train_mini val"),
        "if these are the classes, give train_mini in it as the data, and val with validation=; if train_mini and val",
    ),
    (
        "the same beside a test",
        [*under("train_mini val"), "public_test"],
        "holds val beside .*: if it is no class, give train_mini in it as the data, and val with validation=; if it",
    ),
    ("folds", under("fold_1 fold_2"), "fold_1 and fold_2 hold the same subfolders cat and dog"),
    ("the same subfolders", under("paris rome"), "either these are the classes and paris and rome are splits"),
    (
        "versions of the same images",
        under("color grayscale segmented"),
        r"give one as the data, and another with validation= unless it has the same images in another form",
    ),
    (
        "the same, composed in another way",
        ["paris/ä", "paris/ö", "rome/a\u0308", "rome/o\u0308"],
        "paris and rome are splits",
    ),
    ("patients", ["p1/cat", "p2/dog", *under("p3 p4")], "p1, p2, p3 and p4 hold the same subfolders cat and"),
    ("parts", ["scans_images_part_1", "scans_images_part_2"], "differ in a number only: if they are parts or"),
    ("parts with a folder each", ["images_001/images", "images_002/images"], "give a CSV file with the columns"),
    ("studies of patients", ["patient01/study1", "patient02/study1"], "parts or patients of one data set, give a CSV"),
    ("divisions of one set", under("division_1 division_2", "train val"), "if each is a data set, give one of them"),
    ("photos by date", ["2024-01-31", "2024-02-01"], "which are dates and not like classes: give a CSV"),
    ("a camera's folders", ["DCIM/100CANON", "DCIM/101CANON"], "differ in a number only"),
    ("splits inside classes", under("cat dog", "train test"), "if they are classes, put the splits above them"),
    ("flat splits", ["train", "test"], "look like splits and not like classes, but train has no class folders"),
    ("two for validation", under("train val validation"), "val and validation both look like validation"),
    ("none for training", under("val test"), "none of them is for training: if they are splits, give the one for"),
    (
        "a small one to train on beside both others",
        under("train_mini val test"),
        "none of them is for training: give train_mini in it as the data, and test with test= and val with validation=",
    ),
    (
        "the same, with a test without classes",
        [*under("train_mini val"), "test"],
        "none of them is for training: give train_mini in it as the data, and val with validation=, if",
    ),
    (
        "two pairs of splits",
        under("photo_train photo_test sketch_train sketch_test"),
        "holds photo_test, .* and sketch_train, .* but of several data sets, such as photo_test and sketch_test:",
    ),
    ("two small ones", under("train_a train_b val test"), "none of them is for training: if they are splits, give"),
    (
        "splits of other classes",
        [*under("train"), *under("test", "cup pen")],
        "test has none of the subfolders of train",
    ),
    ("a copy inside", ["no", "yes", *under("brain", "no yes")], "brain, in which are no and yes as beside it"),
    ("a copy in a wrapper", [*under("Pets"), *under("pets/Pets")], "Pets and pets hold the same subfolders"),
    ("another split beside the classes", ["cat", "dog", *under("eval")], "it looks like a copy or another split"),
    ("a test beside the classes", ["cat", "dog", "test"], "holds test beside cat and dog: if it is no class, move it"),
    ("a test of cases", ["Normal cases", "Benign cases", "Test cases"], "holds Test cases beside Benign cases and No"),
    ("one with classes", ["cat", "dog", *under("Val")], "or give it with validation= if it has class folders"),
    ("one to train on", [*under("train"), "unlabelled"], "if those are the classes, give .*/train; if train is one"),
    (
        "classes beside a flat test",
        [*under("PlantVillage", "Apple Corn"), "test"],
        "in which are Apple and Corn, beside test, .* give .*/PlantVillage; if test is one, rename it",
    ),
    (
        "classes beside a flat test in a wrapper, with more words",
        [*under("simpsons_dataset", "bart homer"), "simpson_testset/simpson_testset"],
        "if those are the classes, give .*/simpsons_dataset; if simpson_testset is one, rename it",
    ),
    (
        "splits in wrappers beside a flat test",
        [*under("plants/plants/train plants/plants/valid"), "test/test"],
        "/plants/plants holds train and valid, which look like splits inside a class",
    ),
    (
        "a set beside samples",
        [*under("set/train set/val"), "samples"],
        "splits inside a class: if it is the data set, g",
    ),
    (
        "splits in wrappers",
        [*under("casting/casting/casting/train casting/casting/casting/test"), *under("large/large")],
        "/casting/casting/casting holds test and train, which look like splits inside a class: if",
    ),
    (
        "splits in a folder of images",
        [*under("b/b/images/TRAIN b/b/images/TEST"), "a/a/JPEGImages", "a/a/Annotations!"],
        "/b/b/images holds TEST and TRAIN, which",
    ),
    (
        "splits of numbers",
        under("train query gallery", "1 2"),
        "gallery, query and train hold the same subfolders 1 and",
    ),
    ("a copy in a split", [*under("train val"), *under("train/all train/all")], "all, in which are cat and dog"),
    ("a split of one other class", [*under("train"), "test/cup"], "test has none of the subfolders of train"),
    ("images and masks", ["images", "masks"], "images without class folders, and what describes them"),
    ("drawn labels", ["JPEGImages", "SegmentationClass", "ImageSets!"], "images without class folders, and what"),
    (
        "masks in classes",
        under("cat dog", "images masks"),
        "each of cat and dog holds images and masks: what is in masks",
    ),
    ("drawn masks in classes", under("cat dog", "Images GT"), "each of cat and dog holds GT and Images: what is in GT"),
    ("years of a benchmark", under("kit/VOC2007 kit/VOC2012", "JPEGImages Annotations!"), "differ in a number only"),
    ("flat images", ["images", "annotations!"], "images without class folders, and what describes them"),
]


@pytest.mark.parametrize(("folders", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_layout_of_two_readings_is_refused(tmp_path: Path, folders: list[str], message: str) -> None:
    """One reading would be taken without a word, and be the wrong one for half of the users."""
    with pytest.raises(UserError, match=message) as refusal:
        scan(lay(tmp_path, *folders))
    assert len(str(refusal.value)) < LONGEST_MESSAGE + len(str(tmp_path))


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("Original/{}", "Ground Truth/{}"),
        ("train/images/{}", "train/1st_manual/{}_manual1"),
        ("Input/A_{}", "Training_GroundTruth/a_{}_segmentation"),
        ("scans/s{}", "scans_mask/s{}"),
    ],
)
def test_masks_beside_their_images_are_no_class(tmp_path: Path, images: str, masks: str) -> None:
    """A network would learn to tell photos from the masks of the same photos."""
    touch(tmp_path, *(f"{path.format(number)}.png" for path in (images, masks) for number in "123"))
    lay(tmp_path, *(["test/images"] if images.startswith("train") else []))
    with pytest.raises(UserError, match=r"holds .*, whose files are named as those in .*: if they are masks, give a"):
        scan(tmp_path)


@pytest.mark.parametrize("names", [("hats", "with_mask", "without_mask"), ("mask", "unmasked"), ("bmw", "gt")])
def test_faces_with_masks_are_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Numbered photos of faces with and without a mask would be taken for masks of one another."""
    touch(tmp_path, *(f"{name}/{number}.png" for name in names for number in "1234"))
    assert scan(tmp_path).class_names == names


def test_numbers_of_eight_digits_are_classes(tmp_path: Path) -> None:
    """Numbers of synsets would be taken for the folders of a camera, whose names have eight signs too."""
    names = ("02691156", "02773838", "02933112")
    touch(tmp_path, *(f"{name}/{number}.png" for name in names for number in "1234"))
    assert scan(tmp_path).class_names == names


def test_what_was_understood_is_said(tmp_path: Path) -> None:
    """A user would not learn that a folder was entered, left out, or taken for a split."""
    index = scan(lay(tmp_path, *under("photos/Train photos/Valid photos/TEST"), "photos/extra"))
    assert index.notes == (
        "the data set is in photos/",
        "left out beside the splits: extra",
        "validation images are those of Valid/",
        "test images are those of TEST/",
    )


@pytest.mark.parametrize(
    ("folders", "training"),
    [
        (under("train test aug_train aug_test"), "train"),
        (under("train val mini_train mini_val"), "train"),
        (under("Original_train Original_test train valid test"), "train"),
        ([*under("trainingSample/a trainingSet/a"), "testSample/testSample", "testSet/testSet"], "trainingSet"),
        ([*under("cropped_train cropped_test"), "train!", "test!"], "cropped_train"),
        ([*under("train test"), "cropped_train!", "cropped_test"], "train"),
    ],
)
def test_of_two_pairs_of_splits_the_one_without_further_words_is_taken(
    tmp_path: Path, folders: list[str], training: str
) -> None:
    """The sample of a data set, or its augmented copies, would be trained on and the data set left out."""
    index = scan(lay(tmp_path, *folders))
    assert {path.partition("/")[0] for path in index.paths[: index.train_count]} == {training}
    assert index.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("stray", "expected"),
    [
        ("train/plot.png", (8, 8, 8)),
        ("val/plot.png", (8, 8, 8)),
        ("train/plot.png val/plot.png test/plot.png", (8, 8, 8)),
        ("test/1.jpg test/2.jpg test/3.jpg", (8, 8, 8)),
    ],
)
def test_an_image_beside_the_class_folders_of_a_split_is_skipped(tmp_path: Path, stray: str, expected: Counts) -> None:
    """A picture of the classes in `test` would leave the test out, as if it had no class folders."""
    touch(lay(tmp_path, *under("train val test")), *stray.split())
    index = scan(tmp_path)
    assert counts(index) == expected
    said = [note for note in index.notes if "images lie in" not in note]
    assert said == ["validation images are those of val/", "test images are those of test/"]
    assert (len(index.notes) > len(said)) == (stray.count("test/") > 1)
    assert sum(index.skipped_kinds.values()) == len(stray.split())


def test_an_image_beside_the_class_folders_in_a_wrapper_is_skipped(tmp_path: Path) -> None:
    """A picture of the classes would make the folder around them the only class."""
    touch(lay(tmp_path, *under("flowers")), "flowers/overview.png")
    assert (counts(scan(tmp_path)), scan(tmp_path).class_names) == ((6, 2, 0), ("cat", "dog"))


STRAY: list[tuple[list[str], str, str]] = [
    (under("entrenamiento prueba"), "prueba/plot.png", "entrenamiento and prueba hold the same subfolders cat and dog"),
    (under("f_1 f_2"), "f_1/plot.png f_2/plot.png", "f_1 and f_2 hold the same subfolders cat and dog"),
    ([*under("train"), "unlabelled"], "train/plot.png", "holds train, in which are cat and dog, beside unlabelled"),
    (under("train_mini val"), "train_mini/plot.png val/plot.png", "give train_mini in it as the data, and val wit"),
    (under("cat dog", "train test"), "cat/plot.png", "cat holds test and train, which look like splits inside a class"),
    (["no", "yes", *under("brain", "no yes")], "brain/plot.png", "brain, in which are no and yes as beside it"),
]


@pytest.mark.parametrize(("folders", "stray", "message"), STRAY)
def test_an_image_beside_them_does_not_hide_what_folders_are(
    tmp_path: Path, folders: list[str], stray: str, message: str
) -> None:
    """A picture of the classes in one of two splits would make both of them classes, without a word."""
    touch(lay(tmp_path, *folders), *stray.split())
    with pytest.raises(UserError, match=message):
        scan(tmp_path)


def test_images_beside_folders_in_a_split_are_said_to_be_there(tmp_path: Path) -> None:
    """A split whose images have masks in a folder would be said to have no folders."""
    lay(tmp_path, "train", "train/masks", "train/edges", "test", "test/masks")
    with pytest.raises(UserError, match=r"but images lie in train beside its edges and masks: give a CSV file"):
        scan(tmp_path)


def test_a_split_beside_the_classes_may_be_given(tmp_path: Path) -> None:
    """The way out that the refusal names would be none."""
    lay(tmp_path, "cat", "dog", *under("test"))
    index = scan(tmp_path, test=tmp_path / "test")
    assert counts(index) == (6, 2, 8)
    assert index.notes == ()


def test_a_split_that_is_given_shows_which_are_the_others(tmp_path: Path) -> None:
    """The folder for training and one beside it would be the classes, since the split between them is given."""
    lay(tmp_path, *under("train val"), *under("extra", "pen cup"))
    index = scan(tmp_path, validation=tmp_path / "val")
    assert (counts(index), index.class_names) == ((8, 8, 0), ("cat", "dog"))
    assert index.notes == ("left out beside the splits: extra",)


FLAT = [
    (
        ["train", "test"],
        "train.csv sample_submission.csv",
        r"train has no class folders: give the table .*/set/train\.csv",
    ),
    (
        ["train", "test"],
        "train/_classes.csv test/_classes.csv",
        r"give the table .*/train/_classes\.csv, with test=.*/test/_c",
    ),
    (["train", "test"], "", "give a CSV file with the columns path,label, or put the images of each class in a folder"),
    (["train2017", "val2017"], "annotations/list.csv", r"no class folders: give the table .*/annotations/list\.csv$"),
    (["cars_train", "cars_test"], "devkit/annos.mat", r"no class folders: give the table .*/devkit/annos\.mat$"),
    (
        ["../other"],
        "train/data-00000-of-00001.arrow train/state.json train/info.json test/data-00000-of-00001.arrow",
        r"but train has no class folders: data-00000-of-00001\.arrow is a data base of images: write them to one",
    ),
    (["jpg"], "imagelabels.mat", r"only one class, 'jpg': .*, or the table of their classes, perhaps .*labels\.mat$"),
    (["images", "annotations!"], "annotations/list.csv", r"no classes: give the table .*/annotations/list\.csv"),
    (
        ["img_align"],
        "attributes.csv",
        r"only one class, 'img_align': .* or the table of their classes, perhaps .*/attr",
    ),
    (
        ["."],
        "metadata.csv",
        r"5 files lie in it directly: 4 \.jpg, 1 \.csv\): give their table, perhaps .*/metadata\.csv, or",
    ),
    (
        ["images_1", "images_2"],
        "train.csv",
        r"parts or patients of one data set, give the table .*/train\.csv; if they",
    ),
    (["."], "../labels.csv", r"give a folder with one subfolder of images a class$"),
    (["../other"], "cat\\1.jpg dog\\1.jpg", r"hold folders of Windows: unpack the archive with another program, and"),
    (["../other"], "cat.zip dog.zip", r"2 files lie in it directly: 2 \.zip\): unpack the archives, and give a folder"),
]


@pytest.mark.parametrize(("folders", "files", "message"), FLAT)
def test_images_without_class_folders_are_answered_with_the_table_beside_them(
    tmp_path: Path, folders: list[str], files: str, message: str
) -> None:
    """A user would be told to give the folder for training, and hear there that it has no subfolders."""
    touch(lay(tmp_path / "set", *folders), *files.split())
    with pytest.raises(UserError, match=message):
        scan(tmp_path / "set")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_held_out_folder_without_class_folders_is_answered_with_its_table(tmp_path: Path, split: str) -> None:
    """The validation of Tiny ImageNet would be said to have a class "images", which is to be removed."""
    lay(tmp_path / "set", *under("train"))
    touch(tmp_path / "set" / "held" / "images", "a.jpg", "b.jpg")
    touch(tmp_path / "set" / "held", "labels.csv")
    with pytest.raises(
        UserError, match=rf"the {split} folder .*/held has no class folders, but images: .*/labels\.csv$"
    ):
        scan(tmp_path / "set" / "train", **{split: tmp_path / "set" / "held"})  # type: ignore[arg-type]
    lay(tmp_path / "other", "images", "cat")
    touch(tmp_path / "held" / "images", "a.jpg")
    assert scan(tmp_path / "other", **{split: tmp_path / "held"}).class_names == ("cat", "images")  # type: ignore[arg-type]


def test_what_describes_one_image_is_no_table(tmp_path: Path) -> None:
    """A user of LabelMe would be told to give the objects in one photo as the table of all."""
    touch(tmp_path / "set", "a.jpg", "b.JPG")
    for name in "ab":
        (tmp_path / "set" / f"{name}.json").write_text(f'{{"imagePath": "{name}.jpg", "shapes": []}}')
    with pytest.raises(UserError, match=r"has no subfolders .*\): give a folder with one subfolder of images a class"):
        scan(tmp_path / "set")


def test_a_table_is_looked_for_down_to_the_images(tmp_path: Path) -> None:
    """The lists of FGVC-Aircraft, which lie in the folder that is in the one that was given, would not be named."""
    touch(lay(tmp_path / "set", "data/images") / "data", "labels.csv")
    with pytest.raises(UserError, match=rf"of only one class, 'images': .*, perhaps {tmp_path}/set/data/labels\.csv$"):
        scan(tmp_path / "set")


@pytest.mark.parametrize(
    ("name", "text", "is_named"),
    [
        ("metadata.jsonl", '{"file_name": "0001.jpg", "label": "cat"}', True),
        ("labels.json", '{"0001.jpg": "cat"}', True),
        ("labels.txt", "0001.jpg cat\n", True),
        ("variants.txt", "0034309 Boeing 707\n1001 A300\n1002 A300\n1003 Boeing 707\n", True),
        ("boxes.txt", "0034309 1 2 3 4\n1001 1 2 3 4\n1002 1 2 3 4\n1003 1 2 3 5\n", False),
        ("classes.txt", "1 001.Albatross\n2 002.Auk\n3 003.Auk\n4 004.Auk\n", False),
        ("names.txt", "0034309\n1001\n1002\n1003\n", False),
        ("classes.json", '{"cat": 0, "dog": 1}', False),
        ("README.txt", "Photos of 2024, as 0001.jpg is one.\n", False),
        ("test.jsonl", '{"file_name": "0001.jpg", "label": "cat"}', False),
        ("list_eval_partition.txt", "0001.jpg 0\n", False),
        ("list_bbox.csv", "image_id,x_1,y_1\n", False),
        ("list_landmarks_align.csv", "image_id,lefteye_x\n", False),
        ("train_split.txt", "0001.jpg 0\n", True),
    ],
)
def test_a_table_in_json_or_text_is_named_if_it_lists_images(
    tmp_path: Path, name: str, text: str, *, is_named: bool
) -> None:
    """A user would hear of a table in CSV alone, or be told to give the names of the classes for one."""
    lay(tmp_path / "set", ".")
    (tmp_path / "set" / name).write_text(text)
    with pytest.raises(UserError, match="has no subfolders") as refusal:
        scan(tmp_path / "set")
    assert (f"give their table, perhaps {tmp_path}/set/{name}, or" in str(refusal.value)) is is_named


def test_files_that_describe_one_image_each_are_no_tables(tmp_path: Path) -> None:
    """The first of a thousand files of boxes would be called the table, and each of them be opened."""
    folder = lay(tmp_path / "set", ".")
    for number in range(30):
        (folder / f"{number}.json").write_text(f'{{"image": "{number}.jpg"}}')
    with pytest.raises(UserError, match="has no subfolders") as refusal:
        scan(folder)
    assert "table" not in str(refusal.value)


def test_a_table_beside_the_folder_for_training_is_named(tmp_path: Path) -> None:
    """A user who gives the folder of the photos would not learn that their classes are in a table beside it."""
    touch(lay(tmp_path, "train"), "labels.csv")
    with pytest.raises(UserError, match=r"train has no subfolders .*: give their table, perhaps .*/labels\.csv, or"):
        scan(tmp_path / "train")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            "cat.{} dog.{}",
            r"if the names of the files begin with their classes \(cat, dog\), give autofit\.run\(paths, lab",
        ),
        ("great_dane_{} pug_{}", r"\(great_dane, pug\)"),
        ("IMG_{} DSC_{}", "a class$"),
        ("Train_{} Test_{}", "a class$"),
        ("{} x{}", "a class$"),
    ],
)
def test_classes_in_names_of_files_are_seen(tmp_path: Path, files: str, said: str) -> None:
    """A user would move thousands of files by hand that one line of Python labels."""
    touch(tmp_path / "pets", *(f"{name}.jpg".format(number) for name in files.split() for number in range(4)))
    with pytest.raises(UserError, match=said):
        scan(tmp_path / "pets")


def test_a_test_image_is_in_no_other_split(tmp_path: Path) -> None:
    """A link would let an image be trained on and tested, and the accuracy mean nothing."""
    lay(tmp_path, *under("train"))
    (tmp_path / "test").symlink_to(tmp_path / "train")
    with pytest.raises(UserError, match="links to one folder"):
        scan(tmp_path)
    with pytest.raises(UserError, match="8 images are both for training and for test"):
        scan(lay(tmp_path / "other", "cat", "dog"), test=csv_file(tmp_path, TESTED))
