"""The pooled features of a folder's images and of their mirror images, by a frozen Keras backbone, as one `.npz` file.

    python benchmarks/head_features.py PHOTOS --backbone MobileNet --size 224 --weights FILE --out food.npz

An image's class is the name of the folder that it lies in. The file holds `features` (images, 2, d) float32, the mirror
image second; `labels` (images,) int64; `classes`; and `seconds_per_image`, of decoding and network without the mirror.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float32]
"""(images, height, width, 3), 0..255."""

SUFFIXES = {".jpg", ".jpeg", ".png"}
BATCH_SIZE = 32


def files_of(folder: Path) -> list[Path]:
    """All images in it, in the order of their paths.

    Raises:
        SystemExit: there are none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise SystemExit(f"{folder} has no images ({', '.join(sorted(SUFFIXES))})")
    return files


def batches(files: list[Path], size: int) -> Iterator[Pixels]:
    """The decoded images, `size` pixels square."""
    for start in range(0, len(files), BATCH_SIZE):
        yield np.stack([_pixels(path, size) for path in files[start : start + BATCH_SIZE]])


def _pixels(path: Path, size: int) -> Pixels:
    with Image.open(path) as image:
        image.draft("RGB", (2 * size, 2 * size))
        small = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(small, np.float32)


def backbone(name: str, size: int, weights: str) -> tuple[Any, Any]:
    """The network, average-pooled, as a compiled function; and its preprocessing."""
    import keras  # noqa: PLC0415  # after TensorFlow's log level is set
    import tensorflow as tf  # noqa: PLC0415

    network = getattr(keras.applications, name)(
        include_top=False, pooling="avg", weights=weights, input_shape=(size, size, 3)
    )
    (module,) = (
        module
        for module in vars(keras.applications).values()
        if hasattr(module, "preprocess_input") and hasattr(module, name)
    )
    return tf.function(lambda pixels: network(pixels, training=False), reduce_retracing=True), module.preprocess_input


def main() -> None:
    """Extract, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--backbone", default="MobileNet")
    parser.add_argument("--size", type=int, default=224, help="in pixels")
    parser.add_argument("--weights", default="imagenet", help="a file without a top, or imagenet")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    files = files_of(given.photos)
    network, preprocess = backbone(given.backbone, given.size, given.weights)
    views, mirrored, seconds = [], [], 0.0
    started = time.perf_counter()
    for pixels in batches(files, given.size):
        views.append(network(preprocess(pixels.copy())).numpy())
        seconds += time.perf_counter() - started
        mirrored.append(network(preprocess(pixels[:, :, ::-1].copy())).numpy())
        started = time.perf_counter()
    classes, labels = np.unique([path.parent.name for path in files], return_inverse=True)
    features = np.stack([np.concatenate(views), np.concatenate(mirrored)], axis=1)
    np.savez(
        given.out, features=features, labels=labels, classes=classes, seconds_per_image=np.array(seconds / len(files))
    )
    print(f"{given.out}: {features.shape}, {len(classes)} classes, {seconds / len(files) * 1e3:.1f} ms an image")


if __name__ == "__main__":
    main()
