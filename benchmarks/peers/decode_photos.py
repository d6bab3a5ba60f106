"""One way to decode photos, again and again for some seconds, on the cores it is given: how many, and how fast."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

WARM_UP_SECONDS = 0.5
BATCH = 32
BUFFER_BYTES = 64 * 2**20
SCALES = (8, 4, 2, 1)
"""At which libjpeg can decode, each side divided by one of these."""

Decode = Callable[[list[str]], None]
"""Decodes a batch of files."""


def one_by_one(decode: Callable[[str], object]) -> Decode:
    """A batch, file after file."""

    def batch(paths: list[str]) -> None:
        for path in paths:
            decode(path)

    return batch


def pillow(size: int, _: str) -> Decode:
    """As most scripts do: decoded in full, then resized with Pillow's default filter."""

    def decode(path: str) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((size, size)))

    return one_by_one(decode)


def libjpeg(size: int, _: str) -> Decode:
    """Pillow's JPEG decoder alone, at the scale that autofit asks it for: nothing is resized."""

    def decode(path: str) -> None:
        with Image.open(path) as image:
            image.draft("RGB", (2 * size, 2 * size))
            image.load()

    return one_by_one(decode)


def autofit_function(size: int, _: str) -> Decode:
    """What autofit decodes with, by itself."""
    from autofit.input.decode import decode_into  # noqa: PLC0415  # each process imports only what it measures

    out = np.empty((size, size, 3), np.uint8)
    return one_by_one(lambda path: decode_into(path, out))


def autofit_loader(size: int, _: str) -> Decode:
    """The loader of autofit, with a thread for each core: whole batches, decoded ahead."""
    from autofit.input.batch_loader import BatchLoader  # noqa: PLC0415  # as above

    def decode(paths: list[str]) -> None:
        batches = [range(start, min(start + BATCH, len(paths))) for start in range(0, len(paths), BATCH)]
        threads = len(os.sched_getaffinity(0))
        with BatchLoader(paths, (size, size), threads=threads, buffer_bytes=BUFFER_BYTES) as loader:
            for _ in loader.batches(batches):
                pass

    return decode


def tf_io(size: int, _: str) -> Decode:
    """TensorFlow's operations in a compiled function: decoded in full, then resized."""
    return _tf_io(size, 1)


def tf_io_with_ratio(size: int, example: str) -> Decode:
    """The same, decoded as small as the JPEG library can without falling under the size."""
    return _tf_io(size, scale_for(example, size))


def _tf_io(size: int, ratio: int) -> Decode:
    import tensorflow as tf  # noqa: PLC0415  # as above

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def decode(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3, ratio=ratio)
        return tf.image.resize(image, (size, size))

    return one_by_one(lambda path: decode(tf.constant(path)))


def scale_for(path: str, least: int) -> int:
    """The largest scale at which no side of the photo falls under `least` pixels."""
    with Image.open(path) as image:
        shortest = min(image.size)
    return next((scale for scale in SCALES if shortest // scale >= least), 1)


DECODERS: dict[str, tuple[Callable[[int, str], Decode], Callable[[str, int], int]]] = {
    "pillow": (pillow, lambda _path, _size: 1),
    "autofit-function": (autofit_function, lambda path, size: scale_for(path, 2 * size)),
    "autofit-loader": (autofit_loader, lambda path, size: scale_for(path, 2 * size)),
    "tf-io": (tf_io, lambda _path, _size: 1),
    "tf-io-ratio": (tf_io_with_ratio, scale_for),
    "libjpeg": (libjpeg, lambda path, size: scale_for(path, 2 * size)),
}
"""How each decodes, and the scale at which it has the JPEG library decode."""


def decode_for(decode: Decode, batches: Iterator[list[str]], seconds: float) -> tuple[int, float, float]:
    """Images, seconds and processor seconds of whole batches until the time is over."""
    images, began, cpu_began = 0, time.monotonic(), time.process_time()
    while time.monotonic() - began < seconds:
        batch = next(batches)
        decode(batch)
        images += len(batch)
    return images, time.monotonic() - began, time.process_time() - cpu_began


def main() -> None:
    """Pin, warm up, measure, and print the one line that the benchmark reads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--decoder", choices=DECODERS, required=True)
    parser.add_argument("--size", type=int, required=True, help="width and height in pixels")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--cores", type=int, required=True)
    asked = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[-asked.cores :]
    os.sched_setaffinity(0, cores)
    paths = sorted(map(str, asked.photos.iterdir()))
    make, scale = DECODERS[asked.decoder]
    decode = make(asked.size, paths[0])
    batches = itertools.cycle([paths])
    decode_for(decode, batches, WARM_UP_SECONDS)
    images, seconds, cpu_seconds = decode_for(decode, batches, asked.seconds)
    print(
        json.dumps(
            {
                "images": images,
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "cores": len(cores),
                "scale": scale(paths[0], asked.size),
            }
        )
    )


if __name__ == "__main__":
    main()
