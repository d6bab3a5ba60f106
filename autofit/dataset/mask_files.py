"""Images whose names say that they are masks of others beside them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from autofit.dataset.side_folders import image_of_mask
from autofit.printable import printable

_PARTS = ("mask", "segmentation", "superpixels", "groundtruth")
"""One of them is in the name of each mask that is told: so other names cost little."""

BLOCK_PATHS = 1000


def masks_among(classes: Mapping[str, Sequence[str]]) -> str | None:
    """One line of warning on images like `a_mask.png` beside `a.png`; None if there are none.

    Args:
        classes: paths by class name.
    """
    found = [pair for paths in classes.values() for pair in _masks_of(paths)]
    if not found:
        return None
    mask, image = (printable(path) for path in min(found))
    return (
        f"warning: {len(found):,} images are named as masks of others ({mask} beside {image}) and are trained on like "
        "these: move them elsewhere if they are masks"
    )


def _masks_of(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Each path of a mask with that of its image."""
    named = [path for path in _perhaps(paths) if any(part in path.rpartition("/")[2].lower() for part in _PARTS)]
    if not named:
        return []
    by_stem = {_stem(path): path for path in paths}
    stems = {path: image_of_mask(_stem(path)) for path in named}
    return [(path, by_stem[stem]) for path, stem in stems.items() if stem in by_stem]


def _perhaps(paths: Sequence[str]) -> Iterator[str]:
    """The paths in blocks of which one at least has such a part: a search in joined text is ten times as fast."""
    for start in range(0, len(paths), BLOCK_PATHS):
        block = paths[start : start + BLOCK_PATHS]
        text = "\n".join(block).lower()
        if any(part in text for part in _PARTS):
            yield from block


def _stem(path: str) -> str:
    return path.lower().rpartition(".")[0]
