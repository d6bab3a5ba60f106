"""Tells whether an image's file was changed after it was identified: what is decoded then is another image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autofit.cache.identity import By, Identities, has_other_identity
from autofit.input.decode import last_written

CLOCK_SECONDS = 2.0
"""A file that was written so long before it was identified is looked at again: a drive's times may be so coarse."""

CHANGED = "its file was changed after this run had identified it; it is used in the next run"


@dataclass(frozen=True, slots=True, eq=False)
class IdentifiedFiles:
    """The files of the samples, as they were identified.

    Decoding asks for a file's time anyway, so that only those that were written since are read again.

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
        is_suspect = last_written(path) > self.since - CLOCK_SECONDS and identity.any()
        return bool(is_suspect) and has_other_identity(path, self.by, identity)
