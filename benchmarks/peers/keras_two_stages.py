"""The usual two stages of Keras's transfer-learning guide: a new head, then the upper part of the backbone at 1e-5.

`image_dataset_from_directory` with a fifth for validation, cached; Adam; the best epoch's model by validation loss is
saved. Its seconds are the caller's to measure.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import tensorflow as tf

BATCH = 32
UNFROZEN_SHARE = 0.3


def main() -> None:
    """Train both stages, and save the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("model", type=Path, help="where the .keras file is written")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--epochs", type=int, default=10, help="of the head")
    parser.add_argument("--fine-tune-epochs", type=int, default=10)
    asked = parser.parse_args()
    size = asked.image_size
    train, validation = keras.utils.image_dataset_from_directory(
        asked.train, validation_split=0.2, subset="both", seed=0, image_size=(size, size), batch_size=BATCH
    )
    classes = len(train.class_names)
    train, validation = (part.cache().prefetch(tf.data.AUTOTUNE) for part in (train, validation))
    network = getattr(keras.applications, asked.backbone)(
        include_top=False, pooling="avg", weights=None, input_shape=(size, size, 3)
    )
    network.load_weights(asked.weights)
    network.trainable = False
    images = keras.Input((size, size, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    flipped = keras.layers.RandomFlip("horizontal")(scaled)
    head = keras.layers.Dropout(0.2)(network(flipped, training=False))
    model = keras.Model(images, keras.layers.Dense(classes, activation="softmax")(head))
    best = keras.callbacks.ModelCheckpoint(asked.model, monitor="val_loss", save_best_only=True)
    for epochs, rate in ((asked.epochs, 1e-3), (asked.fine_tune_epochs, 1e-5)):
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(train, validation_data=validation, epochs=epochs, verbose=0, callbacks=[best])
        network.trainable = True
        for layer in network.layers[: int((1 - UNFROZEN_SHARE) * len(network.layers))]:
            layer.trainable = False


if __name__ == "__main__":
    main()
