"""Where the files of a table are: its paths may lack a folder or a suffix, or have backslashes."""

# ruff: noqa: PTH111, PTH118, PTH120 - a Path for each of a million files would take most of the time

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from functools import cached_property
from typing import Final

from autofit.dataset.folder import image_suffixes, visible
from autofit.dataset.inside import look, shown
from autofit.dataset.missing_files import ABSENT, Missing, why_absent, why_missing
from autofit.dataset.sources import path_of_address
from autofit.dataset.table import readable
from autofit.errors import UserError
from autofit.printable import printable

MOST_SEARCHES = 20
MOST_FOLDERS = 64

_COMPOSED: Final = ("NFC", "NFD")

SUFFIXES = ("jpg", "jpeg", "png", "JPG", "JPEG", "PNG", "webp", "bmp", "tif", "tiff", "gif")
"""The suffixes that are tried for a path without one."""


class ListedPlaces:
    """Finds the files of a table, with one `stat` each if the paths are right.

    If not even the paths of the first rows are right, the subfolders beside the table are tried, first the one with its
    name, and the folders in these. The images of a large data set may be in several subfolders, as long as no two have
    a file of the same name; or each in the folder of its label.
    """

    def __init__(self, root: str, images_in: str | None = None, *, name: str = "") -> None:
        """Begin a table.

        Args:
            root: the absolute folder of the table; paths are returned relative to it or absolute.
            images_in: an absolute folder that relative paths are relative to instead.
            name: the table's file name without suffix; empty for one in memory.
        """
        self.root = root
        self._given = images_in
        self._bases = [images_in or root]
        self._found_in = self._bases[0]
        self._above_labels: list[str] = []  # folders that hold one folder for each label
        self._name = name
        self._is_direct = False  # a path is right as it is
        self._is_searched = False
        self._searches = 0
        self._suffixes = list(SUFFIXES)
        self._why: Missing | None = None
        self._completed = 0  # paths without a suffix
        self._twins = ""

    @property
    def note(self) -> str | None:
        """A line about where the images were found and which files they are, if that is not obvious; or None."""
        bases = self._bases if self._is_direct else self._bases[:-1]
        folders = [*bases, *(os.path.join(base, "<label>") for base in self._above_labels)]
        others = [f"{os.path.relpath(folder, self.root)}/" for folder in folders if folder != self.root]
        places = f"listed images are in {shown(others)}" if others else ""
        return "; ".join(filter(None, (places, self._twins))) or None

    def find(self, path: str, label: object = "") -> str | None:
        """The path of an existing file that a listed path means, relative to `root` or absolute; None if there is none.

        Args:
            path: as it is listed.
            label: of the image, in the folder of which it may be; if it is one text or number.

        Raises:
            UserError: files of this name are in several folders, and nothing says which is meant.
        """
        self._why = None
        for base in (self._found_in, *(base for base in self._bases if base != self._found_in)):
            if found := self._under(base, path):
                self._is_direct |= base == self._bases[-1]
                self._found_in = base
                return found
        name = _folder_name(label)
        for base in self._above_labels if name else ():
            if found := self._under(os.path.join(base, name), path):
                return found
        if self._is_direct or self._is_searched or self._searches >= MOST_SEARCHES:
            return None
        why = self._why
        found = self._elsewhere(path, name)
        self._why = why  # of the folders that are expected to have it
        return found

    def expected(self, path: str) -> str:
        """Where a missing file would be expected, relative to `root` or absolute."""
        base = self._bases[0]
        return path if base == self.root else os.path.join(base, path)

    def why_missing(self, path: str) -> Missing | None:
        """Why there is no file where `find` has just looked for this one; None if there is one after all."""
        why = why_missing(os.path.join(self.root, os.path.expanduser(self.expected(path))))
        if why == ABSENT:
            return self._why or why_absent(path, is_folder_given=self._given is not None)
        return why

    def _under(self, base: str, path: str) -> str | None:
        for form in self._forms(path):
            why = why_missing(os.path.join(base, os.path.expanduser(form)))
            if why is None:
                self._expect(form.rpartition(".")[2])
                if form.startswith(f"{path}."):
                    self._look_for_twin(base, path, form)
                return form if base == self.root else os.path.join(base, form)
            if why != ABSENT:
                self._why = why
        return None

    def _forms(self, path: str) -> Iterator[str]:
        yield path
        if local := path_of_address(path):
            yield local
        for other in (path.strip(), readable(path.strip())):  # as `a.jpg, cat` in the other order has it; of Windows
            if other != path:
                path = other
                yield path
        if not path.isascii():  # an archive of a Mac has letters in two parts, and a table mostly in one
            yield from (composed for form in _COMPOSED if (composed := unicodedata.normalize(form, path)) != path)
        if "\\" in path:
            path = path.replace("\\", "/")
            yield path
        if path.startswith("/"):  # of the archive's own root
            path = path.lstrip("/")
            yield path
        stem, _, suffix = path.rpartition(".")
        if suffix.lower() in image_suffixes():
            yield from (f"{stem}.{other}" for other in (suffix.lower(), suffix.upper()) if other != suffix)
        else:
            for other in tuple(self._suffixes):
                yield f"{path}.{other}"

    def _look_for_twin(self, base: str, path: str, found: str) -> None:
        """Note a file with another suffix beside an image whose path has none; only the first ones are looked at."""
        self._completed += 1
        if self._twins or self._completed > MOST_SEARCHES:
            return
        named = (f"{path}.{suffix}" for suffix in SUFFIXES)
        others = [form for form in named if form.casefold() != found.casefold()]
        if twin := next((form for form in others if why_missing(os.path.join(base, form)) is None), None):
            self._twins = (
                f"{printable(path)} is {printable(found)}, and {printable(twin)} lies beside it: if that is meant, "
                "write suffixes in the table"
            )

    def _expect(self, suffix: str) -> None:
        """Try this suffix first from now on."""
        if self._suffixes[0] != suffix and suffix in self._suffixes:
            self._suffixes.remove(suffix)
            self._suffixes.insert(0, suffix)

    def _elsewhere(self, path: str, label: str) -> str | None:
        """The file in a folder that was not looked in before, the nearest first, or in one for its label there."""
        for level in self._levels:
            folders = [folder for folder in level if folder not in self._bases]  # a drive may fail but once
            if found := self._in_one_of(folders, path):
                self._add(found[0])
                return found[1]
            above = [folder for folder in level if label and folder not in self._above_labels]
            if found := self._in_one_of([os.path.join(folder, label) for folder in above], path):
                self._above_labels.append(os.path.dirname(found[0]))
                return found[1]
        self._searches += 1
        return None

    def _in_one_of(self, folders: list[str], path: str) -> tuple[str, str] | None:
        """The one of these folders that has a file, and the file; the folder of the table's name has precedence.

        Raises:
            UserError: several have it.
        """
        found = {folder: place for folder in folders if (place := self._under(folder, path))}
        base = self._bases[-1]
        own = {each: place for each, place in found.items() if os.path.relpath(each, base).split("/")[0] == self._name}
        self._is_searched = bool(own)  # what the folder of the table's name lacks is in no other
        found = own or found
        if len(found) > 1:
            raise UserError(
                f"{printable(path)} is in {' and in '.join(sorted(map(self._shown, found))[:2])}: "
                "name the folder that is meant with images_in="
            )
        return next(iter(found.items()), None)

    @cached_property
    def _levels(self) -> tuple[list[str], list[str], list[str]]:
        """The folders in which images may be, from the nearest to those farther off.

        The own one; those in it, with the only ones in these and the one around it; and the others in these. A table in
        memory has no folder, and the working folder may hold anything.
        """
        base = self._bases[-1]
        beside, below = [os.path.join(base, name) for name in sorted(look(base).folders)[:MOST_FOLDERS]], list[str]()
        for folder in beside:  # which grows
            inside = look(folder, stops_at_image=True)
            held = [] if inside.has_images else [os.path.join(folder, name) for name in sorted(inside.folders)]
            if len(held) == 1 and len(beside) < 2 * MOST_FOLDERS:
                beside += held
            else:
                below += held
        if self._name and not self._given:
            beside.append(os.path.dirname(base))
        return [base], beside, below[:MOST_FOLDERS] if self._name or self._given else []

    def _add(self, base: str) -> None:
        """Look in one more folder from now on.

        Raises:
            UserError: it holds a file of the same name as one in a folder before it, and either may be meant.
        """
        names = {entry.name for entry in visible(base)} if len(self._bases) > 1 else set()
        for other in self._bases[:-1]:
            if both := {entry.name for entry in visible(other) if entry.name in names}:
                raise UserError(
                    f"{printable(min(both))} is in {self._shown(other)} and in {self._shown(base)}: "
                    "name the folder that is meant with images_in="
                )
        self._bases.insert(-1, base)
        self._found_in = base

    def _shown(self, base: str) -> str:
        return f"{printable(os.path.relpath(base, self.root))}/"


def _folder_name(label: object) -> str:
    """The name of the folder of a label; empty if none can be its, as of several labels."""
    name = str(label) if isinstance(label, str | int) else ""
    return "" if name in {".", ".."} or "/" in name else name
