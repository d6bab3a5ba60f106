"""Exports opened by their own runtimes: whether they tell the classes that autofit tells, of real photos.

    python benchmarks/exports.py RUN PHOTOS --json exports.json

The model of a run is exported to LiteRT (also with 8-bit integers), ONNX and a SavedModel; ai-edge-litert, onnxruntime
and TensorFlow open the files, each without autofit, and predict the photos as `autofit.load_images` reads them. They
are compared with `result.predict`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, today, versions
from markdown_table import markdown_table
from numpy.typing import NDArray

import autofit

MEGABYTE, MILLISECONDS = 1e6, 1e3
SUFFIXES = {".jpg", ".jpeg", ".png"}
FORMATS = (("litert", False), ("litert", True), ("onnx", False), ("savedmodel", False))
HEADER = ("format", "opened by", "MB", "same class", "largest difference", "ms a photo, one at a time")

Forward = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From pixels (n, height, width, 3) to probabilities (n, k)."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What an export says of the photos, beside the model that it was made of."""

    format: str
    runtime: str
    megabytes: float
    photos: int
    same: int
    largest_difference: float
    milliseconds_a_photo: float

    @property
    def cells(self) -> list[str]:
        """The row of the table."""
        return [
            self.format,
            self.runtime,
            f"{self.megabytes:.2f}",
            f"{self.same} of {self.photos}",
            f"{self.largest_difference:.1e}",
            f"{self.milliseconds_a_photo:.1f}",
        ]


def litert(path: Path) -> Forward:
    """The file in ai-edge-litert, with its own kernels for this processor."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415  # of those installed

    interpreter = Interpreter(str(path))
    given, told = (each[0]["index"] for each in (interpreter.get_input_details(), interpreter.get_output_details()))

    def forward(images: NDArray[np.float32]) -> NDArray[np.float32]:
        interpreter.resize_tensor_input(given, images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given, images)
        interpreter.invoke()
        return np.array(interpreter.get_tensor(told))

    return forward


def onnx(path: Path) -> Forward:
    """The file in onnxruntime, on the CPU."""
    from onnxruntime import InferenceSession  # noqa: PLC0415  # likewise

    session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda images: np.asarray(session.run(None, {given.name: images})[0])


def savedmodel(path: Path) -> Forward:
    """The folder in TensorFlow, by its signature for serving."""
    import tensorflow as tf  # noqa: PLC0415  # likewise

    served: Any = tf.saved_model.load(str(path))
    return lambda images: np.asarray(served.serve(images))


OPENERS: dict[str, tuple[str, Callable[[Path], Forward]]] = {
    "litert": ("ai-edge-litert", litert),
    "onnx": ("onnxruntime", onnx),
    "savedmodel": ("tensorflow", savedmodel),
}


def compared(export: Any, images: NDArray[np.float32], expected: NDArray[np.float32]) -> Compared:
    """Open an export, and let it predict the photos one after another, as a phone does."""
    runtime, opener = OPENERS[export.format]
    forward = opener(Path(export.path))
    forward(images[:1])
    began = time.perf_counter()
    found = np.concatenate([forward(images[place : place + 1]) for place in range(len(images))])
    seconds = time.perf_counter() - began
    return Compared(
        format=f"{export.format}, 8-bit integers" if export.int8 else export.format,
        runtime=runtime,
        megabytes=export.size_bytes / MEGABYTE,
        photos=len(images),
        same=int((found.argmax(axis=1) == expected.argmax(axis=1)).sum()),
        largest_difference=float(np.abs(found - expected).max()),
        milliseconds_a_photo=seconds * MILLISECONDS / len(images),
    )


def photos_of(folder: Path, most: int) -> list[str]:
    """So many photos of a folder, evenly spread.

    Raises:
        SystemExit: it has fewer.
    """
    found = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(found) < most:
        raise SystemExit(f"{folder} has {len(found)} photos ({', '.join(sorted(SUFFIXES))}): {most} are asked for")
    return [found[place * len(found) // most] for place in range(most)]


def main() -> None:
    """Export, open, compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--most", type=int, default=200, help="photos that are compared")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    result = autofit.Result(asked.run)
    paths = photos_of(asked.photos, asked.most)
    expected = np.asarray(result.predict(paths))
    images = np.asarray(result.preprocess(paths), np.float32)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, int8 in FORMATS:
            suffix = {"litert": ".tflite", "onnx": ".onnx"}.get(name, "")
            export = result.export(name, Path(folder) / f"{name}-{int8}{suffix}", int8=int8)
            rows.append(compared(export, images, expected))
    packages = versions(sys.executable, ("tensorflow", "keras", "ai-edge-litert", "onnxruntime"))
    print(f"{machine()}; {packages}; {today()}; {len(set(expected.argmax(axis=1)))} classes told\n")
    print(markdown_table(HEADER, [row.cells for row in rows]))
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
