"""Tells whether an image's file was changed after it was identified: what is decoded then is another image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autofit.cache.identity import WHOLE_BYTES, By, Identities, has_other_identity
from autofit.input.decode import last_status

CLOCK_SECONDS = 2.0
"""A file that was written so long before it was identified is looked at again: a drive's times may be so coarse."""

CHANGED = "its file was changed after this run had identified it; it is used in the next run"


@dataclass(frozen=True, slots=True, eq=False)
class IdentifiedFiles:
    """The files of the samples, as they were identified.

    Decoding asks for a file's times anyway, so that only those that were written since are read again. A copy keeps the
    time of its original; the time of its status tells. That changes with a mode or a link, too, so that it only counts
    where the content then decides: a larger file has it in its identity, which does not come back.

    Attributes:
        identities: uint64 (n, 2).
        by: how they were identified.
        path_of: from a sample to its file.
        since: when that began, in seconds since 1970.
    """

    identities: Identities
    by: By
    path_of: Callable[[int], str]
    since: float

    def has_changed(self, sample: int) -> bool:
        """Whether the file that this thread has just decoded is no longer the one that was identified."""
        path, identity = self.path_of(sample), self.identities[sample]
        status = last_status(path)
        if status is None or not identity.any():
            return False
        is_by_content = self.by == "content" or status.st_size <= WHOLE_BYTES
        last = max(status.st_mtime, status.st_ctime) if is_by_content else status.st_mtime
        return last > self.since - CLOCK_SECONDS and has_other_identity(path, self.by, identity)
