"""Evaluates a run's model on its validation photos with nothing but Keras; started by `test_survival.py`.

plain_keras.py RUN_DIR PHOTOS   prints the loss
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

sys.modules["autofit"] = None  # type: ignore[assignment]  # whoever needs it to open the model fails to import it

import keras
import numpy as np
from PIL import Image

if __name__ == "__main__":
    run_dir, photos = Path(sys.argv[1]), Path(sys.argv[2])
    names = json.loads((run_dir / "labels.json").read_text())["labels"]
    with (run_dir / "samples.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "validation"]
    images = np.stack([np.asarray(Image.open(photos / row["path"])) for row in rows])
    labels = np.array([names.index(row["label"]) for row in rows])
    model = keras.models.load_model(run_dir / "model.keras")
    model.compile(loss="sparse_categorical_crossentropy")
    print(model.evaluate(images, labels, verbose=0))
