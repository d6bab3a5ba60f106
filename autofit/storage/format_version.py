"""The version of a file's format: a file that a newer autofit wrote is refused as newer, and not taken for damaged."""

from __future__ import annotations

import re
from typing import get_args

from pydantic import BaseModel

_NAMED_FIRST = re.compile(rb'\s*\{\s*"schema"\s*:\s*"(autofit/[a-z-]{1,40})/([0-9]{1,9})"')
"""The beginning of each file that autofit writes."""

UPDATE = "update it: pip install --upgrade autofit-keras"


class NewerFormatError(ValueError):
    """A newer autofit wrote the file, in a format that this one does not know; one line that says to update."""

    def __init__(self, name: str, schema: str) -> None:
        super().__init__(f"{name} was written by a newer autofit, as {schema}, than is installed; {UPDATE}")


def refuse_newer(data: bytes, name: str, kind: type[BaseModel]) -> None:
    """Check that the file of a record is not of a later format than the record's `schema_`.

    Raises:
        NewerFormatError: it is.
    """
    field, named = kind.model_fields.get("schema_"), _NAMED_FIRST.match(data)
    if field is None or named is None:
        return
    known, _, number = str(get_args(field.annotation)[0]).rpartition("/")
    if named[1].decode() == known and int(named[2]) > int(number):
        raise NewerFormatError(name, f"{known}/{int(named[2])}")
