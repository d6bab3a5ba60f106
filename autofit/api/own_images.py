"""Which of the images that a model is judged by are the run's own: the same files, or copies of them elsewhere."""

# ruff: noqa: PTH114, PTH116, PTH118 - paths are str in this package

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from itertools import islice

from autofit.cache.identity import identities_of
from autofit.errors import UserError
from autofit.runs.run_record import DataRecord, listed_images
from autofit.storage.run_directory import RunDirectory

MOST_LOOKED_AT = 50_000
"""Of a run with more images none is looked at: on a mounted drive that would take minutes. Its own files are known."""

MOST_READ = 10_000
"""So many of a run's images are read, of those whose size a given image has; others differ."""

NONE = (0, 0)
"""The content of a file that cannot be read."""


def own_images(files: RunDirectory, data: DataRecord, paths: Sequence[str]) -> int:
    """How many of these files are the run's images for training or validation; 0 if its list cannot be read.

    Args:
        files: the run directory.
        data: as in its record.
        paths: of the given images.
    """
    try:
        listed = listed_images(files, data)
    except UserError:
        return 0
    own = [listed.path(number) for number in range(len(listed.paths))]
    resolved = _resolver()
    places = set(map(resolved, own))
    others = [path for path in paths if os.path.realpath(path) not in places]
    return len(paths) - len(others) + _copies(others, own)


def _resolver() -> Callable[[str], str]:
    """Follows links, with one look at a folder, and not at each one above each of its files."""
    folder_of = functools.cache(os.path.realpath)

    def resolved(path: str) -> str:
        folder, name = os.path.split(path)
        return os.path.realpath(path) if os.path.islink(path) else os.path.join(folder_of(folder), name)

    return resolved


def _copies(paths: Sequence[str], own: Sequence[str]) -> int:
    """How many of these files have the bytes of one of the run's, as far as is looked."""
    if not paths or len(own) > MOST_LOOKED_AT:
        return 0
    size_of = {path: _size(path) for path in paths}
    wanted = set(size_of.values()) - {None}
    own_sizes = ((path, _size(path)) for path in dict.fromkeys(own))
    alike = dict(islice(((path, size) for path, size in own_sizes if size in wanted), MOST_READ))
    sizes = set(alike.values())
    known = set(_contents(list(alike))) - {NONE}
    return sum(content in known for content in _contents([path for path in paths if size_of[path] in sizes]))


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):  # it is gone, or is no possible name
        return None


def _contents(paths: Sequence[str]) -> list[tuple[int, ...]]:
    return list(map(tuple, identities_of(paths, "content").tolist()))
