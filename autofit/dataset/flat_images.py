"""Images without class folders: what to give instead, according to the tables, archives and file names beside them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from autofit.dataset import containers
from autofit.dataset.found import kinds_text
from autofit.dataset.split_words import lists_splits, roles_of
from autofit.errors import UserError
from autofit.printable import first_of, printable
from autofit.storage.safe_files import open_plain

GIVE_TABLE = "give a CSV file with the columns path,label"
SHOWN_TABLES = 2
ARCHIVES = frozenset(f".{suffix}" for suffix in containers.ARCHIVES)

TEXT_NAMES = frozenset(
    {"annotations", "annotation", "labels", "xmls", "xml", "json", "meta", "metadata", "bboxes", "imagesets"}
)
"""The names of folders with text, such as annotations."""

_BESIDE_IMAGES = TEXT_NAMES | {"devkit"}
"""The names of folders in which the table of the images beside them may lie."""

_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".mat")
_SUFFIX = "(jpe?g|png|bmp|gif|webp|tiff?)"
_IMAGE = re.compile(rf"\.{_SUFFIX}$", re.IGNORECASE)
_LISTING = {
    ".json": re.compile(rf'"[^"\n]*\.{_SUFFIX}"', re.IGNORECASE),
    ".txt": re.compile(rf"\A\s*[^\s,;|]+\.{_SUFFIX}[\s,;|]+\w", re.IGNORECASE),
}
"""How files that may be anything begin if they list images."""
_CELLS = re.compile(r"\s*[,;|]\s*|\s+")
_FIGURES = re.compile(r"[-+0-9.,;|\s]+\s[-+0-9.,;|\s]+")
"""Several figures behind a name, which may be of a box."""
LEAST_ROWS = 3
LOOKED_AT_BYTES = 4096
MOST_TEXTS = 20

_NO_LABELS = re.compile(r"submission|test|example|bbox|landmark", re.IGNORECASE)
"""Words in the names of tables that usually hold no classes."""

_PART_OF_SET = re.compile(r"train|valid|test|image|img|photo|jpe?g|png", re.IGNORECASE)
"""Words in the names of folders whose table may lie beside them."""

_NAMED = re.compile(r"([A-Za-z][A-Za-z _-]*?)[._ -]*\(?[0-9]+\)?\.[A-Za-z]+")
"""The name of a file that is a word and a number, such as `cat.0.jpg`."""

_CAMERAS = frozenset({"img", "dsc", "dscn", "dscf", "image", "photo", "pic", "picture", "frame", "whatsapp image"})
MOST_NAMED = 0.9
LOOKED_AT_NAMES = 100
SHOWN_CLASSES = 4


def tables_in(*folders: str) -> str:
    """The tables in these folders that may hold the classes, such as `a/train.csv or a/labels.csv`; empty for none.

    If there are none, those in folders of annotations beside the images.
    """
    places = list(dict.fromkeys(folders))
    tables = [path for folder in places for path in _tables(folder)]
    if not tables:
        tables = [path for folder in places for beside in _beside_images(folder) for path in _tables(beside)]
    return " or ".join(printable(path) for path in tables[:SHOWN_TABLES])


def _beside_images(folder: str) -> list[str]:
    return [os.path.join(folder, name) for name in _names(folder) if name.lower() in _BESIDE_IMAGES]  # noqa: PTH118


def _tables(folder: str) -> list[str]:
    names = _names(folder)
    of_images = {name.rpartition(".")[0] for name in names if _IMAGE.search(name)}  # what they describe is one image
    paths = [
        os.path.join(folder, name)  # noqa: PTH118 - paths are str in this package
        for name in names
        if name.lower().endswith((*_TABLES, *_LISTING)) and not _NO_LABELS.search(name)
        if (stem := name.rpartition(".")[0]) not in of_images and not lists_splits(stem)
    ]
    texts = {path for path in paths if not path.lower().endswith(_TABLES)}
    may_list = len(texts) <= MOST_TEXTS  # very many describe one image each
    return [path for path in paths if path not in texts or (may_list and _lists_images(path))]


def _lists_images(path: str) -> bool:
    """Whether a text names an image where a list of images has it."""
    try:
        with open_plain(Path(path)) as file:
            start = file.read(LOOKED_AT_BYTES).decode("utf-8", "replace")
    except OSError:
        return False
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - paths are str
    return _LISTING[suffix].search(start) is not None or (suffix == ".txt" and _lists_names(start))


def _lists_names(start: str) -> bool:
    """Whether a text begins as a list of names with numbers and of classes that recur, as `named_list.py` reads it."""
    *lines, _ = start.splitlines() or [""]  # the last one may be cut off
    rows = [_CELLS.split(line.strip(), maxsplit=1) for line in lines if line.strip()]
    if len(rows) < LEAST_ROWS or any(len(row) < 2 for row in rows):  # noqa: PLR2004 - a name and a label
        return False
    names, labels = zip(*rows, strict=True)
    return are_images_by_name(names, labels) and not all(map(_FIGURES.fullmatch, labels))


def are_images_by_name(names: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether these look like images by name and classes: no name recurs or lacks a number, and classes recur."""
    has_numbers = all(any(map(str.isdecimal, name)) for name in names)
    return has_numbers and len(set(names)) == len(names) and len(set(labels)) < len(labels)


def _names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208 - paths are str
    except OSError:
        return []


def remedy(*folders: str) -> str:
    """What to do about images without class folders in the last of these folders, given the tables in all of them."""
    table = give_table(*folders)
    if table != GIVE_TABLE:
        return table
    return f"{table}, or put the images of each class in a folder of its own{_by_names(folders[-1])}"


def give_table(*folders: str) -> str:
    """The advice to give a table, with the names of tables in these folders if there are any."""
    tables = tables_in(*folders)
    return f"give the table of their classes, perhaps {tables}" if tables else GIVE_TABLE


def no_class_folders(folder: str, kinds: Mapping[str, int]) -> UserError:
    """The error about a folder without subfolders.

    Args:
        folder: as it is named.
        kinds: the number of the files in it by kind.
    """
    count = sum(kinds.values())
    files = f"{count} files lie in it directly: {kinds_text(kinds)}" if count else "it is empty"
    above, name = os.path.split(folder)
    held = contained(folder) if count else ""
    tables = tables_in(folder, *([above] if _PART_OF_SET.search(name) else [])) if count and not held else ""
    is_packed = count and all(kind in ARCHIVES for kind in kinds)
    instead = f"{held}, or " if held else f"give their table, perhaps {tables}, or " if tables else ""
    if is_packed:
        instead = "unpack the archives, and "
    if any("\\" in each for each in _names(folder)[:LOOKED_AT_NAMES]):
        instead = "the names of files hold folders of Windows: unpack the archive with another program, and "
    return UserError(
        f"{printable(folder)} has no subfolders ({files}): {instead}give a folder with one subfolder of images a class"
        f"{'' if tables else _by_names(folder)}"
    )


def contained(folder: str) -> str:
    """What to do about the files in a folder, or in the only folder in it, that hold images in another form."""
    names = _names(folder)
    found = containers.remedy_of_most(names)
    folders = [] if found else [path for name in names if os.path.isdir(path := os.path.join(folder, name))]  # noqa: PTH112, PTH118
    if len(folders) == 1:
        found = containers.remedy_of_most(_names(folders[0]))
    return printable(found or "")


def _by_names(folder: str) -> str:
    """Further advice if the names of files begin with what may be their classes, as in `cat.0.jpg`."""
    matches = [_NAMED.fullmatch(name) for name in _names(folder)]
    counts = Counter(found[1] for found in matches if found)
    beginnings = [name for name, count in counts.items() if count > 1]
    if (
        len(beginnings) < 2  # noqa: PLR2004 - two classes
        or sum(counts[name] for name in beginnings) < MOST_NAMED * len(matches)
        or roles_of(beginnings)
        or not _CAMERAS.isdisjoint(map(str.lower, beginnings))
    ):
        return ""
    shown = first_of([printable(name) for name in sorted(beginnings)], SHOWN_CLASSES)
    return f"; if the names of the files begin with their classes ({shown}), give autofit.run(paths, labels) with these"
