"""The base of every record that is saved as JSON or crosses a process boundary.

A record is frozen, refuses unknown fields, and is read from disk only within bounds and with the schema it names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, PydanticSerializationError

from autofit.printable import one_line
from autofit.storage.format_version import UPDATE, refuse_newer
from autofit.storage.json_bounds import MAX_RECORD_BYTES, JsonLimits, require_bounded
from autofit.storage.safe_files import read_bounded, write_atomically

__all__ = ["MAX_RECORD_BYTES", "Record", "first_problem"]

_LISTS = frozenset({"list", "tuple", "set", "frozenset"})
_MANY_PROBLEMS = 1000
_LONGEST_PLACE = 100


def _fail_fast(schema: Any) -> None:
    """Let each list in a schema stop at its first error."""
    if isinstance(schema, dict):
        if schema.get("type") in _LISTS:
            schema["fail_fast"] = True
        for part in schema.values():
            _fail_fast(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _fail_fast(part)


class Record(BaseModel):
    """A frozen record. A subclass that is saved as a file of its own has a field `schema_`, written as `"schema"`.

    Attributes:
        limits: the bounds on its file.
    """

    limits: ClassVar[JsonLimits] = JsonLimits()

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_inf_nan="constants",
        populate_by_name=True,
        protected_namespaces=(),  # pydantic 2.9 reserves `model_` and warns of each field that begins so
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Make the schema refuse a list at its first wrong item: errors for millions of items would fill the memory."""
        schema = handler(source)
        _fail_fast(schema)
        return schema

    @classmethod
    def of(cls, record: Record) -> Self:
        """Convert a record of a base class to this one, which adds only methods; it is not validated again."""
        return cast("Self", cls.model_construct(**dict(record)))  # for the mypy plugin it is a Record

    def model_dump_json(self, *, indent: int | None = None, **kwargs: Any) -> str:
        """The record as JSON. Bytes of a file name that are not UTF-8 are lone surrogates, and are written as such."""
        try:
            return super().model_dump_json(indent=indent, **kwargs)
        except PydanticSerializationError:
            separators = (",", ":") if indent is None else None
            return json.dumps(self.model_dump(mode="json", **kwargs), indent=indent, separators=separators)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **kwargs: Any) -> Self:
        """Read a record back, with lone surrogates, which Pydantic's parser refuses.

        Raises:
            ValidationError: it is not such a record.
        """
        try:
            return super().model_validate_json(json_data, **kwargs)
        except ValidationError:
            escape = "\\udc" if isinstance(json_data, str) else b"\\udc"
            if escape not in json_data:  # type: ignore[operator]  # both are of one kind
                raise
            try:
                content = json.loads(json_data)
            except (ValueError, RecursionError):
                content = None
            return cls.model_validate(content, **kwargs)

    def to_json(self) -> str:
        """The record as indented JSON, with aliases as field names."""
        return self.model_dump_json(indent=2, by_alias=True) + "\n"

    def save(self, path: Path) -> None:
        """Write the record so that a reader sees the old file or the new one, never a part."""
        write_atomically(path, self.to_json().encode())

    @classmethod
    def load(cls, path: Path, *, follow_links: bool = True) -> Self:
        """Read a record back from a file.

        Raises:
            OSError: the file cannot be read, or is a symbolic link while `follow_links` is False.
            NewerFormatError: a newer autofit wrote it.
            ValueError: one line: it exceeds its limits, is no JSON, has another schema, or a field is invalid.
        """
        data = read_bounded(path, cls.limits.size_bytes, follow_links=follow_links)
        require_bounded(data, path.name, cls.limits)
        refuse_newer(data, path.name, cls)
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ValueError(f"{path.name} is not a valid {cls.__name__}: {first_problem(error)}") from None

    @classmethod
    def load_or_none(cls, path: Path, *, follow_links: bool = True) -> Self | None:
        """Read a record as `load` does; None if the file is missing, damaged or no such record."""
        try:
            return cls.load(path, follow_links=follow_links)
        except (OSError, ValueError):
            return None


def first_problem(error: ValidationError) -> str:
    """The first problem of a validation, in one line."""
    if error.error_count() > _MANY_PROBLEMS:
        return f"it has {error.error_count():,} wrong or unknown fields"
    problem = error.errors()[0]
    where = one_line(".".join(str(part) for part in problem["loc"]))[:_LONGEST_PLACE]
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown; if a newer autofit wrote it, {UPDATE}"
    message = one_line(problem["msg"])
    return f"{where}: {message}" if where else message
