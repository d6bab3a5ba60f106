"""A profile's file, read as what it is: data from a stranger, who may have wished us ill.

Nothing but a regular file is opened, no more of it is read than a profile may have, and whatever is wrong with it
becomes one short line.
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
from autofit.storage.records import first_problem
from autofit.storage.safe_files import NotRegularFileError, open_plain

MAX_PROFILE_BYTES = 4 * 2**20
SHOWN_CHARACTERS = 160

_SCHEMA = re.compile(r"autofit/profile/([0-9]{1,9})")
_OUR_NUMBER = int(SCHEMA.rpartition("/")[2])


class RefusedProfileError(ValueError):
    """A file that is no profile. `kind` is the ending under which it is set aside."""

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
        RefusedProfileError: it is none; one short line that a terminal can show.
        OSError: it cannot be read, which says nothing about its content.
    """
    return parse_profile(_read_regular_file(path))


def parse_profile(data: bytes) -> MachineProfile:
    """The profile in the bytes of a file.

    Raises:
        RefusedProfileError: they are none.
    """
    _refuse_other_schemas(_parse_json(data))
    try:
        return MachineProfile.model_validate_json(data)
    except ValidationError as error:
        raise RefusedProfileError(in_brief(first_problem(error))) from None


def in_brief(text: str) -> str:
    """So much of a text as fits into a line of warning, with nothing in it that a terminal would act on."""
    shown = printable(text[:SHOWN_CHARACTERS])
    return shown if len(text) <= SHOWN_CHARACTERS else f"{shown}..."


def _read_regular_file(path: Path) -> bytes:
    """The file's bytes. A link is not followed and a pipe not waited for; opening a device can already do something."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise RefusedProfileError("not a regular file")
    try:
        with open_plain(path, follow_links=False) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_PROFILE_BYTES:
                raise RefusedProfileError(f"{size:,} bytes, more than the {MAX_PROFILE_BYTES:,} of a profile")
            return stream.read(MAX_PROFILE_BYTES)
    except NotRegularFileError:  # replaced since the look
        raise RefusedProfileError("not a regular file") from None


def _parse_json(data: bytes) -> object:
    """The content of a JSON text in which no key stands twice: two readers would see two profiles in it."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_without_doubles)
    except RecursionError:
        raise RefusedProfileError("nested too deeply") from None
    except UnicodeDecodeError:
        raise RefusedProfileError("no JSON: not in UTF-8") from None
    except ValueError as error:
        raise RefusedProfileError(in_brief(f"no JSON: {error}")) from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands twice")
    return content


def _refuse_other_schemas(content: object) -> None:
    schema = content.get("schema") if isinstance(content, dict) else None
    match = _SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
    if match is None:
        raise RefusedProfileError(f'its "schema" is not "{SCHEMA}"')
    if int(match[1]) > _OUR_NUMBER:
        raise NewerProfileError(f"written by a newer autofit, as {match[0]}")
    if int(match[1]) < _OUR_NUMBER:
        raise OlderProfileError(f"written by an older autofit, as {match[0]}")
