"""How fast photos become pixels, on a core: autofit beside plain Pillow, TensorFlow, and the JPEG library alone.

Photos of 640x480 and of 12 megapixels, to 224x224. Each decoder is a process of its own on one core, in turn, round
after round; autofit's loader runs on all cores as well.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from decode_table import Round, disturbed, table
from drawn_photos import LARGE_PHOTO, SMALL_PHOTO
from machine import machine, today, versions
from photo_folders import DEFAULT_WORK, plain_folder
from whole_process import run_whole

PROGRAM = Path(__file__).resolve().parent / "peers" / "decode_photos.py"
PHOTOS = {SMALL_PHOTO: 96, LARGE_PHOTO: 12}
"""How many of each size."""
PIXELS = 224
ALL_CORES = len(os.sched_getaffinity(0))
DECODERS = {
    "Pillow": ("pillow", 1),
    "autofit, decode_into": ("autofit-function", 1),
    "autofit, BatchLoader": ("autofit-loader", 1),
    "autofit, BatchLoader on all cores": ("autofit-loader", ALL_CORES),
    "tf.io": ("tf-io", 1),
    "tf.io, ratio": ("tf-io-ratio", 1),
    "limit: libjpeg alone, at autofit's scale": ("libjpeg", 1),
}


def one_round(name: str, photos: Path, seconds: float) -> Round:
    """One decoder in a process of its own.

    Raises:
        RuntimeError: it failed.
    """
    decoder, cores = DECODERS[name]
    given = ["--decoder", decoder, "--size", str(PIXELS), "--seconds", str(seconds), "--cores", str(cores)]
    with tempfile.TemporaryDirectory() as folder:
        ended = run_whole([sys.executable, PROGRAM, photos, *given], {"TF_CPP_MIN_LOG_LEVEL": "2"}, Path(folder))
    return Round(name, **ended.answer(name))


def all_rounds(photos: Path, rounds: int, seconds: float) -> Iterator[Round]:
    """Every decoder in turn, again and again; each is told as it ends."""
    for number in range(1, rounds + 1):
        for name in DECODERS:
            one = one_round(name, photos, seconds)
            print(f"round {number}, {photos.name}, {name}: {one.images_per_second:.1f} images/s a core", flush=True)
            yield one


def title(size: tuple[int, int], photos: Path) -> str:
    """What a table is about."""
    files = [path.stat().st_size for path in photos.iterdir()]
    return f"{size[0]}x{size[1]}, {sum(files) / len(files) / 1000:.0f} KB a file on average, to {PIXELS}x{PIXELS}:"


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each decodes in a round")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="keeps the photos")
    parser.add_argument("--json", type=Path, help="keep the raw rounds in this file")
    return parser.parse_args()


def main() -> None:
    """Measure, and print what belongs in `docs/benchmarks.md`."""
    asked = options()
    folders = {size: plain_folder(asked.work.resolve(), size, count) for size, count in PHOTOS.items()}
    rounds = {size: list(all_rounds(folders[size], asked.rounds, asked.seconds)) for size in PHOTOS}
    print(f"\n{asked.rounds} rounds of {asked.seconds:g} s; {machine()};")
    print(f"{versions(sys.executable, ['autofit-keras', 'pillow', 'tensorflow', 'numpy'])}; {today()}")
    for size, own in rounds.items():
        print(f"\n{title(size, folders[size])}\n\n{table(own)}")
        if names := disturbed(own):
            print(f"\nOther work was running: {', '.join(names)} did not have all the time of their cores.")
    if asked.json:
        raw = {folders[size].name: [dataclasses.asdict(one) for one in own] for size, own in rounds.items()}
        asked.json.write_text(json.dumps(raw, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
