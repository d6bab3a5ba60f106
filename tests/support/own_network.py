"""A user's network with a network inside, for runs in stages by `module:function`."""

from __future__ import annotations

from typing import Any

CUT = "second"


def network(shape: tuple[int, int, int], classes: int) -> Any:
    """A frozen network below a head, as Keras's guide to transfer learning builds it."""
    import keras
    from keras import layers

    base = keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(4, 3, strides=2, activation="relu", name="first"),
            layers.Conv2D(8, 3, strides=2, use_bias=False, name="thin"),
            layers.BatchNormalization(name="normalized"),
            layers.ReLU(name=CUT),
            layers.Conv2D(4, 3, strides=2, activation="relu", name="third"),
        ],
        name="base",
    )
    base.trainable = False
    inputs = keras.Input(shape)
    flow = base(layers.Rescaling(1 / 127.5, -1)(layers.RandomFlip()(inputs)), training=False)
    flow = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(flow))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax", name="scores")(flow))
