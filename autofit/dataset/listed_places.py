"""Where the files of a table are: its paths may lack a folder or a suffix, or have backslashes."""

# ruff: noqa: PTH111, PTH113, PTH118 - a Path for each of a million files would take most of the time

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from typing import Final

from autofit.dataset.folder import image_suffixes, is_folder, visible
from autofit.dataset.missing_files import Missing, why_missing
from autofit.dataset.table import readable
from autofit.errors import UserError
from autofit.printable import printable

MOST_SEARCHES = 20
MOST_FOLDERS = 64

_COMPOSED: Final = ("NFC", "NFD")

SUFFIXES = ("jpg", "jpeg", "png", "JPG", "JPEG", "PNG", "webp", "bmp", "tif", "tiff", "gif")
"""Those that are tried behind a path without one."""


class ListedPlaces:
    """Finds the files of a table, one stat each where the paths are right.

    Where not even the first rows are right, the subfolders beside the table are tried, first the one of its name.
    """

    def __init__(self, root: str, images_in: str | None = None, *, name: str = "") -> None:
        """Begin a table.

        Args:
            root: the absolute folder of the table; paths are returned relative to it or absolute.
            images_in: an absolute folder that relative paths are relative to instead.
            name: the table's file name without suffix.
        """
        self.root = root
        self._bases = [images_in or root]
        self._name = name
        self._is_searched = images_in is not None
        self._searches = 0
        self._suffixes = list(SUFFIXES)

    @property
    def note(self) -> str | None:
        """The folder in which the images were found, if it is another; or None."""
        base = self._bases[0]
        return None if base == self.root else f"listed images are in {printable(os.path.relpath(base, self.root))}/"

    def find(self, path: str) -> str | None:
        """The path of an existing file that a listed path means, relative to `root` or absolute; None if there is none.

        Raises:
            UserError: files of this name are in several folders, and nothing says which is meant.
        """
        for base in self._bases:
            if found := self._under(base, path):
                self._is_searched = True
                return found
        if self._is_searched or self._searches >= MOST_SEARCHES:
            return None
        self._searches += 1
        return self._elsewhere(path)

    def expected(self, path: str) -> str:
        """Where a file would be that there is not, relative to `root` or absolute."""
        base = self._bases[0]
        return path if base == self.root else os.path.join(base, path)

    def why_missing(self, path: str) -> Missing | None:
        """Why there is no file where one would be; None if there is one after all."""
        return why_missing(os.path.join(self.root, os.path.expanduser(self.expected(path))))

    def _under(self, base: str, path: str) -> str | None:
        for form in self._forms(path):
            if os.path.isfile(os.path.join(base, os.path.expanduser(form))):
                self._expect(form.rpartition(".")[2])
                return form if base == self.root else os.path.join(base, form)
        return None

    def _forms(self, path: str) -> Iterator[str]:
        yield path
        for other in (path.strip(), readable(path.strip())):  # as `a.jpg, cat` in the other order has it; of Windows
            if other != path:
                path = other
                yield path
        if not path.isascii():  # an archive of a Mac has letters in two parts, and a table mostly in one
            yield from (composed for form in _COMPOSED if (composed := unicodedata.normalize(form, path)) != path)
        if "\\" in path:
            path = path.replace("\\", "/")
            yield path
        if path.rpartition(".")[2].lower() not in image_suffixes():
            for suffix in tuple(self._suffixes):
                yield f"{path}.{suffix}"

    def _expect(self, suffix: str) -> None:
        """Try this suffix first from now on."""
        if self._suffixes[0] != suffix and suffix in self._suffixes:
            self._suffixes.remove(suffix)
            self._suffixes.insert(0, suffix)

    def _elsewhere(self, path: str) -> str | None:
        names = sorted(entry.name for entry in visible(self.root) if is_folder(entry))[:MOST_FOLDERS]
        found = {name: place for name in names if (place := self._under(os.path.join(self.root, name), path))}
        if self._name in found:
            found = {self._name: found[self._name]}
        if len(found) > 1:
            raise UserError(
                f"{printable(path)} is in {' and in '.join(f'{printable(name)}/' for name in sorted(found)[:2])}: "
                "name the folder that is meant with images_in="
            )
        if not found:
            return None
        ((name, place),) = found.items()
        self._bases.insert(0, os.path.join(self.root, name))
        self._is_searched = True
        return place
