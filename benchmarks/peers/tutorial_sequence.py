"""Transfer learning as many tutorials show it: a `keras.utils.Sequence` that opens its photos with Pillow."""

from __future__ import annotations

import math
from pathlib import Path

import keras
import numpy as np
from keras_classifier import Clock, arguments, classifier, report
from numpy.typing import NDArray
from PIL import Image

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]


class Photos(keras.utils.Sequence):
    """Batches of a folder with a subfolder for each class."""

    def __init__(self, folder: Path, image_size: int, batch_size: int, *, shuffle: bool) -> None:
        super().__init__()
        self.class_names = sorted(entry.name for entry in folder.iterdir())
        self.paths = [path for name in self.class_names for path in sorted((folder / name).iterdir())]
        self.labels = np.array([self.class_names.index(path.parent.name) for path in self.paths])
        self.image_size, self.batch_size, self.shuffle = image_size, batch_size, shuffle
        self.order = np.arange(len(self.paths))
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self.paths) / self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return np.stack([self.image(self.paths[number]) for number in chosen]), self.labels[chosen]

    def image(self, path: Path) -> NDArray[np.float32]:
        """One photo, `(size, size, 3)`, 0..255."""
        with Image.open(path) as photo:
            resized = photo.convert("RGB").resize((self.image_size, self.image_size))
        return np.asarray(resized, dtype="float32")

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        if self.shuffle:
            np.random.shuffle(self.order)  # noqa: NPY002  # as tutorials do


def main() -> None:
    """Train, save, and tell what was measured."""
    asked = arguments(__doc__).parse_args()
    keras.utils.set_random_seed(asked.seed)
    train = Photos(asked.data / "train", asked.image_size, asked.batch_size, shuffle=True)
    validation = Photos(asked.data / "val", asked.image_size, asked.batch_size, shuffle=False)
    model = classifier(asked.backbone, asked.image_size, len(train.class_names), asked.weights)
    clock = Clock()
    history = model.fit(train, validation_data=validation, epochs=asked.epochs, callbacks=[clock], verbose=2)
    model.save(asked.model)
    report(clock, history)


if __name__ == "__main__":
    main()
