"""Reading of a profile's file, as data from an untrusted source.

Only a regular file is opened, no more of it is read than a profile may have, and any defect in it becomes one short
line.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autofit.printable import printable
from autofit.profiles.records import SCHEMA, MachineProfile
from autofit.storage.json_bounds import JsonLimits, require_bounded
from autofit.storage.records import first_problem
from autofit.storage.safe_files import NotRegularFileError, open_plain

MAX_PROFILE_BYTES = 4 * 2**20
LIMITS = JsonLimits(MAX_PROFILE_BYTES, 200_000, 400_000)
SHOWN_CHARACTERS = 160

_SCHEMA = re.compile(r"autofit/profile/([0-9]{1,9})")
_SCHEMA_NUMBER = int(SCHEMA.rpartition("/")[2])


class RefusedProfileError(ValueError):
    """A file that is not a valid profile. `kind` is the suffix with which it is set aside."""

    kind = "damaged"


class NewerProfileError(RefusedProfileError):
    """A file that a newer autofit wrote; it may be good."""

    kind = "newer"


class OlderProfileError(RefusedProfileError):
    """A file that an older autofit wrote: its measurements have other meanings, so they are made again."""

    kind = "older"


def read_profile(path: Path) -> MachineProfile:
    """The profile in a file.

    Raises:
        RefusedProfileError: the file is not a valid profile; its text is one short line that is safe on a terminal.
        OSError: the file cannot be read, which says nothing about its content.
    """
    return parse_profile(_read_regular_file(path))


def parse_profile(data: bytes) -> MachineProfile:
    """The profile in the bytes of a file.

    Raises:
        RefusedProfileError: they are not a valid profile.
    """
    try:
        require_bounded(data, "it", LIMITS)
    except ValueError as error:
        raise RefusedProfileError(str(error)) from None
    _refuse_other_schemas(_parse_json(data))
    try:
        return MachineProfile.model_validate_json(data)
    except ValidationError as error:
        raise RefusedProfileError(in_brief(first_problem(error))) from None


def in_brief(text: str) -> str:
    """The text, shortened to fit a line of warning, with its control characters escaped."""
    shown = printable(text[:SHOWN_CHARACTERS])
    return shown if len(text) <= SHOWN_CHARACTERS else f"{shown}..."


def _read_regular_file(path: Path) -> bytes:
    """The file's bytes. Links are not followed and pipes not waited for; merely opening a device can have effects."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise RefusedProfileError("not a regular file")
    try:
        with open_plain(path, follow_links=False) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_PROFILE_BYTES:
                raise RefusedProfileError(f"{size:,} bytes, more than the {MAX_PROFILE_BYTES:,} of a profile")
            return stream.read(MAX_PROFILE_BYTES)
    except NotRegularFileError:  # replaced since `lstat`
        raise RefusedProfileError("not a regular file") from None


def _parse_json(data: bytes) -> object:
    """The content of a JSON text without duplicate keys, in which two readers would see two different profiles."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise RefusedProfileError("nested too deeply") from None
    except UnicodeDecodeError:
        raise RefusedProfileError("no JSON: not in UTF-8") from None
    except ValueError as error:
        raise RefusedProfileError(in_brief(f"no JSON: {error}")) from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands twice")
    return content


def _refuse_other_schemas(content: object) -> None:
    schema = content.get("schema") if isinstance(content, dict) else None
    match = _SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
    if match is None:
        raise RefusedProfileError(f'its "schema" is not "{SCHEMA}"')
    if int(match[1]) > _SCHEMA_NUMBER:
        raise NewerProfileError(f"written by a newer autofit, as {match[0]}")
    if int(match[1]) < _SCHEMA_NUMBER:
        raise OlderProfileError(f"written by an older autofit, as {match[0]}")
