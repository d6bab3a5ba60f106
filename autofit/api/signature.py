"""The signature by which a user's own runs are known again before their code is imported.

`run.json` names the module of a run's model, and may come from an untrusted source. So the run is signed (HMAC-SHA256)
with a key that only this user can read, over the name of the model and the working folder in which its module is found.
The author of a forged `run.json`, with or without a module of the same name beside it, does not have that key.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

import platformdirs

from autofit.storage.safe_files import open_plain

KEY_BYTES = 32


def sign_model(reference: str) -> str:
    """The signature of a run that imports this model in the working folder; empty if no key can be stored."""
    key = _key() or _new_key()
    return _signature(key, reference) if key else ""


def is_signed_here(signature: str, reference: str) -> bool:
    """Whether this user made the signature, in this folder, for this model."""
    key = _key()
    return key is not None and hmac.compare_digest(signature.encode(), _signature(key, reference).encode())


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
    """Create a key that no other user can read; of two processes at once, the first one's key is used."""
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
