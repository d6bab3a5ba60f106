"""Transfer learning with tf.data as Keras's and TensorFlow's guides show it: from a directory, cached, prefetched."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras_classifier import Clock, arguments, classifier, report


def main() -> None:
    """Train, save, and tell what was measured."""
    asked = arguments(__doc__).parse_args()
    keras.utils.set_random_seed(asked.seed)
    shape = {"image_size": (asked.image_size, asked.image_size), "batch_size": asked.batch_size}
    train = keras.utils.image_dataset_from_directory(asked.data / "train", seed=asked.seed, **shape)
    validation = keras.utils.image_dataset_from_directory(asked.data / "val", shuffle=False, **shape)
    model = classifier(asked.backbone, asked.image_size, len(train.class_names), asked.weights)
    train = train.cache().prefetch(tf.data.AUTOTUNE)
    validation = validation.cache().prefetch(tf.data.AUTOTUNE)
    clock = Clock()
    history = model.fit(train, validation_data=validation, epochs=asked.epochs, callbacks=[clock], verbose=2)
    model.save(asked.model)
    report(clock, history)


if __name__ == "__main__":
    main()
