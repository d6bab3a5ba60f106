"""Images in memory become the files of a run: their numbers, their labels, and what is refused in one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autofit.dataset import are_images, images_in_files, scan, stand_in
from autofit.dataset.array_labels import class_numbers
from autofit.dataset.arrays import write_images
from autofit.dataset.image_table import ImageTable
from autofit.dataset.labels import label_of
from autofit.errors import MOST_CHARACTERS, UserError
from tests.support.datasets import DatasetV2, OnDevice

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (6, 5, 4, 3)).astype(np.uint8)
BYTES[0, 0, 0, 0] = 255
LABELS = [0, 1, 0, 1, 0, 1]


def written(folder: Path, data: Any, labels: Any = LABELS) -> tuple[np.ndarray, list[Any], list[str]]:
    """The pixels of the files, the labels, and what was said."""
    said: list[str] = []
    paths, numbers = write_images(data, labels, folder, said.append, lambda _: None)
    return np.stack([np.asarray(Image.open(path)) for path in paths]), numbers, said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (BYTES, ""),
        (BYTES.astype(np.int64), ""),
        (BYTES.astype(np.float32), "0 to 255"),
        (BYTES.astype(np.float32) / 255, "0 to 1"),
        ([Image.fromarray(image) for image in BYTES], ""),
        (list(BYTES), ""),
    ],
    ids=["uint8", "int64", "float to 255", "float to 1", "PIL", "list"],
)
def test_numbers_of_each_kind_are_the_same_pixels(tmp_path: Path, data: Any, said: str) -> None:
    """Images from 0 to 1 would all be black, without a word."""
    assert are_images(data)
    pixels, labels, lines = written(tmp_path, data)
    assert np.array_equal(pixels, BYTES)
    assert labels == LABELS
    assert said in "".join(lines)
    assert len(lines) == bool(said)


def test_a_first_image_that_is_black_does_not_say_how_far_numbers_go(tmp_path: Path) -> None:
    """A dataset of floats to 255, as Keras makes them, would be refused where its first image is black."""
    images = np.concatenate([np.zeros_like(BYTES[:1]), BYTES[1:]])
    for number, most in enumerate((255, 1)):
        floats = images.astype(np.float32) / 255 * most
        dataset = DatasetV2([(floats, np.array(LABELS))])
        for kind, (data, labels) in enumerate([(dataset, None), (list(floats), LABELS)]):
            pixels, _, said = written(tmp_path / f"{number}-{kind}", data, labels)
            assert np.array_equal(pixels, images)
            assert said == [f"the images' numbers are taken as 0 to {most}, from black to white"]


def test_grey_images_and_16_bits_are_kept(tmp_path: Path) -> None:
    """MNIST could not be trained on, or measurements of 12 bits be cut to 8."""
    assert np.array_equal(written(tmp_path / "a", BYTES[..., 0])[0], BYTES[..., 0])
    assert np.array_equal(written(tmp_path / "b", BYTES[..., :1])[0], BYTES[..., 0])
    twelve = BYTES[..., 0].astype(np.uint16) * 16
    assert np.array_equal(written(tmp_path / "c", twelve)[0], twelve)


def test_a_few_images_are_written_without_a_word(tmp_path: Path) -> None:
    """Each prediction of an array would begin with a line that one image was found."""
    counts: list[int] = []
    many = np.resize(BYTES, (300, 5, 4, 3))
    write_images(many[:200], [0] * 200, tmp_path / "few", print, counts.append)
    assert counts == []
    write_images(many, [0] * 300, tmp_path / "many", print, counts.append)
    assert counts == [256]


def test_the_same_images_are_the_same_files(tmp_path: Path) -> None:
    """The same call would not resume its run, but start another one."""
    first = write_images(BYTES, LABELS, tmp_path, print, lambda _: None)
    times = [Path(path).stat().st_mtime_ns for path in first[0]]
    assert write_images(BYTES.copy(), LABELS, tmp_path, print, lambda _: None) == first
    assert [Path(path).stat().st_mtime_ns for path in first[0]] == times
    changed = BYTES.copy()
    changed[2] += 1
    again = write_images(changed, LABELS, tmp_path, print, lambda _: None)[0]
    assert [one == other for one, other in zip(first[0], again, strict=True)] == [True, True, False, True, True, True]


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        (np.eye(3)[[2, 0, 1]], [2, 0, 1]),
        (np.eye(3, dtype=bool)[[2, 0]], [2, 0]),
        (np.array([[1], [0]]), [1, 0]),
        (np.array([1.0, 2.0]), [1, 2]),
        (["cat", "dog"], ["cat", "dog"]),
        (iter(["cat", "dog"]), ["cat", "dog"]),
        (np.array([b"cat", "Bär".encode()], object), ["cat", "Bär"]),
        (np.array([b"cat", b"dog"]), ["cat", "dog"]),
        ({"a.png": 1, "b.png": 0}.values(), [1, 0]),
    ],
    ids=["one-hot", "bool", "column", "float", "text", "generator", "text of tensors", "bytes", "values"],
)
def test_labels_become_classes(labels: Any, numbers: list[Any]) -> None:
    """One-hot rows, as Keras's own examples make them, could not be trained on."""
    assert class_numbers(labels) == numbers


@pytest.mark.parametrize(
    ("data", "labels", "why"),
    [
        (BYTES, None, "the labels of 6 images are missing"),
        (BYTES, [0, 1], "there are 6 images and 2 labels"),
        ((BYTES, np.array(LABELS)), None, "the data is a pair: give its images and labels as two arguments"),
        (BYTES, np.ones((6, 3)), "several classes or none"),
        (BYTES, np.zeros((6, 3)), "several classes or none"),
        (BYTES, [["cat", "dog"]] * 6, "several classes or none"),
        (BYTES, [["cat"], ["cat", "dog"]] * 3, "several classes or none"),
        (BYTES.astype(np.float32) - 200, LABELS, "numbers from -"),
        (BYTES.astype(np.float32) * 9, LABELS, "0 to 1 or 0 to 255"),
        (np.full((6, 4, 4), np.nan), LABELS, "not finite"),
        (
            np.moveaxis(np.zeros((6, 9, 8, 3), np.uint8), 3, 1),
            LABELS,
            "(3, 9, 8), channels first: give",
        ),
        (BYTES.astype(np.int64) + 1000, LABELS, "beyond 0 to 255"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_a_line(tmp_path: Path, data: Any, labels: Any, why: str) -> None:
    """Numbers would be taken for something else, or a traceback of NumPy end the run."""
    with pytest.raises(UserError) as refused:
        written(tmp_path, data, labels)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) <= MOST_CHARACTERS


@pytest.mark.parametrize("labels", [np.array(LABELS), np.eye(2)[LABELS]], ids=["numbers", "one-hot"])
def test_a_dataset_of_batches_or_of_single_images_is_taken(tmp_path: Path, labels: np.ndarray) -> None:
    """The output of `image_dataset_from_directory` could not be given."""
    batches = DatasetV2([(BYTES[:4].astype(np.float32), labels[:4]), (BYTES[4:].astype(np.float32), labels[4:])])
    single = DatasetV2(list(zip(BYTES, np.array(LABELS), strict=True)))
    for number, data in enumerate((batches, single)):
        assert are_images(data)
        pixels, numbers, _ = written(tmp_path / str(number), data, None)
        assert np.array_equal(pixels, BYTES)
        assert numbers == LABELS


GREY = RANDOM.integers(0, 256, (6, 5, 7)).astype(np.uint8)


@pytest.mark.parametrize(
    "data",
    [
        DatasetV2([(GREY[:4], np.array(LABELS[:4])), (GREY[4:], np.array(LABELS[4:]))]),
        DatasetV2([(GREY, np.eye(2)[LABELS])]),
        DatasetV2(list(zip(GREY, np.array(LABELS), strict=True))),
        DatasetV2(list(zip(GREY, np.eye(2)[LABELS], strict=True))),
        DatasetV2(list(zip(GREY[..., None], np.eye(2)[LABELS], strict=True))),
    ],
    ids=["batches", "one-hot batch", "single", "one-hot single", "with a channel"],
)
def test_a_dataset_of_grey_images_without_channels_is_taken(tmp_path: Path, data: Any) -> None:
    """MNIST as it comes, `from_tensor_slices((x, y))`, was refused for its labels, or for the shape (28,)."""
    pixels, numbers, _ = written(tmp_path, data, None)
    assert np.array_equal(pixels, GREY)
    assert numbers == LABELS


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (DatasetV2([], -1), "repeats for ever"),
        (DatasetV2([BYTES]), "gives no pairs"),
        (DatasetV2([({"image": BYTES}, np.array(LABELS))]), r"images by name \('image'\): give pairs"),
        (DatasetV2([(BYTES, np.array(LABELS[:4]))]), "6 images and 4 labels: give as many"),
        (DatasetV2([(BYTES, np.array(LABELS), np.arange(6.0))]), "weights of its samples, and a judgement counts all"),
        (
            DatasetV2([(BYTES, np.array(LABELS), np.ones((6, 2)))]),
            r"weights of the shape \(6, 2\) for 6 ",
        ),
        (
            DatasetV2([(BYTES, np.array(LABELS), -np.ones(6))]),
            "the weight of an image is -1.0, and a weight is",
        ),
        (DatasetV2([(np.zeros((6, 784), np.uint8), np.array(LABELS))]), r"image 0 has the shape \(784,\)"),
    ],
    ids=["infinite", "no labels", "by name", "fewer labels", "weights", "weight rows", "negative weight", "flat"],
)
def test_a_dataset_that_cannot_be_used_is_refused(tmp_path: Path, data: Any, why: str) -> None:
    """A run would fill the disk for ever."""
    with pytest.raises(UserError, match=why):
        written(tmp_path, data, None)


def test_a_dataset_in_another_order_is_the_same_files(tmp_path: Path) -> None:
    """`image_dataset_from_directory` shuffles each time: the same call would not resume its run, but be refused."""
    images, labels = np.concatenate([BYTES, BYTES[:1], BYTES[:1]]), np.array([*LABELS, 0, 1])  # two copies of the first
    order = np.random.default_rng(1).permutation(len(images))
    first, second = (
        write_images(DatasetV2([(images[place], labels[place])]), None, tmp_path, print, lambda _: None)
        for place in (np.arange(len(images)), order)
    )
    assert sorted(zip(*first, strict=True)) == sorted(zip(*second, strict=True))
    assert len(set(first[0])) == len(images) == len(list(tmp_path.iterdir()))


@pytest.mark.parametrize("weights", [None, np.ones(6)], ids=["none", "ones"])
def test_weights_that_change_nothing_are_taken(tmp_path: Path, weights: Any) -> None:
    """A dataset that gives none in the third place, as some generators do, would be refused."""
    assert written(tmp_path, DatasetV2([(BYTES, np.array(LABELS), weights)]), None)[1] == LABELS


class Tensor:
    """Stands for those of TensorFlow, PyTorch and JAX, which can be made arrays and are none."""

    def __init__(self, values: np.ndarray, *, is_on_a_device: bool = False) -> None:
        self._values, self._is_on_a_device = values, is_on_a_device
        self.ndim = values.ndim

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        """As NumPy asks for it."""
        if self._is_on_a_device:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return np.asarray(self._values, dtype)

    def __len__(self) -> int:
        return len(self._values)


def objects(images: np.ndarray) -> np.ndarray:
    """Images as an array of objects, as those of several sizes are kept."""
    held = np.empty(len(images), object)
    held[:] = list(images)
    return held


@pytest.mark.parametrize(
    "data",
    [Tensor(BYTES), [Tensor(image) for image in BYTES], objects(BYTES)],
    ids=["tensor", "list of tensors", "array of objects"],
)
def test_tensors_and_arrays_of_arrays_are_images(tmp_path: Path, data: Any) -> None:
    """`predict` took a tensor, and `run` said of it: `item 0 of the paths is <tf.Tensor ...`."""
    assert are_images(data)
    pixels, numbers, _ = written(tmp_path, data, Tensor(np.array(LABELS)))
    assert np.array_equal(pixels, BYTES)
    assert numbers == LABELS


def test_a_tensor_on_a_device_is_refused_in_a_line(tmp_path: Path) -> None:
    """A TypeError of PyTorch's would end the call."""
    with pytest.raises(UserError, match=r"cannot be made an array \(can't convert cuda:0 .*\): give NumPy's"):
        written(tmp_path, Tensor(BYTES, is_on_a_device=True))


@pytest.mark.parametrize("data", ["folder", ["a.jpg", "b.jpg"], [], np.array(["a.jpg"]), ImageTable([], [])])
def test_paths_and_tables_are_not_taken_for_images(data: Any) -> None:
    """Every other call would be broken."""
    assert not are_images(data)
    assert stand_in(data) is data


def test_images_for_validation_are_a_split_of_their_own(tmp_path: Path) -> None:
    """`validation=(x, y)` would be refused, or mixed with the images for training."""
    tables = {
        split: images_in_files(split, (images, LABELS), tmp_path, print, lambda _: None)
        for split, images in (("train", BYTES), ("validation", 255 - BYTES))
    }
    index = scan(tables["train"], validation=tables["validation"])
    assert (index.train_count, index.validation_count, index.class_names) == (6, 6, ("0", "1"))


def test_no_message_is_longer_than_a_few_lines() -> None:
    """A whole array in a message would fill the notebook; what to do stands at its end."""
    text = str(UserError(f"the data is {'0, ' * 10_000}: give a folder"))
    assert len(text) <= MOST_CHARACTERS
    assert text.endswith(": give a folder")


@pytest.mark.parametrize("mode", ["P", "LA", "CMYK", "YCbCr", "HSV", "RGBA", "PA", "RGBa"])
def test_pil_images_of_each_mode_have_the_colours_that_are_seen(tmp_path: Path, mode: str) -> None:
    """The places in a palette would be trained on as grey levels, cyan to black as red to transparent, silently."""
    green = Image.new("RGB", (4, 4), (60, 200, 40)) if mode != "LA" else Image.new("RGB", (4, 4), (90, 90, 90))
    start = green.convert("RGBA") if mode in {"RGBa", "PA", "RGBA"} else green
    image = start.quantize(4) if mode in {"P", "PA"} else start.convert(mode)
    if mode == "PA":
        image = image.convert("PA")
    (pixels,) = written(tmp_path, [image], [0])[0]
    assert np.abs(pixels[..., :3].astype(int) - np.asarray(green)).max() <= 4  # HSV and YCbCr are rounded


@pytest.mark.parametrize("order", [">u2", "<u2"], ids=["big-endian", "little-endian"])
def test_16_bits_of_either_byte_order_are_the_same_numbers(tmp_path: Path, order: str) -> None:
    """A PIL image of a big-endian TIFF became white wherever it was above 255 of 65,535; an array was refused."""
    numbers = np.arange(0, 60_000, 3_000).reshape(4, 5).astype(order)
    Image.fromarray(numbers.astype(np.uint16)).save(tmp_path / "little.tif")
    mode = "I;16B" if order == ">u2" else "I;16"
    Image.frombytes(mode, (5, 4), numbers.tobytes()).save(tmp_path / "a.tif")
    pictures = [Image.open(tmp_path / "a.tif"), Image.frombytes(mode, (5, 4), numbers.tobytes())]
    for place, data in enumerate((pictures, np.stack([numbers, numbers]), [numbers, numbers])):
        pixels, _, _ = written(tmp_path / str(place), data, [0, 1])
        assert np.array_equal(pixels, [numbers, numbers])


def test_a_pil_image_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    """Photos that were opened by PIL would be trained on lying on their side, those from files upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(BYTES[0]).save(tmp_path / "a.png", exif=exif)
    (pixels,) = written(tmp_path / "files", [Image.open(tmp_path / "a.png")], [0])[0]
    assert np.array_equal(pixels, np.rot90(BYTES[0], -1))


def test_a_pil_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A traceback of PIL would not say which of thousands it is."""
    Image.fromarray(np.tile(BYTES[0], (40, 40, 1))).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    with (
        Image.open(tmp_path / "a.png") as damaged,
        pytest.raises(UserError, match=r"^image 1 cannot be read \(.+\): leave it out"),
    ):
        written(tmp_path / "files", [Image.fromarray(BYTES[0]), damaged], [0, 1])


class Column(Sequence[Any]):
    """Stands for a column of Hugging Face's datasets, which is a sequence of its own."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, number: Any) -> Any:
        return self._values[number]


PICTURES = [Image.fromarray(image) for image in BYTES]


@pytest.mark.parametrize("column", [Column, pd.Series], ids=["sequence", "pandas"])
@pytest.mark.parametrize("images", [PICTURES, list(BYTES)], ids=["PIL", "arrays"])
def test_a_column_of_images_is_images(tmp_path: Path, column: Callable[[Any], Any], images: list[Any]) -> None:
    """The images of a table of another library would be refused as paths, and a list of the same be taken."""
    assert are_images(column(images))
    pixels, labels, _ = written(tmp_path, column(images), column(LABELS))
    assert np.array_equal(pixels, BYTES)
    assert labels == LABELS


@pytest.mark.parametrize(
    ("data", "labels", "name"),
    [([OnDevice()] * 6, LABELS, "image 0"), (BYTES, OnDevice(), "the labels"), (BYTES, [OnDevice()] * 6, "the labels")],
    ids=["images", "labels", "a list of labels"],
)
def test_tensors_on_a_device_are_refused_in_a_line(tmp_path: Path, data: Any, labels: Any, name: str) -> None:
    """A list of tensors on a GPU, or labels there, would end in a traceback."""
    for multi_label in (False, True):
        with pytest.raises(UserError, match=f"{name} cannot be made an array .can't convert cuda:0.*: give NumPy's"):
            write_images(data, labels, tmp_path, print, lambda _: None, multi_label=multi_label)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((BYTES > 127).astype(np.uint8), True),
        ((BYTES > 127).astype(int), True),
        ((BYTES > 127) * 1.02, True),
        ([(BYTES[0] > 127) * 1.02] * 6, True),
        (list((BYTES > 127).astype(np.uint8)), True),
        ((BYTES > 127) * 16.0, True),
        (np.zeros_like(BYTES), False),
        (BYTES > 127, False),
        (BYTES // 8 + 1, False),
        (BYTES, False),
        ((BYTES > 127) * 0.0997, False),
        ([(BYTES[0] > 127) * 0.0997, *(BYTES[1:] > 127).astype(np.uint8)], False),
        ((BYTES[..., 0] > 127).astype(np.uint16), False),
    ],
    ids=[
        *("uint8", "int64", "over 1", "list over 1", "list", "to 16", "black", "bool", "to 32", "to 255"),
        *("to a tenth", "of two kinds", "16 bits"),
    ],
)
def test_numbers_that_are_all_but_black_are_named(tmp_path: Path, data: Any, *, said: bool) -> None:
    """Drawings of 0 and 1 would be learnt as black on black, without a word."""
    _, _, lines = written(tmp_path, data)
    assert said == any(
        re.match(r"warning: the images' numbers go to (1|1\.02|16) of 255, all but", line) for line in lines
    )
    without: list[str] = []
    write_images(data, None, tmp_path / "one", without.append, lambda _: None, has_labels=False)
    assert not any("warning" in line for line in without)  # a camera's frame may be dark
    clipped = [np.clip(image.astype(float), 0, 1) for image in data]
    assert not any("warning" in line for line in written(tmp_path / "floats", clipped)[2])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([(image, 0) for image in BYTES], "the items of the data are pairs: give a list of the images or their paths"),
        ([{"image": BYTES[0], "label": 0}], "the items of the data are records of 'image', 'label': give a list of"),
        (Column([{"image": BYTES[0], "label": 0}]), "the items of the data are records of 'image', 'label': give a"),
    ],
    ids=["pairs", "records", "a dataset"],
)
def test_images_with_their_labels_are_answered_with_two_lists(data: Any, message: str) -> None:
    """A dataset of another library would be said to be a list of paths whose labels are missing."""
    with pytest.raises(UserError, match=message):
        scan(data)


@pytest.mark.parametrize(
    "images",
    [iter(PICTURES), iter(BYTES), BYTES.reshape(6, -1), BYTES.reshape(6, -1).tolist()],
    ids=["pictures", "arrays", "rows", "lists"],
)
def test_what_is_no_path_is_answered_with_how_images_are_given(images: Any) -> None:
    """A user who gives digits of 64 numbers each would be asked for a file's path."""
    with pytest.raises(UserError, match=r"item 0 of the paths holds pixels .*: give images as an array \(n, height, w"):
        scan(images, LABELS)


def test_a_pair_of_paths_and_labels_is_answered_with_a_table(tmp_path: Path) -> None:
    """The paths would be said to be images of no size."""
    with pytest.raises(UserError, match="validation is a pair of paths and labels: give a DataFrame or a CSV file"):
        images_in_files("validation", (["a.jpg", "b.jpg"], [0, 1]), tmp_path, print, lambda _: None)


@pytest.mark.parametrize("labels", [3, np.float64(1), np.array("ab")], ids=str)
def test_labels_that_are_no_list_are_refused(tmp_path: Path, labels: Any) -> None:
    """A single number in place of labels would end in a traceback with several labels an image."""
    for multi_label in (False, True):
        with pytest.raises(UserError, match="labels"):
            write_images(BYTES, labels, tmp_path, print, lambda _: None, multi_label=multi_label)


def test_a_dataset_needs_no_length(tmp_path: Path) -> None:
    """A dataset would be refused as no list of images."""
    table = images_in_files("train", (DatasetV2([(BYTES, np.array(LABELS))]), None), tmp_path, print, lambda _: None)
    assert scan(table, validation=0).train_count == len(BYTES)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "the images for test are None: give an array"),
        (3, "the images for test are 3: give an array"),
        (np.array(3), r"the images for test are array\(3\): give an array"),
        (iter(BYTES), "the images for test are <.*: give an array"),
        ([[1, 2], [3]], r"there are 2 images|image 0 has the shape \(2,\)"),
        ([[[1, 2], [3]]] * 6, "image 0 has rows of several lengths: give"),
    ],
    ids=["None", "number", "array of none", "iterator", "numbers", "ragged"],
)
def test_a_pair_without_images_is_refused(tmp_path: Path, images: Any, message: str) -> None:
    """A call would end in a traceback, from somewhere inside."""
    with pytest.raises(UserError, match=message):
        images_in_files("test", (images, LABELS), tmp_path, print, lambda _: None)


def test_numbers_that_64_bits_do_not_hold_stay_as_they_are() -> None:
    """Infinity would be the class -9223372036854775808; as a label it is refused."""
    assert class_numbers([np.inf, 0.0]) == [np.inf, 0.0]
    assert class_numbers([1e300, 0.0]) == [1e300, 0.0]
    with pytest.raises(ValueError, match="the label is inf: give text or a whole number"):
        label_of(np.inf)


class Variable:
    """Stands for a variable of TensorFlow, which has neither a length nor a number of dimensions."""

    shape = BYTES.shape

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(BYTES)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        """As TensorFlow's."""
        return BYTES


def test_a_tensor_needs_no_length(tmp_path: Path) -> None:
    """A variable of TensorFlow would be refused as no list of images."""
    assert are_images(Variable())
    table = images_in_files("train", (Variable(), LABELS), tmp_path, print, lambda _: None)
    assert scan(table, validation=0).train_count == len(BYTES)


def test_numbers_of_bfloat16_are_floats(tmp_path: Path) -> None:
    """Images of a pipeline in mixed precision would be refused for their shape, which is right."""
    types = pytest.importorskip("ml_dtypes")
    levels = BYTES & 0xF0  # 8 bits of precision hold these
    pixels, _, said = written(tmp_path, levels.astype(types.bfloat16))
    assert np.array_equal(pixels, levels)
    assert said == ["the images' numbers are taken as 0 to 255, from black to white"]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((np.array([b"a.jpg", b"b.jpg"], object), np.array([0, 1])), "gives paths or other text in place of images"),
        ((b"a.jpg", np.int64(0)), "gives paths or other text in place of images: give lists of the paths and labels"),
        ((BYTES[:2], {"breed": np.array([0, 1])}), r"gives labels by name \('breed'\): give pairs of"),
    ],
    ids=["paths", "a path", "labels by name"],
)
def test_a_dataset_of_something_else_is_told_so(tmp_path: Path, batch: Any, message: str) -> None:
    """A dataset of paths would be said to have 23 images and one label, as many as the path has letters."""
    with pytest.raises(UserError, match=message):
        images_in_files("train", DatasetV2([batch]), tmp_path, print, lambda _: None)


def test_numbers_of_a_dataset_beside_a_folder_are_said_to_be_names(tmp_path: Path) -> None:
    """Keras numbers the folders 0 to 10 as text: the images of 10 would be validated as those of 2, without a word."""
    said: list[str] = []
    dataset = DatasetV2([(BYTES, np.array(LABELS))])
    images_in_files("validation", dataset, tmp_path, said.append, lambda _: None)
    assert [line for line in said if line.startswith("the labels of the dataset for validation are numbers, and taken")]
    said.clear()
    images_in_files("validation", (BYTES, LABELS), tmp_path, said.append, lambda _: None)
    images_in_files("validation", dataset, tmp_path, said.append, lambda _: None, class_names=("cat", "dog"))
    images_in_files("validation", dataset, tmp_path, said.append, lambda _: None, class_names=None)
    assert said == []
