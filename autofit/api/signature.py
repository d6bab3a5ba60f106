"""The signature by which a user's own runs are recognised before their code is imported.

`run.json` names the module of a run's model, and may come from an untrusted source. So the run is signed (HMAC-SHA256)
with a key that only this user can read, over the name of the model and the working folder in which its module is found.
The author of a forged `run.json`, with or without a module of the same name beside it, does not have that key.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path

import platformdirs

from autofit.storage.user_key import new_key, read_key


def sign_model(reference: str) -> str:
    """The signature of a run that imports this model in the working folder; empty if no key can be stored."""
    key = read_key(_key_path()) or new_key(_key_path())
    return _signature(key, reference) if key else ""


def is_signed_here(signature: str, reference: str) -> bool:
    """Whether this user made the signature, in this folder, for this model."""
    key = read_key(_key_path())
    return key is not None and hmac.compare_digest(signature.encode(), _signature(key, reference).encode())


def _signature(key: bytes, reference: str) -> str:
    text = os.fsencode(f"{reference}\0{Path.cwd().resolve()}")
    return hmac.new(key, text, "sha256").hexdigest()


def _key_path() -> Path:
    return platformdirs.user_data_path("autofit") / "key"
