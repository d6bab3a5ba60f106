"""Listed files that do not exist, or are no regular files: messages say what they are instead."""

# ruff: noqa: PTH116 - a Path for each of a million files would take most of the time

from __future__ import annotations

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from autofit.dataset.sources import is_address
from autofit.errors import UserError
from autofit.printable import printable
from autofit.storage.system_errors import reason, remedy

_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")
"""The beginning of an absolute Windows path."""

MOST_NAME_BYTES = 255
"""The longest name that a file has on the usual drives."""

MOST_MISSING = 0.1
"""The largest share of listed files that may be missing; they count as images that cannot be read."""


class Missing(NamedTuple):
    """Why a path is no file that can be read, in words for one and for several paths, and what to do about it.

    `is_unanswered` is whether there may be a file, as on a drive that fails; a name that no file can have is answered.
    """

    of_one: str
    of_several: str
    remedy: str = "correct or remove them, or name the folder of the images with images_in="
    is_unanswered: bool = False


ABSENT = Missing("does not exist", "do not exist")
ABSENT_IN_GIVEN = ABSENT._replace(
    remedy="they are neither in the folder of images_in= nor in one within it: name a folder nearer to them, or "
    "correct or remove them"
)
ABSENT_ABSOLUTE = Missing(
    "does not exist", "do not exist", "their paths are absolute, for which images_in= does nothing: correct these"
)
ADDRESS = Missing("is an address", "are addresses", "copy the images to this machine and list their paths here")
KINDS = {
    stat.S_IFDIR: Missing("is a folder", "are folders"),
    stat.S_IFIFO: Missing("is a named pipe", "are named pipes"),
    stat.S_IFSOCK: Missing("is a socket", "are sockets"),
    stat.S_IFCHR: Missing("is a device", "are devices"),
    stat.S_IFBLK: Missing("is a device", "are devices"),
}


def why_missing(path: str) -> Missing | None:
    """Why a path is no file that can be read; None if it is one, or a link to one. It is not opened."""
    try:
        return KINDS.get(stat.S_IFMT(os.stat(path).st_mode))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the path
        return ABSENT
    except OSError as error:
        words = f"cannot be read ({reason(error)})"
        return Missing(words, words, remedy(error), is_unanswered=_may_exist(path, error))


def _may_exist(path: str, error: OSError) -> bool:
    """Whether there may be a file of which the system has said this."""
    if error.errno == errno.ENAMETOOLONG:  # some drives take less than others
        return all(len(os.fsencode(name)) <= MOST_NAME_BYTES for name in path.split("/"))
    return error.errno != errno.ELOOP


def why_absent(path: str, *, is_folder_given: bool = False) -> Missing:
    """Why a listed path has no file, perhaps in a folder that the user has given."""
    if is_address(path):
        return ADDRESS
    if path.startswith("/") or _DRIVE.match(path):
        return ABSENT_ABSOLUTE
    return ABSENT_IN_GIVEN if is_folder_given else ABSENT


class MissingFiles:
    """Counts the listed files that are missing, by reason."""

    def __init__(self) -> None:
        self._counts = Counter[Missing]()
        self._first = ""

    def add(self, why: Missing, path: str, place: str) -> None:
        """Count a missing file.

        Args:
            why: why it is missing.
            path: its path in the form in which it is shown.
            place: where it is listed, such as `line 7`.
        """
        self._counts[why] += 1
        self._first = self._first or f"{path} ({place})"

    def require_few(self, listed: int, other_columns: Sequence[str] = ()) -> None:
        """Check that no more than a tenth of the listed files are missing.

        Args:
            listed: how many there are.
            other_columns: those of the table that hold names of images as well.

        Raises:
            UserError: more are.
        """
        if self._counts.total() > MOST_MISSING * listed:
            remedies = [*dict.fromkeys(why.remedy for why, _ in self._counts.most_common())]
            remedies += [f"or read the paths of path_column={printable(repr(name))}" for name in other_columns[:1]]
            raise UserError(f"{self._words(listed)}, the first is {self._first}: {'; '.join(remedies)}")

    def note(self, listed: int) -> str | None:
        """A line about a few missing files; None if there are none."""
        if not self._counts:
            return None
        return f"{self._words(listed)} and count as images that cannot be read, the first is {self._first}"

    def _words(self, listed: int) -> str:
        head = f"{self._counts.total()} of {listed} listed files"
        if len(self._counts) == 1:
            return f"{head} {next(iter(self._counts)).of_several}"
        parts = [f"{n} {why.of_one if n == 1 else why.of_several}" for why, n in self._counts.most_common()]
        return f"{head} cannot be used ({', '.join(parts)})"
