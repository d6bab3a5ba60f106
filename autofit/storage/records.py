"""The base of every record that is saved as JSON or crosses a process boundary.

A record is frozen, refuses unknown fields, and is read from disk only under a size bound and with the schema it names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from autofit.printable import one_line
from autofit.storage.safe_files import open_plain, write_atomically

MAX_RECORD_BYTES = 64 * 2**20


class Record(BaseModel):
    """A frozen record; subclasses that are files of their own give it a `schema_` field, written as `"schema"`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_inf_nan="constants",
        populate_by_name=True,
        protected_namespaces=(),  # pydantic 2.9 reserves `model_` and warns of each field that begins so
    )

    def to_json(self) -> str:
        """The record as indented JSON, aliases applied."""
        return self.model_dump_json(indent=2, by_alias=True) + "\n"

    def save(self, path: Path) -> None:
        """Write the record so that a reader sees the old file or the new one, never a part."""
        write_atomically(path, self.to_json().encode())

    @classmethod
    def load(cls, path: Path, *, follow_links: bool = True) -> Self:
        """Read a record back; without `follow_links`, a symbolic link is an OSError.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is too large, no JSON, of another schema, or breaks a field's bounds; one line.
        """
        with open_plain(path, follow_links=follow_links) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_RECORD_BYTES:
                raise ValueError(f"{path.name} has {size} bytes, more than the {MAX_RECORD_BYTES} a record may have")
            data = stream.read(MAX_RECORD_BYTES)
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ValueError(f"{path.name} is not a valid {cls.__name__}: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """The first problem of a validation, in one line."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = one_line(problem["msg"])
    return f"{where}: {message}" if where else message
