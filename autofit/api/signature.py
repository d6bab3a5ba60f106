"""Whether a run was started here: whose code a resumed run imports, `run.json` says, and that may be a stranger's.

A run that imports its model is sealed with a key of this user's, together with the folder that its module was found
from. Whoever made up a `run.json`, or brought one along with a module of the same name, does not have that key.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

import platformdirs

from autofit.storage.records import open_plain

KEY_BYTES = 32


def sign_model(reference: str) -> str:
    """The seal of a run that imports this model from the present folder; empty where no key can be kept."""
    key = _key() or _new_key()
    return _signature(key, reference) if key else ""


def is_signed_here(seal: str, reference: str) -> bool:
    """Whether a seal was made by this user, in this folder, for this model."""
    key = _key()
    return key is not None and hmac.compare_digest(seal.encode(), _signature(key, reference).encode())


def _signature(key: bytes, reference: str) -> str:
    text = os.fsencode(f"{reference}\0{Path.cwd().resolve()}")
    return hmac.new(key, text, "sha256").hexdigest()


def _key_path() -> Path:
    return platformdirs.user_data_path("autofit") / "key"


def _key() -> bytes | None:
    try:
        with open_plain(_key_path()) as file:
            key = file.read(KEY_BYTES)
    except OSError:
        return None
    return key if len(key) == KEY_BYTES else None


def _new_key() -> bytes | None:
    """Make a key that nobody else can read; the first of two processes at once wins."""
    path = _key_path()
    temporary = path.with_name(f".key.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    except OSError:
        return None
    return _key()
