"""The images of one attempt that cannot be read, and whether they are too many to go on."""

from __future__ import annotations

from autofit.printable import printable

TOLERATED_IMAGES = 2
"""This many unreadable images never end a run: in a small data set they are a large share without being a sign of a
wrong folder."""

SHOWN_CHARACTERS = 120
"""At most this many characters at the end of a path are shown, so that the message stays one readable line."""


def too_many_bad(bad: int, total: int, share: float) -> bool:
    """Whether `bad` unreadable images of `total` are more than a share from 0 to 1.

    A share of 0 allows none, a share of 1 any number; with any share above 0, `TOLERATED_IMAGES` are allowed.
    """
    if share == 0:
        return bad > 0
    return bad > TOLERATED_IMAGES and bad / total > share


class BadImages:
    """The images that could not be read in one attempt.

    Each attempt counts from zero: every epoch reads every image, and a file that was repaired meanwhile does not count.

    Args:
        total: the number of training and validation images of the run.
        share: the share of them that may be unreadable, from 0 to 1.
    """

    def __init__(self, total: int, share: float) -> None:
        self._total, self._share = total, share
        self._samples: set[int] = set()
        self._first = ""

    def add(self, sample: int, path: str, reason: str) -> bool:
        """Add an image; returns whether it is new."""
        if sample in self._samples:
            return False
        self._samples.add(sample)
        self._first = self._first or f"{_shown(path)}: {reason}"
        return True

    def is_too_full(self) -> bool:
        """Whether there are too many, so that the run should end."""
        return too_many_bad(len(self._samples), self._total, self._share)

    def complaint(self) -> str:
        """One line that says why the run ends, and what to do."""
        return (
            f"{len(self._samples):,} of {self._total:,} images cannot be read (the first: {self._first}): "
            "mend them and resume, or allow more with max_bad_images"
        )

    def nothing_left(self, what: str) -> str:
        """One line that says that no image of a part of the data set, such as `training`, could be read."""
        return f"no image for {what} can be read (the first: {self._first}): mend them and resume"


def _shown(path: str) -> str:
    """The end of a path as one printable line."""
    line = printable(path)
    return line if len(line) <= SHOWN_CHARACTERS else f"…{line[1 - SHOWN_CHARACTERS :]}"
