"""What a user gives becomes an index: found, split, ordered, saved; or refused in one line."""

from __future__ import annotations

import inspect
import os
import random
import subprocess
import sys
import tracemalloc
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autofit.dataset import ImageIndex, scan
from autofit.dataset.folder import IMAGE_SUFFIXES, PROGRESS_EVERY_FILES
from autofit.dataset.split import in_order, stratified_split
from autofit.errors import UserError
from autofit.storage.records import remove_unfinished

T = TypeVar("T")

quick = settings(max_examples=30)

WEIRD_NAMES = [
    "new\nline.jpg",
    "carriage\rreturn.jpg",
    "comma, and; semicolon.jpg",
    '"quoted".jpg',
    " spaces .jpg",
    "\ufeffmark.jpg",
    "\u2028separator.jpg",
    "ünïcödé.jpg",
    "=formula.jpg",
    "-dash.jpg",
    os.fsdecode(b"latin-\xe9\xff.jpg"),
]


def touch(root: Path, *names: str) -> None:
    """Make empty files: no content is ever read here."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def images(count: int, start: int = 0) -> list[str]:
    return [f"{number:04}.jpg" for number in range(start, start + count)]


def photos(root: Path, **classes: int) -> Path:
    """Make a folder with so many images of each class."""
    for name, count in classes.items():
        touch(root / name, *images(count))
    return root


def csv_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def labelled(index: ImageIndex) -> dict[str, str]:
    """Class name by stored path."""
    return {path: index.class_names[label] for path, label in zip(index.paths, index.labels, strict=True)}


def training(index: ImageIndex) -> list[str]:
    return index.paths[: index.validation_from]


def validating(index: ImageIndex) -> list[str]:
    return index.paths[index.validation_from :]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Ten cats and five dogs."""
    return photos(tmp_path / "pets", dog=5, cat=10)


# folders


def test_a_folder_gives_its_subfolders_as_sorted_classes(pets: Path) -> None:
    """Class numbers would depend on the order in which a file system lists folders."""
    index = scan(pets)
    assert index.class_names == ("cat", "dog")
    assert labelled(index) == {f"{name}/{file}": name for name, n in (("cat", 10), ("dog", 5)) for file in images(n)}
    assert index.root == str(pets)
    assert index.path(0) == str(pets / index.paths[0])


def test_nested_files_count_to_the_top_subfolder(pets: Path) -> None:
    """Images in folders by year or by camera would be lost, or become classes of their own."""
    touch(pets, "dog/2024/summer/a.jpg", "cat/dog/b.jpg")
    found = labelled(scan(pets))
    assert found["dog/2024/summer/a.jpg"] == "dog"
    assert found["cat/dog/b.jpg"] == "cat"


def test_hidden_files_and_folders_are_passed_over(pets: Path) -> None:
    """A notebook's checkpoints or macOS's shadow files would be trained on, or counted as skipped."""
    before = scan(pets)
    touch(pets, "cat/.hidden.jpg", "cat/.cache/a.jpg", ".ipynb_checkpoints/a.jpg", "__MACOSX/cat/a.jpg", ".DS_Store")
    assert scan(pets) == before


@pytest.mark.parametrize(
    "suffixes", ["jpg JPG jpeg jpe jfif png b.Png gif bmp dib webp tif TIFF", "ppm pgm pbm pnm tga jp2 avif ico"]
)
def test_an_image_is_told_by_its_suffix(pets: Path, suffixes: str) -> None:
    """A format that Pillow reads would silently be left out of the training."""
    names = [f"a.{suffix}" for suffix in suffixes.split()]
    touch(pets / "cat", *names)
    index = scan(pets)
    assert {f"cat/{name}" for name in names} <= set(index.paths)
    assert index.skipped_files == 0


def test_every_suffix_is_one_that_pillow_knows() -> None:
    """Files would be indexed that no decoder of ours can open."""
    image = pytest.importorskip("PIL.Image")
    assert {f".{suffix}" for suffix in IMAGE_SUFFIXES} <= image.registered_extensions().keys()


def test_other_files_are_skipped_and_counted(pets: Path) -> None:
    """A text file would be trained on, or its being left out could not be told to the user."""
    touch(pets, "cat/notes.txt", "cat/jpg", "dog/deep/Thumbs.db", "README.md", "loose.jpg")
    (pets / "cat" / "gone.jpg").symlink_to(pets / "nowhere.jpg")
    os.mkfifo(pets / "cat" / "pipe.jpg")
    index = scan(pets)
    assert index.skipped_files == 7
    assert len(index.paths) == 15


def test_a_folder_that_is_named_like_an_image_is_a_folder(pets: Path) -> None:
    """A directory would be handed to the decoder, and what is in it be lost."""
    touch(pets, "cat/album.jpg/a.png")
    assert [path for path in scan(pets).paths if "album" in path] == ["cat/album.jpg/a.png"]


def test_linked_folders_are_followed_once_and_loops_end(pets: Path, tmp_path: Path) -> None:
    """A link to a folder above would make the scan endless, and two links to one folder would double its images."""
    touch(tmp_path / "elsewhere", "deep/x.jpg", "y.jpg")
    for link in ("cat/one", "cat/two", "dog/three"):
        (pets / link).symlink_to(tmp_path / "elsewhere")
    (pets / "cat" / "up").symlink_to(pets)
    (pets / "cat" / "self").symlink_to("self")
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(tmp_path / "elsewhere")
    index = scan(pets)
    assert [path for path in index.paths if "0" not in path] == ["cat/one/deep/x.jpg", "cat/one/y.jpg"]
    assert len(index.paths) == 17


def test_a_folder_counts_by_its_own_name_and_not_by_a_link_to_it(pets: Path) -> None:
    """A link from one class into another would take that class's images away."""
    (pets / "cat" / "a-link").symlink_to(pets / "dog")
    assert scan(pets).class_counts() == (8, 4)


def test_a_class_folder_may_be_a_link_and_so_may_a_file(tmp_path: Path) -> None:
    """Data that is put together from links would be found empty."""
    photos(tmp_path / "store", first=3, second=3)
    (tmp_path / "data" / "b").mkdir(parents=True)
    (tmp_path / "data" / "a").symlink_to(tmp_path / "store" / "first")
    for name in images(3):
        (tmp_path / "data" / "b" / name).symlink_to(tmp_path / "store" / "second" / name)
    index = scan(tmp_path / "data", validation=0)
    assert index.paths == [f"{name}/{file}" for name in "ab" for file in images(3)]


def test_a_deeply_nested_folder_is_read(pets: Path) -> None:
    """A walk that recurses would die of the recursion limit."""
    deep = "/".join(["d"] * 200)
    touch(pets / "cat" / deep, "x.jpg")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)
    try:
        index = scan(pets)
    finally:
        sys.setrecursionlimit(limit)
    assert f"cat/{deep}/x.jpg" in index.paths


def test_paths_with_a_tilde_are_expanded(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~/photos` in a notebook, in a CSV or as the validation folder would not be found."""
    monkeypatch.setenv("HOME", str(pets.parent))
    photos(pets.parent / "held", cat=1)
    rows = "".join(f"~/pets/{name}/{file},{name}\n" for name in ("cat", "dog") for file in images(3))
    listing = csv_file(pets, f"path,label\n{rows}")
    assert scan("~/pets").root == str(pets)
    assert scan("~/pets", validation="~/held").validation_count == 1
    assert scan(listing).paths[0].startswith("cat/")
    assert len(scan([f"~/pets/{n}/{f}" for n in ("cat", "dog") for f in images(2)], [0, 0, 1, 1]).paths) == 4


def test_a_relative_folder_becomes_absolute(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker, which runs in another folder, would not find the images."""
    monkeypatch.chdir(pets.parent)
    assert scan("pets").root == str(pets)
    assert scan(Path("pets") / ".." / "pets").root == str(pets)


def test_progress_is_told_every_few_thousand_files(tmp_path: Path) -> None:
    """A scan of a large folder on a slow drive would look like a hang."""
    folder = tmp_path / "store"
    touch(folder, *images(100))
    for number in range(60):
        (tmp_path / f"link{number}").symlink_to(folder)
    paths = [f"{tmp_path}/link{link}/{name}" for link in range(60) for name in images(100)]
    counts: list[int] = []
    scan(paths, [0, 1] * 3000, on_progress=counts.append)
    assert counts == [PROGRESS_EVERY_FILES]


# train/ beside val/


@pytest.mark.parametrize("name", ["val", "validation"])
def test_train_beside_validation_is_recognised(tmp_path: Path, name: str) -> None:
    """`train` and `val` would become the two classes."""
    photos(tmp_path / "train", cat=3, dog=4)
    touch(tmp_path, f"{name}/dog/deep/a.jpg", f"{name}/cat/b.jpg", f"{name}/cat/notes.txt", "labels.txt", ".git/x")
    index = scan(tmp_path)
    assert index.class_names == ("cat", "dog")
    assert training(index) == [f"train/cat/{f}" for f in images(3)] + [f"train/dog/{f}" for f in images(4)]
    assert validating(index) == [f"{name}/cat/b.jpg", f"{name}/dog/deep/a.jpg"]
    assert index.skipped_files == 1


def test_validation_of_zero_leaves_the_validation_folder_out(tmp_path: Path) -> None:
    """A user who asks for no validation would get one."""
    photos(tmp_path / "train", cat=3, dog=4)
    photos(tmp_path / "val", cat=1, dog=1)
    assert scan(tmp_path, validation=0).validation_count == 0


def test_a_validation_folder_that_is_asked_for_is_taken_before_the_one_beside(tmp_path: Path) -> None:
    """What the user named would be overruled by what lies there."""
    photos(tmp_path / "data" / "train", cat=3, dog=4)
    photos(tmp_path / "data" / "val", cat=1, dog=1)
    photos(tmp_path / "other", dog=2)
    assert validating(scan(tmp_path / "data", validation=tmp_path / "other")) == [
        f"{tmp_path}/other/dog/{file}" for file in images(2)
    ]


def test_train_beside_other_folders_is_a_class(tmp_path: Path) -> None:
    """Photos of trains could not be told from photos of cars."""
    assert scan(photos(tmp_path, train=3, car=3)).class_names == ("car", "train")


@pytest.mark.parametrize("names", [("train", "test"), ("train", "val", "test"), ("train", "val", "validation")])
def test_other_splits_are_not_taken_for_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    """A network would learn to tell the training set from the test set."""
    for name in names:
        photos(tmp_path / name, cat=2, dog=2)
    with pytest.raises(UserError, match=r"test|validation.*look like splits"):
        scan(tmp_path)


# a validation folder


def test_a_validation_folder_uses_the_numbers_of_the_training_classes(pets: Path, tmp_path: Path) -> None:
    """With other class numbers the accuracy on validation would be nonsense."""
    photos(tmp_path / "held", dog=2)
    index = scan(pets, validation=tmp_path / "held")
    assert index.train_count == 15
    assert list(index.labels[15:]) == [1, 1]
    assert validating(index) == [str(tmp_path / "held" / "dog" / file) for file in images(2)]


def test_a_validation_folder_inside_the_data_is_no_class(pets: Path) -> None:
    """The images held out would be trained on as a class of their own."""
    photos(pets / "held", cat=2)
    index = scan(pets, validation=pets / "held")
    assert index.class_names == ("cat", "dog")
    assert validating(index) == ["held/cat/0000.jpg", "held/cat/0001.jpg"]


def test_a_list_may_have_a_validation_folder(pets: Path, tmp_path: Path) -> None:
    """Whole-number labels and folder names would not be brought together."""
    photos(tmp_path / "held", **{"0": 1, "10": 2})
    paths = [str(pets / "cat" / file) for file in images(4)]
    index = scan(paths, [10, 10, 0, 0], validation=str(tmp_path / "held"))
    assert list(index.labels[4:]) == [0, 1, 1]


def test_an_unknown_class_in_the_validation_folder_is_refused(pets: Path, tmp_path: Path) -> None:
    """Its images would have no class number."""
    photos(tmp_path / "held", cat=1, fox=1, hen=0)
    with pytest.raises(UserError, match=r"held has the class 'fox'"):
        scan(pets, validation=tmp_path / "held")


def test_an_empty_validation_folder_is_refused(pets: Path, tmp_path: Path) -> None:
    """The run would validate on nothing."""
    touch(tmp_path / "held", "cat/a.txt")
    with pytest.raises(UserError, match=r"held holds no images \(1 other files\)"):
        scan(pets, validation=tmp_path / "held")


def test_training_images_are_not_validated_on(pets: Path) -> None:
    """The validation accuracy would be that of training, unnoticed."""
    with pytest.raises(UserError, match=r"15 images are both for training and for validation.*cat/0000\.jpg"):
        scan(pets, validation=pets)


@pytest.mark.parametrize("validation", [-0.1, 1, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(pets: Path, validation: float) -> None:
    """Nothing would be left to train on."""
    with pytest.raises(UserError, match=f"validation is {validation}: .* up to under 1"):
        scan(pets, validation=validation)


def test_a_file_for_a_validation_folder_is_refused(pets: Path) -> None:
    """The error would come from the file system, as a traceback."""
    with pytest.raises(UserError, match=r"0000\.jpg cannot be read: Not a directory"):
        scan(pets, validation=pets / "cat" / "0000.jpg")


def test_a_validation_folder_that_does_not_exist_is_refused(pets: Path) -> None:
    """The error would come from the file system, as a traceback."""
    with pytest.raises(UserError, match="nowhere does not exist"):
        scan(pets, validation="nowhere")


# refusals


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """The error would come from the file system, as a traceback."""
    with pytest.raises(UserError, match="nowhere does not exist: check the path"):
        scan(tmp_path / "nowhere")


def test_a_folder_without_subfolders_is_refused(tmp_path: Path) -> None:
    """A user who gives one flat folder would not learn what is wrong."""
    touch(tmp_path, "a.jpg", "b.jpg", "c.txt")
    with pytest.raises(UserError, match=r"has no subfolders \(3 files lie in it directly\): .* one subfolder"):
        scan(tmp_path)


def test_a_folder_without_images_is_refused_with_the_count_of_skipped_files(tmp_path: Path) -> None:
    """A user with raw files of a camera would not learn that they were seen and not taken."""
    touch(tmp_path, "cat/a.cr2", "cat/b.cr2", "dog/c.nef")
    with pytest.raises(UserError, match=r"holds no images \(3 other files were skipped\)"):
        scan(tmp_path)


def test_one_class_is_refused_and_empty_ones_are_named(tmp_path: Path) -> None:
    """A network with one class learns nothing, and the user would not see why the others are missing."""
    photos(tmp_path / "data", cat=3)
    with pytest.raises(UserError, match=r"only one class, 'cat': give two"):
        scan(tmp_path / "data")
    touch(tmp_path / "data", "dog/a.txt")
    (tmp_path / "data" / "hen").mkdir()
    with pytest.raises(UserError, match=r"only one class, 'cat' \(without images: 'dog', 'hen'\)"):
        scan(tmp_path / "data")


def test_an_empty_class_folder_is_ignored(pets: Path) -> None:
    """The network would have an output that no image ever trains."""
    (pets / "bird").mkdir()
    assert scan(pets).class_names == ("cat", "dog")


def test_a_class_of_one_image_is_refused_by_name(pets: Path) -> None:
    """It could not be both trained and validated."""
    touch(pets, "newt/a.jpg")
    with pytest.raises(UserError, match=r"class 'newt' has only one image, newt/a\.jpg"):
        scan(pets)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(pets: Path) -> None:
    """A class would silently be empty, or the error be a traceback."""
    (pets / "cat").chmod(0)
    try:
        with pytest.raises(UserError, match=r"cat cannot be read: Permission denied"):
            scan(pets)
    finally:
        (pets / "cat").chmod(0o755)


def test_every_message_is_one_line(tmp_path: Path) -> None:
    """A file name with a line break would break the one line that users and scripts read."""
    with pytest.raises(UserError, match=r"no\\nwhere' does not exist") as refusal:
        scan(tmp_path / "no\nwhere")
    assert "\n" not in str(refusal.value)


# CSV files


def test_a_csv_counts_paths_from_its_own_folder(pets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A data set with its list beside it could not be moved or used from elsewhere."""
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "outside", "x.jpg")
    rows = "".join(f"dog/../{name}/./{file},{name}\n" for name in ("cat", "dog") for file in images(2))
    rows += f"../outside/x.jpg,cat\n{tmp_path}/pets/dog/0002.jpg,dog\n"
    index = scan(csv_file(pets, f"path,label\n{rows}"), validation=0)
    assert index.root == str(pets)
    assert index.paths == [
        f"{tmp_path}/outside/x.jpg",
        "cat/0000.jpg",
        "cat/0001.jpg",
        "dog/0000.jpg",
        "dog/0001.jpg",
        "dog/0002.jpg",
    ]


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
    "content",
    [
        b"",
        b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        b"path;label\na.jpg;cat\n",
        b"a.jpg,cat\n",
        b"path,path,label\n",
        b'"a"b',
        "path,label\n".encode("utf-16"),
    ],
)
def test_a_file_that_is_no_such_csv_is_refused(tmp_path: Path, content: bytes) -> None:
    """A photo, or a CSV without a header, would end in a traceback or in nonsense classes."""
    with pytest.raises(UserError, match=r"list\.csv is no CSV file with the columns path,label: its first line is '"):
        scan(csv_file(tmp_path, content))


def test_an_empty_listing_is_refused(tmp_path: Path) -> None:
    """The run would fail far from its cause."""
    with pytest.raises(UserError, match=r"list\.csv holds no images"):
        scan(csv_file(tmp_path, "path,label\n"))
    with pytest.raises(UserError, match="the list holds no images"):
        scan([], [])


def test_missing_files_of_a_csv_are_counted_and_the_first_is_named(pets: Path) -> None:
    """Each would become an unreadable image, hours later."""
    text = "path,label\ncat/0000.jpg,cat\ndog/gone.jpg,dog\ncat,cat\ncat/0001.jpg,dog\n"
    with pytest.raises(UserError, match=r"2 of 4 listed files do not exist, the first is .*/dog/gone\.jpg \(line 3\)"):
        scan(csv_file(pets, text))


def test_one_file_with_two_labels_is_refused(pets: Path) -> None:
    """The network would be taught both."""
    text = "path,label\ncat/0000.jpg,cat\n./dog/../cat/0000.jpg,dog\n"
    with pytest.raises(UserError, match=r"cat/0000\.jpg has the labels 'cat' and, line 3, 'dog'"):
        scan(csv_file(pets, text))


def test_one_file_twice_with_one_label_is_kept_once(pets: Path) -> None:
    """An epoch would not be a permutation of the images, and one could be on both sides of the split."""
    rows = "".join(f"{prefix}{n}/{f},{n}\n" for prefix in ("", "./") for n in ("cat", "dog") for f in images(2))
    assert len(scan(csv_file(pets, "path,label\n" + rows)).paths) == 4


# lists, arrays, DataFrames


def test_lists_give_text_labels_sorted_as_text(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Class numbers would depend on the order of the list."""
    monkeypatch.chdir(pets)
    paths = [Path("dog/0001.jpg"), "dog/0000.jpg", pets / "cat" / "0000.jpg", b"cat/0001.jpg"]
    index = scan(paths, ("woof", "woof", "meow", "meow"), validation=0)
    assert index.root == str(pets)
    assert labelled(index) == {
        "cat/0000.jpg": "meow",
        "cat/0001.jpg": "meow",
        "dog/0000.jpg": "woof",
        "dog/0001.jpg": "woof",
    }


def test_whole_number_labels_sort_as_numbers(pets: Path) -> None:
    """Class 10 would come before class 2, and all numbers would be shifted against the user's own."""
    paths = [str(pets / "cat" / file) for file in images(6)]
    assert scan(paths, [10, 10, 2, 2, -1, -1]).class_names == ("-1", "2", "10")


def test_arrays_are_lists(pets: Path) -> None:
    """What comes from NumPy or the array module would be refused, or class names would read `np.int64(2)`."""
    numpy = pytest.importorskip("numpy")
    paths = [str(pets / "cat" / file) for file in images(6)]
    expected = scan(paths, [10, 10, 2, 2, -1, -1])
    for labels in (numpy.array([10, 10, 2, 2, -1, -1]), array("i", [10, 10, 2, 2, -1, -1])):
        assert scan(numpy.array(paths), labels) == expected
        assert scan(iter(paths), list(labels)) == expected
    assert scan(numpy.array(paths), numpy.array([True, False] * 3)).class_names == ("0", "1")
    assert {type(name) for name in expected.class_names + tuple(expected.paths)} == {str}


def test_a_dataframe_is_known_by_its_columns(pets: Path) -> None:
    """A DataFrame would be taken for a list of its column names."""
    pandas = pytest.importorskip("pandas")
    paths = [str(pets / "cat" / file) for file in images(6)]
    labels = [10, 10, 2, 2, -1, -1]
    frame = pandas.DataFrame({"label": labels, "size": 0, "path": paths}).sample(frac=1, random_state=1)
    assert scan(frame) == scan(paths, labels) == scan(frame["path"], frame["label"])
    with pytest.raises(UserError, match=r"no column 'path' but \['label', 'file'\]"):
        scan(frame[["label", "path"]].rename(columns={"path": "file"}))
    with pytest.raises(UserError, match="a DataFrame has its own"):
        scan(frame, labels)


def test_labels_of_another_length_are_refused_with_both_lengths(pets: Path) -> None:
    """Labels would be shifted against their images."""
    with pytest.raises(UserError, match="2 paths and 3 labels"):
        scan([str(pets / "cat" / file) for file in images(2)], [0, 1, 1])


def test_missing_labels_are_refused(pets: Path) -> None:
    """A list of paths alone would be a run without classes."""
    with pytest.raises(UserError, match="labels of the listed paths are missing: give labels="):
        scan([str(pets / "cat" / file) for file in images(2)])


def test_labels_beside_a_folder_are_refused(pets: Path) -> None:
    """They would be ignored without a word."""
    with pytest.raises(UserError, match=r"labels belong to a list of paths, and the data is .*pets: leave them out"):
        scan(pets, [1, 2])


@pytest.mark.parametrize("label", [None, "", float("nan"), 1.5, [0, 1]])
def test_a_label_that_is_none_is_refused_by_its_place(pets: Path, label: object) -> None:
    """A gap in a table would become a class of its own."""
    with pytest.raises(UserError, match=r"item 1 of the labels is .*: give text or a whole number"):
        scan([str(pets / "cat" / file) for file in images(3)], [0, label, 1])


def test_mixed_labels_are_refused(pets: Path) -> None:
    """1 and "1" would be two classes of one name."""
    with pytest.raises(UserError, match="mix text and whole numbers"):
        scan([str(pets / "cat" / file) for file in images(2)], [1, "1"])


@pytest.mark.parametrize("path", [None, "", 3.5])
def test_a_path_that_is_none_is_refused_by_its_place(pets: Path, path: object) -> None:
    """A gap in a table would end in a traceback."""
    with pytest.raises(UserError, match=r"item 1 of the paths is .*: give a file's path"):
        scan([str(pets / "cat" / "0000.jpg"), path], [0, 1])


def test_data_that_is_nothing_known_is_refused() -> None:
    """The error would be Python's own."""
    with pytest.raises(UserError, match="the data is 3: give a folder"):
        scan(3)  # type: ignore[arg-type]


def test_missing_files_of_a_list_are_counted_and_the_first_is_named(pets: Path) -> None:
    """Each would become an unreadable image, hours later."""
    with pytest.raises(UserError, match=r"2 of 3 listed files do not exist, the first is .*/b\.jpg \(item 1\)"):
        scan([pets / "cat" / "0000.jpg", pets / "b.jpg", pets / "a.jpg"], [0, 1, 1])


# the split

SIZES = st.lists(st.integers(2, 60), min_size=2, max_size=5)
SHARES = st.floats(0.001, 0.999)
SEEDS = st.integers(-(2**70), 2**70)


def synthetic(sizes: list[int]) -> list[list[str]]:
    return [[f"class{number}/{file}" for file in images(size)] for number, size in enumerate(sizes)]


@quick
@given(sizes=SIZES, share=SHARES, seed=SEEDS)
def test_the_split_is_complete_disjoint_and_stratified(sizes: list[int], share: float, seed: int) -> None:
    """Images would be lost or on both sides, or a class would be missing on one side or have another share."""
    classes = synthetic(sizes)
    train, held_out = stratified_split(classes, share, seed)
    for paths, ours, theirs in zip(classes, train, held_out, strict=True):
        assert sorted([*ours, *theirs]) == paths
        assert ours
        assert theirs
        assert abs(len(theirs) - len(paths) * share) <= 1


@quick
@given(sizes=SIZES, share=SHARES, seed=SEEDS, more=st.integers(1, 20), shuffler=st.randoms())
def test_files_of_another_class_do_not_move_the_split(
    sizes: list[int], share: float, seed: int, more: int, shuffler: random.Random
) -> None:
    """Adding photos would put validation images into training, and their accuracy would be a lie."""
    before, after = synthetic(sizes), synthetic([sizes[0] + more, *sizes[1:]])
    for paths in after:
        shuffler.shuffle(paths)
    first, second = (stratified_split(classes, share, seed)[1] for classes in (before, after))
    assert [sorted(paths) for paths in first[1:]] == [sorted(paths) for paths in second[1:]]


@quick
@given(share=SHARES, seed=SEEDS)
def test_a_file_of_the_same_class_moves_at_most_one(share: float, seed: int) -> None:
    """One more photo would shuffle the whole class."""
    (_, (before,)), (_, (after,)) = (stratified_split(synthetic([size]), share, seed) for size in (40, 41))
    assert len(set(before) - set(after)) <= 1


def test_the_seed_decides_the_split(pets: Path) -> None:
    """Runs with the same seed would differ, or those with another would not."""
    assert scan(pets, seed=3) == scan(pets, seed=3)
    assert len({tuple(validating(scan(pets, seed=seed))) for seed in range(5)}) > 1


def test_the_split_of_a_folder_is_the_same_after_a_move(pets: Path) -> None:
    """A run that is repeated from another mount would validate on what was trained on before."""
    before = scan(pets)
    after = scan(pets.rename(pets.parent / "moved"))
    assert after.paths == before.paths
    assert after.fingerprint() == before.fingerprint()


def test_no_validation_means_none(pets: Path) -> None:
    """Images would be held out against the user's wish."""
    index = scan(pets, validation=0)
    assert (index.train_count, index.validation_count, index.class_counts()) == (15, 0, (10, 5))


def test_counts_are_of_the_training_part(pets: Path) -> None:
    """Class weights would be computed from images that are not trained on."""
    index = scan(pets, validation=0.2)
    assert (index.train_count, index.validation_count, index.class_counts()) == (12, 3, (8, 4))


@quick
@given(st.lists(st.sets(st.text(st.sampled_from("ab/-."), min_size=1)), min_size=1, max_size=4))
def test_each_part_is_sorted_by_path(sets: list[set[str]]) -> None:
    """The order of samples, and with it every run, would depend on the order of listing."""
    classes = [[f"{path}{number}" for path in paths] for number, paths in enumerate(sets)]
    paths, labels = in_order(classes)
    assert paths == sorted(path for each in classes for path in each)
    assert all(path.endswith(str(label)) for path, label in zip(paths, labels, strict=True))


# the index


def test_the_fingerprint_tells_every_difference() -> None:
    """A checkpoint would be resumed on other data."""
    changes = [
        ImageIndex("/r", ["a", "b", "c"], array("i", [0, 1, 1]), ("x", "y"), 2),
        ImageIndex("/r", ["a", "b", "d"], array("i", [0, 1, 1]), ("x", "y"), 2),
        ImageIndex("/r", ["a", "b\nc"], array("i", [0, 1]), ("x", "y"), 2),
        ImageIndex("/r", ["a", "b", "c"], array("i", [0, 0, 1]), ("x", "y"), 2),
        ImageIndex("/r", ["a", "b", "c"], array("i", [0, 1, 1]), ("x", "z"), 2),
        ImageIndex("/r", ["a", "b", "c"], array("i", [0, 1, 1]), ("x", "y"), 1),
        ImageIndex("/r", ["b", "a", "c"], array("i", [0, 1, 1]), ("x", "y"), 2),
    ]
    assert len({index.fingerprint() for index in changes}) == len(changes)


def test_the_fingerprint_is_the_one_of_earlier_versions() -> None:
    """Runs that were begun with an earlier version could not be resumed."""
    index = ImageIndex("/r", ["a", os.fsdecode(b"\xff")], array("i", [0, 1]), ("x", "y"), 1)
    assert index.fingerprint() == "619dfec05a1260f3b4b08f6f3efde18c3d61dabe2e347ab7ee007936b410f2e7"


def test_weird_file_names_survive_the_csv(tmp_path: Path) -> None:
    """The audit would name files that do not exist, or the file could not be read back."""
    touch(tmp_path / "data" / "a,\n'b'", *WEIRD_NAMES)
    touch(tmp_path / "data" / os.fsdecode(b"\xe9"), *WEIRD_NAMES)
    index = scan(tmp_path / "data")
    index.write_csv(tmp_path / "samples.csv")
    assert ImageIndex.read_csv(tmp_path / "samples.csv", index.root, index.class_names) == index
    assert all(Path(index.path(number)).exists() for number in range(len(index.paths)))


@quick
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), unique=True))
def test_any_path_survives_the_csv(tmp_path_factory: pytest.TempPathFactory, paths: list[str]) -> None:
    """Some character would end a line or a cell."""
    path = tmp_path_factory.getbasetemp() / "samples.csv"
    index = ImageIndex("/r", paths, array("i", [1] * len(paths)), ("x", "y\r"), len(paths) // 2)
    index.write_csv(path)
    assert ImageIndex.read_csv(path, "/r", ["x", "y\r"]) == index


def test_the_csv_reads_as_documented(tmp_path: Path) -> None:
    """Whoever reads samples.csv relies on its columns."""
    index = ImageIndex("/r", ["a.jpg", "b.jpg"], array("i", [1, 0]), ("cat", "dog"), 1)
    index.write_csv(tmp_path / "samples.csv")
    assert (tmp_path / "samples.csv").read_text().replace('"', "") == (
        "index,path,label,split\n0,a.jpg,dog,train\n1,b.jpg,cat,validation\n"
    )


def test_a_csv_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk would leave half a list, which reads like a whole one."""
    index = ImageIndex("/r", ["a.jpg", "b.jpg"], array("i", [1, 0]), ("cat", "dog"), 1)
    index.write_csv(tmp_path / "samples.csv")
    before = (tmp_path / "samples.csv").read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        ImageIndex("/r", ["c.jpg"], array("i", [0]), ("cat", "dog"), 1).write_csv(tmp_path / "samples.csv")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("samples.csv", before)]


def test_a_csv_that_breaks_off_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    """What was written up to an error would be taken for the whole list."""
    path = tmp_path / "samples.csv"
    ImageIndex("/r", ["a.jpg", "b.jpg"], array("i", [1, 0]), ("cat", "dog"), 1).write_csv(path)
    before = path.read_bytes()
    with pytest.raises(IndexError):
        ImageIndex("/r", images(20_000), array("i", [0] * 19_999 + [7]), ("cat", "dog"), 1).write_csv(path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("samples.csv", before)]


def test_what_a_killed_writer_leaves_is_known_as_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kill would leave another half list in the run directory, for ever."""
    counts: list[int] = []

    def killed(_: int) -> None:
        counts.append(len(list(tmp_path.iterdir())))
        remove_unfinished(tmp_path)
        counts.append(len(list(tmp_path.iterdir())))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(OSError, match="No space left"):
        ImageIndex("/r", ["c.jpg"], array("i", [0]), ("cat", "dog"), 1).write_csv(tmp_path / "samples.csv")
    assert counts == [1, 0]


def test_the_csv_may_be_read_by_others(tmp_path: Path) -> None:
    """A colleague could read all of a run directory but this."""
    ImageIndex("/r", ["c.jpg"], array("i", [0]), ("cat", "dog"), 1).write_csv(tmp_path / "samples.csv")
    assert (tmp_path / "samples.csv").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1,b.jpg,cat", "3 cells where the header has 4"),
        ("1,,cat,train", "the path is empty"),
        ("2,b.jpg,cat,train", "the index is '2', not 1"),
        ("one,b.jpg,cat,train", "the index is 'one', not 1"),
        ("1,b.jpg,fox,train", "'fox' is none of the 2 classes"),
        ("1,b.jpg,cat,test", "the split 'test' is out of place"),
        ("1,b.jpg,cat,train", "the split 'train' is out of place"),
        ('1,"b.jpg,cat,train', "unexpected end of data"),
    ],
)
def test_a_damaged_line_of_the_index_is_named(tmp_path: Path, line: str, problem: str) -> None:
    """A file that was cut short or edited would be taken for whole."""
    path = csv_file(tmp_path, f"index,path,label,split\n0,a.jpg,cat,validation\n{line}\n")
    with pytest.raises(UserError, match=rf"list\.csv, line 3: {problem}"):
        ImageIndex.read_csv(path, "/r", ("cat", "dog"))


def test_an_index_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """The error would be a traceback."""
    with pytest.raises(UserError, match=r"samples\.csv cannot be read: No such file"):
        ImageIndex.read_csv(tmp_path / "samples.csv", "/r", ("cat", "dog"))


def albums(root: Path, count: int) -> tuple[list[str], list[int]]:
    """Make `count` x 400 paths of files that exist, by links to one folder of 400, and labels of 1,000 classes."""
    names = [f"IMG_2024_{name}" for name in images(400)]
    touch(root / "photos", *names)
    for number in range(count):
        (root / f"album-{number:03}").symlink_to(root / "photos")
    paths = [f"album-{number:03}/{name}" for number in range(count) for name in names]
    return paths, [number % 1000 for number in range(len(paths))]


def test_an_index_of_a_million_images_stays_far_under_300_mb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent would hold the memory that the training needs."""
    monkeypatch.chdir(tmp_path)
    index = scan(*albums(tmp_path, 500))
    held_bytes = sys.getsizeof(index.paths) + sum(map(sys.getsizeof, index.paths)) + sys.getsizeof(index.labels)
    assert len(index.paths) == 200_000
    assert held_bytes / 200_000 * 1_000_000 < 100e6


def test_finding_a_million_images_stays_under_300_mb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent would be ended for its memory before the training begins."""
    monkeypatch.chdir(tmp_path)
    paths, labels = albums(tmp_path, 50)
    tracemalloc.start()
    try:
        scan(paths, labels)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes / 20_000 * 1_000_000 < 300e6


def camera_roll(root: Path, *, classes: int = 100, each: int = 200) -> Path:
    """Make a folder of so many images, all of them names of one file: quickly made, and read like any others."""
    first = root / "class_000" / "IMG_20240000.JPG"
    touch(root, "class_000/IMG_20240000.JPG")
    for number in range(classes):
        folder = root / f"class_{number:03}"
        folder.mkdir(exist_ok=True)
        for image in range(number == 0, each):
            (folder / f"IMG_{20240000 + image}.JPG").hardlink_to(first)
    return root


def traced(work: Callable[[], T]) -> tuple[T, int, int]:
    """What it returns, and the bytes of Python's objects: how many more are held after it, and at most during it."""
    tracemalloc.start()
    try:
        before_bytes, _ = tracemalloc.get_traced_memory()
        result = work()
        held_bytes, peak_bytes = tracemalloc.get_traced_memory()
        return result, held_bytes - before_bytes, peak_bytes - before_bytes
    finally:
        tracemalloc.stop()


def test_an_image_of_a_folder_takes_few_bytes_from_the_scan_to_the_worker(tmp_path: Path) -> None:
    """A million images would take the parent, or the worker beside its training, more than 300 MB."""
    folder, samples = camera_roll(tmp_path / "roll"), tmp_path / "samples.csv"
    scan(folder)  # what is loaded only now is no image's
    index, held_bytes, peak_bytes = traced(lambda: scan(folder))
    assert len(index.paths) == 20_000
    assert held_bytes / 20_000 < 110
    assert peak_bytes / 20_000 < 150
    _, _, peak_bytes = traced(index.fingerprint)
    assert peak_bytes / 20_000 < 20
    _, _, peak_bytes = traced(lambda: index.write_csv(samples))
    assert peak_bytes / 20_000 < 20  # some buffers; the text of a line has 50
    again, _, peak_bytes = traced(lambda: ImageIndex.read_csv(samples, index.root, index.class_names))
    assert peak_bytes / 20_000 < 110
    assert again == index


@pytest.mark.parametrize("layout", ["class{class_number:05}/{number:05}.jpg", "{number:05}/class{class_number:05}.jpg"])
def test_ordering_takes_few_bytes_an_image_however_many_classes(layout: str) -> None:
    """A hundred thousand classes, as of faces or landmarks, would take as much again as their images."""
    classes = [[layout.format(class_number=i, number=number) for number in range(2)] for i in range(10_000)]
    (paths, _), _, peak_bytes = traced(lambda: in_order(classes))
    assert len(paths) == 20_000
    assert peak_bytes / 20_000 < 150


class Entry:
    """An entry of `os.scandir` that cannot be stat'ed. What it tells by itself, the listing has told it."""

    def __init__(self, entry: os.DirEntry[str]) -> None:
        self.name, self.path = entry.name, entry.path
        self.is_dir, self.is_file, self.is_symlink = entry.is_dir, entry.is_file, entry.is_symlink


@contextmanager
def listed_without_stat(folder: str) -> Iterator[Iterator[Entry]]:
    with SCANDIR(folder) as entries:
        yield map(Entry, entries)


SCANDIR = os.scandir


def test_no_image_of_a_folder_is_opened_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network drive a million images would take hours to find."""
    folder = camera_roll(tmp_path / "roll", classes=10, each=100)
    calls: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            calls[name] += 1
            return function(*given, **named)

        return call

    for name in ("os.stat", "os.lstat", "os.open", "os.access", "builtins.open", "io.open"):
        room, _, function = name.rpartition(".")
        monkeypatch.setattr(name, counted(name, getattr(sys.modules[room], function)))
    monkeypatch.setattr("os.scandir", listed_without_stat)
    assert len(scan(folder).paths) == 1000
    monkeypatch.undo()
    assert calls.total() < 100, calls


def test_the_text_of_listed_paths_is_shared_with_the_caller(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook that holds a million paths would hold them twice."""
    monkeypatch.chdir(pets)
    paths = [f"{name}/{file}" for name in ("cat", "dog") for file in images(5)]
    held = {id(path) for path in paths}
    assert all(id(path) in held for path in scan(paths, [0, 1] * 5).paths)

    class Name(str):
        __slots__ = ()

    assert {type(path) for path in scan(map(Name, paths), [0, 1] * 5).paths} == {str}


def test_the_room_loads_no_numpy_no_pandas_and_no_tensorflow(pets: Path) -> None:
    """The parent would grow by hundreds of megabytes, and `--help` would take seconds."""
    program = (
        "import sys; from autofit.dataset import scan; scan(sys.argv[1]); "
        "print({'numpy', 'pandas', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(pets)], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
