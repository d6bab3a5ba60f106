"""Features of real photos in 16 bits beside those in float32, and what that costs a head in accuracy.

Frozen backbones with ImageNet's weights from files, in Keras itself; photos in a folder of classes. The head is
scikit-learn's LogisticRegression on standardised features, trained in the same precision in which it is judged, on five
stratified splits that all precisions share (70 % to train on).

    python benchmarks/half_features.py FOLDER --network MobileNet=mobilenet_1_0_224_tf_no_top.h5:224

Features are kept beside the output, so that it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")

import numpy as np
from machine import machine, today, versions
from markdown_table import markdown_table
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
SPLITS, TRAIN_SHARE = 5, 0.7
SUFFIXES = {".jpg", ".jpeg", ".png"}


def photos_in(folder: Path, every: int) -> tuple[list[Path], np.ndarray]:
    """Each so many-th photo of a folder of classes, and the numbers of their classes."""
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES][::every]
    names = sorted({file.parent.name for file in files})
    return files, np.array([names.index(file.parent.name) for file in files])


def pixels_of(files: Sequence[Path], side: int) -> np.ndarray:
    """The photos, float32 `(n, side, side, 3)` from -1 to 1, as these backbones were trained."""
    images = [Image.open(file).convert("RGB").resize((side, side), Image.Resampling.BICUBIC) for file in files]
    return np.stack([np.asarray(image, np.float32) for image in images]) / 127.5 - 1


def features(name: str, weights: Path, pixels: np.ndarray, precision: str, batch_size: int) -> np.ndarray:
    """Pooled features in a precision, float64 `(n, width)`."""
    import keras  # noqa: PLC0415 - the environment is set first

    keras.config.set_dtype_policy(precision)
    make = getattr(keras.applications, name)
    model = make(include_top=False, weights=str(weights), input_shape=pixels.shape[1:], pooling="avg")
    return np.asarray(model.predict(pixels, batch_size=batch_size, verbose=0), np.float64)


def distances(plain: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """The distance of each photo's features, as a share of their length in float32."""
    return np.linalg.norm(coarse - plain, axis=1) / np.linalg.norm(plain, axis=1)


def accuracies(found: np.ndarray, classes: np.ndarray, judged: np.ndarray | None = None) -> np.ndarray:
    """The accuracy of a head on photos held out, by split; `judged` are other features of the same photos to judge."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - heavy
    from sklearn.model_selection import StratifiedShuffleSplit  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    judged = found if judged is None else judged
    splits = StratifiedShuffleSplit(SPLITS, train_size=TRAIN_SHARE, random_state=0).split(found, classes)
    scores = []
    for train, held in splits:
        head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        scores.append(head.fit(found[train], classes[train]).score(judged[held], classes[held]))
    return np.array(scores)


def rows_of(name: str, side: int, found: dict[str, np.ndarray], classes: np.ndarray) -> list[list[str]]:
    """The rows of a network, one for each precision that was measured."""
    plain = accuracies(found["float32"], classes)
    rows = [[f"{name}, {side} px", str(len(classes)), "float32", "", "", f"{100 * plain.mean():.1f}", "", ""]]
    for precision in PRECISIONS[1:]:
        if precision not in found:
            continue
        away, own = distances(found["float32"], found[precision]), accuracies(found[precision], classes)
        crossed = accuracies(found[precision], classes, found["float32"])
        by_split = 100 * (own - plain)
        error = by_split.std(ddof=1) / np.sqrt(SPLITS)
        figures = [f"{100 * away.max():.1f} %", f"{100 * away.mean():.1f} %", f"{100 * own.mean():.1f}"]
        rest = [f"{by_split.mean():+.1f} ± {error:.1f}", f"{100 * (crossed - plain).mean():+.1f}"]
        rows.append([f"{name}, {side} px", str(len(classes)), precision, *figures, *rest])
    return rows


def main() -> None:
    """Measure what the folder does not hold yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder with a folder for each class")
    parser.add_argument("--network", action="append", required=True, help="NAME=WEIGHTS:SIDE, of Keras")
    parser.add_argument("--precision", action="append", choices=PRECISIONS[1:], help="only these, beside float32")
    parser.add_argument("--every", type=int, default=1, help="only each so many-th photo")
    parser.add_argument("--kept", type=Path, default=Path(), help="folder for the features")
    parser.add_argument("--batch-size", type=int, default=8)
    asked = parser.parse_args()
    files, classes = photos_in(asked.photos, asked.every)
    rows = []
    for name, weights, side in (given.replace("=", ":").rsplit(":", 2) for given in asked.network):
        pixels, found = None, {}
        for precision in ("float32", *(asked.precision or PRECISIONS[1:])):
            file = asked.kept / f"{name}-{side}-{len(files)}-{precision}.npy"
            if not file.exists():
                pixels, began = pixels_of(files, int(side)) if pixels is None else pixels, time.monotonic()
                np.save(file, features(name, Path(weights), pixels, precision, asked.batch_size))
                print(f"{name} {precision}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            found[precision] = np.load(file)
        rows += rows_of(name, int(side), found, classes)
    header = ("network", "photos", "precision", "farthest", "mean", "accuracy", "difference", "judged in float32")
    print(f"{machine()}; {versions(sys.executable, ['tensorflow', 'keras', 'scikit-learn'])}; {today()}\n")
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
