"""Reads every image of a data set once: whether it is readable, its size and mode, its identity, what it looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from autofit.cache.identity import Identities, identities_of
from autofit.config.batch_schedule import batch_bounds
from autofit.input.batch_loader import BatchLoader
from autofit.input.decode import decode_into, image_of, lack_their_end
from autofit.input.drive_patience import DrivePatience
from autofit.input.find_ranges import find_ranges, sample_text
from autofit.input.perceptual_hash import SIDE_PIXELS, Looks, looks_of

AT_ONCE = 256
BUFFER_BYTES = 2**26


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What was found out about each image.

    Attributes:
        looks: the perceptual hashes and thumbnails of the readable images.
        identities: hashes of the bytes, uint64 (n, 2); zeros for a file that cannot be read.
        sizes: (width, height) in pixels as stored, int32 (n, 2); zeros if unknown.
        modes: Pillow's mode, such as `RGB` or `L`; empty if unknown.
        unreadable: the reason why an image cannot be read, by its number.
        cut_off: the numbers of the JPEGs that lack their end, but can be used.
        note: a line on the colours of all images; empty if there is nothing to say.
    """

    looks: Looks
    identities: Identities
    sizes: NDArray[np.int32]
    modes: list[str]
    unreadable: dict[int, str] = field(default_factory=dict)
    cut_off: list[int] = field(default_factory=list)
    note: str = ""


def survey(
    paths: Sequence[str], *, threads: int, say: Callable[[str], None], show: Callable[[str, int], None]
) -> Survey:
    """Look at all images: each is decoded once, and its bytes are read once more.

    Args:
        paths: absolute paths.
        threads: how many images are decoded at once in the beginning.
        say: called with a line for the user, such as about a drive that does not answer.
        show: called often, with what is being done and how many images are done.
    """
    count = len(paths)
    identities, found = _identities(paths, show), find_ranges(count, paths.__getitem__, 0, say)
    sizes = np.zeros((count, 2), np.int32)
    seen = Survey(Looks.empty(count), identities, sizes, [""] * count, note=sample_text(found))

    def decode(number: int, out: NDArray[np.uint8]) -> None:
        path = paths[number]
        decode_into(path, out, found.ranges)
        with image_of(path) as image:
            if image is not None:
                seen.sizes[number], seen.modes[number] = image.size, image.mode

    groups = (range(start, stop) for start, stop in batch_bounds(count, AT_ONCE, 0))
    size = SIDE_PIXELS, SIDE_PIXELS
    patience = DrivePatience(say)
    with BatchLoader(paths, size, threads=threads, buffer_bytes=BUFFER_BYTES, patience=patience) as loader:
        for batch in loader.batches(groups, decode):
            seen.unreadable.update(batch.skipped)
            _note_looks(seen.looks, batch.samples, batch.images)
            show("Looking at images", int(max([*batch.samples[-1:], *(number for number, _ in batch.skipped)])) + 1)
    without_end = lack_their_end()
    seen.cut_off.extend(number for number, path in enumerate(paths) if path in without_end)
    return seen


def _identities(paths: Sequence[str], show: Callable[[str, int], None]) -> Identities:
    done = 0

    def note() -> None:
        nonlocal done
        done += 1
        show("Reading files", done)

    return identities_of(paths, "content", note)


def _note_looks(looks: Looks, numbers: NDArray[np.int64], images: NDArray[np.uint8]) -> None:
    if len(numbers):
        found = looks_of(images)
        looks.hashes[numbers], looks.thumbnails[numbers], looks.flat[numbers] = (
            found.hashes,
            found.thumbnails,
            found.flat,
        )
