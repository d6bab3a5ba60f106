"""What this machine can do at best, on all cores: import TensorFlow, multiply matrices, decode JPEGs, in JSON."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from decode_photos import libjpeg

ROWS = 2048
"""Square matrices of so many rows: they fit no cache, and all operands are used often enough to come from one."""

BATCH = 64


def best_rate(work: Callable[[], object], amount: float, seconds: float) -> float:
    """So much of `amount` a second as in the quickest of all calls within `seconds`; the first call does not count."""
    work()
    quickest, ends = float("inf"), time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.monotonic()
        work()
        quickest = min(quickest, time.monotonic() - began)
    return amount / quickest


def flops_per_second(seconds: float) -> float:
    """Of a product of float32 matrices: a multiplication and an addition for each of rows x rows x rows."""
    import tensorflow as tf  # noqa: PLC0415 - its import is measured

    left, right = tf.random.normal((ROWS, ROWS)), tf.random.normal((ROWS, ROWS))
    product = tf.function(tf.linalg.matmul)
    return best_rate(lambda: product(left, right).numpy(), 2 * ROWS**3, seconds)


def flops_per_image(backbone: str, size: int) -> int:
    """Of a network of `keras.applications` without its top on one image, as TensorFlow's own profiler counts them."""
    import keras  # noqa: PLC0415 - as above
    import tensorflow as tf  # noqa: PLC0415 - as above

    network = getattr(keras.applications, backbone)(include_top=False, input_shape=(size, size, 3), weights=None)
    forward = tf.function(lambda images: network(images, training=False))
    graph = forward.get_concrete_function(tf.TensorSpec((1, size, size, 3))).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    quiet = tf.compat.v1.profiler.ProfileOptionBuilder(options).with_empty_output().build()
    return int(tf.compat.v1.profiler.profile(graph, options=quiet).total_float_ops)


def decodes_per_second(photos: list[str], size: int, seconds: float) -> float:
    """Photos, by the JPEG library alone, a thread for each core; at the scale that autofit asks for."""
    cores = len(os.sched_getaffinity(0))
    decode = libjpeg(size, "")
    groups = itertools.cycle(photos[start : start + BATCH] for start in range(0, len(photos) - BATCH + 1, BATCH))
    with ThreadPoolExecutor(cores) as pool:

        def batch() -> None:
            paths = next(groups)
            list(pool.map(decode, [paths[core::cores] for core in range(cores)]))

        return best_rate(batch, BATCH, seconds)


def main() -> None:
    """Measure, and print the one line that the benchmark reads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="a folder of at least 64 JPEGs, in any folders below it")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--size", type=int, required=True, help="width and height in pixels")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each rate is looked for")
    asked = parser.parse_args()
    began = time.monotonic()
    import keras  # noqa: F401, PLC0415 - as above

    found = {
        "cores": len(os.sched_getaffinity(0)),
        "import_seconds": time.monotonic() - began,
        "flops_per_second": flops_per_second(asked.seconds),
        "flops_per_image": flops_per_image(asked.backbone, asked.size),
        "decodes_per_second": decodes_per_second(
            sorted(map(str, asked.photos.rglob("*.jpg"))), asked.size, asked.seconds
        ),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
