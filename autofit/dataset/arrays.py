"""Images that a caller holds in memory or in a dataset object, written to files that a run can train on.

The files are named by number and content, so that the same images in the same run directory give the same files, and
the same call resumes its run. Files from a dataset, which may be shuffled anew each time, are named by content only.
One image at a time is converted. TensorFlow is never imported: a `tf.data.Dataset` is read by its own methods.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Sized
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from autofit.dataset.array_kinds import as_array, first_of, is_array, is_like_array
from autofit.dataset.array_labels import class_numbers, label_rows
from autofit.dataset.dataset_objects import (
    CHANNELS,
    IMAGE_SIDES,
    by_name,
    class_names_of,
    images_of_dataset,
    is_dataset,
)
from autofit.dataset.image_table import ImageTable, are_rows
from autofit.dataset.number_scale import NumberScale
from autofit.dataset.picture_files import is_picture, plain_picture
from autofit.errors import UserError
from autofit.printable import printable

if TYPE_CHECKING:
    import numpy as np

DIGEST_DIGITS = 16
BFLOAT16 = "bfloat16"
"""A type that TensorFlow and JAX add to NumPy's."""
PROGRESS_EVERY_IMAGES = 256
"""Progress is reported once for this many images: fewer are written at once, and need no line of progress."""

Pairs = tuple[list[str], list[Any]]


class Written(NamedTuple):
    """The path, the label and the weight of each image; no weights if all are 1, as without any."""

    paths: list[str]
    labels: list[Any]
    weights: list[float]


def are_images(data: object) -> bool:
    """Whether the data are images themselves, or a dataset of them, and not a path, a table or a list of paths."""
    if is_dataset(data):
        return True
    sides = getattr(data, "ndim", 0) if is_like_array(data) else 0
    first = first_of(data)
    return sides >= IMAGE_SIDES or is_picture(first) or (is_like_array(first) and getattr(first, "ndim", 0) > 1)


def write_images(
    data: Any,
    labels: Any,
    folder: Path,
    say: Callable[[str], None],
    on_progress: Callable[[int], None],
    *,
    multi_label: bool = False,
    has_labels: bool = True,
) -> Pairs:
    """Write each image as a PNG file, to be judged or predicted.

    Args:
        data: an array or tensor `(n, height, width[, channels])`, a list of such or of PIL images, or a dataset that
            gives pairs of batches.
        labels: one for each image, or one-hot rows; None for a dataset, which has its own.
        folder: the folder for the files; made if it does not exist.
        say: called with a line that says how the pixel values were understood.
        on_progress: called with the number of images so far, every few hundred.
        multi_label: whether an image may have any number of labels: they are then rows of 0 and 1, uint8 `(classes,)`,
            or whatever else a table may hold.
        has_labels: whether labels are needed; if not, those of a dataset are ignored and may be missing.

    Returns:
        The path and the label of each image; None for the labels if they are not needed.

    Raises:
        UserError: the data cannot be used; the message says what to do.
    """
    meaning = None if not has_labels else label_rows if multi_label else class_numbers
    written = _written(data, labels, folder, say, on_progress, meaning)
    if written.weights:
        raise UserError(
            "the dataset gives weights of its samples, and a judgement counts all images alike: give pairs of (images, "
            "labels), as by map()"
        )
    return written.paths, written.labels


def _written(
    data: Any,
    labels: Any,
    folder: Path,
    say: Callable[[str], None],
    on_progress: Callable[[int], None],
    meaning: Callable[[Any], list[Any]] | None,
) -> Written:
    """Write each image as in `write_images`; `meaning` converts the labels of a batch, and is None without labels."""
    if is_dataset(data):
        if labels is not None:
            raise UserError("a dataset has its own labels: leave labels out")
        images: Iterable[tuple[Any, Any, float]] = images_of_dataset(data, meaning)
    else:
        data = as_array(data, "the images")
        known = _labels_for(data, labels, meaning) if meaning else repeat(None, len(data))
        images = zip(data, known, repeat(1.0, len(data)), strict=True)
    folder.mkdir(parents=True, exist_ok=True)
    scale = NumberScale(data if is_array(data) else None)
    names = _Names(by_number=not is_dataset(data))
    written = Written([], [], [])
    for number, (image, label, weight) in enumerate(images):
        values = _levels(image, number, scale)
        written.paths.append(str(_write(values, folder / names.of(values, number, label, weight))))
        written.labels.append(label)
        written.weights.append(weight)
        if (number + 1) % PROGRESS_EVERY_IMAGES == 0:
            on_progress(number + 1)
    for words in filter(None, (scale.words, scale.warning if meaning else "")):  # a single image may be dark
        say(words)
    return written if any(weight != 1 for weight in written.weights) else written._replace(weights=[])


def _labels_for(data: Any, labels: Any, meaning: Callable[[Any], list[Any]]) -> list[Any]:
    if labels is None and isinstance(data, tuple) and len(data) == 2:  # noqa: PLR2004 - images and labels
        raise UserError("the data is a pair: give its images and labels as two arguments, as in run(images, labels)")
    if labels is None:
        raise UserError(f"the labels of {len(data):,} images are missing: give labels with one for each")
    plain = meaning(labels)
    if len(plain) != len(data):
        raise UserError(f"there are {len(data):,} images and {len(plain):,} labels: give one label for each image")
    return plain


class _Names:
    """Names the files by content and, if the order of the images is fixed, by number.

    Without a number, the name depends on the label and the weight too: equal images with different labels have
    different names, whatever their order.

    Args:
        by_number: whether names have the numbers of the images.
    """

    def __init__(self, *, by_number: bool) -> None:
        self._by_number, self._met = by_number, Counter[str]()

    def of(self, values: np.ndarray, number: int, label: Any, weight: float) -> str:
        """The name for an image; without numbers, a counter is appended for equal images."""
        content = hashlib.blake2b(f"{values.shape}{values.dtype}".encode() + values.tobytes())
        if self._by_number:
            return f"{number:07d}-{content.hexdigest()[:DIGEST_DIGITS]}.png"
        content.update(repr(label.tolist() if is_array(label) else label).encode())
        if weight != 1:
            content.update(f"weight {weight!r}".encode())
        digest = content.hexdigest()[: 2 * DIGEST_DIGITS]
        self._met[digest] += 1
        return f"{digest}-{self._met[digest]}.png"


def _levels(image: Any, number: int, scale: NumberScale) -> np.ndarray:
    """The image as it is stored in a PNG: 8 bits, `(height, width)` or `(height, width, 3 or 4)`, or 16-bit grey."""
    import numpy as np  # noqa: PLC0415

    if is_picture(image):
        image = plain_picture(image, f"image {number}")
    try:
        values = _checked(np.asarray(as_array(image, f"image {number}")), number)
    except ValueError:  # lists of several lengths
        raise UserError(f"image {number} has rows of several lengths: give (height, width, channels)") from None
    values = values.astype(values.dtype.newbyteorder("="), copy=False)  # TIFF and FITS may have the other order
    if values.dtype.name == BFLOAT16:
        values = values.astype(np.float32)
    kind = values.dtype.kind
    if kind == "f":
        values = scale.levels(values, number)
    elif kind == "b":
        values = values.astype(np.uint8) * np.uint8(255)
    elif values.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)}:
        if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 255:  # noqa: PLR2004 - a byte
            raise UserError(f"image {number} is {values.dtype} beyond 0 to 255: give uint8, or numbers from 0 to 1")
        values = values.astype(np.uint8)
    if kind in "ui":
        scale.note_whole_numbers(values)
    if values.dtype == np.uint16 and values.ndim == IMAGE_SIDES:
        raise UserError(f"image {number} has 16 bits and colours: give uint8")
    return values


def _write(values: np.ndarray, path: Path) -> Path:
    """Write one image, unless its file exists already."""
    from PIL import Image  # noqa: PLC0415

    if not path.exists():
        unfinished = path.with_suffix(".part")
        Image.fromarray(values).save(unfinished, "PNG", compress_level=1)
        unfinished.replace(path)
    return path


def may_have_channels_first(shape: tuple[int, ...]) -> bool:
    """Whether a shape of three sizes may be that of an image whose channels, 3 or 4, come first."""
    return shape[0] in CHANNELS[1:] and shape[2] not in CHANNELS


def _checked(values: np.ndarray, number: int) -> np.ndarray:
    """The image `(height, width)` or `(height, width, 3 or 4)`."""
    if values.ndim == IMAGE_SIDES and values.shape[2] == 1:
        values = values[:, :, 0]
    is_image = values.ndim == IMAGE_SIDES - 1 or (values.ndim == IMAGE_SIDES and values.shape[2] in CHANNELS)
    if not is_image and values.ndim == IMAGE_SIDES and values.shape[0] in CHANNELS:
        raise UserError(
            f"image {number} has the shape {values.shape}, channels first: give numpy.moveaxis(x, -3, -1) for all"
        )
    is_number = values.dtype.kind in "buif" or values.dtype.name == BFLOAT16
    if not is_image or not values.size or not is_number:
        raise UserError(
            f"image {number} has the shape {values.shape} of {values.dtype}: give (height, width, channels), 1, 3 or 4"
        )
    return values


def stand_in(held_out: Any) -> Any:
    """A placeholder table for images in memory that are not written yet; anything else as it is."""
    is_pair = isinstance(held_out, tuple) and len(held_out) == 2  # noqa: PLR2004 - images and labels
    return ImageTable([], []) if is_pair or is_dataset(held_out) else held_out


def _require_images(split: str, data: Any) -> None:
    """Check that a pair has images: paths are none, nor is a single number.

    Raises:
        UserError: it has none.
    """
    images = data[0] if isinstance(data, tuple) else None
    if is_dataset(images) or (is_like_array(images) and getattr(images, "shape", ()) != ()):
        return
    if isinstance(images, str | os.PathLike) or isinstance(first_of(images), str | os.PathLike):
        raise UserError(
            f"{split} is a pair of paths and labels: give a DataFrame or a CSV file with the columns path,label, or a "
            "pair of images in memory and labels"
        )
    if isinstance(data, tuple) and (not isinstance(images, Sized) or is_like_array(images)):
        raise UserError(
            f"the images for {split} are {printable(repr(images)[:40])}: give an array (n, height, width, channels), "
            "or a list of arrays or PIL images"
        )


def _require_named(row: Any, names: Sequence[str], split: str) -> None:
    """Check that a row of 0 and 1 has a column for each name.

    Raises:
        UserError: it has more or fewer.
    """
    if names and len(row) != len(names):
        raise UserError(
            f"labels for {split} have {len(row)} columns, and there are {len(names)} classes: give one each"
        )


def images_in_files(
    split: str,
    data: Any,
    folder: Path,
    say: Callable[[str], None],
    on_progress: Callable[[int], None],
    *,
    multi_label: bool = False,
    class_names: Sequence[str] | None = (),
) -> Any:
    """A table of images in memory, after writing them to files; anything else as it is.

    Args:
        split: the name of the folder in `folder`.
        data: a pair of images and labels, a dataset, or something else.
        folder: of all images of the run.
        say: as in `write_images`.
        on_progress: as in `write_images`.
        multi_label: as in `write_images`.
        class_names: the names of the training's classes by number, where a dataset does not say its own; None where
            these have numbers alone.
    """
    if isinstance(stand_in(data), ImageTable):
        _require_images(split, data)
        images, labels = data if isinstance(data, tuple) else (data, None)
        meaning = label_rows if multi_label else class_numbers
        paths, numbers, weights = _written(images, labels, folder / split, say, on_progress, meaning)
        own = class_names_of(images, labels, multi_label=multi_label)
        names = () if class_names is None else own or class_names
        if are_rows(numbers):
            if names and not own:
                say(f"the labels for {split} are columns without names: they are taken in the order of the training's")
            _require_named(numbers[0], names, split)
            return ImageTable(paths, numbers, str(folder), names, weights)
        if is_dataset(data) and class_names is not None and not (names or multi_label) and int in map(type, numbers):
            say(
                f"the labels of the dataset for {split} are numbers, and taken for names of classes: give it as Keras "
                "makes it, with its class_names, if they are places in another order"
            )
        return ImageTable(paths, by_name(numbers, names), root=str(folder), weights=weights)
    return data
