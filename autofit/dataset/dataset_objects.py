"""Images and labels of a `tf.data.Dataset` or a `PyDataset`, one at a time. TensorFlow is not imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from autofit.dataset.sample_weights import weight_of_cell
from autofit.errors import UserError

IMAGE_SIDES = 3
CHANNELS = (1, 3, 4)


def is_dataset(data: object) -> bool:
    """Whether the data are a `tf.data.Dataset` or a Keras `PyDataset`, by the names of their classes."""
    return any(
        kind.__name__ in {"DatasetV2", "PyDataset"} and kind.__module__.startswith(("tensorflow", "keras"))
        for kind in type(data).__mro__
    )


def class_names_of(data: object, labels: object = None, *, multi_label: bool = False) -> list[str]:
    """The names of classes by number, or by column, where the images or their labels say them; else empty.

    Args:
        data: images; a dataset made by `image_dataset_from_directory` or `flow_from_directory` has names.
        labels: those of the images; a DataFrame of 0 and 1 has the names of its columns.
        multi_label: whether an image may have several labels. Where it has one, and all columns are called by numbers,
            these do not count: other images may have such numbers as their labels.
    """
    columns = getattr(labels, "columns", None)
    if columns is None or getattr(labels, "ndim", 1) != 2:  # noqa: PLR2004 - rows and columns
        return _names_of_dataset(data) if is_dataset(data) else []
    names = list(map(str, columns))
    is_named = names != list(map(str, range(len(names)))) and (multi_label or not all(map(str.isdecimal, names)))
    return names if len(names) > 1 and is_named else []


def _names_of_dataset(data: object) -> list[str]:
    names, numbers = getattr(data, "class_names", None), getattr(data, "class_indices", None)
    if not names and isinstance(numbers, Mapping) and {*numbers.values()} == {*range(len(numbers))}:
        names = sorted(numbers, key=numbers.__getitem__)
    listed = list(names) if isinstance(names, list | tuple) else []
    return listed if all(isinstance(name, str) for name in listed) else []


def by_name(labels: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """The labels, with class numbers replaced by the classes' names if there are any; other labels stay as they are."""
    return [names[label] if type(label) is int and 0 <= label < len(names) else label for label in labels]


def images_of_dataset(data: Any, meaning: Callable[[Any], list[Any]] | None) -> Iterator[tuple[Any, Any, float]]:
    """The images of a dataset, one at a time, with their labels and weights; 1 where the dataset gives no weights.

    Args:
        data: a dataset of batches or of single images.
        meaning: converts the labels of a batch to plain labels; None if labels are not needed, so that each is None.

    Raises:
        UserError: it cannot be used; the message says what to do.
    """
    if hasattr(data, "as_numpy_iterator"):
        if int(data.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
            raise UserError("the dataset repeats for ever: give it without repeat()")
        batches: Iterable[Any] = data.as_numpy_iterator()
    else:
        batches = (data[number] for number in range(len(data)))
    for batch in batches:
        images, labels, weights = _parts(batch, has_labels=meaning is not None)
        if _is_one(images, labels):
            yield images, meaning([labels])[0] if meaning else None, _weights(weights, 1)[0]
            continue
        numbers = meaning(labels) if meaning else [None] * len(images)
        if len(images) != len(numbers):
            raise UserError(f"a batch of the dataset has {len(images)} images and {len(numbers)} labels: give as many")
        yield from zip(images, numbers, _weights(weights, len(images)), strict=True)


def _parts(batch: Any, *, has_labels: bool) -> tuple[Any, Any, Any]:
    """The images, labels and weights of a batch; None for what is not needed or not there.

    Raises:
        UserError: it has no labels, or gives images or labels by name, or paths in place of images.
    """
    parts = batch if isinstance(batch, tuple) else (batch,)
    if has_labels and len(parts) < 2:  # noqa: PLR2004 - images and labels
        raise UserError("the dataset gives no pairs: give one of (images, labels)")
    images, labels, weights = (*parts, None, None)[:3]
    for what, given in {"images": images, "labels": labels if has_labels else None}.items():
        if isinstance(given, Mapping):
            named = ", ".join(map(repr, given))
            raise UserError(f"the dataset gives {what} by name ({named}): give pairs of (images, labels), as by map()")
    if _are_texts(images):
        raise UserError(
            "the dataset gives paths or other text in place of images: give lists of the paths and labels, as "
            "autofit.run(paths, labels)"
        )
    return images, labels, weights if has_labels else None


def _weights(weights: Any, count: int) -> list[float]:
    """The weights of a batch of so many images.

    Raises:
        UserError: there are more or fewer, or one is no number of 0 or more.
    """
    if weights is None:
        return [1.0] * count
    import numpy as np  # noqa: PLC0415

    values = np.asarray(weights)
    if values.size != count or values.dtype.kind not in "buif":
        raise UserError(
            f"the dataset gives weights of the shape {values.shape} for {count} images: give one number for each"
        )
    try:
        return [weight_of_cell(value, "weight of an image") for value in values.reshape(-1).tolist()]
    except ValueError as error:
        raise UserError(f"the dataset cannot be used: {error}") from None


def _are_texts(images: Any) -> bool:
    """Whether these are text, which is bytes in tensors."""
    kind = getattr(getattr(images, "dtype", None), "kind", "")
    first = images.flat[0] if kind == "O" and images.size else None
    return kind in {"S", "U"} or isinstance(images, str | bytes) or isinstance(first, str | bytes)


def _is_one(images: Any, labels: Any) -> bool:
    """Whether this is a single image of a dataset without batches; not a batch of grey images, `(n, height, width)`."""
    sides = getattr(images, "ndim", 0)
    if sides not in {IMAGE_SIDES - 1, IMAGE_SIDES}:
        return False
    if labels is None:
        return sides == IMAGE_SIDES - 1 or images.shape[2] in CHANNELS
    is_batch = getattr(labels, "ndim", 0) > 0 and len(labels) == len(images)
    return not is_batch or (sides == IMAGE_SIDES and images.shape[2] in CHANNELS)
