"""How many photos a saved model gets right, decoded by Pillow in full and shrunk with its bilinear filter.

All contenders' models are judged by this one decoding, which none of them trains with. It prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

BATCH = 64


def decoded(path: Path, size: int) -> NDArray[np.uint8]:
    """uint8 (size, size, 3), RGB."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def main() -> None:
    """Load, predict, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a .keras file: raw photos 0..255 to probabilities")
    parser.add_argument("photos", type=Path, help="a folder with a subfolder for each class")
    parser.add_argument("--image-size", type=int, required=True)
    asked = parser.parse_args()
    names = sorted(entry.name for entry in asked.photos.iterdir())
    paths = [path for name in names for path in sorted((asked.photos / name).iterdir())]
    labels = np.array([names.index(path.parent.name) for path in paths])
    model = keras.models.load_model(asked.model)
    images = np.stack([decoded(path, asked.image_size) for path in paths])
    answers = model.predict(images, batch_size=BATCH, verbose=0).argmax(axis=1)
    print(json.dumps({"accuracy": float(np.mean(answers == labels)), "images": len(paths)}))


if __name__ == "__main__":
    main()
