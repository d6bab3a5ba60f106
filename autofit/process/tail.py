"""The lines of a file that a worker writes, as they come."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from autofit.storage.safe_files import open_plain

MOST_NEWS_BYTES = 2**24
"""At once, of a file that grows: what a callback prints may be without end."""

R = TypeVar("R", bound=BaseModel)


@dataclass(slots=True)
class Tail:
    """Reads the lines of a growing file as they come; a line counts only when it is complete.

    `has_more` is whether the last call left some of the file for the next one.
    """

    path: Path
    has_more: bool = False
    _offset: int = 0
    _rest: bytes = b""

    def read(self) -> bytes:
        """The bytes that were added since the last call."""
        try:
            with open_plain(self.path, follow_links=False) as file:
                file.seek(self._offset)
                new = file.read(MOST_NEWS_BYTES)
        except OSError:  # it does not exist yet, or is on a mounted drive that does not answer just now
            new = b""
        self._offset += len(new)
        self.has_more = len(new) == MOST_NEWS_BYTES
        return new

    def records(self, kind: type[R]) -> list[R]:
        """The records in the complete lines since the last call; a damaged line is skipped."""
        *lines, self._rest = (self._rest + self.read()).split(b"\n")
        found: list[R] = []
        for line in lines:
            with contextlib.suppress(ValidationError):
                found.append(kind.model_validate_json(line))
        return found
