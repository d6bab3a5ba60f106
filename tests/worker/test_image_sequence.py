from __future__ import annotations

import math
import os
import pickle
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autofit.errors import UserError
from autofit.input.epoch_order import epoch_order
from autofit.protocol.messages import BadImage

pytestmark = pytest.mark.slow  # for the import of Keras

NO_IMAGE = "not an image of a known format"


@pytest.fixture(scope="module", autouse=True)
def keras() -> Any:
    """Keras, imported here so that collecting the tests does not take seconds."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow's own imports
        import keras  # noqa: PLC0415 - see above
    return keras


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Seven images, each of one grey, from 0 to 6."""
    made = [str(tmp_path / f"{number}.png") for number in range(7)]
    for number, path in enumerate(made):
        Image.new("RGB", (8, 8), (number, number, number)).save(path)
    return made


def sequence(*arguments: Any, **options: Any) -> Any:
    from autofit.worker.image_sequence import ImageSequence  # noqa: PLC0415 - imports Keras

    return ImageSequence(*arguments, **options)


def spoil(*damaged: str) -> None:
    for path in damaged:
        Path(path).write_text("no image")


def greys(images: Any) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


def tiny_model(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 5, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(2, 3),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_batches_are_raw_images_and_class_numbers(paths: list[str]) -> None:
    """A model would train on scaled or reordered data, or lose the last partial batch."""
    data = sequence(paths, [9, 8, 7, 6, 5, 4, 3], 3, (6, 5))
    batches = list(data)
    assert len(data) == 3
    assert [greys(images) for images, _ in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [labels.tolist() for _, labels in batches] == [[9, 8, 7], [6, 5, 4], [3]]
    images, labels = data[0]
    assert (images.shape, images.dtype, labels.dtype) == ((3, 6, 5, 3), np.uint8, np.int64)
    with pytest.raises(IndexError):
        data[3]


def test_images_of_more_than_8_bits_have_the_range_that_is_given(tmp_path: Path) -> None:
    """A dark image would be as bright as a bright one, and none as the model has seen it in its training."""
    Image.fromarray(np.full((8, 8), 250, np.uint16)).save(tmp_path / "dark.png")
    ranges = {"I;16": (0, 1000)}
    given = sequence([tmp_path / "dark.png"], None, 1, 8, value_ranges=ranges)
    assert (given[0] == 64).all()
    pickle.dumps(given)  # for `use_multiprocessing`
    assert (sequence([tmp_path / "dark.png"], None, 1, 8)[0] == 250).all()
    with pytest.raises(UserError, match="value_ranges must be a mapping"):
        sequence([tmp_path / "dark.png"], None, 1, 8, value_ranges=3)


def test_without_labels_the_items_are_images(paths: list[str]) -> None:
    """`model.predict` would be given labels that there are not."""
    data = sequence(paths, None, 4, 5)
    assert [batch.shape for batch in data] == [(4, 5, 5, 3), (3, 5, 5, 3)]


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path: Path) -> None:
    """Millions of images would be read before the first step."""
    data = sequence([str(tmp_path / "missing.png")], [0], 1, 5)
    assert data.quarantined == []


def test_each_epoch_has_its_order(paths: list[str]) -> None:
    """Shuffled epochs would repeat one order, or one that no other run with this seed can repeat."""
    data = sequence(paths, range(7), 3, 5, shuffle=True, seed=4)
    for epoch in range(3):
        order = epoch_order(7, 4, epoch).tolist()
        assert [grey for images, _ in data for grey in greys(images)] == order
        assert [label for _, labels in data for label in labels] == order
        data.on_epoch_end()


def test_without_shuffle_the_order_stays(paths: list[str]) -> None:
    """Predictions of a second pass would belong to other files."""
    data = sequence(paths, None, 7, 5)
    data.on_epoch_end()
    assert greys(data[0]) == list(range(7))


def test_an_unreadable_image_is_left_out_and_named_once(paths: list[str]) -> None:
    """One bad file would end the training, shift the labels of its batch, or be left out in silence."""
    spoil(paths[1])
    data = sequence(paths, range(7), 3, 5)
    with pytest.warns(UserWarning, match=rf"^left out {re.escape(paths[1])}: {NO_IMAGE}$"):
        images, labels = data[0]
    assert greys(images) == labels.tolist() == [0, 2]
    assert greys(data[0][0]) == [0, 2]  # a second warning would be an error here
    assert data.quarantined == [BadImage(path=paths[1], reason=NO_IMAGE)]


@pytest.mark.filterwarnings("ignore:left out")
def test_a_batch_without_images_gives_the_next_one(paths: list[str]) -> None:
    """An empty batch raises within Keras, and makes the statistics of batch normalization NaN."""
    spoil(*paths[:2], *paths[4:])
    data = sequence(paths, range(7), 2, 5)
    assert [greys(images) for images, _ in data] == [[2, 3]] * 4
    assert [labels.tolist() for _, labels in data] == [[2, 3]] * 4


@pytest.mark.filterwarnings("ignore:left out")
def test_nothing_readable_at_all_is_an_error(paths: list[str]) -> None:
    """Training would search for an image for ever, or train on nothing."""
    spoil(*paths)
    with pytest.raises(UserError, match="none of the 7 images can be read; the first is "):
        sequence(paths, range(7), 2, 5)[1]


@pytest.mark.filterwarnings("ignore:left out")
def test_a_prediction_never_repeats_a_batch(paths: list[str]) -> None:
    """The predictions of one batch would stand where those of another are looked for."""
    spoil(*paths[2:4])
    data = sequence(paths, None, 2, 5)
    with pytest.raises(UserError, match="no image of batch 1 can be read"):
        data[1]


@pytest.mark.parametrize(
    ("labels", "batch_size", "image_size", "message"),
    [
        (list("abcdefg"), 2, 5, "labels are str.*'a'.*; give class numbers"),
        ([0.5] * 7, 2, 5, "labels are float64.*; give class numbers"),
        ([0] * 6, 2, 5, r"7 image paths but labels of shape \(6,\)"),
        ([[0, 1]] * 7, 2, 5, r"7 image paths but labels of shape \(7, 2\)"),
        ([0, 1, -1, 0, 0, 0, 0], 2, 5, "labels have -1; give class numbers from 0"),
        ([0] * 7, 0, 5, "batch_size must be from 1 to 2147483647, not 0"),
        ([0] * 7, 2.5, 5, "batch_size must be a whole number, not 2.5"),
        ([0] * 7, 2, 0, "image_size must be from 1 to 65535, not 0"),
        ([0] * 7, 2, (5, -1), "image_size must be from 1 to 65535, not -1"),
        ([0] * 7, 2, (5, 5, 3), r"image_size must be one number or \(height, width\), not \(5, 5, 3\)"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(
    paths: list[str], labels: Any, batch_size: int, image_size: Any, message: str
) -> None:
    """The mistake would show up minutes later, inside Keras, or train on the wrong labels."""
    with pytest.raises(UserError, match=message):
        sequence(paths, labels, batch_size, image_size)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("PHOTOS", "image_paths is 'PHOTOS', one path; give a list of the image files"),
        (Path("PHOTOS"), "image_paths is 'PHOTOS', one path; give a list of the image files"),
        (None, "image_paths is None; give a list of the image files"),
        ([], "image_paths is empty; give at least one image file"),
        (["a.jpg", 3], "item 1 of image_paths is 3; give a file's path"),
    ],
    ids=["folder", "path of a folder", "no list", "none", "number"],
)
def test_what_is_no_list_of_files_is_refused_at_once(given: Any, message: str) -> None:
    """Each letter of a folder's name would be a file, and none a mean of nothing in Keras."""
    with pytest.raises(UserError, match=message):
        sequence(given, None, 2, 5)


def test_whether_it_shuffles_is_said_by_true_or_false(paths: list[str]) -> None:
    """`shuffle=[True]` or "no" would shuffle, and an array end in a ValueError of NumPy."""
    for given in (np.array([True, False]), "no", None):
        with pytest.raises(UserError, match="shuffle must be True or False, not "):
            sequence(paths, [0] * 7, 2, 5, shuffle=given)


def test_sizes_may_be_numbers_of_numpy(paths: list[str]) -> None:
    """A size that was computed would end in a TypeError; a seed below 0 in an OverflowError."""
    assert sequence(paths, [0] * 7, np.int64(2), np.int64(5))[0][0].shape == (2, 5, 5, 3)
    with pytest.raises(UserError, match="seed must be from 0"):
        sequence(paths, [0] * 7, 2, 5, seed=-1)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.filterwarnings("ignore:left out")
def test_it_trains_with_fit(keras: Any, paths: list[str], workers: int) -> None:
    """`ImageSequence` is public for just this: with bad files, with an unreadable batch, with and without threads."""
    spoil(paths[0], *paths[2:4])
    labels = [number % 2 for number in range(7)]
    data = sequence(paths, labels, 2, (6, 5), workers=workers, max_queue_size=2)
    model = tiny_model(keras)
    history = model.fit(data, validation_data=data, epochs=2, verbose=0, class_weight={0: 1.0, 1: 2.0}).history
    assert len(history["loss"]) == 2
    assert all(math.isfinite(value) for values in history.values() for value in values)
    assert all(np.isfinite(weights).all() for weights in model.get_weights())
    assert {image.path for image in data.quarantined} == {paths[0], paths[2], paths[3]}


def test_a_shuffled_fit_sees_every_image_once_an_epoch(keras: Any, paths: list[str]) -> None:
    """Keras draws batches early to learn their shape, and calls `on_epoch_end`: neither may lose or repeat an image."""
    data = sequence(paths, range(7), 3, 5, shuffle=True)
    seen = list(seen_by_fit(keras, data, epochs=2))
    assert sorted(seen[:7]) == sorted(seen[7:]) == list(range(7))
    assert seen[:7] != seen[7:]


def seen_by_fit(keras: Any, data: Any, epochs: int) -> Iterator[int]:
    """The labels that the training step of a model is given, in order."""
    seen: list[int] = []

    class Recorder(keras.Model):  # type: ignore[misc]
        def train_step(self, batch: Any) -> dict[str, float]:
            seen.extend(int(label) for label in batch[1])
            return {"loss": 0.0}

    model = Recorder()
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(data, epochs=epochs, verbose=0, shuffle=False)
    return iter(seen)


def test_it_predicts(keras: Any, paths: list[str]) -> None:
    """Predictions would need labels, or not be one row a file."""
    assert tiny_model(keras).predict(sequence(paths, None, 3, (6, 5)), verbose=0).shape == (7, 2)
