"""Where the files of a table are: its paths may lack a folder or a suffix, or have backslashes."""

# ruff: noqa: PTH111, PTH118 - a Path for each of a million files would take most of the time

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
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
    name. The images of a large data set may be in several subfolders, as long as no two have a file of the same name.
    """

    def __init__(self, root: str, images_in: str | None = None, *, name: str = "") -> None:
        """Begin a table.

        Args:
            root: the absolute folder of the table; paths are returned relative to it or absolute.
            images_in: an absolute folder that relative paths are relative to instead.
            name: the table's file name without suffix; empty for one in memory.
        """
        self.root = root
        self._bases = [images_in or root]
        self._found_in = self._bases[0]
        self._others: list[str] | None = None
        self._name = name
        self._is_searched = images_in is not None
        self._searches = 0
        self._suffixes = list(SUFFIXES)
        self._why: Missing | None = None
        self._completed = 0  # paths without a suffix
        self._twins = ""

    @property
    def note(self) -> str | None:
        """A line about where the images were found and which files they are, if that is not obvious; or None."""
        others = [f"{os.path.relpath(base, self.root)}/" for base in self._bases if base != self.root]
        places = f"listed images are in {shown(others)}" if others else ""
        return "; ".join(filter(None, (places, self._twins))) or None

    def find(self, path: str) -> str | None:
        """The path of an existing file that a listed path means, relative to `root` or absolute; None if there is none.

        Raises:
            UserError: files of this name are in several folders, and nothing says which is meant.
        """
        self._why = None
        for base in (self._found_in, *(base for base in self._bases if base != self._found_in)):
            if found := self._under(base, path):
                self._is_searched |= base == self.root
                self._found_in = base
                return found
        if self._is_searched or self._searches >= MOST_SEARCHES:
            return None
        why = self._why
        found = self._elsewhere(path)
        self._why = why  # of the folders that are expected to have it
        return found

    def expected(self, path: str) -> str:
        """Where a missing file would be expected, relative to `root` or absolute."""
        base = self._bases[0]
        return path if base == self.root else os.path.join(base, path)

    def why_missing(self, path: str) -> Missing | None:
        """Why there is no file where `find` has just looked for this one; None if there is one after all."""
        why = why_missing(os.path.join(self.root, os.path.expanduser(self.expected(path))))
        return self._why or why_absent(path) if why == ABSENT else why

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

    def _elsewhere(self, path: str) -> str | None:
        if self._others is None:
            self._others = self._folders_beside()
        new = (name for name in self._others if self._folder(name) not in self._bases)  # a drive may fail but once
        found = {name: place for name in new if (place := self._under(os.path.join(self.root, name), path))}
        own = {name: place for name, place in found.items() if name.split("/")[0] == self._name}
        self._is_searched = bool(own)  # what the folder of the table's name lacks is in no other
        found = own or found
        if len(found) > 1:
            raise UserError(
                f"{printable(path)} is in {' and in '.join(f'{printable(name)}/' for name in sorted(found)[:2])}: "
                "name the folder that is meant with images_in="
            )
        if not found:
            self._searches += 1
            return None
        ((name, place),) = found.items()
        self._add(self._folder(name))
        return place

    def _folder(self, name: str) -> str:
        return os.path.normpath(os.path.join(self.root, name))

    def _folders_beside(self) -> list[str]:
        """The folders in which images may be: those beside the table, the only ones in these, and the one around."""
        names = sorted(look(self.root).folders)[:MOST_FOLDERS]
        for name in tuple(names):
            inside = look(os.path.join(self.root, name), stops_at_image=True)
            if not inside.has_images and len(inside.folders) == 1:
                names.append(os.path.join(name, *inside.folders))
        return [*names, ".."] if self._name else names

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
