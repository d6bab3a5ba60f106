"""What someone who knows scikit-learn does: features of a frozen Keras backbone, then LogisticRegressionCV on them.

The photos are decoded by Pillow and shrunk with its bilinear filter; features are standardised. It prints one line of
JSON: the accuracy on the test photos.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

BATCH = 32


def paths_of(folder: Path) -> tuple[list[Path], NDArray[np.int64]]:
    """The photos of a folder with a subfolder for each class, and their classes."""
    names = sorted(entry.name for entry in folder.iterdir())
    paths = [path for name in names for path in sorted((folder / name).iterdir())]
    return paths, np.array([names.index(path.parent.name) for path in paths])


def main() -> None:
    """Extract, fit, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--weights", required=True)
    asked = parser.parse_args()
    size = asked.image_size
    network = getattr(keras.applications, asked.backbone)(
        include_top=False, pooling="avg", weights=None, input_shape=(size, size, 3)
    )
    network.load_weights(asked.weights)
    (module,) = (
        module
        for module in vars(keras.applications).values()
        if hasattr(module, "preprocess_input") and hasattr(module, asked.backbone)
    )
    forward = tf.function(lambda pixels: network(pixels, training=False), reduce_retracing=True)

    def features(paths: list[Path]) -> NDArray[np.float32]:
        rows = []
        for start in range(0, len(paths), BATCH):
            photos = []
            for path in paths[start : start + BATCH]:
                with Image.open(path) as photo:
                    small = photo.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
                photos.append(np.asarray(small, np.float32))
            rows.append(np.asarray(forward(module.preprocess_input(np.stack(photos)))))
        return np.concatenate(rows)

    train_paths, train_labels = paths_of(asked.train)
    test_paths, test_labels = paths_of(asked.test)
    folds = max(2, min(5, int(np.bincount(train_labels).min())))
    model = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=10, cv=folds, max_iter=1000, n_jobs=-1))
    model.fit(features(train_paths), train_labels)
    accuracy = float((model.predict(features(test_paths)) == test_labels).mean())
    print(json.dumps({"accuracy": accuracy, "images": len(test_paths)}))


if __name__ == "__main__":
    main()
