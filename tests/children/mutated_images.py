"""Decodes mutated image files with the loader; started by `tests/faults/test_images.py`.

mutated_images.py SEEDS FOLDER LOG FIRST COUNT THREADS   decode the mutations FIRST, FIRST + 1, …, COUNT of them
mutated_images.py SEEDS FOLDER COUNT                     write the first COUNT of them to FOLDER, named by their numbers

SEEDS is a folder of good files. Each mutation follows from its number and the seeds alone. LOG gets a line of JSON
before a file is decoded (`begun`, `what`, `time`), one after (`done`, `seconds`, `skipped`: why, or null) and one for
each that the loader leaves out (`named`, `reason`): it names the file that ends this process, or holds it up. The last
line has the peak of this process's memory (`peak_bytes`).
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import resource
import struct
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autofit.input import batch_loader
from autofit.input.batch_loader import BatchLoader
from autofit.input.decode import decode_into

IMAGE_SIZE = (24, 32)
BATCH_SIZE = 32
SEED_SIDES = (97, 61)
"""The width and height of every seed: wherever a file contains them, they are its size."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
SIDES = (0, 1, 2, 96, 98, 1000, 8191, 20_000, 32_767, 65_535, 0x10000, 2**31 - 1, 2**32 - 1)

Mutation = Callable[[random.Random, bytearray, bytes], bytes]


def flipped_bits(dice: random.Random, data: bytearray, _other: bytes) -> bytes:
    """Flip a few bits anywhere."""
    return _flipped(dice, data, len(data))


def flipped_header(dice: random.Random, data: bytearray, _other: bytes) -> bytes:
    """Flip a few bits in the headers."""
    return _flipped(dice, data, min(len(data), 200))


def _flipped(dice: random.Random, data: bytearray, end: int) -> bytes:
    for _ in range(dice.randint(1, 12)):
        data[dice.randrange(end)] ^= 1 << dice.randrange(8)
    return bytes(data)


def cut_short(dice: random.Random, data: bytearray, _other: bytes) -> bytes:
    """Cut the file off, as a download that stopped."""
    return bytes(data[: dice.randrange(1, len(data))])


def zero_filled(dice: random.Random, data: bytearray, _other: bytes) -> bytes:
    """Replace a part by zeros, as if it was never written to the disk."""
    start, length = _part(dice, data)
    data[start : start + length] = bytes(length)
    return bytes(data)


def swapped_parts(dice: random.Random, data: bytearray, _other: bytes) -> bytes:
    """Exchange two parts of the same length."""
    first, length = _part(dice, data)
    second = dice.randrange(len(data) - length + 1)
    one, other = data[first : first + length], data[second : second + length]
    data[first : first + length] = other
    data[second : second + length] = one
    return bytes(data)


def repeated_part(dice: random.Random, data: bytearray, _other: bytes) -> bytes:
    """Repeat a part several times."""
    start, length = _part(dice, data)
    return bytes(data[:start]) + bytes(data[start : start + length]) * dice.randint(2, 40) + bytes(data[start:])


def _part(dice: random.Random, data: bytearray) -> tuple[int, int]:
    start = dice.randrange(len(data))
    return start, dice.randint(1, max(1, min(len(data) - start, len(data) // 3)))


def extreme_numbers(dice: random.Random, data: bytearray, _other: bytes) -> bytes:
    """Write numbers at their limits, mostly near the start or the end, where the fields of formats are."""
    for _ in range(dice.randint(1, 3)):
        place = min(int(dice.expovariate(1 / 60)), len(data) - 1) if dice.random() < 0.7 else dice.randrange(len(data))
        if dice.random() < 0.3:
            place = len(data) - 1 - place
        _overwrite(data, place, dice.choice(EXTREMES), dice.choice("BHI"), dice.choice("<>"))
    return bytes(data)


def lying_sizes(dice: random.Random, data: bytearray, _other: bytes) -> bytes:
    """Replace width or height wherever the file contains them, so that they differ from those of the pixels."""
    places = [
        (place, kind, order)
        for side in SEED_SIDES
        for less in (0, 1)  # WEBP and others keep a size less one
        for kind in "HI"
        for order in "<>"
        for place in _places(data, struct.pack(order + kind, side - less))
    ]
    text = [(data.find(str(side).encode()), str(side).encode()) for side in SEED_SIDES]  # PPM
    if data[:1] == b"P" and dice.random() < 0.8:
        place, digits = dice.choice(text)
        return bytes(data[:place]) + str(dice.choice(SIDES)).encode() + bytes(data[place + len(digits) :])
    for place, kind, order in dice.sample(places, min(len(places), dice.randint(1, 3))):
        _overwrite(data, place, dice.choice(SIDES), kind, order)
    return bytes(data)


def _places(data: bytearray, word: bytes) -> list[int]:
    found = []
    place = data.find(word)
    while place >= 0:
        found.append(place)
        place = data.find(word, place + 1)
    return found


def _overwrite(data: bytearray, place: int, number: int, kind: str, order: str) -> None:
    length = struct.calcsize(kind)
    word = struct.pack(order + kind, number % 256**length)
    data[place : place + length] = word[: len(data) - place]


def spliced_halves(dice: random.Random, data: bytearray, other: bytes) -> bytes:
    """Join the head of one file and the tail of another."""
    return bytes(data[: dice.randrange(1, len(data))]) + other[dice.randrange(len(other)) :]


MUTATIONS: tuple[Mutation, ...] = (
    flipped_bits,
    flipped_header,
    cut_short,
    zero_filled,
    swapped_parts,
    repeated_part,
    extreme_numbers,
    lying_sizes,
    spliced_halves,
)


def mutated(number: int, seeds: Sequence[Path]) -> tuple[str, str, bytes]:
    """The description, file name and content of a mutation, which depend on its number alone."""
    dice = random.Random(number)
    seed, other = seeds[number % len(seeds)], dice.choice(seeds)
    mutation = dice.choice(MUTATIONS)
    data = mutation(dice, bytearray(seed.read_bytes()), other.read_bytes())
    repaired = data.startswith(PNG_SIGNATURE) and dice.random() < 0.7
    what = f"{mutation.__name__} of {seed.name}" + (f" and {other.name}" if mutation is spliced_halves else "")
    name = f"{number}{seed.suffix}"
    return (f"{what}, checksums mended", name, with_checksums(data)) if repaired else (what, name, data)


def with_checksums(png: bytes) -> bytes:
    """The PNG with the right checksum after each chunk; without them readers stop there."""
    mended = bytearray(png)
    place = len(PNG_SIGNATURE)
    while place + 12 <= len(png):
        end = place + 8 + int.from_bytes(png[place : place + 4], "big")
        if end + 4 > len(png):
            break
        mended[end : end + 4] = zlib.crc32(png[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(mended)


class Decoding:
    """Writes each mutated file when the loader asks for its path, and logs the outcome."""

    def __init__(self, seeds: Sequence[Path], folder: Path, log: int) -> None:
        self._seeds, self._folder, self._log = seeds, folder, log
        self._decode_into = decode_into
        vars(batch_loader)["decode_into"] = self.decode_into

    def note(self, **line: Any) -> None:
        """Write one line of the log; threads do not mix their lines."""
        os.write(self._log, json.dumps(line).encode() + b"\n")

    def path_of(self, number: int) -> str:
        """Called by the loader, just before it decodes."""
        what, name, data = mutated(number, self._seeds)
        path = self._folder / name
        path.write_bytes(data)
        self.note(begun=number, what=what, time=time.monotonic())
        return str(path)

    def decode_into(self, path: str, out: NDArray[np.uint8]) -> None:
        """Decode with the real function, and measure the time."""
        began, skipped = time.monotonic(), None
        try:
            self._decode_into(path, out)
        except Exception as error:
            skipped = f"{type(error).__name__}: {error}"
            raise
        finally:
            self.note(done=int(Path(path).stem), seconds=time.monotonic() - began, skipped=skipped)
            Path(path).unlink()


def write(seeds: Sequence[Path], folder: Path, count: int) -> None:
    """Only write the files."""
    for number in range(count):
        _, name, data = mutated(number, seeds)
        (folder / name).write_bytes(data)


def decode(seeds: Sequence[Path], folder: Path, log: str, first: int, count: int, threads: int) -> None:
    """Decode them as a training does."""
    decoding = Decoding(seeds, folder, os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
    groups = [range(start, min(start + BATCH_SIZE, first + count)) for start in range(first, first + count, BATCH_SIZE)]
    with BatchLoader(decoding.path_of, IMAGE_SIZE, threads=threads, buffer_bytes=1) as batches:
        for batch in batches.batches(groups):
            assert batch.images.shape == (len(batch.samples), *IMAGE_SIZE, 3)
            for number, reason in batch.skipped:
                decoding.note(named=number, reason=reason)
    decoding.note(peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> None:
    faulthandler.enable()
    folder_of_seeds, folder, *rest = sys.argv[1:]
    seeds = sorted(Path(folder_of_seeds).iterdir())
    if len(rest) == 1:
        write(seeds, Path(folder), int(rest[0]))
    else:
        first, count, threads = map(int, rest[1:])
        decode(seeds, Path(folder), rest[0], first, count, threads)


if __name__ == "__main__":
    main()
